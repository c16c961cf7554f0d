#!/bin/sh
# Installs what the end-to-end tests need: Node.js and Chromium through apt where
# they are missing (Debian and its kin), the npm packages by the lock file.
set -eu
cd "$(dirname "$0")"

missing=""
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v "${CHROMIUM_BIN:-chromium}" >/dev/null 2>&1 || missing="$missing chromium"

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "e2e/setup.sh: install$missing by hand: there is no apt-get here" >&2
		exit 1
	fi
	run=""
	[ "$(id -u)" = 0 ] || run="sudo"
	$run apt-get update
	# shellcheck disable=SC2086 # one word per package is meant
	$run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi

node -e '
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 18 || (major === 18 && minor < 19)) {
  console.error(`e2e/setup.sh: Node.js 18.19 or newer is needed, this is ${process.versions.node}`);
  process.exit(1);
}'
npm ci
