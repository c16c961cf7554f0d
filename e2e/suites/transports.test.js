// Transports other than WebSocket: the SDK's fallback from one to the next, in Node.js and in Chromium, and clients
// without an SDK. What the SDK does over each transport is in the other suites.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import { Browser, servePages } from '../harness/chromium.js';
import { config, fresh } from '../harness/config.js';
import { Gateway } from '../harness/gateway.js';
import { Party, variants } from '../harness/sdk.js';
import { Server } from '../harness/server.js';
import { token } from '../harness/token.js';

const TIMEOUT = { timeout: 60_000 };
const LIST = ['websocket', 'http_stream', 'sse'];

// What a gateway blocks, and the transport that a client is left with.
const cases = [
  { blocked: [], used: 'websocket' },
  { blocked: ['websocket'], used: 'http_stream' },
  { blocked: ['websocket', 'http_stream'], used: 'sse' },
];

const configuration = config({
  client: { ...config().client, allowed_origins: ['http://127.0.0.1:*'] },
  uni_sse: { enabled: true },
  uni_http_stream: { enabled: true },
});

describe('transports', { concurrency: 4 }, () => {
  let server;
  before(async () => { server = await Server.start({ config: configuration }); });
  after(async () => { await server?.stop(); });

  const through = async (t, blocked) => {
    const gateway = await Gateway.start(server.port);
    t.after(() => gateway.stop());
    blocked.forEach((name) => gateway.blocked.add(name));
    return gateway;
  };

  for (const { blocked, used } of cases) {
    test(`Node.js: with ${blocked.join(' and ') || 'nothing'} blocked, ${used} is used, and recovers`, TIMEOUT, async (t) => {
      const gateway = await through(t, blocked);
      const party = new Party(t, variants[0], gateway.websocket);
      const session = await party.join({ transport: LIST, eventsource: EventSource });
      assert.deepEqual(gateway.passed, [used]);
      const channel = session.open(fresh('stream'));
      await channel.subscribe();
      await channel.publish('before');
      gateway.cut();
      await session.events.next('lost');
      await server.api.publish(channel.name, 'missed');
      assert.equal((await channel.events.next('subscribed', (ctx) => ctx.wasRecovering)).recovered, true);
      await server.api.publish(channel.name, 'after');
      assert.deepEqual(await channel.payloads(3), ['before', 'missed', 'after']);
    });
  }

  describe('Chromium', { concurrency: 2 }, () => {
    let browser;
    let pages;
    before(async () => {
      pages = await servePages();
      browser = await Browser.start();
    });
    after(async () => {
      await browser?.close();
      await pages?.stop();
    });

    for (const { blocked, used } of cases) {
      test(`with ${blocked.join(' and ') || 'nothing'} blocked, ${used} is used`, TIMEOUT, async (t) => {
        const gateway = await through(t, blocked);
        const { page } = await browser.tab(`${pages.url}/?sdk=v2-json`);
        t.after(() => page.close());
        const seen = await page.evaluate(async ({ url, name, transport }) => {
          const session = window.openSession({ generation: 'v2', format: 'json', Centrifuge: window.Centrifuge, transport }, url);
          await session.connect();
          const channel = session.open(name);
          await channel.subscribe();
          await channel.publish('hello');
          const seen = await channel.payloads(1);
          session.close();
          return seen;
        }, { url: gateway.websocket, name: fresh('open'), transport: LIST });
        assert.deepEqual(seen, ['hello']);
        assert.deepEqual(gateway.passed, [used]);
      });
    }

    test('a bare EventSource loses nothing by a cut, a disconnect and a reload of its page', TIMEOUT, async (t) => {
      const gateway = await through(t, []);
      const { page } = await browser.tab(`${pages.url}/?sdk=v2-json`);
      t.after(() => page.close());
      const [user, name, other] = [fresh('user'), fresh('stream'), fresh('delta')];
      const connect = {
        token: token({ sub: user, subs: { [name]: {}, [other]: {} } }),
        subs: { [other]: { delta: 'fossil' } },
      };
      // All that the page knows of recovery is the id of the last event, which outlives a reload.
      const open = () => page.evaluate((url) => {
        window.seen = [];
        window.offsets = [];
        const id = sessionStorage.getItem('id');
        window.source = new EventSource(id ? `${url}&lastEventId=${encodeURIComponent(id)}` : url);
        window.source.onmessage = (event) => {
          sessionStorage.setItem('id', event.lastEventId);
          const push = JSON.parse(event.data);
          window.seen.push(push);
          const note = (channel, pubs = []) => pubs.forEach((pub) => window.offsets.push(`${channel} ${pub.offset}`));
          for (const [channel, sub] of Object.entries(push.connect?.subs ?? {})) note(channel, sub.publications);
          if (push.pub) note(push.channel, [push.pub]);
        };
      }, `${gateway.url}/connection/uni_sse?cf_connect=${encodeURIComponent(JSON.stringify(connect))}`);
      const connects = (count) => page.waitForFunction(
        (count) => window.seen.filter((push) => push.connect).length >= count, count, { polling: 50 },
      );
      const offsets = async (...want) => {
        await page.waitForFunction((count) => window.offsets.length >= count, want.length, { polling: 50 });
        assert.deepEqual((await page.evaluate(() => window.offsets)).sort(), want.sort());
      };
      const recovered = async () => {
        const subs = await page.evaluate(() => window.seen.findLast((push) => push.connect).connect.subs);
        assert.deepEqual([subs[name].recovered, subs[other].recovered], [true, true]);
      };
      const publish = async (data) => {
        await server.api.publish(name, data);
        await server.api.publish(other, { data, filler: 'x'.repeat(200) });
      };

      await open();
      await connects(1);
      await publish('one');
      await offsets(`${name} 1`, `${other} 1`);
      gateway.cut();
      await publish('two'); // the browser waits for seconds before it connects again
      await connects(2);
      await recovered();
      await offsets(`${name} 1`, `${other} 1`, `${name} 2`, `${other} 2`);
      await server.api.call('disconnect', { user, disconnect: { code: 3011, reason: 'later' } });
      await publish('three');
      await connects(3);
      await recovered();
      await publish('four');
      await offsets(...[1, 2, 3, 4].flatMap((offset) => [`${name} ${offset}`, `${other} ${offset}`]));
      await page.reload();
      await publish('five');
      await open();
      await connects(1);
      await recovered();
      await publish('six');
      await offsets(`${name} 5`, `${other} 5`, `${name} 6`, `${other} 6`);
    });
  });

  for (const { path, prefix } of [{ path: 'uni_http_stream', prefix: '' }, { path: 'uni_sse', prefix: 'data: ' }]) {
    test(`curl -N: ${path}`, TIMEOUT, async (t) => {
      const name = fresh('plain');
      const body = JSON.stringify({ token: token({ sub: fresh('user'), channels: [name] }) });
      const curl = spawn('curl', ['-sSN', '--max-time', '50', '-d', body, `${server.url}/connection/${path}`], { stdio: ['ignore', 'pipe', 'inherit'] });
      t.after(() => curl.kill());
      const lines = createInterface({ input: curl.stdout })[Symbol.asyncIterator]();
      const next = async () => {
        for (;;) {
          const { value, done } = await lines.next();
          if (done) throw new Error('the stream has ended');
          if (value.trim()) return JSON.parse(value.slice(prefix.length));
        }
      };
      const hello = await next();
      assert.deepEqual(Object.keys(hello.connect.subs), [name]);
      await server.api.publish(name, { text: 'hello' });
      assert.deepEqual(await next(), { channel: name, pub: { data: { text: 'hello' } } });
      curl.kill();
      await once(curl, 'exit');
    });
  }
});
