// A suite: one server, every scenario against every SDK it is for.

import { after, before, describe, test } from 'node:test';
import { Proxy } from './proxy.js';
import { Party, variants } from './sdk.js';
import { Server } from './server.js';

const PARALLEL = 8; // scenarios of one SDK at a time: they mostly wait
const TEST_TIMEOUT = 60_000;

/**
 * Declares a suite. body gets scenario(name, action[, only]), where only names the generations
 * ("v1", "v2") or "websocket" that the scenario is about; an action gets
 * {t, party, server, variant, network}: network() starts a proxy before the server.
 * Everything runs side by side unless serial is asked for.
 */
export function suite(title, configuration, body, { serial = false } = {}) {
  describe(title, { concurrency: serial ? 1 : variants.length }, () => {
    let server;
    before(async () => { server = await Server.start({ config: configuration }); });
    after(async () => { await server?.stop(); });
    for (const variant of variants) {
      describe(variant.name, { concurrency: serial ? 1 : PARALLEL }, () => {
        body((name, action, only = []) => {
          if (!isFor(variant, only)) return;
          test(name, { timeout: TEST_TIMEOUT }, (t) => action(tools(t, variant, server)));
        });
      });
    }
  });
}

function isFor({ generation, transport }, only) {
  const generations = only.filter((word) => word !== 'websocket');
  if (only.includes('websocket') && transport) return false;
  return generations.length === 0 || generations.includes(generation);
}

function tools(t, variant, server) {
  const party = new Party(t, variant, server.websocket);
  const network = async () => {
    const proxy = await Proxy.start(server.port);
    t.after(() => proxy.stop());
    return proxy;
  };
  return { t, variant, server, api: server.api, party, network };
}
