#!/bin/sh
# Runs after the package was installed or upgraded, in every format.
set -e

if ! getent group centrifugo >/dev/null; then
	if command -v groupadd >/dev/null; then groupadd --system centrifugo; else addgroup -S centrifugo; fi
fi
if ! getent passwd centrifugo >/dev/null; then
	nologin=/usr/sbin/nologin
	[ -x "$nologin" ] || nologin=/sbin/nologin
	if command -v useradd >/dev/null; then
		useradd --system --gid centrifugo --home-dir /var/lib/centrifugo --no-create-home --shell "$nologin" centrifugo
	else
		adduser -S -D -H -G centrifugo -h /var/lib/centrifugo -s "$nologin" centrifugo
	fi
fi

# The secrets are made here, so that no two installations share them. An existing file is kept.
if [ ! -e /etc/centrifugo/config.json ]; then
	/usr/bin/centrifugo genconfig -c /etc/centrifugo/config.json
fi
chown centrifugo:centrifugo /etc/centrifugo/config.json
chmod 600 /etc/centrifugo/config.json

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# After an upgrade the new program replaces the old one, which tells its clients to reconnect.
	systemctl try-restart centrifugo.service
fi
