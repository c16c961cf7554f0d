// The SDKs in a real browser, on a page of another origin: a representative part.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Browser, servePages } from '../harness/chromium.js';
import { config, fresh } from '../harness/config.js';
import { Proxy } from '../harness/proxy.js';
import { Server } from '../harness/server.js';
import { token } from '../harness/token.js';

const sdks = ['v2-json', 'v2-protobuf', 'v1-json', 'v1-protobuf'];

describe('browser', { concurrency: sdks.length }, () => {
  let browser;
  let pages;
  let server;
  let closed; // a server that does not admit the page's origin

  before(async () => {
    // One after the other: what has started is known to after() even if the next fails.
    pages = await servePages();
    server = await Server.start({ config: config({ client: { ...config().client, allowed_origins: ['http://127.0.0.1:*'] } }) });
    closed = await Server.start({ config: config({ client: { ...config().client, allowed_origins: ['https://example.com'] } }) });
    browser = await Browser.start();
  });
  after(async () => {
    await browser?.close();
    await pages?.stop();
    await Promise.all([server?.stop(), closed?.stop()]);
  });

  for (const sdk of sdks) {
    const [generation, format] = sdk.split('-');

    test(`${sdk}: tokens, payloads, presence, history, a cut and recovery`, { timeout: 60_000 }, async (t) => {
      const proxy = await Proxy.start(server.port);
      t.after(() => proxy.stop());
      const control = pages.control({
        cut: () => proxy.cut(),
        allow: () => proxy.allow(),
        api: (method, request) => server.api.call(method, request),
      });
      const { page, complaints } = await browser.tab(`${pages.url}/?sdk=${sdk}`);
      t.after(() => page.close());

      const user = fresh('user');
      const values = [null, true, 0, -1.5, '', 'a\nb\u2028"\\<&>', '日本 👍', [], {}, [1, { a: [null] }], { deep: { 'ключ': '值' } }];
      const seen = await page.evaluate(scenario, {
        generation, format, values, control, url: proxy.websocket,
        name: fresh('stream'), people: fresh('people'),
        token: token({ sub: user, info: { where: 'browser' } }), forged: token({ sub: user }, 'not the secret of this server!!!'),
      });

      const me = { user, client: seen.client, connInfo: { where: 'browser' } };
      assert.deepEqual(seen.published.map((pub) => pub.data), values, 'published by the client');
      assert.deepEqual(seen.published.map((pub) => pub.info), values.map(() => me));
      assert.deepEqual(seen.history.publications.map((pub) => pub.data), values, 'history');
      assert.deepEqual(seen.presence, { [seen.client]: me });
      assert.deepEqual(seen.stats, { numClients: 1, numUsers: 1 });
      assert.deepEqual(seen.join, { info: me });
      assert.equal(seen.lost.reconnect, true);
      assert.equal(seen.recovered, true);
      assert.deepEqual(seen.missed, ['missed 1', 'missed 2', 'live']);
      assert.equal(seen.rpcError, 108);
      assert.equal(seen.big, 100_000);
      assert.equal(seen.disconnected.reconnect, false);
      assert.equal(seen.disconnected.reason, 'go away');
      if (generation === 'v2') assert.equal(seen.disconnected.code, 4501);
      assert.deepEqual([seen.refused.reconnect, seen.refused.reason], [false, 'invalid token']);
      // The browser itself complains about the connection that was cut, and about nothing else.
      assert.deepEqual(complaints.filter((text) => !/WebSocket connection to .* failed/.test(text)), []);
    });

    test(`${sdk}: a page of a foreign origin is kept out`, { timeout: 60_000 }, async (t) => {
      const { page } = await browser.tab(`${pages.url}/?sdk=${sdk}`);
      t.after(() => page.close());
      // Both listeners are set at once: the error may follow the start immediately.
      const handshake = new Promise((resolve) => { page.once('websocket', (ws) => ws.once('socketerror', resolve)); });
      await page.evaluate(async ({ generation, format, url }) => {
        window.session = window.openSession({ generation, format, Centrifuge: window.Centrifuge }, url);
        window.session.sdk.connect();
      }, { generation, format, url: closed.websocket });
      assert.match(String(await handshake), /403/);
      assert.deepEqual(await page.evaluate(() => window.session.events.all('connected')), []);
    });
  }
});

// Runs in the page; what it saw is judged outside.
async function scenario({ generation, format, values, control, url, name, people, token, forged }) {
  const call = async (name, ...args) => {
    const response = await fetch(`${control}/${name}`, { method: 'POST', body: JSON.stringify(args) });
    if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
  };
  const open = (options) => window.openSession({ generation, format, Centrifuge: window.Centrifuge }, url, options);
  const session = open({ token });
  const seen = { client: (await session.connect()).client };

  const channel = session.open(name);
  await channel.subscribe();
  for (const value of values) await channel.publish(value);
  seen.published = await channel.events.take('publication', values.length);
  seen.history = await session.history(name, { limit: 100 });

  const crowd = session.open(people);
  await crowd.subscribe();
  seen.join = await crowd.events.next('join');
  seen.presence = await session.presence(people);
  seen.stats = await session.presenceStats(people);
  seen.rpcError = await session.rpc('any', {}).catch((error) => error.code);

  await call('cut');
  seen.lost = await session.events.next('lost');
  await call('api', 'publish', { channel: name, data: 'missed 1' });
  await call('api', 'publish', { channel: name, data: 'missed 2' });
  await call('allow');
  seen.recovered = (await channel.events.next('subscribed')).recovered;
  await call('api', 'publish', { channel: name, data: 'live' });
  seen.missed = await channel.payloads(3);
  await call('api', 'publish', { channel: name, data: 'x'.repeat(100_000) });
  seen.big = (await channel.payloads(1))[0].length;

  const user = seen.published[0].info.user;
  await call('api', 'disconnect', { user, disconnect: { code: 4501, reason: 'go away' } });
  seen.disconnected = await session.events.next('lost');

  const liar = open({ token: forged });
  liar.sdk.connect();
  seen.refused = await liar.events.next('lost');
  return seen;
}
