// A server that goes away and comes back without its memory.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { config, fresh } from '../harness/config.js';
import { Party, variants } from '../harness/sdk.js';
import { Server } from '../harness/server.js';

describe('restart', { concurrency: variants.length }, () => {
  for (const variant of variants) {
    test(`${variant.name}: told to come back, comes back, knows what it lost`, { timeout: 60_000 }, async (t) => {
      let server = await Server.start({ config: config() });
      t.after(() => server.kill());
      const party = new Party(t, variant, server.websocket);
      const session = await party.join();
      const channel = session.open(fresh('stream'));
      await channel.subscribe();
      await server.api.publish(channel.name, 'before');
      assert.deepEqual(await channel.payloads(1), ['before']);

      const { port } = server;
      await server.stop();
      const { reconnect, code, reason } = await session.events.next('lost');
      assert.deepEqual({ reconnect, reason }, { reconnect: true, reason: 'shutdown' });
      if (variant.generation === 'v2') assert.equal(code, 3001);

      server = await Server.start({ config: config(), port });
      await session.events.next('connected');
      assert.equal((await channel.events.next('subscribed')).recovered, false);
      await server.api.publish(channel.name, 'after');
      assert.deepEqual(await channel.payloads(1), ['after']);
      session.close();
      await server.stop();
    });
  }
});
