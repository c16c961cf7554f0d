// JSON Web Tokens as a backend would make them (server.md 3).

import { createHmac } from 'node:crypto';

export const SECRET = 'e2e-hmac-secret-key-of-32-bytes!';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Unix time in whole seconds, delta seconds from now. */
export const inSeconds = (delta) => Math.floor(Date.now() / 1000) + delta;

/** An HS256 token with the claims. */
export function token(claims, secret = SECRET) {
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
