#!/bin/sh
# Starts a Redis server and two nodes on this machine, publishes through the first and reads
# the history from the second. Then the nodes run until the script is interrupted; with the
# argument "check" it ends. It needs redis-server, curl and centrifugo in PATH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
redis_port=${REDIS_PORT:-6380} port1=${PORT1:-8001} port2=${PORT2:-8002}
work=$(mktemp -d)
pids=""
stop() {
	# shellcheck disable=SC2086 # one process id per word is meant
	kill $pids 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

cd "$work"
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$work" --appendonly yes >redis.log 2>&1 &
pids="$pids $!"
node() {
	CENTRIFUGO_ENGINE_REDIS_ADDRESS="127.0.0.1:$redis_port" CENTRIFUGO_NODE_NAME="$1" \
		centrifugo -c "$here/config.json" -a 127.0.0.1 -p "$2" 2>"$1.log" &
	pids="$pids $!"
}
node node1 "$port1"
node node2 "$port2"

ready() { curl -sS "http://127.0.0.1:$1/health/ready" 2>&1; }
for port in "$port1" "$port2"; do
	tries=0
	until [ "$(ready "$port")" = "{}" ]; do
		tries=$((tries + 1))
		if [ "$tries" -gt 300 ]; then
			echo "run.sh: the node on port $port is not ready: $(ready "$port")" >&2
			tail -n 5 ./*.log >&2
			exit 1
		fi
		sleep 0.2
	done
done

api() { curl -sS -H 'X-API-Key: change-me' -d "$3" "http://127.0.0.1:$1/api/$2"; }
echo "published through node1: $(api "$port1" publish '{"channel": "news:all", "data": {"text": "hello"}}')"
echo "history from node2: $(api "$port2" history '{"channel": "news:all", "limit": 10}')"
[ "${1:-}" = check ] && exit 0
echo "nodes serve on http://127.0.0.1:$port1 and http://127.0.0.1:$port2"
wait
