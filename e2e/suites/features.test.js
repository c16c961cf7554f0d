// What only the newer SDK knows: deltas and filters; and RPC, which both know.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { suite } from '../harness/suite.js';

const article = (n) => ({ n, title: 'Delta «ß» 👍', lines: Array.from({ length: 40 }, (_, i) => `line ${i}\n${i === n % 40 ? `changed ${n}` : 'as ever'}`) });
const articles = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => article(from + i));

suite('deltas', config(), (declare) => {
  const scenario = (name, action) => declare(name, action, ['v2']);

  scenario('publications arrive as deltas and are whole again', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('delta'), { delta: 'fossil' });
    await channel.subscribe();
    await api.publishAll(channel.name, articles(1, 20));
    assert.deepEqual(await channel.payloads(20), articles(1, 20));
    const stats = channel.sub.deltaStats();
    assert.deepEqual([stats.numPublications, stats.numFullPayloads, stats.numDeltaPayloads], [20, 1, 19]);
    assert.ok(stats.bytesReceived < stats.bytesDecoded / 5, `${stats.bytesReceived} of ${stats.bytesDecoded} bytes travelled`);
  });

  scenario('who comes later gets the first in full, deltas from there', async ({ party, api }) => {
    const name = fresh('delta');
    const early = (await party.join()).open(name, { delta: 'fossil' });
    await early.subscribe();
    await api.publishAll(name, articles(1, 3));
    const late = (await party.join()).open(name, { delta: 'fossil' });
    await late.subscribe();
    await api.publishAll(name, articles(4, 6));
    assert.deepEqual(await early.payloads(6), articles(1, 6));
    assert.deepEqual(await late.payloads(3), articles(4, 6));
    assert.equal(late.sub.deltaStats().numFullPayloads, 1);
  });

  scenario('one that shares nothing with the one before arrives in full', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('delta'), { delta: 'fossil' });
    await channel.subscribe();
    const list = ['x', 'completely different', 12345, null, { a: 1 }, [], '"', 'tab\t\u2028'];
    await api.publishAll(channel.name, list);
    assert.deepEqual(await channel.payloads(list.length), list);
  });

  scenario('recovery carries deltas, and the live ones go on from there', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('delta'), { delta: 'fossil' });
    await channel.subscribe();
    await api.publishAll(channel.name, articles(1, 3));
    await channel.payloads(3);
    for (const missed of [4, 0]) { // once with something missed, once with nothing
      proxy.cut();
      await session.events.next('lost');
      const next = channel.events.all('publication').length + 1;
      await api.publishAll(channel.name, articles(next, next + missed - 1));
      proxy.allow();
      assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
      await api.publishAll(channel.name, articles(next + missed, next + missed + 2));
      assert.deepEqual(await channel.payloads(missed + 3), articles(next, next + missed + 2));
    }
  });

  scenario('with and without deltas, in one channel', async ({ party, api }) => {
    const name = fresh('delta');
    const channels = [(await party.join()).open(name, { delta: 'fossil' }), (await party.join()).open(name)];
    await Promise.all(channels.map((channel) => channel.subscribe()));
    await api.publishAll(name, articles(1, 5));
    for (const channel of channels) assert.deepEqual(await channel.payloads(5), articles(1, 5));
    // History is never a delta (protocol.md 6.7).
    const page = await channels[0].session.history(name, { limit: 10 });
    assert.deepEqual(page.publications.map((pub) => pub.data), articles(1, 5));
  });

  scenario('asked for and not allowed: plain publications', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('stream'), { delta: 'fossil' });
    await channel.subscribe();
    await api.publishAll(channel.name, articles(1, 3));
    assert.deepEqual(await channel.payloads(3), articles(1, 3));
    assert.equal(channel.sub.deltaStats().numDeltaPayloads, 0);
  });
});

suite('tags', config(), (scenario) => {
  const trades = [['BTC', '50000'], ['ETH', '3000'], ['BTC', '60000.5'], ['SOL', '20'], ['BTC', 'none']];
  const publish = async (api, name) => {
    for (const [n, [ticker, price]] of trades.entries()) await api.publish(name, n, { tags: { ticker, price } });
  };

  scenario('tags travel with publications', async ({ party, api, variant }) => {
    const session = await party.join();
    const channel = session.open(fresh('tags'));
    await channel.subscribe();
    await publish(api, channel.name);
    const seen = await channel.events.take('publication', trades.length);
    assert.deepEqual(seen.map((pub) => pub.data), [0, 1, 2, 3, 4]);
    if (variant.generation === 'v2') assert.deepEqual(seen.map((pub) => pub.tags), trades.map(([ticker, price]) => ({ ticker, price })));
  });

  for (const [what, tagsFilter, want] of [
    ['equal', { key: 'ticker', cmp: 'eq', val: 'BTC' }, [0, 2, 4]],
    ['not equal', { key: 'ticker', cmp: 'neq', val: 'BTC' }, [1, 3]],
    ['among', { key: 'ticker', cmp: 'in', vals: ['ETH', 'SOL'] }, [1, 3]],
    ['greater', { key: 'price', cmp: 'gt', val: '3000' }, [0, 2]],
    ['and, or, not', { op: 'and', nodes: [
      { op: 'or', nodes: [{ key: 'ticker', cmp: 'sw', val: 'B' }, { key: 'ticker', cmp: 'ew', val: 'H' }] },
      { op: 'not', nodes: [{ key: 'price', cmp: 'ct', val: '.' }] },
    ] }, [0, 1, 4]],
    ['absent', { key: 'other', cmp: 'nex' }, [0, 1, 2, 3, 4]],
  ]) {
    scenario(`a filter by tags: ${what}`, async ({ party, api }) => {
      const session = await party.join();
      const channel = session.open(fresh('tags'), { tagsFilter });
      await channel.subscribe();
      await publish(api, channel.name);
      // One that every filter above lets through tells that nothing more is on its way.
      const last = { ticker: want.includes(0) ? 'BTC' : 'ETH', price: what === 'greater' ? '9999' : '1' };
      await api.publish(channel.name, 'last', { tags: last });
      await channel.events.next('publication', (pub) => pub.data === 'last');
      assert.deepEqual(channel.events.all('publication').map((pub) => pub.data), [...want, 'last']);
    }, ['v2']);
  }

  scenario('a filter holds in recovery too', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('tags'), { tagsFilter: { key: 'ticker', cmp: 'eq', val: 'BTC' } });
    await channel.subscribe();
    await publish(api, channel.name);
    assert.deepEqual(await channel.payloads(3), [0, 2, 4]);
    proxy.cut();
    await session.events.next('lost');
    await publish(api, channel.name);
    proxy.allow();
    assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
    assert.deepEqual(await channel.payloads(3), [0, 2, 4]);
  }, ['v2']);

  for (const [what, namespace, tagsFilter] of [
    ['where filters are not allowed', 'stream', { key: 'ticker', cmp: 'eq', val: 'BTC' }],
    ['that makes no sense', 'tags', { key: 'ticker', cmp: 'eq' }],
    ['of an unknown kind', 'tags', { key: 'ticker', cmp: 'like', val: 'B' }],
  ]) {
    scenario(`a filter ${what}: error 107`, async ({ party }) => {
      const outcome = await (await party.join()).open(fresh(namespace), { tagsFilter }).attempt();
      assert.deepEqual([outcome.subscribed, outcome.code], [false, 107]);
    }, ['v2']);
  }
});

suite('rpc', config({ rpc: { ping: { enabled: true } } }), (scenario) => {
  scenario('ping is answered, anything else is an error', async ({ party }) => {
    const session = await party.join();
    assert.equal(await session.rpc('ping', {}) ?? null, null);
    await assert.rejects(session.rpc('unknown', { a: 1 }), { code: 108 }); // ping is all the RPC there is
    assert.deepEqual(session.events.all('lost'), []);
  });

  scenario('calls are answered each with its own answer, in any number', async ({ party }) => {
    const session = await party.join();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => (
      i % 2 ? session.rpc('ping', {}).then(() => 'ok') : session.rpc('unknown', {}).catch((error) => error.code)
    )));
    assert.deepEqual(answers, answers.map((_, i) => (i % 2 ? 'ok' : 108)));
  });
});
