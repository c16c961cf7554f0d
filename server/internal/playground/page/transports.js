// The transports of a connection, all with one face (protocol.md 3):
//
//   const line = open(transport, endpoints, events)
//   line.send(text)   one or more commands, separated by line feeds
//   line.close()      no event follows
//
// events: opened(), message(text) with one or more replies, closed(code, reason).
// endpoints are the paths of the server by the name of the transport; those that are
// not served are missing.

/** The transports in the order of the page, with their names for people. */
export const TRANSPORTS = {
  websocket: 'WebSocket', http_stream: 'HTTP streaming', sse: 'SSE', webtransport: 'WebTransport',
};

const openers = { websocket: openWebSocket, http_stream: openHTTPStream, sse: openSSE, webtransport: openWebTransport };

/** The URL of a transport's endpoint. */
export function endpointURL(transport, endpoints) {
  const url = new URL(endpoints[transport], location.href);
  if (transport === 'websocket') url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  if (transport === 'webtransport') url.protocol = 'https:';
  return url.href;
}

export function open(transport, endpoints, events) {
  return openers[transport](endpointURL(transport, endpoints), events, endpoints);
}

function openWebSocket(url, events) {
  const socket = new WebSocket(url);
  socket.onopen = () => events.opened();
  socket.onmessage = (event) => events.message(event.data);
  socket.onclose = (event) => events.closed(event.code, event.reason);
  return {
    send: (text) => socket.send(text),
    close: () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}

/**
 * What the transports without close frames have in common: the code of the end is in a
 * disconnect push, and nothing is told after close().
 */
class Guard {
  constructor(events) {
    this.events = events;
    this.over = false;
    this.code = 0;
    this.reason = '';
  }

  opened() {
    if (!this.over) this.events.opened();
  }

  message(text) {
    if (this.over) return;
    const { push } = JSON.parse(text);
    if (push?.disconnect) ({ code: this.code, reason: this.reason } = push.disconnect);
    this.events.message(text);
  }

  ended(reason = '') {
    if (this.over) return;
    this.over = true;
    this.events.closed(this.code, this.reason || reason);
  }
}

/** Reads lines of JSON until the stream ends. */
async function readLines(stream, guard) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const line of lines) guard.message(line);
  }
}

/**
 * Sends commands by requests of their own, one after the other, because requests that
 * run side by side may change places (protocol.md 3.4).
 */
class Emulation {
  constructor(url, guard) {
    this.url = url;
    this.guard = guard;
    this.last = Promise.resolve();
    this.session = null; // {session, node} of the connect result
  }

  /** Takes the session from the connect result. */
  see(text) {
    const { connect } = JSON.parse(text);
    if (connect?.session) this.session = { session: connect.session, node: connect.node };
  }

  send(text) {
    this.last = this.last.then(() => this.#post(text)).catch(() => this.guard.ended('emulation failed'));
  }

  async #post(data) {
    const response = await fetch(this.url, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ ...this.session, data }),
    });
    if (!response.ok) throw new Error(`status ${response.status}`);
  }
}

/** A stream of replies that begins with the first command; later ones go by emulation. */
function openEmulated(events, endpoints, start) {
  const guard = new Guard({
    ...events,
    message: (text) => {
      emulation.see(text);
      events.message(text);
    },
  });
  const emulation = new Emulation(new URL(endpoints.emulation, location.href).href, guard);
  let stop = null; // ends the stream
  queueMicrotask(() => guard.opened()); // the first command opens the stream
  return {
    send: (text) => {
      if (stop) emulation.send(text);
      else stop = start(text, guard);
    },
    close: () => {
      guard.over = true;
      stop?.();
    },
  };
}

function openHTTPStream(url, events, endpoints) {
  return openEmulated(events, endpoints, (body, guard) => {
    const aborted = new AbortController();
    const run = async () => {
      const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, signal: aborted.signal });
      if (!response.ok) throw new Error(`status ${response.status}`);
      await readLines(response.body, guard);
    };
    run().then(() => guard.ended('stream ended'), (error) => guard.ended(error.message));
    return () => aborted.abort();
  });
}

function openSSE(url, events, endpoints) {
  return openEmulated(events, endpoints, (body, guard) => {
    const source = new EventSource(`${url}?cf_connect=${encodeURIComponent(body)}`);
    source.onmessage = (event) => guard.message(event.data);
    source.onerror = () => {
      source.close(); // it would send the first command again
      guard.ended('stream ended');
    };
    return () => source.close();
  });
}

function openWebTransport(url, events) {
  const guard = new Guard(events);
  const encoder = new TextEncoder();
  let session = null;
  let writer = null;
  const run = async () => {
    session = new WebTransport(url);
    session.closed.catch(() => {}); // the stream tells
    await session.ready;
    const stream = await session.createBidirectionalStream();
    writer = stream.writable.getWriter();
    guard.opened();
    await readLines(stream.readable, guard);
  };
  run().then(() => guard.ended('stream ended'), (error) => guard.ended(error.message)).finally(() => session?.close());
  return {
    send: (text) => writer.write(encoder.encode(`${text}\n`)).catch((error) => guard.ended(error.message)),
    close: () => {
      guard.over = true;
      session?.close();
    },
  };
}
