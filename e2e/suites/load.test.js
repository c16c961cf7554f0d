// Heavy load on few connections, one SDK after the other. The tests check the order
// of what the server sends, not the speed of the machine.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { suite } from '../harness/suite.js';

const CHANNEL_LIMIT = 1000;

// With HTTP transports all subscribes of a reconnect are one request, in which each quote takes two bytes.
const emulation = { max_request_body_size: 256 * 1024 };

suite('load', config({ client: { ...config().client, channel_limit: CHANNEL_LIMIT }, emulation }), (scenario) => {
  scenario('a storm of unsubscribes and subscribes ends in one subscription', async ({ party, api }) => {
    const session = await party.join();
    const channel = session.open(fresh('open'));
    await channel.subscribe();
    for (let i = 0; i < 300; i++) {
      channel.unsubscribe();
      channel.sub.subscribe();
    }
    await channel.publish('end of the storm'); // waits for the last subscribe
    await channel.events.next('publication', (pub) => pub.data === 'end of the storm');
    assert.deepEqual(await session.presenceStats(channel.name), { numClients: 1, numUsers: 1 });
    await api.publish(channel.name, 'once');
    await api.publish(channel.name, 'end');
    assert.deepEqual(await channel.payloads(2), ['once', 'end']);
    assert.deepEqual(session.events.all('lost'), []);
  }, ['websocket']); // requests of HTTP transports may overtake each other

  scenario('a storm of publications among many clients: all get the same order', async ({ party, variant }) => {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => party.join()));
    const name = fresh('open');
    const channels = sessions.map((session) => session.open(name));
    await Promise.all(channels.map((channel) => channel.subscribe()));
    await Promise.all(channels.flatMap((channel, who) => Array.from({ length: 40 }, (_, n) => channel.publish({ who, n }))));
    const seen = await Promise.all(channels.map((channel) => channel.events.take('publication', 200)));
    assert.deepEqual(seen[0].map((pub) => pub.offset), Array.from({ length: 200 }, (_, i) => i + 1));
    for (const other of seen.slice(1)) assert.deepEqual(other, seen[0]);
    for (let who = 0; who < 5; who++) {
      const own = seen[0].filter((pub) => pub.data.who === who).map((pub) => pub.data.n);
      // The SDK sends a request for each command and does not wait for the one before.
      if (variant.transport) own.sort((a, b) => a - b);
      assert.deepEqual(own, Array.from({ length: 40 }, (_, n) => n), `the order of publisher ${who}`);
    }
  });

  scenario('1,000 channels on one connection, and one more, and all again after a cut', async ({ party, api, network, variant }) => {
    const proxy = await network();
    const session = await party.join({ url: proxy.websocket });
    // The SDK puts all subscribes of a reconnect into one message, which may be 64 KiB: names are short.
    const letter = `${variant.generation === 'v2' ? 'a' : 'b'}${variant.format[0]}`;
    const channels = Array.from({ length: CHANNEL_LIMIT }, (_, n) => session.open(`mm:${letter}${n}`));
    session.batch(() => channels.forEach((channel) => channel.sub.subscribe()));
    await Promise.all(channels.map((channel) => channel.events.next('subscribed')));

    const outcome = await session.open(`mm:${letter}more`).attempt();
    assert.deepEqual([outcome.subscribed, outcome.code], [false, 106]);

    const names = channels.map((channel) => channel.name);
    await api.call('broadcast', { channels: names, data: 'before' });
    for (const channel of channels) assert.deepEqual(await channel.payloads(1), ['before']);

    proxy.cut();
    assert.equal((await session.events.next('lost')).reconnect, true);
    proxy.allow();
    await Promise.all(channels.map((channel) => channel.events.next('subscribed')));
    await api.call('broadcast', { channels: names, data: 'after' });
    for (const channel of channels) assert.deepEqual(await channel.payloads(1), ['after']);
  });
}, { serial: true });
