#!/bin/sh
# Installs the reverse proxies that the tests start where they are missing.
set -eu
missing=""
command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
command -v haproxy >/dev/null 2>&1 || missing="$missing haproxy"
command -v caddy >/dev/null 2>&1 || missing="$missing caddy"
# shellcheck disable=SC2086 # one word per package is meant
exec "$(dirname "$0")/../aptinstall.sh" "$0" $missing
