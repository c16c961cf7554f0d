// An HTTP proxy that blocks some paths, as a company's gateway may block WebSocket.

import { once } from 'node:events';
import { createServer, request as forward } from 'node:http';

export class Gateway {
  /** Starts a gateway before the server on port. */
  static async start(port) {
    const gateway = new Gateway(port);
    gateway.server.listen(0, '127.0.0.1');
    await once(gateway.server, 'listening');
    gateway.url = `http://127.0.0.1:${gateway.server.address().port}`;
    gateway.websocket = `${gateway.url.replace('http', 'ws')}/connection/websocket`;
    return gateway;
  }

  constructor(port) {
    this.port = port;
    this.blocked = new Set(); // names of transports
    this.passed = []; // names of the transports that were let through, in order
    this.sockets = new Set();
    // Connections stay until stop: one that ends by its idle time could end while a client sends on it.
    this.server = createServer({ keepAliveTimeout: 0 }, (request, response) => this.#pass(request, response));
    this.server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  /** Cuts all connections. */
  cut() {
    this.sockets.forEach((socket) => socket.destroy());
  }

  async stop() {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  #admits(request) {
    const [, name] = request.url.match(/^\/connection\/(\w+)/) ?? [];
    if (!name) return true;
    if (this.blocked.has(name)) return false;
    if (request.method !== 'OPTIONS') this.passed.push(name); // a preflight opens nothing
    return true;
  }

  #pass(request, response) {
    if (!this.#admits(request)) {
      response.writeHead(503).end();
      return;
    }
    const onward = this.#onward(request, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('close', () => answer.complete || response.destroy());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }

  #upgrade(request, socket) {
    if (!this.#admits(request)) {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const onward = this.#onward(request, () => socket.destroy());
    onward.on('upgrade', (answer, server, head) => {
      const lines = answer.rawHeaders.reduce((text, word, i) => text + word + (i % 2 ? '\r\n' : ': '), '');
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`);
      socket.write(head);
      for (const [from, to] of [[server, socket], [socket, server]]) {
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
      }
    });
    onward.on('error', () => socket.destroy());
    onward.end();
  }

  #onward({ method, url, headers }, answered) {
    return forward({ port: this.port, host: '127.0.0.1', method, path: url, headers, agent: false }, answered);
  }
}
