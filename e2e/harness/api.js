// A client of the HTTP API (server.md 1).

export const API_KEY = 'e2e-api-key';

export class APIError extends Error {
  constructor(method, { code, message }) {
    super(`${method}: ${code} ${message}`);
    this.code = code;
  }
}

export class API {
  constructor(url) {
    this.url = url;
  }

  /** Calls a method and resolves with its result; an API error rejects with an APIError. */
  async call(method, request = {}) {
    const response = await fetch(`${this.url}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': API_KEY, 'Content-Type': 'application/json' },
      body: JSON.stringify(request),
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${method}: HTTP ${response.status} ${text}`);
    const { result, error } = JSON.parse(text);
    if (error) throw new APIError(method, error);
    return result;
  }

  publish(channel, data, more = {}) {
    return this.call('publish', { channel, data, ...more });
  }

  /** Publishes one after another, so that the order is known. */
  async publishAll(channel, list) {
    for (const data of list) await this.publish(channel, data);
  }
}
