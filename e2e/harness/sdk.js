// The SDKs under Node.js: two generations in two formats, the newer one over each transport.

import { Centrifuge as JSONV2 } from 'centrifuge';
import { Centrifuge as ProtobufV2 } from 'centrifuge/build/protobuf';
import JSONV1 from 'centrifuge-v1';
import ProtobufV1 from 'centrifuge-v1/dist/centrifuge.protobuf.js';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { openSession } from './session.js';

/**
 * A WebSocket that gives each message its own task, as browsers do. By default
 * ws emits all messages of one read at once, and then the 2.x SDK mixes up
 * the order of messages that came in several frames.
 */
class TaskedWebSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { allowSynchronousEvents: false });
  }
}

export const variants = [
  { generation: 'v2', format: 'json', Centrifuge: JSONV2, websocket: TaskedWebSocket },
  { generation: 'v2', format: 'protobuf', Centrifuge: ProtobufV2, websocket: TaskedWebSocket },
  { generation: 'v1', format: 'json', Centrifuge: JSONV1, websocket: TaskedWebSocket },
  { generation: 'v1', format: 'protobuf', Centrifuge: ProtobufV1, websocket: TaskedWebSocket },
  { generation: 'v2', format: 'json', Centrifuge: JSONV2, transport: 'http_stream' },
  { generation: 'v2', format: 'protobuf', Centrifuge: ProtobufV2, transport: 'http_stream' },
  { generation: 'v2', format: 'json', Centrifuge: JSONV2, transport: 'sse', eventsource: EventSource },
].map((variant) => ({ ...variant, name: [variant.generation, variant.format, variant.transport].filter(Boolean).join(' ') }));

/** Sessions of one test: closed together at its end. */
export class Party {
  /** Binds the party to the end of the test t (node:test). */
  constructor(t, variant, url) {
    this.variant = variant;
    this.url = url;
    this.sessions = [];
    t.after(() => this.sessions.forEach((session) => session.close()));
  }

  /** A session that is not connected yet; options.url points it elsewhere, e.g. through a proxy. */
  session({ url = this.url, websocket = this.variant.websocket, ...options } = {}) {
    const session = openSession({ ...this.variant, websocket }, url, {
      name: `${this.variant.name} client ${this.sessions.length + 1}`, ...options,
    });
    this.sessions.push(session);
    return session;
  }

  /** A connected session. */
  async join(options) {
    const session = this.session(options);
    session.client = (await session.connect()).client;
    return session;
  }
}
