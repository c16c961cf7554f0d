#!/bin/sh
# Installs Debian packages that tests need: aptinstall.sh WHO PACKAGE... The services that the
# packages bring are not needed and not started. Without packages it does nothing.
set -eu
who=$1
shift
[ $# -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "$who: install $* by hand: there is no apt-get here" >&2
	exit 1
fi
run=""
[ "$(id -u)" = 0 ] || run="sudo"
$run apt-get update
$run env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends "$@"
