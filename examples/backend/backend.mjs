// The backend of an application: it gives tokens to its users (docs/tokens.md), and is asked by
// the server about its clients (docs/proxy.md).
//
// usage: node backend.mjs [PORT [LIFETIME]], with the lifetime of tokens, connections and
// subscriptions in seconds. It needs no packages.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const KEY = 'backend-secret'; // what the server shows, so that others cannot ask
const TOKEN_SECRET = 'token-secret'; // client.token.hmac_secret_key of the server
const MAX_BODY = 1 << 20;
const [port = '3000', lifetime = '300'] = process.argv.slice(2);

// What an application has in its database.
const sessions = new Map([['session-of-ann', 'ann'], ['session-of-bob', 'bob']]);
const members = new Map([['team:red', new Set(['ann', 'bob'])], ['team:blue', new Set(['bob'])]]);

const error = (code, message) => ({ error: { code, message } });
const expiry = () => Math.floor(Date.now() / 1000) + Number(lifetime);
const isMember = ({ user, channel }) => members.get(channel)?.has(user) ?? false;

const infoOf = (user) => ({ name: user[0].toUpperCase() + user.slice(1) });

// userOf returns the user who is logged in, undefined if there is none.
function userOf({ cookie: cookies = '' }) {
  for (const cookie of cookies.split(';')) {
    const [name, value] = cookie.trim().split('=');
    if (name === 'session') return sessions.get(value);
  }
  return undefined;
}

function sign(claims) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${text}.${createHmac('sha256', TOKEN_SECRET).update(text).digest('base64url')}`;
}

// token answers a page of the application: with a token to connect, or to subscribe to a channel.
function token(channel, headers) {
  const user = userOf(headers);
  if (user === undefined) return [401];
  if (channel === null) return [200, JSON.stringify({ token: sign({ sub: user, exp: expiry(), info: infoOf(user) }) })];
  if (!isMember({ user, channel })) return [403];
  return [200, JSON.stringify({ token: sign({ sub: user, channel, exp: expiry() }) })];
}

const events = {
  connect(request, headers) {
    const user = userOf(headers);
    if (user === undefined) return { disconnect: { code: 4501, reason: 'not logged in' } }; // 4500 and above: the client does not try again
    return { result: { user, expire_at: expiry(), info: infoOf(user) } };
  },
  refresh({ user }) {
    return { result: [...sessions.values()].includes(user) ? { expire_at: expiry() } : { expired: true } };
  },
  subscribe(request) {
    return isMember(request) ? { result: { expire_at: expiry() } } : error(403, 'not a member');
  },
  sub_refresh(request) {
    return { result: isMember(request) ? { expire_at: expiry() } : { expired: true } };
  },
  publish({ user, data }) {
    const text = typeof data?.text === 'string' ? data.text.trim() : '';
    if (text === '' || text.length > 200) return error(400, 'text must have 1 to 200 characters');
    return { result: { data: { text, from: user } } }; // this is published instead
  },
  rpc({ user, method, data }) {
    switch (method) {
      case 'teams':
        return { result: { data: [...members.keys()].filter((channel) => isMember({ user, channel })).sort() } };
      case 'leave':
        members.get(data)?.delete(user);
        return { result: { data: {} } };
      case 'logout':
        for (const [session, owner] of sessions) if (owner === user) sessions.delete(session);
        return { result: { data: {} } };
    }
    return error(404, 'no such method');
  },
};

function sameKey(key = '') {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(key), digest(KEY));
}

async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function handle(request) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET' && url.pathname === '/token') return token(url.searchParams.get('channel'), request.headers);
  const name = url.pathname.replace(/^\/centrifugo\//, '');
  if (!sameKey(request.headers['x-backend-key'])) return [401];
  if (request.method !== 'POST' || !Object.hasOwn(events, name)) return [404];
  const text = await body(request);
  if (text === undefined) return [413];
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return [400];
  }
  const wrong = (name) => message?.[name] !== undefined && typeof message[name] !== 'string';
  if (typeof message !== 'object' || message === null || Array.isArray(message) || ['user', 'channel', 'method'].some(wrong)) return [400];
  const answer = JSON.stringify(events[name](message, request.headers));
  console.log(name, message.user ?? '', message.channel ?? message.method ?? '', answer);
  return [200, answer];
}

createServer(async (request, response) => {
  try {
    const [status, answer = ''] = await handle(request);
    response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...(status !== 200 && { Connection: 'close' }) }); // the body may not have been read
    response.end(answer);
  } catch (err) {
    console.error(err);
    response.writeHead(500, { Connection: 'close' }).end();
  }
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
