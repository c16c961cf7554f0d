#!/bin/sh
# Installs the Prometheus server and promtool that the tests start, where they are missing.
set -eu
command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1 && exit 0
exec "$(dirname "$0")/../aptinstall.sh" "$0" prometheus
