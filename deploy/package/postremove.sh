#!/bin/sh
# Runs after the package was removed. The configuration has secrets and stays until the package
# is purged, as Debian calls it.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "${1:-}" = purge ]; then
	rm -rf /etc/centrifugo /var/lib/centrifugo
	if getent passwd centrifugo >/dev/null && command -v userdel >/dev/null; then userdel centrifugo; fi
fi
