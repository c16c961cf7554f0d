// Streams: history by pages, recovery after real cuts, positions, a server that forgot.

import assert from 'node:assert/strict';
import { setTimeout as pass } from 'node:timers/promises';
import { config, fresh } from '../harness/config.js';
import { suite } from '../harness/suite.js';

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const offsets = (page) => page.publications.map((pub) => pub.offset);

// "fleeting" forgets a stream, its epoch included, three seconds after the last publication.
const fleeting = { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, force_positioning: true, history_size: 10, history_ttl: '3s', history_meta_ttl: '3s' };
const base = config({ client: { ...config().client, recovery_max_publication_limit: 10_000 } });
base.channel.namespaces.push({ name: 'fleeting', ...fleeting });
const large = { allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, allow_history_for_subscriber: true, allow_history_for_client: true, allow_history_for_anonymous: true, history_size: 300, history_ttl: '5m', force_recovery: true };
base.channel.namespaces.push({ name: 'large', ...large });

suite('streams', base, (scenario) => {
  scenario('history by pages, forth and back', async ({ party, api, variant }) => {
    const name = fresh('stream');
    await api.publishAll(name, numbers(1, 25).map((n) => ({ n })));
    const session = await party.join();
    const top = await session.history(name, { limit: 0 });
    // No limit is "position only" in V2 and "everything" in V1, where requests once had no limit (protocol.md 8.3).
    assert.deepEqual(offsets(top), variant.generation === 'v2' ? [] : numbers(1, 25));
    assert.equal(top.offset, 25);
    assert.ok(top.epoch);

    const forth = [];
    for (let since = { offset: 0, epoch: top.epoch }; ;) {
      const page = await session.history(name, { limit: 10, since });
      assert.deepEqual([page.offset, page.epoch], [25, top.epoch]);
      if (page.publications.length === 0) break;
      forth.push(offsets(page));
      since = { offset: page.publications.at(-1).offset, epoch: page.epoch };
    }
    assert.deepEqual(forth, [numbers(1, 10), numbers(11, 20), numbers(21, 25)]);

    const back = [];
    let page = await session.history(name, { limit: 10, reverse: true });
    while (page.publications.length > 0) {
      back.push(offsets(page));
      page = await session.history(name, { limit: 10, reverse: true, since: { offset: page.publications.at(-1).offset, epoch: page.epoch } });
    }
    assert.deepEqual(back, [numbers(16, 25).reverse(), numbers(6, 15).reverse(), numbers(1, 5).reverse()]);
  });

  scenario('history keeps the newest; an old position starts at the oldest kept', async ({ party, api }) => {
    const name = fresh('short');
    await api.publishAll(name, numbers(1, 7).map((n) => ({ n })));
    const session = await party.join();
    const all = await session.history(name, { limit: 100 });
    assert.deepEqual(all.publications, [5, 6, 7].map((n) => ({ data: { n }, offset: n })));
    const since = await session.history(name, { limit: 100, since: { offset: 2, epoch: all.epoch } });
    assert.deepEqual(offsets(since), [5, 6, 7]);
  });

  scenario('history with what is wrong: errors, the connection stays', async ({ party, api }) => {
    const name = fresh('stream');
    await api.publish(name, 1);
    const session = await party.join();
    await assert.rejects(session.history(name, { limit: 1, since: { offset: 1, epoch: 'another' } }), { code: 112 });
    const { epoch } = await session.history(name, { limit: 0 });
    await assert.rejects(session.history(name, { limit: 1, reverse: true, since: { offset: 0, epoch } }), { code: 107 });
    assert.deepEqual(offsets(await session.history(name, { limit: 5, since: { offset: 100, epoch } })), []);
    assert.deepEqual(session.events.all('lost'), []);
  });

  scenario('recovers what was published while the connection was cut', async ({ party, api, network, variant }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('stream'));
    const first = await channel.subscribe();
    assert.equal(first.recovered, false);
    await api.publishAll(channel.name, [1, 2]);
    assert.deepEqual(await channel.payloads(2), [1, 2]);

    proxy.cut();
    assert.equal((await session.events.next('lost')).reconnect, true);
    await api.publishAll(channel.name, [3, 4, 5]);
    proxy.allow();
    const again = await channel.events.next('subscribed');
    assert.deepEqual([again.wasRecovering, again.recovered], [true, true]);
    if (variant.generation === 'v2') assert.equal(again.position.offset, 2); // what was asked for, not the top
    assert.deepEqual((await channel.events.take('publication', 3)).map(({ data, offset }) => [data, offset]), [[3, 3], [4, 4], [5, 5]]);
    await api.publish(channel.name, 6);
    assert.deepEqual(await channel.payloads(1), [6]);
  });

  scenario('recovers and reads more than the queue of a connection holds', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('large'));
    await channel.subscribe();
    const payload = 'x'.repeat(3600);
    proxy.cut();
    await session.events.next('lost');
    await api.publishAll(channel.name, numbers(1, 300).map((n) => ({ n, payload }))); // 1.1 MB, the limit is 1 MiB
    proxy.allow();
    assert.equal((await channel.events.next('subscribed')).recovered, true);
    const got = await channel.events.take('publication', 300);
    assert.deepEqual(got.map(({ data }) => data.n), numbers(1, 300));
    const page = await session.history(channel.name, { limit: 300 });
    assert.deepEqual(offsets(page), numbers(1, 300));
    await api.publish(channel.name, payload.repeat(300)); // a single publication as large
    assert.equal((await channel.payloads(1))[0].length, 300 * 3600);
    assert.equal(session.events.all('lost').length, 1); // the cut
  });

  scenario('recovers when nothing was missed, even on an empty stream', async ({ party, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('stream'));
    await channel.subscribe();
    proxy.cut();
    await session.events.next('lost');
    proxy.allow();
    assert.equal((await channel.events.next('subscribed')).recovered, true);
    await channel.publish('first');
    assert.deepEqual(await channel.payloads(1), ['first']);
    assert.equal(channel.events.all('publication').length, 1);
  });

  scenario('does not recover what the history has lost, and goes on from the top', async ({ party, api, network, variant }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('short'));
    await channel.subscribe();
    await api.publish(channel.name, 1);
    assert.deepEqual(await channel.payloads(1), [1]);
    proxy.cut();
    await session.events.next('lost');
    await api.publishAll(channel.name, [2, 3, 4, 5, 6]); // three are kept
    proxy.allow();
    const again = await channel.events.next('subscribed');
    assert.deepEqual([again.wasRecovering, again.recovered], [true, false]);
    // V1 hands over the tail that is left, V2 nothing (protocol.md 8.5, 6.4).
    if (variant.generation === 'v1') assert.deepEqual(await channel.payloads(3), [4, 5, 6]);
    else assert.equal(again.position.offset, 6);
    await api.publish(channel.name, 7);
    assert.deepEqual(await channel.payloads(1), [7]);
  });

  scenario('does not recover over a removed history', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('stream'));
    await channel.subscribe();
    proxy.cut();
    await session.events.next('lost');
    await api.publish(channel.name, 'lost');
    await api.call('history_remove', { channel: channel.name });
    proxy.allow();
    assert.equal((await channel.events.next('subscribed')).recovered, false);
    await api.publish(channel.name, 'live');
    assert.deepEqual(await channel.payloads(1), ['live']);
  });

  // Publishes 1, 2, 3... by tens, without a pause until stopped; stop() resolves with the last number.
  const publisher = async (party, name) => {
    const session = await party.join();
    let stopped = false;
    let published = 0;
    const done = (async () => {
      while (!stopped) await Promise.all(session.batch(() => numbers(1, 10).map(() => session.publish(name, ++published))));
    })();
    return { stop: () => { stopped = true; return done.then(() => published); } };
  };

  const sawAllOnce = async (channel, last) => {
    await channel.events.next('publication', (pub) => pub.offset === last);
    assert.deepEqual(channel.events.all('publication').map(({ data, offset }) => [data, offset]), numbers(1, last).map((n) => [n, n]));
  };

  scenario('loses, doubles and reorders nothing over many cuts under load', async ({ party, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('long'));
    await channel.subscribe();
    const load = await publisher(party, channel.name);
    for (let round = 0; round < 8; round++) {
      proxy.delay = round; // a slower way each time: cuts fall into the middle of a message's journey
      await channel.events.next('publication', (pub) => pub.offset > round * 30);
      proxy.cut();
      assert.notEqual((await session.events.next('lost')).reason, 'insufficient state');
      proxy.allow();
      assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
    }
    await sawAllOnce(channel, await load.stop());
    // The server found no gap of its own making, which the SDK would have healed silently.
    assert.deepEqual(session.events.all('lost').filter(({ reason }) => reason === 'insufficient state'), []);
    assert.deepEqual(channel.events.all('subscribing').filter(({ code }) => code >= 2500), []);
  });

  scenario('loses and doubles nothing when many leave and come back under load', async ({ party }) => {
    const name = fresh('long');
    const channels = [];
    for (let i = 0; i < 8; i++) channels.push((await party.join()).open(name));
    await Promise.all(channels.map((channel) => channel.subscribe()));
    const load = await publisher(party, name);
    await Promise.all(channels.map(async (channel) => {
      for (let round = 0; round < 40; round++) {
        await channel.events.next('publication');
        channel.unsubscribe();
        assert.equal((await channel.subscribe()).recovered, true); // the 5.x SDK keeps the position
      }
    }));
    const last = await load.stop();
    for (const channel of channels) {
      await sawAllOnce(channel, last);
      assert.deepEqual(channel.events.all('subscribing').filter(({ code }) => code >= 2500), []);
    }
  }, ['v2']);

  scenario('starts from a position known from before', async ({ party, api }) => {
    const name = fresh('stream');
    await api.publishAll(name, [1, 2, 3]);
    const session = await party.join();
    const { epoch } = await session.history(name, { limit: 0 });
    const channel = session.open(name, { since: { offset: 1, epoch } });
    assert.equal((await channel.subscribe()).recovered, true);
    assert.deepEqual(await channel.payloads(2), [2, 3]);
    const lost = (await party.join()).open(name, { since: { offset: 1, epoch: 'another' } });
    assert.equal((await lost.subscribe()).recovered, false);
  });

  scenario('positions are granted when forced or asked for and allowed', async ({ party, api }) => {
    const session = await party.join();
    const flags = async (name, options) => {
      await api.publish(name, 1);
      const { positioned, recoverable, position } = await session.open(name, options).subscribe();
      return [positioned, recoverable, position?.offset];
    };
    assert.deepEqual(await flags(fresh('positioned')), [true, false, 1]);
    assert.deepEqual(await flags(fresh('stream')), [true, true, 1]);
    assert.deepEqual(await flags(fresh('open')), [false, false, undefined]);
    assert.deepEqual(await flags(fresh('open'), { positioned: true }), [true, false, 1]);
    assert.deepEqual(await flags(fresh('open'), { recoverable: true }), [true, true, 1]);
    assert.deepEqual(await flags(fresh('plain'), { recoverable: true, positioned: true }), [false, false, undefined]);
  }, ['v2']);

  scenario('a stream that was started again is insufficient state', async ({ party, api, variant }) => {
    const session = await party.join();
    const channel = session.open(fresh('fleeting'));
    await channel.subscribe();
    await api.publish(channel.name, 'old epoch');
    assert.deepEqual(await channel.payloads(1), ['old epoch']);
    const before = await api.call('history', { channel: channel.name });
    // Time itself is the subject here: the stream must be forgotten, and looking would keep it alive.
    for (let after = before; after.epoch === before.epoch;) {
      await pass(5000);
      after = await api.publish(channel.name, 'new epoch').then(() => api.call('history', { channel: channel.name }));
    }
    if (variant.generation === 'v2') {
      assert.deepEqual(await channel.events.next('subscribing', ({ code }) => code !== 0), { code: 2500, reason: 'insufficient state' });
    } else {
      assert.deepEqual(await session.events.next('lost'), { reconnect: true, reason: 'insufficient state' });
    }
    await channel.events.next('subscribed');
  });
});
