#!/bin/sh
# Installs the PostgreSQL server that the tests start, version 13 or later, where it is missing.
set -eu
command -v initdb >/dev/null 2>&1 && exit 0
for program in /usr/lib/postgresql/*/bin/initdb; do
	[ -x "$program" ] && exit 0
done
exec "$(dirname "$0")/../aptinstall.sh" "$0 (version 13 or later)" postgresql
