// The session: log-in, and calls with its token (server.md 8).

const STORAGE = 'centrifugo.admin.token';

export interface Init {
  authenticated: boolean;
  edition: string;
  insecure: boolean;
}

/** An error that the API answered a call with. */
export class CallError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** The token is not valid (any more). */
export class Unauthorized extends Error {
  constructor() {
    super('not logged in');
  }
}

export interface Command {
  method: string;
  params: unknown;
}

export interface Reply<T = unknown> {
  error?: { code: number; message: string };
  result?: T;
}

let token = localStorage.getItem(STORAGE) ?? '';
let expired = () => {};

export const currentToken = () => token;

/** Sets what is called when a call was refused because the session has ended. */
export function onExpired(callback: () => void) {
  expired = callback;
}

function headers(): Record<string, string> {
  return token ? { Authorization: `token ${token}` } : {};
}

export async function init(): Promise<Init> {
  const response = await fetch('admin/init', { headers: headers(), credentials: 'omit' });
  if (!response.ok) throw new Error(await explain(response));
  return await response.json() as Init;
}

export async function logIn(password: string): Promise<void> {
  const response = await fetch('admin/auth', { method: 'POST', body: new URLSearchParams({ password }), credentials: 'omit' });
  if (response.status === 400) throw new Error('Wrong password, or no password and secret are configured.');
  if (response.status === 429) throw new Error(`Too many attempts. Try again in ${response.headers.get('Retry-After') ?? 'a few'} seconds.`);
  if (!response.ok) throw new Error(await explain(response));
  token = (await response.json() as { token: string }).token;
  localStorage.setItem(STORAGE, token);
}

export function logOut() {
  token = '';
  localStorage.removeItem(STORAGE);
  expired();
}

/** Runs commands one after another; the replies come in their order. */
export async function commands(list: Command[], signal?: AbortSignal): Promise<Reply[]> {
  if (list.length === 0) return [];
  const body = list.map((command) => JSON.stringify(command)).join('\n');
  const response = await request('admin/api', { method: 'POST', body, signal });
  return (await response.text()).split('\n').map((line) => JSON.parse(line) as Reply);
}

/** Calls one method; an error of the API is thrown as a CallError. */
export async function call<T>(method: string, params: unknown = {}, signal?: AbortSignal): Promise<T> {
  const [reply] = await commands([{ method, params }], signal);
  if (reply?.error) throw new CallError(reply.error.code, reply.error.message);
  return reply?.result as T;
}

/** Reads what the server shows beside the API. */
export async function view<T>(name: string, signal?: AbortSignal): Promise<T> {
  const response = await request(`admin/${name}`, { signal });
  return await response.json() as T;
}

async function request(path: string, options: RequestInit): Promise<Response> {
  const response = await fetch(path, { ...options, headers: headers(), credentials: 'omit' });
  if (response.status === 401) {
    logOut();
    throw new Unauthorized();
  }
  if (!response.ok) throw new Error(await explain(response));
  return response;
}

async function explain(response: Response): Promise<string> {
  const text = (await response.text()).trim().slice(0, 300);
  return `The server answered with status ${response.status}${text ? `: ${text}` : ''}`;
}
