// What rides on a subscription, from the options of a namespace to the SDK: deltas without history and with filters,
// recovery from the cache, channel ids, excluded senders, wildcards, policies for slow readers.

import assert from 'node:assert/strict';
import { config, fresh, namespaces } from '../harness/config.js';
import { suite } from '../harness/suite.js';

const { stream, plain } = namespaces;
const cache = { ...stream, force_recovery_mode: 'cache' };
const delta = { allowed_delta_types: ['fossil'], delta_publish: true };

const configuration = config({
  client: { queue_max_size: 65_536 },
  websocket: { write_timeout: '30s' },
  channel: {
    namespaces: Object.entries({
      live: { ...plain, ...delta },
      asked: { ...plain, allowed_delta_types: ['fossil'] },
      state: cache,
      auto: { ...cache, auto_cache_recover: true },
      autodelta: { ...cache, ...delta, auto_cache_recover: true },
      compact: { ...stream, ...delta, allow_channel_compaction: true, presence: true, join_leave: true, force_push_join_leave: true },
      quiet: { ...stream, publish_exclude_sender: true },
      wild: { ...stream, allow_wildcards: true },
      latest: { ...plain, slow_reader_policy: 'latest' },
      oldest: { ...stream, history_size: 1000, slow_reader_policy: 'drop_oldest' },
    }).map(([name, options]) => ({ name, ...options })),
  },
});

const article = (n) => ({ n, title: 'Delta «ß» 👍', text: 'the same again '.repeat(60) });
const articles = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => article(from + i));
const numbers = (list) => list.map((data) => data.n);

suite('delivery', configuration, (declare) => {
  const scenario = (name, action) => declare(name, action, ['v2']);

  scenario('deltas in a channel without history', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('live'), { delta: 'fossil' });
    await channel.subscribe();
    await api.publishAll(channel.name, articles(1, 10));
    assert.deepEqual(await channel.payloads(10), articles(1, 10));
    const stats = channel.sub.deltaStats();
    assert.deepEqual([stats.numFullPayloads, stats.numDeltaPayloads], [1, 9]);
    // A new connection starts with a whole payload; what was published meanwhile is not its base.
    proxy.cut();
    await session.events.next('lost');
    await api.publishAll(channel.name, articles(11, 12));
    proxy.allow();
    await channel.events.next('subscribed');
    await api.publishAll(channel.name, articles(13, 15));
    assert.deepEqual(await channel.payloads(3), articles(13, 15));
  });

  scenario('deltas where the publisher asks for them', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('asked'), { delta: 'fossil' });
    await channel.subscribe();
    for (const one of articles(1, 9)) await api.publish(channel.name, one, { delta: one.n % 3 !== 0 });
    assert.deepEqual(await channel.payloads(9), articles(1, 9));
    const stats = channel.sub.deltaStats();
    assert.deepEqual([stats.numFullPayloads, stats.numDeltaPayloads], [4, 5]);
  });

  scenario('cache recovery gives the newest, and only when it is recovered', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('state'));
    await api.publishAll(channel.name, articles(1, 3));
    assert.equal((await channel.subscribe()).wasRecovering, false);
    await api.publishAll(channel.name, articles(4, 4));
    assert.deepEqual(numbers(await channel.payloads(1)), [4]);
    proxy.cut();
    await session.events.next('lost');
    await api.publishAll(channel.name, articles(5, 9));
    proxy.allow();
    assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
    await api.publishAll(channel.name, articles(10, 10));
    assert.deepEqual(numbers(await channel.payloads(2)), [9, 10]);
  });

  for (const [namespace, options] of [['auto', {}], ['autodelta', { delta: 'fossil' }]]) {
    scenario(`automatic cache recovery gives the newest on the first subscribe (${namespace})`, async ({ party, api, network }) => {
      const proxy = await network();
      const session = await party.join({ url: proxy.websocket });
      const channel = session.open(fresh(namespace), options);
      await api.publishAll(channel.name, articles(1, 3));
      const first = await channel.subscribe();
      assert.deepEqual([first.wasRecovering, first.recovered], [true, true]);
      await api.publishAll(channel.name, articles(4, 5));
      assert.deepEqual(await channel.payloads(3), articles(3, 5));
      for (const missed of [3, 0]) {
        proxy.cut();
        await session.events.next('lost');
        const next = channel.events.all('publication').at(-1).data.n + 1;
        await api.publishAll(channel.name, articles(next, next + missed - 1));
        proxy.allow();
        assert.equal((await channel.events.next('subscribed')).recovered, true);
        await api.publishAll(channel.name, articles(next + missed, next + missed));
        const want = missed ? [next + missed - 1, next + missed] : [next];
        assert.deepEqual(numbers(await channel.payloads(want.length)), want);
      }
    });
  }

  scenario('numbers in place of channel names', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channels = [session.open(fresh('compact')), session.open(fresh('compact'), { delta: 'fossil' })];
    for (const channel of channels) await channel.subscribe();
    for (let round = 0; round < 2; round += 1) {
      for (const channel of channels) await channel.events.next('join'); // its own
      for (const channel of channels) await api.publishAll(channel.name, articles(1, 3));
      for (const channel of channels) assert.deepEqual(await channel.payloads(3), articles(1, 3));
      if (round > 0) break;
      proxy.cut();
      await session.events.next('lost');
      proxy.allow();
      for (const channel of channels) await channel.events.next('subscribed', (ctx) => ctx.wasRecovering);
    }
    channels[0].unsubscribe();
    await channels[0].events.next('unsubscribed');
    await channels[0].subscribe();
    await api.publishAll(channels[0].name, articles(4, 4));
    assert.deepEqual(numbers(await channels[0].payloads(1)), [4]);
  });

  scenario('who publishes does not get it back, and misses nothing else', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const name = fresh('quiet');
    const channel = session.open(name);
    const other = (await party.join()).open(name);
    await channel.subscribe();
    await other.subscribe();
    await channel.publish({ n: 1 });
    await api.publish(name, { n: 2 });
    await channel.publish({ n: 3 });
    await api.publish(name, { n: 4 });
    assert.deepEqual(numbers(await channel.payloads(2)), [2, 4]);
    assert.deepEqual(numbers(await other.payloads(4)), [1, 2, 3, 4]);
    await channel.publish({ n: 5 });
    proxy.cut();
    await session.events.next('lost');
    await api.publish(name, { n: 6 });
    proxy.allow();
    assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
    assert.deepEqual(numbers(await channel.payloads(2)), [5, 6]); // a new connection may have lost its own
  });

  scenario('wildcards', async ({ party, api }) => {
    const session = await party.join();
    const name = fresh('wild');
    const channel = session.open(`${name}.*.paid`);
    const rest = session.open(`${name}.>`);
    await channel.subscribe();
    await rest.subscribe();
    await api.publish(`${name}.1.paid`, { n: 1 });
    await api.publish(`${name}.2.sent`, { n: 2 });
    await api.publish(`${name}.2.paid`, { n: 3 });
    await api.publish(name, { n: 4 });
    await api.publish(`${name}.end`, { n: 5 });
    assert.deepEqual(numbers(await rest.payloads(4)), [1, 2, 3, 5]);
    assert.deepEqual(numbers(await channel.payloads(2)), [1, 3]);
    const refused = await session.open(`${name}.x.*`, { recoverable: true }).attempt();
    assert.deepEqual([refused.subscribed, refused.code], [false, 108]);
    await assert.rejects(session.presence(`${name}.*.paid`), { code: 108 });
    await assert.rejects(session.publish(`${name}.*.paid`, {}), { code: 107 });
  });

  const pad = 'x'.repeat(60_000); // 250 of them are more than the sockets on the way keep
  const TIMEOUT = 40_000;

  scenario('a slow reader with the policy latest ends with the newest', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('latest'));
    await channel.subscribe();
    proxy.pause();
    for (let n = 1; n <= 250; n += 1) await api.publish(channel.name, { n, pad });
    proxy.resume();
    await channel.events.next('publication', (pub) => pub.data.n === 250, TIMEOUT);
    const seen = numbers(channel.events.all('publication').map((pub) => pub.data));
    assert.ok(seen.length < 250, `${seen.length} of 250 came`);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
    assert.deepEqual(session.events.all('lost'), []);
  });

  scenario('a slow reader with the policy drop_oldest is told, and recovers everything', async ({ party, api, network }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    const channel = session.open(fresh('oldest'));
    await channel.subscribe();
    proxy.pause();
    for (let n = 1; n <= 250; n += 1) await api.publish(channel.name, { n, pad });
    proxy.resume();
    assert.equal((await channel.events.next('subscribing', (ctx) => ctx.code !== 0, TIMEOUT)).code, 2500);
    assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
    assert.deepEqual(numbers(await channel.payloads(250)), Array.from({ length: 250 }, (_, i) => i + 1));
    assert.deepEqual(session.events.all('lost'), []);
  });
});
