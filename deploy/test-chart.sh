#!/bin/sh
# test-chart.sh HELM CENTRIFUGO: checks the chart with Helm, in the forms that its values have, and
# the configuration that it makes with the server itself.
set -eu
helm=$1 centrifugo=$2
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
kube="--kube-version 1.33"

# forms are a name, the kinds of object that must come out, and values.
form() {
	name=$1 kinds=$2
	shift 2
	# shellcheck disable=SC2086
	"$helm" lint --strict $kube helm "$@" >"$out/lint" || { cat "$out/lint" >&2; exit 1; }
	# shellcheck disable=SC2086
	"$helm" template release helm $kube "$@" >"$out/$name.yaml"
	got=$(sed -n 's/^kind: //p' "$out/$name.yaml" | sort | tr '\n' ' ')
	[ "$got" = "$kinds " ] || { echo "$name: got $got, want $kinds" >&2; exit 1; }
	sed -n '/^  config.json: |$/,/^---$/{s/^    //p}' "$out/$name.yaml" >"$out/config.json"
	"$centrifugo" checkconfig -c "$out/config.json" || { echo "$name: the server does not take the configuration" >&2; exit 1; }
	echo "$name: $got"
}

form default "ConfigMap Deployment PodDisruptionBudget Service Service"
form all "ConfigMap Deployment HorizontalPodAutoscaler Ingress PodDisruptionBudget Service Service ServiceMonitor" \
	--set autoscaling.enabled=true,ingress.enabled=true,serviceMonitor.enabled=true,existingSecret=s --set 'ingress.hosts={rt.example.com}'
form one "ConfigMap Deployment Service Service" --set replicaCount=1,config.engine.type=memory,podDisruptionBudget.enabled=false

for want in "path: /health/ready" "path: /health/live" "sleep: {seconds: 5}" "terminationGracePeriodSeconds: 75" "topologyKey: topology.kubernetes.io/zone" \
	"readOnlyRootFilesystem: true" "runAsNonRoot: true"; do
	grep -qF "$want" "$out/default.yaml" || { echo "default: no $want" >&2; exit 1; }
done
grep -q "name: centrifugo_node_num_clients" "$out/all.yaml" || { echo "all: the autoscaler does not look at connections" >&2; exit 1; }

# shellcheck disable=SC2086
if "$helm" template release helm $kube --set config.engine.type=memory >/dev/null 2>"$out/refused"; then
	echo "two nodes with the memory engine are not refused" >&2
	exit 1
fi
grep -q "several nodes need config.engine.type redis" "$out/refused"
echo "two nodes with the memory engine: refused"
