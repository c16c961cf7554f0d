#!/bin/sh
# Installs Qpid Proton for Python, with which the tests serve queues as Azure Service Bus does.
set -eu
/usr/bin/python3 -c 'import proton' 2>/dev/null && exit 0
exec "$(dirname "$0")/../aptinstall.sh" "$0" python3 python3-qpid-proton
