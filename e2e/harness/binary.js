// Where the server binary under test is.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../../', import.meta.url));
export const built = fileURLToPath(new URL('../.build/centrifugo', import.meta.url));

/** The path of the binary: $CENTRIFUGO_BIN, or what `npm test` has built. */
export function binary() {
  const path = process.env.CENTRIFUGO_BIN || built;
  if (!existsSync(path)) {
    throw new Error(`no server binary at ${path}: run "node harness/build.js" or set CENTRIFUGO_BIN`);
  }
  return path;
}
