#!/bin/sh
# Runs before the package is removed or upgraded. The argument is "remove" (deb) or 0 (rpm)
# when it is removed; Alpine passes the version and runs this only then.
set -e

case "${1:-remove}" in
upgrade | failed-upgrade | deconfigure | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now centrifugo.service
fi
