#!/bin/sh
# test-packages.sh DIST: tests what make release-snapshot has made in the directory DIST.
# The deb is installed in a chroot of Debian, started by the command line of its unit, upgraded while
# its configuration changes, removed and purged. The rpm and the apk are opened and listed, and so
# are the archives. Needs root and Debian; installs debootstrap and rpm.
set -eu
dist=$(cd "$1" && pwd)
port=${PORT:-18431}
work=$(mktemp -d)
pid=
cleanup() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	umount "$work/root/proc" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "test-packages: $*" >&2; exit 1; }

for program in debootstrap rpm curl systemd-analyze; do
	command -v "$program" >/dev/null || missing=1
done
if [ -n "${missing:-}" ]; then
	apt-get install -y -q --no-install-recommends debootstrap rpm curl systemd >/dev/null || { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends debootstrap rpm curl systemd >/dev/null; }
fi

# Everything there must have its checksum.
(cd "$dist" && sha256sum --quiet --strict -c checksums.txt) || fail "checksums"
echo "checksums: $(wc -l <"$dist/checksums.txt") files"

# The archives, the rpm and the apk hold the same program.
for archive in "$dist"/*.tar.gz; do
	tar -tzf "$archive" | grep -q '^centrifugo$' || fail "$archive has no program"
	tar -tzf "$archive" | grep -q '^LICENSE$' || fail "$archive has no licence"
done
echo "archives: $(ls "$dist"/*.tar.gz "$dist"/*.zip | wc -l)"
for package in "$dist"/*.rpm; do
	rpm -qlp "$package" >"$work/list" 2>/dev/null
	for want in /usr/bin/centrifugo /usr/lib/systemd/system/centrifugo.service /etc/centrifugo; do
		grep -qx "$want" "$work/list" || fail "$package has no $want"
	done
	rpm -qp --scripts "$package" 2>/dev/null | grep -q genconfig || fail "$package makes no configuration"
done
for package in "$dist"/*.apk; do
	tar -tzf "$package" 2>/dev/null >"$work/list"
	for want in usr/bin/centrifugo etc/init.d/centrifugo .PKGINFO .post-install; do
		grep -qx "$want" "$work/list" || fail "$package has no $want"
	done
done
echo "rpm and apk: $(ls "$dist"/*.rpm "$dist"/*.apk | wc -l)"
for bom in "$dist"/*.cdx.json; do
	grep -q '"pkg:golang/github.com/redis/rueidis' "$bom" || fail "$bom does not name the modules of the program"
done
echo "bills of materials: $(ls "$dist"/*.cdx.json | wc -l)"

# The chroot. Its packages come from where those of this system do.
deb=$(ls "$dist"/*_"$(dpkg --print-architecture)".deb)
root=$work/root
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; fail "debootstrap"; }
mount -t proc proc "$root/proc"
cp "$deb" "$root/new.deb"
# An older version of the same package, from which is upgraded.
dpkg-deb -R "$deb" "$work/old"
sed -i 's/^Version: .*/Version: 0.0.1/' "$work/old/DEBIAN/control"
dpkg-deb -b "$work/old" "$root/old.deb" >/dev/null

in_chroot() { chroot "$root" "$@"; }

# start starts the server as the unit does: its command line, its user, in the chroot.
start() {
	unit=$root/lib/systemd/system/centrifugo.service
	[ -e "$unit" ] || unit=$root/usr/lib/systemd/system/centrifugo.service
	command=$(sed -n 's/^ExecStart=//p' "$unit")
	user=$(sed -n 's/^User=//p' "$unit")
	# shellcheck disable=SC2086
	CENTRIFUGO_HTTP_SERVER_ADDRESS=127.0.0.1 CENTRIFUGO_HTTP_SERVER_PORT=$port CENTRIFUGO_HEALTH_ENABLED=true \
		chroot --userspec="$user:$user" "$root" $command 2>"$work/log" &
	pid=$!
	for _ in $(seq 100); do
		if [ "$(curl -s "http://127.0.0.1:$port/health")" = "{}" ]; then return; fi
		sleep 0.3
	done
	cat "$work/log" >&2
	fail "the server does not answer"
}

stop() {
	kill "$pid"
	wait "$pid" || fail "exit code $? of the server"
	pid=
}

in_chroot dpkg -i /old.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; fail "installing"; }
[ "$(in_chroot stat -c '%U %a' /etc/centrifugo/config.json)" = "centrifugo 600" ] || fail "config.json is not private: $(in_chroot ls -l /etc/centrifugo)"
[ "$(in_chroot getent passwd centrifugo | cut -d: -f7)" = /usr/sbin/nologin ] || fail "the user may log in"
start
key=$(sed -n '/http_api/,/}/s/.*"key": "\(.*\)".*/\1/p' "$root/etc/centrifugo/config.json")
curl -sf "http://127.0.0.1:$port/api/info" -H "X-API-Key: $key" -d '{}' | grep -q '"nodes"' || fail "the API does not take the key of config.json"
stop
echo "installed, and served by the unit's command line"

cp "$root/etc/centrifugo/config.json" "$work/config.json"
in_chroot dpkg -i /new.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; fail "upgrading"; }
cmp "$root/etc/centrifugo/config.json" "$work/config.json" || fail "the upgrade changed the configuration"
start
stop
echo "upgraded to $(in_chroot dpkg-query -W -f '${Version}' centrifugo) with its configuration: $(in_chroot centrifugo version --json)"

in_chroot dpkg -r centrifugo >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; fail "removing"; }
[ ! -e "$root/usr/bin/centrifugo" ] && [ -e "$root/etc/centrifugo/config.json" ] || fail "removing left the program, or took the configuration"
in_chroot dpkg -P centrifugo >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; fail "purging"; }
[ ! -e "$root/etc/centrifugo" ] || fail "purging left the configuration"
if in_chroot getent passwd centrifugo >/dev/null; then fail "purging left the user"; fi
echo "removed and purged"

# The unit: systemd reads it, and its score of exposure (0 is best, 10 worst) is low.
cp "$(dirname "$0")/systemd/centrifugo.service" "$work/"
systemd-analyze security --offline=yes --threshold=25 "$work/centrifugo.service" >"$work/security" || { cat "$work/security" >&2; fail "the unit is too open"; }
tail -n 1 "$work/security"
