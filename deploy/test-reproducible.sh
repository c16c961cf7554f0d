#!/bin/sh
# test-reproducible.sh: makes the release of the present commit twice, as make release-snapshot does, in
# clones whose path, time zone and umask differ, and compares the bytes of every file.
# GOCACHE=$(mktemp -d) compiles everything again. Needs goreleaser and cyclonedx-gomod in the PATH.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
release() { # DIRECTORY, TIME ZONE, UMASK
	(
		umask "$3"
		git clone -q . "$1"
		cd "$1"
		TZ=$2 goreleaser release --snapshot --clean --skip=docker >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
		cd bin/dist
		# The others describe the run of goreleaser.
		find . -maxdepth 1 -type f ! -name artifacts.json ! -name config.yaml ! -name metadata.json -exec sha256sum {} + | sort -k 2
	)
}
release "$work/a" UTC 022 >"$work/first"
release "$work/another/directory" Pacific/Kiritimati 077 >"$work/second"
[ -s "$work/first" ] || { echo "test-reproducible: nothing was made" >&2; exit 1; }
if ! diff "$work/first" "$work/second"; then
	echo "test-reproducible: the files above differ" >&2
	exit 1
fi
echo "reproducible: $(wc -l <"$work/first") files, $(grep -c -v 'json$' "$work/first") of them archives, packages and checksums"
