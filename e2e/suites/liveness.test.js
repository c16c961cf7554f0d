// Pings and pongs: idle connections live, dead ones are found out by both sides.

import assert from 'node:assert/strict';
import { config, fresh } from '../harness/config.js';
import { EventLog } from '../harness/events.js';
import { suite } from '../harness/suite.js';

const base = config({ client: { ...config().client, ping_interval: '2s', pong_timeout: '1900ms' } });

suite('liveness', base, (scenario) => {
  scenario('an idle connection is kept by pings', async ({ party, variant }) => {
    const wire = new EventLog(`${variant.name} wire`);
    class Watched extends variant.websocket {
      constructor(...args) {
        super(...args);
        this.on('ping', () => wire.add('ping', 'native'));
        this.on('message', (data, binary) => {
          const bytes = Buffer.from(data); // a Buffer or, as the SDK asked, an ArrayBuffer
          const isPing = binary ? bytes.equals(Buffer.of(0)) : bytes.toString() === '{}';
          if (isPing) wire.add('ping', 'application');
        });
      }
    }
    const session = await party.join({
      websocket: Watched,
      ...(variant.generation === 'v1' && { options: { pingInterval: 300, pongWaitTimeout: 5000 } }),
    });
    const kinds = await wire.take('ping', 3);
    assert.deepEqual(new Set(kinds), new Set([variant.generation === 'v2' ? 'application' : 'native']));
    await session.open(fresh('plain')).subscribe();
    assert.deepEqual(session.events.all('lost'), []);
  }, ['websocket']);

  scenario('a connection through which nothing passes is given up by both sides', async ({ party, network, variant }) => {
    const name = fresh('people');
    const observer = await party.join();
    const watching = observer.open(name);
    await watching.subscribe();

    const proxy = await network();
    const session = await party.join({
      url: proxy.websocket,
      options: variant.generation === 'v2' ? { maxServerPingDelay: 1500 } : { pingInterval: 300, pongWaitTimeout: 300 },
    });
    const channel = session.open(name);
    await channel.subscribe();
    await watching.events.next('join', ({ info }) => info.client === session.client);
    proxy.hold();

    const { reconnect, code } = await session.events.next('lost');
    assert.equal(reconnect, true);
    if (variant.generation === 'v2') assert.equal(code, 2); // "no ping", the SDK's own code
    await watching.events.next('leave', ({ info }) => info.client === session.client);
    if (variant.generation === 'v1' || variant.transport) {
      // The 2.x SDK waits for its dead socket to be closed before it connects again. The fetch of Node.js sends
      // a new request on a dead connection that it has kept.
      proxy.cut();
      proxy.allow();
    }
    await channel.events.next('subscribed');
    assert.equal(Object.keys(await observer.presence(name)).length, 2);
  });
});
