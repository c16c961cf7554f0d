// One connection to the server: protocol V2, JSON, over one of the transports
// (protocol.md 3 to 5), with one subscription that survives reconnects.
// It knows nothing of the page and tells what happens by events.

import { open } from './transports.js';

const MIN_DELAY = 500; // ms before the first reconnect, doubled each time
const MAX_DELAY = 20_000; // ms, the longest wait between attempts
const COMMAND_TIMEOUT = 5_000; // ms a reply may take
const PING_GRACE = 10_000; // ms on top of the announced ping interval

/** An error the server answered a command with, or a local one with code 0. */
export class CommandError extends Error {
  constructor(code, message, temporary = false) {
    super(message);
    this.code = code;
    this.temporary = temporary;
  }

  toString() {
    return this.code ? `${this.code} ${this.message}` : this.message;
  }
}

/** Whether a client must not come back after this close code (protocol.md 7). */
export function isTerminal(code) {
  return code === 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}

/**
 * Events (all CustomEvent, the payload in detail):
 *  state {state, code, reason, delay} state: disconnected, connecting, waiting, connected
 *  frame {direction, text}            direction: out, in, note
 *  subscription {state, ...}          state: unsubscribed, subscribing, subscribed
 *  recovery {recovered, count}        after a subscribe that asked for recovery
 *  publication {publication, recovered}, join {info}, leave {info}
 *  position {offset, epoch}           whenever the position in the stream moves
 */
export class Connection extends EventTarget {
  constructor() {
    super();
    this.endpoints = {}; // of the server, by transport
    this.transport = 'websocket';
    this.token = '';
    this.state = 'disconnected';
    this.client = '';
    this.subscription = null; // {channel, options, state, recoverable, offset, epoch}
    this.line = null; // of the transport
    this.waiting = new Map(); // id -> {resolve, reject, timer}
    this.lastID = 0;
    this.attempts = 0;
    this.reconnectTimer = null;
    this.pingTimer = null;
  }

  /** Opens the connection; while waiting for the next attempt, makes it now. */
  connect() {
    if (this.state !== 'disconnected' && this.state !== 'waiting') return;
    this.attempts = 0;
    this.#open();
  }

  /** Closes for good: no reconnect follows. */
  disconnect() {
    this.#detach('disconnected by you');
    this.#setState('disconnected', { code: 0, reason: 'disconnect called' });
  }

  /** Lets the line go without a word to the server's session, as a cut network does, and comes back after delay ms. */
  drop(delay) {
    if (this.state !== 'connected' && this.state !== 'connecting') return;
    this.#detach('connection dropped');
    this.#reconnectIn(delay, 0, 'connection dropped');
  }

  /** Subscribes, now or as soon as connected. Subscribing to another channel replaces the present one. */
  async subscribe(channel, options) {
    if (this.subscription) await this.unsubscribe();
    this.subscription = { channel, options, state: 'subscribing', recoverable: false, offset: 0, epoch: '' };
    this.#emit('subscription', { state: 'subscribing' });
    if (this.state === 'connected') await this.#subscribe();
  }

  isSubscribed(channel) {
    return this.subscription?.channel === channel && this.subscription.state === 'subscribed';
  }

  async unsubscribe(code = 0, reason = 'unsubscribed by you') {
    const { subscription } = this;
    if (!subscription) return;
    this.subscription = null;
    this.#emit('subscription', { state: 'unsubscribed', code, reason });
    if (this.state === 'connected') await this.call('unsubscribe', { channel: subscription.channel });
  }

  /** Sends one command and resolves with its result, or rejects with a CommandError. */
  call(method, request) {
    if (this.state !== 'connected' && method !== 'connect') {
      return Promise.reject(new CommandError(0, 'not connected'));
    }
    const id = ++this.lastID;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(new CommandError(0, `no reply to ${method} within ${COMMAND_TIMEOUT / 1000} s`, true));
      }, COMMAND_TIMEOUT);
      this.waiting.set(id, { method, resolve, reject, timer });
      this.#send(JSON.stringify({ id, [method]: request }));
    });
  }

  #open() {
    clearTimeout(this.reconnectTimer);
    this.#setState('connecting', {});
    this.line = open(this.transport, this.endpoints, {
      opened: () => this.#greet(),
      message: (text) => this.#receive(text),
      closed: (code, reason) => this.#closed(code, reason),
    });
  }

  async #greet() {
    this.#note(`${this.transport} open`);
    try {
      const result = await this.call('connect', { ...(this.token && { token: this.token }), name: 'playground' });
      this.attempts = 0;
      this.client = result.client;
      this.pong = Boolean(result.pong);
      this.pingInterval = result.ping ? result.ping * 1000 : 0;
      this.#watch();
      this.#setState('connected', { client: result.client, version: result.version });
      if (this.subscription) await this.#subscribe();
    } catch (error) {
      this.#refused(error);
    }
  }

  // A refused connect ends the attempt; only a temporary error is worth another.
  #refused(error) {
    if (this.state !== 'connecting') return; // the transport went first and said why
    this.#detach('connect refused');
    if (error.temporary) this.#reconnectIn(this.#backoff(), error.code, error.message);
    else this.#setState('disconnected', { code: error.code ?? 0, reason: error.message });
  }

  async #subscribe() {
    const { subscription } = this;
    subscription.state = 'subscribing';
    this.#emit('subscription', { state: 'subscribing' });
    const request = { channel: subscription.channel, ...subscription.options };
    if (subscription.recoverable) {
      Object.assign(request, { recover: true, epoch: subscription.epoch, offset: subscription.offset });
    }
    let result;
    try {
      result = await this.call('subscribe', request);
    } catch (error) {
      if (this.subscription === subscription && this.state === 'connected') this.#subscribeFailed(error);
      return;
    }
    if (this.subscription === subscription) this.#subscribed(subscription, result);
  }

  #subscribeFailed(error) {
    if (error.temporary) {
      this.drop(this.#backoff());
      return;
    }
    this.subscription = null;
    this.#emit('subscription', { state: 'unsubscribed', code: error.code, reason: error.message });
  }

  #subscribed(subscription, result) {
    subscription.state = 'subscribed';
    subscription.recoverable = Boolean(result.recoverable);
    this.#emit('subscription', { state: 'subscribed', recoverable: subscription.recoverable, positioned: Boolean(result.positioned) });
    if (result.positioned || result.recoverable) this.#moveTo(result.offset ?? 0, result.epoch ?? '');
    const publications = result.publications ?? [];
    if (result.was_recovering) {
      this.#emit('recovery', { recovered: Boolean(result.recovered), count: publications.length });
    }
    for (const publication of publications) this.#publication(publication, true);
  }

  #receive(data) {
    this.#watch();
    for (const line of data.split('\n')) {
      this.#emit('frame', { direction: 'in', text: line });
      const reply = JSON.parse(line);
      if (reply.id) this.#reply(reply);
      else if (reply.push) this.#push(reply.push);
      else if (this.pong) this.#send('{}'); // an empty reply is a ping, an empty command the pong
    }
  }

  #reply(reply) {
    const call = this.waiting.get(reply.id);
    if (!call) return; // it came after its timeout
    this.waiting.delete(reply.id);
    clearTimeout(call.timer);
    if (reply.error) call.reject(new CommandError(reply.error.code, reply.error.message, reply.error.temporary));
    else call.resolve(reply[call.method] ?? {});
  }

  #push(push) {
    const { subscription } = this;
    if (push.channel !== subscription?.channel) return;
    if (push.pub) this.#publication(push.pub, false);
    else if (push.join) this.#emit('join', { info: push.join.info });
    else if (push.leave) this.#emit('leave', { info: push.leave.info });
    else if (push.unsubscribe) this.#unsubscribedByServer(push.unsubscribe);
  }

  // From 2500 on the server asks for a new subscribe, below it is final (protocol.md 7).
  #unsubscribedByServer({ code, reason }) {
    if (code >= 2500) {
      this.#subscribe();
      return;
    }
    this.subscription = null;
    this.#emit('subscription', { state: 'unsubscribed', code, reason });
  }

  #publication(publication, recovered) {
    if (publication.offset) this.#moveTo(publication.offset, publication.epoch ?? this.subscription.epoch);
    this.#emit('publication', { publication, recovered });
  }

  #moveTo(offset, epoch) {
    this.subscription.offset = offset;
    this.subscription.epoch = epoch;
    this.#emit('position', { offset, epoch });
  }

  #closed(code, reason) {
    this.#detach(`${this.transport} closed ${code}${reason ? ` ${reason}` : ''}`);
    if (isTerminal(code)) this.#setState('disconnected', { code, reason });
    else this.#reconnectIn(this.#backoff(), code, reason || 'connection lost');
  }

  // Leaves the line behind: nothing it says later is heard.
  #detach(why) {
    clearTimeout(this.reconnectTimer);
    clearTimeout(this.pingTimer);
    const { line, waiting } = this;
    this.line = null;
    this.client = '';
    this.waiting = new Map();
    if (line) {
      line.close();
      this.#note(why);
    }
    if (this.subscription) {
      this.subscription.state = 'subscribing';
      this.#emit('subscription', { state: 'subscribing' });
    }
    this.state = 'detached';
    for (const call of waiting.values()) {
      clearTimeout(call.timer);
      call.reject(new CommandError(0, why));
    }
  }

  #backoff() {
    const ceiling = Math.min(MAX_DELAY, MIN_DELAY * 2 ** this.attempts++);
    return ceiling / 2 + Math.random() * (ceiling / 2);
  }

  #reconnectIn(delay, code, reason) {
    this.#setState('waiting', { code, reason, delay });
    this.reconnectTimer = setTimeout(() => this.#open(), delay);
  }

  // Restarted by any message; when it fires the connection is dead although neither side closed it.
  #watch() {
    clearTimeout(this.pingTimer);
    if (!this.pingInterval) return;
    this.pingTimer = setTimeout(() => this.drop(this.#backoff()), this.pingInterval + PING_GRACE);
  }

  #send(text) {
    this.#emit('frame', { direction: 'out', text });
    this.line.send(text);
  }

  #note(text) {
    this.#emit('frame', { direction: 'note', text });
  }

  #setState(state, detail) {
    this.state = state;
    this.#emit('state', { state, ...detail });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
