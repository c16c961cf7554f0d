#!/bin/sh
# changelog.sh VERSION: fails unless CHANGELOG.md has a section with text for the version.
set -eu
version=$1
awk -v heading="## $version" '
	/^## / { inside = ($0 == heading || index($0, heading " ") == 1) }
	inside && /^- / { found = 1 }
	END { exit !found }
' CHANGELOG.md || { echo "CHANGELOG.md has no section \"## $version\"" >&2; exit 1; }
