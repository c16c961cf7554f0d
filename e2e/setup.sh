#!/bin/sh
# Installs what the end-to-end tests need: Node.js, Chromium and openssl where they are
# missing, the npm packages by the lock file.
set -eu
cd "$(dirname "$0")"

missing=""
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
command -v "${CHROMIUM_BIN:-chromium}" >/dev/null 2>&1 || missing="$missing chromium"

# shellcheck disable=SC2086 # one word per package is meant
../internal/aptinstall.sh e2e/setup.sh $missing

node -e '
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 18 || (major === 18 && minor < 19)) {
  console.error(`e2e/setup.sh: Node.js 18.19 or newer is needed, this is ${process.versions.node}`);
  process.exit(1);
}'
npm ci
cd ../web/admin
npm ci
