// The page the binary serves, in two tabs of a real browser.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeCertificate } from '../harness/certificate.js';
import { Browser } from '../harness/chromium.js';
import { Server } from '../harness/server.js';

/** Set to also write the picture of docs/. */
const SCREENSHOT = process.env.PLAYGROUND_SCREENSHOT && fileURLToPath(new URL('../../docs/playground.png', import.meta.url));

class Tab {
  constructor({ page, complaints }) {
    this.page = page;
    this.complaints = complaints;
  }

  $(id) {
    return this.page.getByTestId(id);
  }

  /** Clicks as a person would: in the tab in front, since Chromium hardly draws the ones behind. */
  async click(id) {
    await this.page.bringToFront();
    await this.$(id).click();
  }

  async shows(id, text) {
    await this.$(id).filter({ hasText: text }).waitFor();
  }

  event(kind, text) {
    return this.$('events').locator(`[data-kind=${kind}]`, { hasText: text });
  }

  frame(direction, text) {
    return this.$('frames').locator(`[data-direction=${direction}]`, { hasText: text });
  }

  async publish(data) {
    await this.$('data').fill(typeof data === 'string' ? data : JSON.stringify(data));
    await this.click('publish');
  }
}

describe('playground', () => {
  let server;
  let browser;
  const open = async (hash = '') => {
    const tab = new Tab(await browser.tab(`${server.url}/${hash}`));
    await tab.shows('state', /^connected$/);
    return tab;
  };

  before(async () => {
    // One after the other: what has started is known to after() even if the next fails.
    server = await Server.start({ args: ['--dev'], ready: '/' });
    browser = await Browser.start({ viewport: { width: 1360, height: 940 } });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test('two tabs: a message crosses, a connection is dropped, recovery is seen', { timeout: 60_000 }, async () => {
    const one = await open('#chat');
    assert.equal(await one.$('channel').inputValue(), 'chat');
    await one.shows('subscription-state', /^subscribed$/);
    await one.shows('granted', 'recoverable');
    await one.event('join', 'this tab').waitFor();

    const two = await open('#chat');
    await two.shows('subscription-state', /^subscribed$/);
    await one.event('join', (await two.$('client').textContent()).slice(0, 8)).waitFor();

    await two.publish({ text: 'hello from the other tab' });
    await one.event('publication', 'hello from the other tab').waitFor();
    await two.event('publication', 'hello from the other tab').waitFor();
    await one.shows('offset', /^1$/);

    await one.click('query-presence');
    await one.shows('result-title', /^presence$/);
    for (const tab of [one, two]) await one.shows('result', await tab.$('client').textContent());
    await one.click('query-presence-stats');
    await one.shows('result', /2connections/);

    // The first tab is cut off; two messages pass it by.
    const before = await one.$('client').textContent();
    await one.$('offline').selectOption('60');
    await one.click('drop');
    await one.shows('state', 'waiting to reconnect');
    await two.event('leave', before.slice(0, 8)).waitFor();
    await two.publish({ text: 'said while you were away' });
    await two.publish('plain words, not JSON');
    await two.shows('offset', /^3$/);
    assert.equal(await one.event('publication', 'away').count(), 0);
    await one.click('connect'); // "Reconnect now"
    await one.shows('state', /^connected$/);
    await one.shows('recovery', 'recovered 2 publications');
    await one.event('recovered', 'said while you were away').waitFor();
    await one.event('recovered', 'plain words, not JSON').waitFor();
    await one.shows('offset', /^3$/);
    assert.notEqual(await one.$('client').textContent(), before);

    await one.$('limit').fill('2');
    await one.click('query-history');
    await one.shows('result', 'hello from the other tab');
    await one.shows('result', /topoffset 3/);

    // By HTTP, with the very request the page offers.
    await two.$('data').fill('{"text": "it\'s from a terminal"}');
    const curl = await two.$('curl').textContent();
    const [, url, quoted] = curl.match(/^curl (\S+) -d '(.*)'$/);
    const response = await fetch(url, { method: 'POST', body: quoted.replaceAll("'\\''", "'") });
    assert.deepEqual((await response.json()).result.offset, 4);
    await one.event('publication', "it's from a terminal").filter({ hasText: 'by API' }).waitFor();

    if (SCREENSHOT) {
      await mkdir(dirname(SCREENSHOT), { recursive: true });
      await one.page.bringToFront();
      await one.page.screenshot({ path: SCREENSHOT });
    }

    // What the history lost is not recovered, and the page says so.
    await one.click('drop');
    await one.shows('state', 'waiting to reconnect');
    await two.publish({ text: 'lost' });
    await two.shows('offset', /^5$/);
    await server.api.call('history_remove', { channel: 'chat' });
    await one.click('connect');
    await one.shows('recovery', 'not recovered');
    await one.shows('offset', /^5$/);

    await one.click('unsubscribe');
    await one.shows('subscription-state', /^unsubscribed$/);
    await two.publish({ text: 'not delivered' });
    await two.event('publication', 'not delivered').waitFor();
    await one.click('query-presence-stats');
    await one.shows('result', /1connections/);
    assert.equal(await one.event('publication', 'not delivered').count(), 0);

    for (const tab of [one, two]) {
      assert.deepEqual(tab.complaints, []);
      await tab.page.close();
    }
  });

  test('a page is subscribed when it loads, hears what the server says at start, and tells why a publication is not seen', { timeout: 60_000 }, async () => {
    const tab = await open();
    await tab.shows('subscription-state', /^subscribed$/);
    const [, url, body] = server.log.match(/curl -X POST (\S+) -d '(.*)'/);
    assert.equal((await fetch(url, { method: 'POST', body })).status, 200);
    await tab.event('publication', '{"hello":"world"}').waitFor();

    await tab.publish({ first: 'click' });
    await tab.event('publication', '{"first":"click"}').waitFor();
    assert.equal(await tab.event('note', 'not subscribed').count(), 0);

    await tab.$('channel').fill('elsewhere');
    await tab.publish({ not: 'delivered' });
    await tab.event('note', 'published to elsewhere, which this tab is not subscribed to').waitFor();
    await tab.$('channel').fill('playground');
    await tab.click('unsubscribe');
    await tab.publish({ not: 'delivered' });
    await tab.event('note', 'published to playground, which').waitFor();

    await tab.$('token').evaluate((input) => { input.value = 'not.a.token'; });
    await tab.click('disconnect');
    await tab.click('connect');
    await tab.shows('state-reason', /^3500 invalid token$/);
    assert.deepEqual(tab.complaints, []);
    await tab.page.close();
  });

  test('raw frames are seen, filtered and cleared; the connection comes back by itself', { timeout: 60_000 }, async () => {
    const tab = await open();
    await tab.frame('out', '"connect"').waitFor();
    await tab.frame('in', '"version"').waitFor();
    await tab.$('channel').fill('frames');
    await tab.$('channel').press('Enter');
    await tab.shows('channel-shown', /^frames$/);
    assert.equal(new URL(tab.page.url()).hash, '#frames');
    await tab.publish({ find: 'needle' });
    await tab.frame('in', 'needle').waitFor();

    await tab.$('frame-filter').fill('NEEDLE');
    assert.equal(await tab.$('frames').locator('li:visible').count(), 2); // the command and the push
    await tab.$('frame-filter').fill('');

    await tab.$('offline').selectOption('1');
    await tab.click('drop');
    await tab.shows('state', 'waiting to reconnect');
    await tab.shows('state', /^connected$/);
    await tab.shows('recovery', 'recovered 0 publications');

    await server.api.call('disconnect', { user: '', disconnect: { code: 3503, reason: 'force disconnect' } });
    await tab.shows('state', /^disconnected$/);
    await tab.shows('state-reason', '3503 force disconnect');
    await tab.click('connect');
    await tab.shows('state', /^connected$/);
    await tab.shows('subscription-state', /^subscribed$/);
    await tab.click('disconnect');
    await tab.shows('state', /^disconnected$/);
    assert.equal(await tab.$('publish').isDisabled(), true);
    assert.deepEqual(tab.complaints, []);
    await tab.page.close();
  });

  test('an error is shown, the page goes on; it fits a narrow window', { timeout: 60_000 }, async () => {
    const tab = await open();
    await tab.page.setViewportSize({ width: 360, height: 700 });
    const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `the page is ${width} pixels wide in a window of 360`);
    await tab.$('channel').fill('nowhere:x');
    await tab.click('subscribe');
    await tab.shows('subscription-state', /^unsubscribed$/);
    await tab.shows('subscription-reason', /^102 unknown channel$/);
    await tab.publish({ a: 1 });
    await tab.event('error', /error102 unknown channel\d/).waitFor();
    assert.deepEqual(tab.complaints, []);
    await tab.page.close();
  });
});

describe('playground over each transport', () => {
  const names = ['http_stream', 'sse', 'webtransport', 'websocket'];
  let server;
  let browser;

  before(async () => {
    const certificate = await makeCertificate();
    server = await Server.start({ args: ['--dev'], config: { webtransport: { enabled: true } }, certificate });
    // Without the hash of the certificate Chromium opens a session only to an origin that it is told to ask over QUIC.
    browser = await Browser.start({ certificate, quic: `127.0.0.1:${server.port}`, ignoreHTTPSErrors: true });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  for (const name of names) {
    test(name, { timeout: 60_000 }, async () => {
      const tab = new Tab(await browser.tab(`${server.secure}/#over-${name}`));
      await tab.shows('state', /^connected$/);
      assert.deepEqual((await tab.$('transport').locator('option').evaluateAll((all) => all.map((o) => o.value))).sort(), [...names].sort());
      if (name !== 'websocket') {
        await tab.$('transport').selectOption(name);
        await tab.frame('note', `${name} open`).waitFor();
      }
      await tab.shows('endpoint', `/connection/${name}`);
      await tab.shows('state', /^connected$/);
      await tab.shows('subscription-state', /^subscribed$/);
      await tab.publish({ over: name });
      await tab.event('publication', `{"over":"${name}"}`).waitFor();

      await tab.$('offline').selectOption('60');
      await tab.click('drop');
      await tab.shows('state', 'waiting to reconnect');
      await server.api.call('publish', { channel: `over-${name}`, data: 'missed' });
      await tab.click('connect');
      await tab.shows('recovery', 'recovered 1 publication');

      await server.api.call('disconnect', { user: '', disconnect: { code: 3503, reason: 'force disconnect' } });
      await tab.shows('state', /^disconnected$/);
      await tab.shows('state-reason', '3503 force disconnect');
      assert.deepEqual(tab.complaints, []);
      await tab.page.close();
    });
  }
});
