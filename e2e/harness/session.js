// One face for the SDKs of both protocol generations and both formats, so that
// a scenario is written once. Only their documented API is used. Runs in
// Node.js and in browsers: the SDK's class is passed in.
//
// Events of a session (EventLog):  connected {client}  lost {reconnect, code, reason}
//   refreshed {} and of server-side subscriptions: subscribed, unsubscribed, publication, join, leave
// Events of a channel:  subscribed {recovered, wasRecovering, positioned, recoverable, position, data}
//   publication {data, offset, tags, info}  join {info}  leave {info}
//   unsubscribed {code, reason}  subscribing {code, reason}  error {code, message}
// The 2.x SDK tells no codes of disconnects and unsubscribes: they are undefined there.

import { EventLog } from './events.js';

/** Milliseconds; more than the default of an SDK (5 s), because tests share a machine. */
const COMMAND_TIMEOUT = 20_000;

/** Protobuf carries bytes: payloads travel as JSON text in them. */
const formats = {
  json: { encode: (value) => value, decode: (data) => data },
  protobuf: {
    encode: (value) => (value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value))),
    decode: (data) => (data && data.length ? parse(new TextDecoder().decode(data), data) : undefined),
  },
};

function parse(text, bytes) {
  try {
    return JSON.parse(text);
  } catch {
    return new Uint8Array(bytes); // a payload that is not JSON is handed on as it is
  }
}

class Session {
  constructor({ Centrifuge, format, websocket, name }) {
    this.Centrifuge = Centrifuge;
    this.format = format;
    this.codec = formats[format];
    this.websocket = websocket;
    this.events = new EventLog(name);
    this.channels = new Map();
  }

  async connect() {
    this.sdk.connect();
    return this.events.next('connected');
  }

  close() {
    this.sdk.disconnect();
  }

  info(info) {
    if (!info) return undefined;
    const { decode } = this.codec;
    const connInfo = info.connInfo ?? info.conn_info;
    const chanInfo = info.chanInfo ?? info.chan_info;
    return {
      user: info.user ?? '',
      client: info.client,
      ...(connInfo && connInfo.length !== 0 && { connInfo: decode(connInfo) }),
      ...(chanInfo && chanInfo.length !== 0 && { chanInfo: decode(chanInfo) }),
    };
  }

  publication(ctx) {
    const pub = { data: this.codec.decode(ctx.data) };
    if (ctx.channel) pub.channel = ctx.channel;
    if (Number(ctx.offset ?? 0) > 0) pub.offset = Number(ctx.offset); // a Long object in 2.x Protobuf
    if (ctx.tags && Object.keys(ctx.tags).length) pub.tags = { ...ctx.tags };
    const info = this.info(ctx.info);
    if (info) pub.info = info;
    return pub;
  }

  page(result) {
    return {
      publications: result.publications.map((pub) => withoutChannel(this.publication(pub))),
      offset: Number(result.offset ?? 0),
      epoch: result.epoch,
    };
  }

  people(clients) {
    return Object.fromEntries(Object.entries(clients).map(([id, info]) => [id, this.info(info)]));
  }

  publish(channel, data) {
    return this.sdk.publish(channel, this.codec.encode(data));
  }

  async history(channel, options) {
    return this.page(await this.sdk.history(channel, options));
  }

  /** Makes many calls travel in few messages. */
  batch(action) {
    this.sdk.startBatching();
    try {
      return action();
    } finally {
      this.sdk.stopBatching();
    }
  }
}

/**
 * What the SDK is given to use a transport other than WebSocket, of the server that has the WebSocket endpoint url.
 * transport may be a list: the SDK then falls back from one to the next.
 */
function endpoints(url, transport) {
  if (!transport) return { endpoint: url, options: {} };
  const base = url.replace(/^ws/, 'http').replace(/\/connection\/websocket$/, '');
  const endpoint = [transport].flat().map((name) => ({
    transport: name, endpoint: name === 'websocket' ? url : `${base}/connection/${name}`,
  }));
  return { endpoint, options: { emulationEndpoint: `${base}/emulation` } };
}

/** SDK 5.x, protocol V2. */
class SessionV2 extends Session {
  constructor(url, { token, getToken, options = {}, transport, eventsource, ...rest }) {
    super(rest);
    this.generation = 'v2';
    this.refusal = 'unsubscribed'; // the event that ends a subscribe without success
    const via = endpoints(url, transport);
    this.sdk = new this.Centrifuge(via.endpoint, {
      ...via.options,
      ...(eventsource && { eventsource }),
      ...(this.websocket && { websocket: this.websocket }),
      ...(token !== undefined && { token }),
      ...(getToken && { getToken }),
      timeout: COMMAND_TIMEOUT,
      minReconnectDelay: 20,
      maxReconnectDelay: 200,
      ...options,
    });
    this.#listen();
  }

  #listen() {
    const { sdk, events } = this;
    sdk.on('connected', (ctx) => events.add('connected', { client: ctx.client }));
    // The first "connecting" was requested by this session; it is not a loss.
    sdk.on('connecting', (ctx) => ctx.code !== 0 && events.add('lost', { reconnect: true, code: ctx.code, reason: ctx.reason }));
    sdk.on('disconnected', (ctx) => events.add('lost', { reconnect: false, code: ctx.code, reason: ctx.reason }));
    sdk.on('error', (ctx) => events.add('error', { type: ctx.type, code: ctx.error.code, message: ctx.error.message }));
    sdk.on('subscribed', (ctx) => events.add('subscribed', { channel: ctx.channel, ...subscribedV2(ctx, this.codec) }));
    sdk.on('unsubscribed', (ctx) => events.add('unsubscribed', { channel: ctx.channel }));
    sdk.on('publication', (ctx) => events.add('publication', this.publication(ctx)));
    sdk.on('join', (ctx) => events.add('join', { channel: ctx.channel, info: this.info(ctx.info) }));
    sdk.on('leave', (ctx) => events.add('leave', { channel: ctx.channel, info: this.info(ctx.info) }));
  }

  open(channel, options = {}) {
    const sub = this.sdk.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 200, ...options });
    const log = new EventLog(`${this.events.name} ${channel}`);
    sub.on('subscribed', (ctx) => log.add('subscribed', subscribedV2(ctx, this.codec)));
    sub.on('subscribing', (ctx) => log.add('subscribing', { code: ctx.code, reason: ctx.reason }));
    sub.on('unsubscribed', (ctx) => log.add('unsubscribed', { code: ctx.code, reason: ctx.reason }));
    sub.on('publication', (ctx) => log.add('publication', withoutChannel(this.publication(ctx))));
    sub.on('join', (ctx) => log.add('join', { info: this.info(ctx.info) }));
    sub.on('leave', (ctx) => log.add('leave', { info: this.info(ctx.info) }));
    sub.on('error', (ctx) => log.add('error', { code: ctx.error.code, message: ctx.error.message, type: ctx.type }));
    return new Channel(this, sub, log);
  }

  async presence(channel) {
    return this.people((await this.sdk.presence(channel)).clients);
  }

  async presenceStats(channel) {
    const { numClients, numUsers } = await this.sdk.presenceStats(channel);
    return { numClients, numUsers };
  }

  async rpc(method, data) {
    return this.codec.decode((await this.sdk.rpc(method, this.codec.encode(data))).data);
  }
}

// Only some SDKs repeat the channel where it is known anyway.
function withoutChannel({ channel: _, ...rest }) {
  return rest;
}

function subscribedV2(ctx, codec) {
  const detail = {
    recovered: ctx.recovered, wasRecovering: ctx.wasRecovering, positioned: ctx.positioned, recoverable: ctx.recoverable,
  };
  if (ctx.streamPosition) detail.position = { offset: Number(ctx.streamPosition.offset ?? 0), epoch: ctx.streamPosition.epoch };
  if (ctx.data !== undefined && ctx.data !== null && ctx.data.length !== 0) detail.data = codec.decode(ctx.data);
  return detail;
}

/** SDK 2.x, protocol V1. Its getToken is given as one function for both kinds of token. */
class SessionV1 extends Session {
  constructor(url, { token, getToken, getChannelToken, options = {}, ...rest }) {
    super(rest);
    this.generation = 'v1';
    this.refusal = 'error';
    this.sdk = new this.Centrifuge(url, {
      ...(this.websocket && { websocket: this.websocket }),
      protocol: this.format,
      timeout: COMMAND_TIMEOUT,
      minRetry: 20,
      maxRetry: 200,
      ...(getToken && { onRefresh: (_, answer) => getToken().then((t) => answer({ status: 200, data: { token: t } })) }),
      ...(getChannelToken && { onPrivateSubscribe: (ctx, answer) => answer({ status: 200, data: { channels: ctx.data.channels.map((channel) => ({ channel, token: getChannelToken(channel) })) } }) }),
      ...options,
    });
    if (token !== undefined) this.sdk.setToken(token);
    this.#listen();
  }

  #listen() {
    const { sdk, events } = this;
    sdk.on('connect', (ctx) => events.add('connected', { client: ctx.client }));
    sdk.on('disconnect', (ctx) => events.add('lost', { reconnect: Boolean(ctx.reconnect), reason: ctx.reason }));
    sdk.on('error', (ctx) => events.add('error', { message: String(ctx?.message ?? ctx) }));
    sdk.on('subscribe', (ctx) => events.add('subscribed', { channel: ctx.channel, recovered: Boolean(ctx.recovered) }));
    sdk.on('unsubscribe', (ctx) => events.add('unsubscribed', { channel: ctx.channel }));
    sdk.on('publish', (ctx) => events.add('publication', this.publication(ctx)));
    sdk.on('join', (ctx) => events.add('join', { channel: ctx.channel, info: this.info(ctx.info) }));
    sdk.on('leave', (ctx) => events.add('leave', { channel: ctx.channel, info: this.info(ctx.info) }));
  }

  // In 2.x making a subscription and subscribing are one call; subscribe() of the channel makes it.
  open(channel, options = {}) {
    const log = new EventLog(`${this.events.name} ${channel}`);
    const handlers = {
      subscribe: (ctx) => log.add('subscribed', {
        recovered: Boolean(ctx.recovered), wasRecovering: ctx.isResubscribe,
        ...(ctx.streamPosition && { position: { offset: Number(ctx.streamPosition.offset ?? 0), epoch: ctx.streamPosition.epoch } }),
      }),
      unsubscribe: () => log.add('unsubscribed', {}),
      error: (ctx) => log.add('error', { code: ctx.code, message: ctx.message }),
      publish: (ctx) => log.add('publication', withoutChannel(this.publication(ctx))),
      join: (ctx) => log.add('join', { info: this.info(ctx.info) }),
      leave: (ctx) => log.add('leave', { info: this.info(ctx.info) }),
    };
    let sub = null;
    const lazy = {
      subscribe: () => {
        if (sub) sub.subscribe();
        else sub = this.sdk.subscribe(channel, handlers, options);
      },
      unsubscribe: () => sub.unsubscribe(),
      publish: (data) => sub.publish(data),
    };
    return new Channel(this, lazy, log, channel);
  }

  async presence(channel) {
    return this.people((await this.sdk.presence(channel)).presence);
  }

  async presenceStats(channel) {
    const stats = await this.sdk.presenceStats(channel);
    return { numClients: stats.num_clients, numUsers: stats.num_users };
  }

  async rpc(method, data) {
    return this.codec.decode((await this.sdk.namedRPC(method, this.codec.encode(data))).data);
  }
}

/** A session's subscription request for one channel. */
class Channel {
  constructor(session, sub, events, name = sub.channel) {
    this.session = session;
    this.sub = sub;
    this.events = events;
    this.name = name;
  }

  /** Subscribes and resolves with the event once the server agreed. */
  async subscribe() {
    this.sub.subscribe();
    return this.events.next('subscribed');
  }

  /** Subscribes and resolves with what came of it: {subscribed: true, ...} or {subscribed: false, code, ...}. */
  async attempt() {
    this.sub.subscribe();
    const { type, detail } = await this.events.first(['subscribed', this.session.refusal]);
    return { subscribed: type === 'subscribed', ...detail };
  }

  unsubscribe() {
    this.sub.unsubscribe();
  }

  publish(data) {
    return this.sub.publish(this.session.codec.encode(data));
  }

  /** Resolves with the payloads of the next n publications. */
  async payloads(n) {
    return (await this.events.take('publication', n)).map((pub) => pub.data);
  }
}

const generations = { v1: SessionV1, v2: SessionV2 };

/** Makes a session, not yet connected. Options: token, getToken, getChannelToken, options (for the SDK itself), name. */
export function openSession({ generation, format, Centrifuge, websocket, transport, eventsource }, url, options = {}) {
  return new generations[generation](url, {
    Centrifuge, format, websocket, transport, eventsource, name: `${generation} ${format}`, ...options,
  });
}
