// Starts the real server on a free loopback port and stops it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { API } from './api.js';
import { binary } from './binary.js';
import { freePort } from './port.js';

const START_TIMEOUT = 15_000;
const STOP_TIMEOUT = 15_000;

/** What must not be in a log: a panic, a stack, a report of the race detector, an error of the server's own. */
const FATAL_LOG = /\bpanic\b|^goroutine \d+ \[|DATA RACE|fatal error:|"level":"error"/im;

export class Server {
  /**
   * Starts a server with the configuration (an object, http_server excluded)
   * or, without one, with the given arguments only. Resolves when it answers.
   *
   * With a certificate, clients are served over TLS and HTTP/3 at the URL secure; url, without
   * TLS, has the API and health.
   */
  static async start({ config, args = [], port, ready = '/health', certificate } = {}) {
    const server = new Server(port ?? await freePort(), ready, certificate, certificate && await freePort());
    try {
      await server.#launch(config, args);
      return server;
    } catch (error) {
      await server.kill();
      throw error;
    }
  }

  constructor(port, ready, certificate, internalPort) {
    this.port = port;
    this.ready = ready;
    this.certificate = certificate;
    this.internalPort = internalPort;
    this.url = `http://127.0.0.1:${internalPort ?? port}`;
    this.secure = certificate && `https://127.0.0.1:${port}`;
    this.websocket = `${certificate ? 'wss' : 'ws'}://127.0.0.1:${port}/connection/websocket`;
    this.api = new API(this.url);
    this.log = '';
    this.process = null;
  }

  /** Stops the server as an operator would and checks how it went. */
  async stop() {
    const { process: child } = this;
    if (!child) return;
    this.process = null;
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await within(STOP_TIMEOUT, exited, () => this.#broken('did not stop in time'));
    }
    await this.#forget();
    if (child.exitCode !== 0) throw this.#broken(`exited with ${child.exitCode ?? child.signalCode}`);
    const fault = this.log.match(FATAL_LOG);
    if (fault) throw this.#broken(`logged "${fault[0]}"`);
  }

  /** Ends the server at once, whatever its state. */
  async kill() {
    const { process: child } = this;
    this.process = null;
    if (child && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    await this.#forget();
  }

  async #launch(config, args) {
    this.directory = await mkdtemp(join(tmpdir(), 'centrifugo-e2e-'));
    const flags = ['--http_server.port', String(this.port), ...args];
    if (config) {
      const path = join(this.directory, 'config.json');
      await writeFile(path, JSON.stringify({ ...config, http_server: { address: '127.0.0.1', ...this.#listeners() } }));
      flags.unshift('--config', path);
    }
    const child = spawn(binary(), flags, { cwd: this.directory, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.log += text; });
    }
    const killer = () => child.kill('SIGKILL'); // a crashed suite leaves no server behind
    process.once('exit', killer);
    child.once('exit', () => process.off('exit', killer));
    await within(START_TIMEOUT, this.#answering(child), () => this.#broken('did not start in time'));
  }

  #listeners() {
    if (!this.certificate) return {};
    const { cert, key } = this.certificate;
    return {
      internal_port: String(this.internalPort), tls_external: true, http3: { enabled: true },
      tls: { enabled: true, cert_pem: cert, key_pem: key },
    };
  }

  async #answering(child) {
    let failure;
    child.once('error', (error) => { failure = error; });
    for (;;) {
      if (failure) throw failure;
      if (child.exitCode !== null) throw this.#broken(`exited with ${child.exitCode} at start`);
      if (this.process !== child) throw this.#broken('was stopped while starting');
      try {
        const response = await fetch(this.url + this.ready);
        await response.arrayBuffer();
        if (response.ok) return;
      } catch {
        // not listening yet
      }
      await pause(20);
    }
  }

  async #forget() {
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
  }

  #broken(what) {
    return new Error(`the server ${what}; its log:\n${this.log.slice(-8000)}`);
  }
}

// Variables meant for another server must not configure this one.
function cleanEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CENTRIFUGO_')));
}

async function within(timeout, promise, complaint) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(complaint()), timeout); });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
