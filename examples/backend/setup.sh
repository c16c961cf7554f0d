#!/bin/sh
# Installs the interpreters that run the backends in Node.js and in Python, where they are missing.
set -eu
missing=""
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"
# shellcheck disable=SC2086 # one word per package is meant
exec "$(dirname "$0")/../../internal/aptinstall.sh" "$0" $missing
