// Builds the server once, before the suites start in parallel. With
// CENTRIFUGO_BIN set that binary is tested and nothing is built.

import { spawnSync } from 'node:child_process';
import { binary, built, repository } from './binary.js';

if (!process.env.CENTRIFUGO_BIN) {
  const { status, error } = spawnSync('go', ['build', '-o', built, './cmd/centrifugo'], { cwd: repository, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
console.log(`testing ${binary()}`);
