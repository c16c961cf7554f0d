// A connection to the server by its own protocol, V2 in JSON over WebSocket
// (protocol.md 4 and 5), with one subscription that survives reconnects.

import { currentToken } from './session';

export interface Info {
  user?: string;
  client?: string;
  conn_info?: unknown;
  chan_info?: unknown;
}

export interface Publication {
  data?: unknown;
  info?: Info;
  offset?: number;
  tags?: Record<string, string>;
}

export type LiveState = 'connecting' | 'live' | 'waiting' | 'refused';

export interface LiveEvents {
  state(state: LiveState, detail: string): void;
  publication(publication: Publication, recovered: boolean): void;
  join(info: Info): void;
  leave(info: Info): void;
  gap(): void;
}

interface SubscribeResult {
  offset?: number;
  epoch?: string;
  recoverable?: boolean;
  was_recovering?: boolean;
  recovered?: boolean;
  publications?: Publication[];
}

interface Message {
  id?: number;
  error?: { code: number; message: string };
  connect?: { ping?: number; pong?: boolean };
  subscribe?: SubscribeResult;
  push?: {
    pub?: Publication;
    join?: { info: Info };
    leave?: { info: Info };
    unsubscribe?: { code: number; reason: string };
    disconnect?: { code: number; reason: string };
  };
}

const FIRST_DELAY = 500; // ms, doubled with each attempt
const LAST_DELAY = 20_000;
const PING_GRACE = 10_000; // ms on top of the announced interval

/** Codes after which a client must not come back (protocol.md 7). */
const terminal = (code: number) => (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

export class Live {
  private socket: WebSocket | undefined;
  private timer: number | undefined;
  private watch: number | undefined;
  private attempts = 0;
  private offset = 0;
  private epoch = '';
  private positioned = false;
  private stopped = false;

  constructor(private readonly channel: string, private readonly events: LiveEvents) {}

  start() {
    this.stopped = false;
    this.open();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.watch);
    this.socket?.close(1000);
    this.socket = undefined;
  }

  private open() {
    this.events.state('connecting', '');
    const url = new URL('admin/websocket', location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    url.search = '';
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ id: 1, connect: { token: currentToken(), name: 'admin' } }));
    socket.onmessage = ({ data }) => {
      for (const line of String(data).split('\n')) if (line) this.receive(socket, JSON.parse(line) as Message);
    };
    socket.onclose = ({ code, reason }) => { if (socket === this.socket) this.closed(code, reason); };
  }

  private receive(socket: WebSocket, message: Message) {
    if (socket !== this.socket) return;
    if (Object.keys(message).length === 0) {
      socket.send('{}'); // the pong
      this.expectPing();
    } else if (message.error) {
      this.refuse(`${message.error.code} ${message.error.message}`);
    } else if (message.connect) {
      this.interval = (message.connect.ping ?? 0) * 1000;
      this.expectPing();
      const recover = this.positioned ? { recover: true, offset: this.offset, epoch: this.epoch } : {};
      socket.send(JSON.stringify({ id: 2, subscribe: { channel: this.channel, join_leave: true, ...recover } }));
    } else if (message.id === 2) {
      this.subscribed(message.subscribe ?? {});
    } else if (message.push) {
      this.pushed(message.push);
    }
  }

  private interval = 0;

  private expectPing() {
    clearTimeout(this.watch);
    if (this.interval > 0) this.watch = window.setTimeout(() => this.socket?.close(4000, 'no ping'), this.interval + PING_GRACE);
  }

  private subscribed(result: SubscribeResult) {
    this.attempts = 0;
    if (result.was_recovering && !result.recovered) this.events.gap();
    for (const publication of result.publications ?? []) this.events.publication(publication, true);
    this.positioned = Boolean(result.recoverable);
    this.offset = result.offset ?? 0;
    this.epoch = result.epoch ?? '';
    this.events.state('live', '');
  }

  private pushed(push: NonNullable<Message['push']>) {
    if (push.pub) {
      if (push.pub.offset) this.offset = push.pub.offset;
      this.events.publication(push.pub, false);
    }
    if (push.join) this.events.join(push.join.info);
    if (push.leave) this.events.leave(push.leave.info);
    if (push.unsubscribe) {
      this.positioned &&= push.unsubscribe.code !== 2501; // insufficient state: start again
      this.socket?.close(4000, 'unsubscribed');
    }
  }

  private closed(code: number, reason: string) {
    clearTimeout(this.watch);
    if (this.stopped) return;
    if (terminal(code)) {
      this.refuse(`${code} ${reason}`);
      return;
    }
    const delay = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** this.attempts++);
    this.events.state('waiting', `connection lost (${code}), next attempt in ${Math.ceil(delay / 1000)} s`);
    this.timer = window.setTimeout(() => this.open(), delay);
  }

  private refuse(detail: string) {
    this.stop();
    this.events.state('refused', detail);
  }
}
