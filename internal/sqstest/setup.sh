#!/bin/sh
# Installs the emulator of AWS SQS that tests start, and Node.js 20 or later where it is missing.
set -eu
cd "$(dirname "$0")"
missing=""
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
# shellcheck disable=SC2086 # one word per package is meant
../aptinstall.sh internal/sqstest/setup.sh $missing
node -e '
if (Number(process.versions.node.split(".")[0]) < 20) {
  console.error(`internal/sqstest/setup.sh: Node.js 20 or newer is needed, this is ${process.versions.node}; the tests of AWS SQS are skipped`);
  process.exit(1);
}' || exit 0
npm ci --no-audit --no-fund
