// Headless Chromium, the one the system has, and pages to run SDKs in.

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { json } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';

const PATH = process.env.CHROMIUM_BIN || '/usr/bin/chromium';

const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** A browser with a profile of its own; close() ends it and removes the profile. */
export class Browser {
  /**
   * With a certificate (certificate.js), the browser trusts it and speaks QUIC; with quic, a host and port, it asks that
   * origin over HTTP/3 at once. (It does not follow Alt-Svc to a server whose certificate has no known authority.)
   */
  static async start({ certificate, quic, ...options } = {}) {
    if (!existsSync(PATH)) {
      throw new Error(`no Chromium at ${PATH}: run e2e/setup.sh (apt-get install chromium) or set CHROMIUM_BIN`);
    }
    const browser = new Browser();
    browser.profile = await mkdtemp(join(tmpdir(), 'centrifugo-e2e-chromium-'));
    const args = !certificate ? ARGUMENTS : [
      ...ARGUMENTS.filter((argument) => argument !== '--disable-quic'), `--ignore-certificate-errors-spki-list=${certificate.keyHash}`,
      ...(quic ? [`--origin-to-force-quic-on=${quic}`] : []),
    ];
    browser.context = await chromium.launchPersistentContext(browser.profile, { executablePath: PATH, headless: true, args, ...options });
    return browser;
  }

  /** A tab that shows url; complaints lists the errors and warnings of its page. */
  async tab(url) {
    const page = await this.context.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(`console: ${message.text()}`));
    await page.goto(url);
    return { page, complaints };
  }

  async close() {
    await this.context.close();
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const require = createRequire(import.meta.url);
const v2 = dirname(dirname(require.resolve('centrifuge')));
const v1 = dirname(dirname(require.resolve('centrifuge-v1')));

// What browsers get is the ready-made file of each package.
const sdks = {
  'v2-json': join(v2, 'dist/centrifuge.js'),
  'v2-protobuf': join(v2, 'dist/centrifuge.protobuf.js'),
  'v1-json': join(v1, 'dist/centrifuge.min.js'),
  'v1-protobuf': join(v1, 'dist/centrifuge.protobuf.min.js'),
};

/**
 * Serves a page per SDK: /?sdk=v2-json and so on, with Centrifuge and openSession (session.js) in its
 * window. Resolves with {url, control, stop}.
 *
 * control(functions) returns the path under which a page may call the functions of
 * its test: a POST to path/name whose body is the JSON list of arguments answers with
 * the result as JSON. Pages call by HTTP because functions that Playwright exposes
 * to a page are missing in it now and then.
 */
export async function servePages() {
  const pages = new Map();
  for (const [name, file] of Object.entries(sdks)) {
    pages.set(name, await pageWith(file));
  }
  const controls = [];
  // As in gateway.js, connections stay until stop.
  const server = createServer({ keepAliveTimeout: 0 }, async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const page = pages.get(url.searchParams.get('sdk'));
    if (request.method === 'POST') {
      await callControl(controls, url.pathname, request, response);
    } else if (page) {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' }).end(page);
    } else {
      response.writeHead(404).end();
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    control: (functions) => `/control/${controls.push(functions) - 1}`,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A page in one document: what it fetched by itself could fail by itself, and a browser tells a page no cause of that. */
async function pageWith(sdk) {
  const session = [];
  for (const name of ['./events.js', './session.js']) {
    const source = await readFile(new URL(name, import.meta.url), 'utf8');
    session.push(source.replace(/^import .* from '.\/events.js';$/m, '').replace(/^export /gm, ''));
  }
  return `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script>${await readFile(sdk, 'utf8')}</script>
<script type="module">${session.join('')}window.openSession = openSession;</script>`;
}

async function callControl(controls, path, request, response) {
  const [, , id, name] = path.split('/');
  const call = controls[id]?.[name];
  if (!call) {
    response.writeHead(404).end();
    return;
  }
  try {
    response.end(JSON.stringify((await call(...await json(request))) ?? null));
  } catch (error) {
    response.writeHead(500).end(String(error?.stack ?? error));
  }
}
