// Ports for servers that are told where to listen, as internal/freeport gives them to tests in Go:
// even, below the range of outgoing connections and of listeners on port 0, and reserved by a
// listener on the odd port above.

import { once } from 'node:events';
import { createServer } from 'node:net';

const FIRST = 11_000;
const PAIRS = (32_768 - FIRST) / 2;

let next = Math.floor(Math.random() * PAIRS);

/** A port of the loopback interface on which nothing listens, and which no other process gets before this one ends. */
export async function freePort() {
  for (let tried = 0; tried < PAIRS; tried++) {
    next = (next + 1) % PAIRS;
    const port = FIRST + 2 * next;
    const held = await listen(port + 1);
    if (!held) continue;
    held.unref();
    const free = await listen(port);
    if (free) {
      free.close();
      await once(free, 'close');
      return port;
    }
    held.close();
  }
  throw new Error('no port is free');
}

/** A listener on a port, or null if it is taken. */
async function listen(port) {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    if (error.code !== 'EADDRINUSE') throw error;
    return null;
  }
}
