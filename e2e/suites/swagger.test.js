// The page of the HTTP API in a real browser: it shows the methods, and a call can be tried.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Browser } from '../harness/chromium.js';
import { Server } from '../harness/server.js';

describe('swagger', () => {
  let server;
  let browser;

  before(async () => {
    server = await Server.start({ config: { swagger: { enabled: true }, health: { enabled: true }, http_api: { key: 'secret' } } });
    browser = await Browser.start({ viewport: { width: 1200, height: 900 } });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  test('a publication is made with the key that was entered', { timeout: 60_000 }, async () => {
    const { page, complaints } = await browser.tab(`${server.url}/swagger`);
    const publish = page.locator('.opblock', { has: page.locator('[data-path="/publish"]') });
    await publish.waitFor();
    assert.ok(await page.locator('.opblock').count() > 20, 'the methods are listed');

    await page.locator('button.authorize').first().click();
    const header = page.locator('.auth-container', { hasText: 'X-API-Key' });
    await header.locator('input').fill('secret');
    await header.locator('button.authorize').click();
    await page.locator('button.btn-done').first().click();

    await publish.locator('.opblock-summary').click();
    await publish.locator('textarea.body-param__text').fill('{"channel": "news", "data": {"from": "swagger"}}');
    await publish.locator('button.execute').click();
    await publish.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor();
    assert.deepEqual(complaints, []);
  });
});
