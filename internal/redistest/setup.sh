#!/bin/sh
# Installs the Redis server that the tests start, version 7 or later, where it is missing.
set -eu
command -v redis-server >/dev/null 2>&1 && exit 0
exec "$(dirname "$0")/../aptinstall.sh" "$0 (version 7 or later)" redis-server
