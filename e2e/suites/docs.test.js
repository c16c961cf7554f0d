// The documentation's programs, with the SDK that e2e has installed.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import { repository } from '../harness/binary.js';

test('every block of README and docs runs as it stands', (t) => {
  const { status, stdout, stderr } = spawnSync('go', ['test', '-v', '-count=1', '-run', 'TestDocuments', './internal/doctest'], {
    cwd: repository, encoding: 'utf8', env: { ...process.env, DOCTEST_REQUIRE: 'node' },
  });
  for (const [line] of stdout.matchAll(/SKIPPED.*/g)) t.diagnostic(line);
  assert.equal(status, 0, stdout + stderr);
});
