{{- define "centrifugo.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "centrifugo.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "centrifugo.labels" -}}
{{ include "centrifugo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* The configuration: that of the values, and what the chart sets. */}}
{{- define "centrifugo.config" -}}
{{- $own := dict
  "http_server" (dict "port" 8000 "internal_port" 9000)
  "health" (dict "enabled" true)
  "prometheus" (dict "enabled" true)
  "shutdown" (dict "timeout" (printf "%ds" (int .Values.drainSeconds))) }}
{{- mergeOverwrite (deepCopy .Values.config) $own | toPrettyJson }}
{{- end }}
