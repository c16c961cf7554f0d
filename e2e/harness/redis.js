// A Redis server of a test, on a free loopback port, which keeps nothing on disk.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './port.js';

const START_TIMEOUT = 30_000;

export class Redis {
  static async start() {
    const redis = new Redis();
    redis.directory = await mkdtemp(join(tmpdir(), 'centrifugo-e2e-redis-'));
    redis.port = await freePort();
    redis.address = `127.0.0.1:${redis.port}`;
    redis.process = spawn('redis-server', [
      '--port', String(redis.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', redis.directory,
    ], { stdio: ['ignore', 'ignore', 'inherit'] });
    const killer = () => redis.process.kill('SIGKILL'); // a crashed suite leaves no server behind
    process.once('exit', killer);
    redis.process.once('exit', () => process.off('exit', killer));
    const failed = new Promise((_, reject) => {
      redis.process.once('error', (error) => reject(new Error(`redis-server: ${error.message}; run internal/redistest/setup.sh`)));
      redis.process.once('exit', (code) => reject(new Error(`redis-server exited with ${code} at start`)));
    });
    failed.catch(() => {}); // its end later on is no failure
    await Promise.race([redis.#answering(), failed]);
    return redis;
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const exited = once(this.process, 'exit');
      this.process.kill('SIGTERM');
      await exited;
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  async #answering() {
    for (const end = Date.now() + START_TIMEOUT; Date.now() < end; await pause(50)) {
      const socket = connect(this.port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        socket.write('PING\r\n');
        const [data] = await once(socket, 'data');
        if (String(data).startsWith('+PONG')) return;
      } catch {
        // not listening yet
      } finally {
        socket.destroy();
      }
    }
    throw new Error('redis-server did not answer in time');
  }
}
