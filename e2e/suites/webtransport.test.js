// WebTransport, HTTP/2 and HTTP/3 in a real browser: the SDK in both formats, and its fallback where UDP is blocked. The page
// names the hash of the certificate, as a page of a server without a signed one does.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { makeCertificate } from '../harness/certificate.js';
import { Browser, servePages } from '../harness/chromium.js';
import { config, fresh } from '../harness/config.js';
import { Server } from '../harness/server.js';
import { token } from '../harness/token.js';

const TIMEOUT = { timeout: 60_000 };

const configuration = config({
  client: { ...config().client, allowed_origins: ['http://127.0.0.1:*'] },
  webtransport: { enabled: true },
  init: { enabled: true },
});

describe('WebTransport in Chromium', { concurrency: 2 }, () => {
  let certificate;
  let server;
  let browser;
  let pages;
  before(async () => {
    certificate = await makeCertificate();
    pages = await servePages();
    server = await Server.start({ config: configuration, certificate });
    browser = await Browser.start({ certificate });
  });
  after(async () => {
    await browser?.close();
    await pages?.stop();
    await server?.stop();
  });

  /** A page with an SDK, whose sessions trust the certificate by its hash. */
  const open = async (t, format) => {
    const { page } = await browser.tab(`${pages.url}/?sdk=v2-${format}`);
    t.after(() => page.close());
    await page.evaluate(async (hash) => {
      const { WebTransport: Original } = window;
      window.WebTransport = class extends Original {
        constructor(url, options) {
          super(url, { ...options, serverCertificateHashes: [{ algorithm: 'sha-256', value: new Uint8Array(hash) }] });
        }
      };
    }, certificate.hash);
    return page;
  };

  for (const format of ['json', 'protobuf']) {
    test(`${format}: subscribes, publishes, gets a large message, is disconnected with a code, comes back and recovers`, TIMEOUT, async (t) => {
      const page = await open(t, format);
      const user = fresh('user');
      const name = fresh('stream');
      const large = 'x'.repeat(500_000);
      await page.evaluate(async ({ url, token, format, name }) => {
        const session = window.openSession({ generation: 'v2', format, Centrifuge: window.Centrifuge, transport: 'webtransport' }, url, { token });
        window.transports = [];
        session.sdk.on('connected', (ctx) => window.transports.push(ctx.transport));
        await session.connect();
        window.session = session;
        window.channel = session.open(name);
        await window.channel.subscribe();
        await window.channel.publish('hello');
      }, { url: server.websocket, token: token({ sub: user }), format, name });
      await server.api.publish(name, large);
      const first = await page.evaluate(() => window.channel.payloads(2));
      assert.equal(first[0], 'hello');
      assert.equal(first[1], large);
      await server.api.call('disconnect', { user, disconnect: { code: 4321, reason: 'come back' } });
      const lost = await page.evaluate(() => window.session.events.next('lost'));
      assert.deepEqual({ code: lost.code, reason: lost.reason, reconnect: lost.reconnect }, { code: 4321, reason: 'come back', reconnect: true });
      await server.api.publish(name, 'missed, or first after the reconnect');
      const again = await page.evaluate(() => window.channel.events.next('subscribed', (ctx) => ctx.wasRecovering));
      assert.equal(again.recovered, true);
      await server.api.publish(name, 'after');
      assert.deepEqual(await page.evaluate(() => window.channel.payloads(2)), ['missed, or first after the reconnect', 'after']);
      assert.deepEqual(await page.evaluate(() => window.transports), ['webtransport', 'webtransport']);
      await page.evaluate(() => window.session.close());
    });
  }

  test('a terminal disconnect ends the SDK', TIMEOUT, async (t) => {
    const page = await open(t, 'json');
    const user = fresh('user');
    await page.evaluate(async ({ url, token }) => {
      window.session = window.openSession({ generation: 'v2', format: 'json', Centrifuge: window.Centrifuge, transport: 'webtransport' }, url, { token });
      await window.session.connect();
    }, { url: server.websocket, token: token({ sub: user }) });
    await server.api.call('disconnect', { user });
    const lost = await page.evaluate(() => window.session.events.next('lost'));
    assert.deepEqual({ code: lost.code, reconnect: lost.reconnect }, { code: 3503, reconnect: false });
  });

  test('without HTTP/3 on the way the SDK falls back to WebSocket', TIMEOUT, async (t) => {
    const plain = await Server.start({ config: { ...configuration, webtransport: {} } });
    t.after(() => plain.stop());
    const page = await open(t, 'json');
    const used = await page.evaluate(async ({ websocket, webtransport }) => {
      const sdk = new window.Centrifuge([
        { transport: 'webtransport', endpoint: webtransport }, { transport: 'websocket', endpoint: websocket },
      ]);
      const connected = new Promise((resolve) => { sdk.on('connected', (ctx) => resolve(ctx.transport)); });
      sdk.connect();
      const transport = await connected;
      sdk.disconnect();
      return transport;
    }, { websocket: plain.websocket, webtransport: `https://127.0.0.1:${plain.port}/connection/webtransport` });
    assert.equal(used, 'websocket');
  });

  for (const [transport, version] of ['http_stream', 'sse'].flatMap((name) => [[name, 2], [name, 3]])) {
    test(`${transport} over HTTP/${version}`, TIMEOUT, async (t) => {
      const own = await Browser.start({ certificate, quic: version === 3 && `127.0.0.1:${server.port}` });
      t.after(() => own.close());
      const { page } = await own.tab(`${pages.url}/?sdk=v2-json`);
      const name = fresh('open');
      const seen = await page.evaluate(async ({ url, name, transport }) => {
        const session = window.openSession({ generation: 'v2', format: 'json', Centrifuge: window.Centrifuge, transport }, url);
        await session.connect();
        const channel = session.open(name);
        await channel.subscribe();
        await channel.publish('hello');
        const seen = await channel.payloads(1);
        session.close();
        return seen;
      }, { url: server.websocket, name, transport });
      assert.deepEqual(seen, ['hello']);
      // Pages learn the protocol of their own origin only.
      const { page: init } = await own.tab(`${server.secure}/connection/init`);
      assert.equal(await init.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol), `h${version}`);
    });
  }
});
