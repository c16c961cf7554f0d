// A TCP proxy between a client and the server that can break real connections.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Proxy {
  /** Listens on a free loopback port and passes everything on to the port given. */
  static async start(port) {
    const proxy = new Proxy(port);
    proxy.listener.listen(0, '127.0.0.1');
    await once(proxy.listener, 'listening');
    proxy.websocket = `ws://127.0.0.1:${proxy.listener.address().port}/connection/websocket`;
    return proxy;
  }

  constructor(port) {
    this.port = port;
    this.refusing = false;
    this.delay = 0; // ms added to everything on its way
    this.accepted = 0;
    this.pairs = new Set();
    this.listener = createServer((client) => this.#accept(client));
  }

  /** Resets every connection, both sides, with no word of WebSocket; new ones are refused until allow(). */
  cut() {
    this.refusing = true;
    for (const pair of this.pairs) pair.reset();
  }

  /** Lets new connections through again. */
  allow() {
    this.refusing = false;
  }

  /** Passes nothing on any more while connections stay open, as a dead router does. */
  hold() {
    for (const pair of this.pairs) pair.hold();
  }

  /** Reads nothing more of the server, as a client does that is too slow, until resume(). */
  pause() {
    for (const pair of this.pairs) pair.server.pause();
  }

  resume() {
    for (const pair of this.pairs) pair.server.resume();
  }

  async stop() {
    this.cut();
    this.listener.close();
    await once(this.listener, 'close');
  }

  #accept(client) {
    if (this.refusing) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    this.accepted++;
    const server = connect(this.port, '127.0.0.1');
    const pair = new Pair(client, server, () => this.delay);
    this.pairs.add(pair);
    pair.closed.then(() => this.pairs.delete(pair));
  }
}

class Pair {
  constructor(client, server, delay) {
    this.server = server;
    this.sockets = [client, server];
    this.timers = new Set();
    this.held = false;
    this.closed = Promise.all(this.sockets.map((socket) => new Promise((resolve) => { socket.once('close', resolve); })));
    this.#pass(client, server, delay);
    this.#pass(server, client, delay);
  }

  hold() {
    this.held = true;
  }

  reset() {
    for (const timer of this.timers) clearTimeout(timer);
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  // Data and the end of data keep their order: timers of equal delay fire in the order they were set.
  #pass(from, to, delay) {
    from.setNoDelay(true);
    from.on('data', (chunk) => this.#later(delay(), () => to.writable && to.write(chunk)));
    from.on('end', () => this.#later(delay(), () => to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => { if (!this.held) this.#later(delay(), () => to.destroy()); });
  }

  #later(delay, action) {
    if (this.held) return;
    if (delay === 0) {
      action();
      return;
    }
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      action();
    }, delay);
    this.timers.add(timer);
  }
}
