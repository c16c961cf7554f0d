// The admin interface in a real browser, with two nodes on Redis.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { API_KEY } from '../harness/api.js';
import { Browser } from '../harness/chromium.js';
import { config, fresh } from '../harness/config.js';
import { Redis } from '../harness/redis.js';
import { Server } from '../harness/server.js';
import { token } from '../harness/token.js';

const TIMEOUT = 120_000;
const PASSWORD = 'correct horse';
/** Set to also write the pictures of docs/. */
const picture = (name) => process.env.ADMIN_SCREENSHOTS && fileURLToPath(new URL(`../../docs/admin-${name}.png`, import.meta.url));
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const settings = (redis, name) => config({
  engine: { type: 'redis', redis: { address: redis.address } },
  node: { name },
  admin: { enabled: true, password: PASSWORD, secret: 'admin secret' },
});

/** A page of the interface; complaints and foreign requests are collected. */
class Tab {
  static async open(browser, url) {
    const tab = new Tab();
    ({ page: tab.page, complaints: tab.complaints } = await browser.tab('about:blank'));
    tab.hosts = new Set();
    tab.page.on('request', (request) => tab.hosts.add(new URL(request.url()).host));
    tab.page.on('websocket', (socket) => tab.hosts.add(new URL(socket.url()).host));
    tab.page.on('dialog', (dialog) => dialog.accept());
    tab.page.setDefaultTimeout(TIMEOUT / 2);
    await tab.page.goto(url);
    return tab;
  }

  $(id) {
    return this.page.getByTestId(id);
  }

  row(table, id) {
    return this.page.getByRole('region', { name: table, exact: true }).locator(`tr[data-row="${id}"]`);
  }

  async go(link) {
    await this.page.bringToFront();
    await this.page.getByRole('link', { name: link, exact: true }).click();
  }

  async logIn(password = PASSWORD) {
    await this.page.getByLabel('Password').fill(password);
    await this.page.getByRole('button', { name: 'Log in' }).click();
  }

  /** What axe-core finds wrong for readers who use a keyboard or a screen reader. */
  async barriers() {
    await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
  }

  async photograph(name) {
    const path = picture(name);
    if (path) await this.page.screenshot({ path });
  }
}

describe('admin interface', () => {
  let redis;
  let one;
  let two;
  let browser;
  const sessions = [];
  const client = async (server, user) => {
    const session = new Centrifuge(server.websocket, { websocket: WebSocket, token: token({ sub: user, info: { name: user } }) });
    sessions.push(session);
    session.connect();
    await session.ready(TIMEOUT / 2);
    return session;
  };
  const subscribed = async (session, channel, options = { joinLeave: true }) => {
    const subscription = session.newSubscription(channel, options);
    subscription.subscribe();
    await subscription.ready(TIMEOUT / 2);
    return subscription;
  };
  const loggedIn = async (hash = '') => {
    const tab = await Tab.open(browser, `${one.url}/${hash}`);
    await tab.page.getByRole('navigation', { name: 'Pages of the admin interface' }).or(tab.page.getByLabel('Password')).first().waitFor();
    if (await tab.page.getByLabel('Password').count()) await tab.logIn();
    await tab.page.getByRole('navigation', { name: 'Pages of the admin interface' }).waitFor();
    return tab;
  };
  const done = async (tab) => {
    assert.deepEqual(tab.complaints, []);
    assert.deepEqual([...tab.hosts], [new URL(one.url).host], 'hosts that the page asked');
    await tab.page.close();
  };

  before(async () => {
    // One after the other: what has started is known to after() even if the next fails.
    redis = await Redis.start();
    one = await Server.start({ config: settings(redis, 'node-one') });
    two = await Server.start({ config: settings(redis, 'node-two') });
    browser = await Browser.start({ viewport: { width: 1360, height: 940 }, colorScheme: 'light' });
  });
  after(async () => {
    for (const session of sessions) session.disconnect();
    await browser?.close();
    await two?.stop();
    await one?.stop();
    await redis?.stop();
  });

  test('the embedded page is what its sources build', { timeout: TIMEOUT }, async () => {
    const { status, stdout, stderr } = spawnSync('node', ['build.js', '--check'], { cwd: new URL('../../web/admin', import.meta.url), encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });

  test('log-in, log-out, and a wrong password', { timeout: TIMEOUT }, async () => {
    const tab = await Tab.open(browser, one.url);
    await tab.logIn('wrong');
    await tab.page.getByRole('alert').filter({ hasText: 'Wrong password' }).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.logIn();
    await tab.page.getByRole('heading', { name: 'Nodes', level: 1 }).waitFor();
    assert.deepEqual(await browser.context.cookies(), []);
    await tab.page.reload();
    await tab.page.getByRole('heading', { name: 'Nodes', level: 1 }).waitFor();
    await tab.page.getByRole('button', { name: 'Log out' }).click();
    await tab.page.getByLabel('Password').waitFor();
    await tab.page.reload();
    await tab.page.getByLabel('Password').waitFor();
    // The browser itself reports the answer 400.
    assert.deepEqual(tab.complaints.filter((text) => !text.includes('400')), []);
    await tab.page.close();
  });

  test('nodes: both, with their figures and plots', { timeout: TIMEOUT }, async () => {
    const channel = fresh('open');
    for (const [server, user] of [[one, 'ann'], [one, 'ben'], [two, 'cleo']]) await subscribed(await client(server, user), channel);
    const tab = await loggedIn();
    for (const [name, clients] of [['node-one', '2'], ['node-two', '1']]) {
      await tab.row('Nodes', name).locator('td[data-title=Clients]').filter({ hasText: new RegExp(`^${clients}$`) }).waitFor();
      await tab.row('Nodes', name).locator('td[data-title=Memory]').filter({ hasText: 'MiB' }).waitFor();
    }
    const publishing = setInterval(() => { void one.api.publish(channel, { text: 'for the plots' }); }, 100);
    try {
      const plot = tab.page.getByRole('img', { name: /^Messages to clients \/ s: now [1-9]/ });
      await plot.nth(1).waitFor(); // both nodes deliver
    } finally {
      clearInterval(publishing);
    }
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('nodes');
    await done(tab);
  });

  test('channels: found by a pattern, page by page, with positions', { timeout: TIMEOUT }, async () => {
    const session = await client(two, 'many');
    const prefix = `plain:${process.pid}-list-`;
    await Promise.all(Array.from({ length: 60 }, (_, i) => subscribed(session, prefix + String(i).padStart(2, '0'))));
    const stream = fresh('open');
    await subscribed(session, stream);
    await one.api.publishAll(stream, [1, 2, 3]);
    const tab = await loggedIn();
    await tab.go('Channels');
    await tab.$('pattern').fill(`${prefix}*`);
    await tab.$('total').filter({ hasText: /^60 channels/ }).waitFor();
    await tab.row('Channels', `${prefix}49`).waitFor();
    assert.equal(await tab.row('Channels', `${prefix}50`).count(), 0);
    await tab.page.getByRole('button', { name: 'Next' }).click();
    await tab.row('Channels', `${prefix}50`).waitFor();
    await tab.$('pattern').fill(stream);
    await tab.row('Channels', stream).locator('td[data-title=Published]').filter({ hasText: /^3$/ }).waitFor();
    assert.ok(tab.page.url().includes(encodeURIComponent(stream)), tab.page.url());
    await tab.$('pattern').fill('');
    await tab.row('Channels', stream).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('channels');
    await done(tab);
  });

  test('a channel: live tail, publish form, presence, history', { timeout: TIMEOUT }, async () => {
    const channel = fresh('open');
    const session = await client(two, 'dora');
    const tab = await loggedIn(`#/channel?name=${encodeURIComponent(channel)}`);
    await tab.$('live-state').filter({ hasText: 'live' }).waitFor();
    const subscription = await subscribed(session, channel);
    const tail = (kind, text) => tab.$('tail').locator(`li[data-kind=${kind}]`, { hasText: text });
    await tail('join', 'dora').waitFor();
    await tab.page.getByRole('region', { name: 'Presence', exact: true }).locator('tr', { hasText: 'dora' }).waitFor();

    const received = new Promise((resolve) => { subscription.once('publication', ({ data }) => resolve(data)); });
    await tab.$('data').fill('{"text": "from the page"}');
    await tab.$('publish').click();
    await tab.page.getByText('Published with offset 1.').waitFor();
    assert.deepEqual(await received, { text: 'from the page' });
    await tail('publication', 'from the page').waitFor();

    await subscription.publish({ text: 'from the client' });
    await tail('publication', 'from the client').filter({ hasText: 'from dora' }).waitFor();
    await tab.page.getByRole('button', { name: 'Newest' }).click();
    await tab.$('position').filter({ hasText: 'offset 2' }).waitFor();
    await tab.row('History', '1').filter({ hasText: 'from the page' }).waitFor();
    await one.api.publishAll(channel, Array.from({ length: 30 }, (_, i) => i));
    await tab.page.getByRole('button', { name: 'Newest' }).click();
    await tab.row('History', '32').waitFor();
    await tab.page.getByRole('button', { name: 'Older' }).click();
    await tab.row('History', '2').filter({ hasText: 'from the client' }).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.page.evaluate(() => scrollTo(0, 0));
    await tab.photograph('channel');

    await tab.page.getByRole('button', { name: 'Remove the history' }).click();
    await tab.page.getByText('The history is empty.').waitFor();
    subscription.unsubscribe();
    await tail('leave', 'dora').waitFor();
    // The administrator is nowhere in the channel.
    assert.deepEqual((await one.api.call('presence', { channel })).presence, {});
    await done(tab);
  });

  test('connections: found by user on another node, unsubscribed, refreshed, disconnected', { timeout: TIMEOUT }, async () => {
    const channel = fresh('open');
    const session = await client(two, 'emil');
    await subscribed(session, channel);
    const tab = await loggedIn();
    await tab.go('Connections');
    await tab.$('user').fill('emil');
    const row = tab.page.getByRole('region', { name: 'Connections', exact: true }).locator('tbody tr');
    const emil = row.filter({ hasText: 'emil' }).filter({ hasText: 'websocket, json' });
    await emil.locator('td[data-title=SDK]').filter({ hasText: /^js$/ }).waitFor();
    await emil.locator('td[data-title=Node]').filter({ hasText: /^node-two$/ }).waitFor();
    await emil.getByRole('button').click(); // there may be others until the filter has its effect
    const detail = tab.$('connection');
    await detail.getByText(channel).waitFor();
    await detail.getByText('{"name":"emil"}').waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('connections');
    await detail.getByRole('button', { name: 'Refresh' }).click();
    await detail.getByText('Refreshed.').waitFor();
    await detail.getByRole('button', { name: 'Unsubscribe' }).click();
    await detail.getByText('It has no subscriptions.').waitFor();
    const disconnected = new Promise((resolve) => { session.once('disconnected', resolve); });
    await detail.getByRole('button', { name: 'Disconnect' }).click();
    assert.equal((await disconnected).code, 3503);
    await tab.page.getByText('No connection matches.').waitFor();
    await done(tab);
  });

  test('traces: why a message was not seen, on both nodes', { timeout: TIMEOUT }, async () => {
    const channel = fresh('tags');
    await subscribed(await client(one, 'gina'), channel);
    await subscribed(await client(two, 'fred'), channel, { tagsFilter: { key: 'kind', cmp: 'eq', val: 'news' } });
    const tab = await loggedIn();
    await tab.go('Traces');
    await tab.$('trace-name').fill(channel);
    await tab.page.getByRole('button', { name: 'Start', exact: true }).click();
    const trace = tab.row('Traces', `channel ${channel}`);
    await trace.filter({ hasText: 'recording' }).filter({ hasText: '2 of 2' }).waitFor();
    const { offset } = await one.api.call('publish', { channel, data: 'rain', tags: { kind: 'weather' } });

    const ask = async (fields) => {
      for (const [name, text] of Object.entries(fields)) await tab.$(`trace-${name}`).fill(text);
      await tab.page.getByRole('button', { name: 'Ask', exact: true }).click();
    };
    const verdict = (user, name) => tab.page.getByRole('region', { name: 'Clients', exact: true })
      .locator('tr', { hasText: user }).filter({ hasText: name });
    await ask({ channel, offset: String(offset) });
    await verdict('gina', 'written').waitFor();
    await verdict('fred', 'filtered').filter({ hasText: 'node-two' }).waitFor();
    await tab.page.getByRole('region', { name: 'Publications', exact: true }).locator('td', { hasText: channel }).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.page.evaluate(() => scrollTo(0, 0));
    await tab.photograph('trace');
    await tab.page.getByLabel('Colours').selectOption('dark');
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('trace-dark');
    await tab.page.setViewportSize({ width: 390, height: 844 });
    assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the answer is wider than the phone');
    await tab.page.getByRole('region', { name: 'Clients', exact: true }).evaluate((region) => region.scrollIntoView());
    await tab.photograph('trace-phone');
    await tab.page.setViewportSize({ width: 1360, height: 940 });
    await tab.page.getByLabel('Colours').selectOption('auto');
    await ask({ user: 'hugo' });
    await verdict('hugo', 'not connected').waitFor();
    assert.equal(await verdict('gina', 'written').count(), 0);

    await trace.getByRole('button', { name: 'Stop' }).click();
    await trace.filter({ hasNotText: 'recording' }).waitFor();
    // The history of a channel leads to the answer.
    await tab.page.goto(`${one.url}/#/channel?name=${encodeURIComponent(channel)}`);
    await tab.row('History', String(offset)).getByRole('link').click();
    await verdict('fred', 'filtered').waitFor();
    await done(tab);
  });

  test('actions: every method is a form, with a command line that does the same', { timeout: TIMEOUT }, async () => {
    const channel = fresh('open');
    const tab = await loggedIn();
    await tab.go('Actions');
    const methods = await tab.page.getByLabel('Method', { exact: true }).locator('option').allTextContents();
    for (const method of ['publish', 'broadcast', 'subscribe', 'history', 'info', 'channels', 'connections', 'map_publish']) assert.ok(methods.includes(method), `${method} in ${methods}`);
    for (const method of methods) {
      await tab.page.getByLabel('Method', { exact: true }).selectOption(method);
      await tab.page.getByRole('form', { name: method, exact: true }).waitFor();
    }
    await tab.page.getByLabel('Method', { exact: true }).selectOption('publish');
    await tab.$('field-channel').fill(channel);
    await tab.$('field-data').fill('{"it\'s": "quoted"}');
    await tab.$('run').click();
    await tab.$('answer').filter({ hasText: '"offset": 1' }).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('actions');
    const { stdout } = await promisify(execFile)('sh', ['-c', await tab.$('curl').textContent()], { env: { ...process.env, API_KEY } });
    assert.equal(JSON.parse(stdout).result.offset, 2);
    await tab.$('field-data').fill('not JSON');
    await tab.$('run').click();
    await tab.page.getByRole('alert').filter({ hasText: 'data is not JSON' }).waitFor();
    await tab.$('field-channel').fill('none:x');
    await tab.$('field-data').fill('1');
    await tab.$('run').click();
    await tab.$('answer').filter({ hasText: '"code": 102' }).waitFor();
    await done(tab);
  });

  test('configuration and warnings: sources, no secrets, limits', { timeout: TIMEOUT }, async () => {
    const tab = await loggedIn();
    await tab.go('Configuration');
    await tab.row('Configuration', 'node.name').filter({ hasText: 'node-one' }).filter({ hasText: 'file' }).waitFor();
    await tab.row('Configuration', 'http_server.port').filter({ hasText: 'flag' }).waitFor();
    await tab.row('Configuration', 'admin.password').filter({ hasText: 'set, hidden' }).waitFor();
    assert.ok(!(await tab.page.content()).includes(PASSWORD));
    assert.equal(await tab.row('Configuration', 'client.ping_interval').count(), 0);
    await tab.page.getByLabel('Show defaults too').check();
    await tab.row('Configuration', 'client.ping_interval').filter({ hasText: 'default' }).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('configuration');
    await tab.go('Warnings');
    await tab.row('Limits', 'Open files').filter({ hasText: '%' }).waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.photograph('warnings');
    await done(tab);
  });

  test('a session that has ended leads to the log-in', { timeout: TIMEOUT }, async () => {
    const tab = await loggedIn();
    await tab.page.evaluate(() => localStorage.setItem('centrifugo.admin.token', 'x'.repeat(76)));
    await tab.page.reload();
    await tab.page.getByLabel('Password').waitFor();
    await tab.page.close();
  });

  test('keyboard, dark mode, a phone', { timeout: TIMEOUT }, async () => {
    const tab = await loggedIn();
    await tab.page.reload();
    await tab.page.getByRole('heading', { name: 'Nodes', level: 1 }).waitFor();
    await tab.page.keyboard.press('Tab');
    assert.equal(await tab.page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
    for (let i = 0; i < 2; i++) await tab.page.keyboard.press('Tab');
    assert.equal(await tab.page.evaluate(() => document.activeElement.textContent), 'Channels');
    await tab.page.keyboard.press('Enter');
    await tab.page.getByRole('heading', { name: 'Channels', level: 1 }).waitFor();

    await tab.page.getByLabel('Colours').selectOption('dark');
    await tab.go('Nodes');
    await tab.row('Nodes', 'node-two').waitFor();
    assert.deepEqual(await tab.barriers(), []);
    await tab.page.setViewportSize({ width: 390, height: 844 });
    assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than the phone');
    await tab.photograph('phone');
    for (const link of ['Channels', 'Connections', 'Traces', 'Actions', 'Configuration', 'Warnings']) {
      await tab.go(link);
      await tab.page.waitForFunction((title) => document.title.startsWith(title), link);
      assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${link} is wider than the phone`);
    }
    await tab.page.setViewportSize({ width: 1360, height: 940 });
    await tab.page.getByLabel('Colours').selectOption('auto');
    await done(tab);
  });
});
