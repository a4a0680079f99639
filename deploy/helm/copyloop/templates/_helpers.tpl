{{- define "copyloop.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "copyloop.labels" -}}
{{ include "copyloop.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "copyloop.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "copyloop.kafka" -}}
{{- if or .Values.kafka.bootstrap .Values.kafka.urlSecret.name }}yes{{ end -}}
{{- end }}

{{- define "copyloop.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-data" (include "copyloop.name" .)) -}}
{{- end }}

{{/* The variables of every process. */}}
{{- define "copyloop.env" -}}
- name: COPYLOOP_LOG
{{- if .Values.kafka.urlSecret.name }}
  valueFrom:
    secretKeyRef: {{ toJson .Values.kafka.urlSecret }}
{{- else if .Values.kafka.bootstrap }}
  value: {{ printf "kafka://%s%s" .Values.kafka.bootstrap (.Values.kafka.options | ternary (printf "?%s" .Values.kafka.options) "") | quote }}
{{- else }}
  value: sqlite:////data/log.db
{{- end }}
- {name: COPYLOOP_DATA, value: /data}
- {name: COPYLOOP_LOG_FORMAT, value: json}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* The variables of what listens for requests. */}}
{{- define "copyloop.apiEnv" -}}
{{ include "copyloop.env" . }}
- {name: COPYLOOP_DRAIN_NOTICE_SECONDS, value: {{ .Values.api.drainNoticeSeconds | quote }}}
{{- if .Values.openToNetwork }}
- {name: COPYLOOP_OPEN_TO_NETWORK, value: "true"}
{{- end }}
{{- end }}

{{- define "copyloop.image" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* What every pod has: who it runs as, where it runs, and the shared volume. */}}
{{- define "copyloop.pod" -}}
securityContext: {runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
volumes:
  - name: data
    persistentVolumeClaim: {claimName: {{ include "copyloop.claim" . }}}
  - {name: tmp, emptyDir: {}}
{{- end }}

{{- define "copyloop.container" -}}
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
{{- with .Values.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{/* Requests go to a pod only while it can take them; one that cannot go on is started again. */}}
{{- define "copyloop.apiProbes" -}}
startupProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 2
  failureThreshold: 150
readinessProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 10
  failureThreshold: 3
{{- end }}

{{/* A service that strangers can reach wants a key; the first one is left on the volume. */}}
{{- define "copyloop.firstKey" -}}
{{- if not .Values.openToNetwork }}
initContainers:
  - name: first-key
    {{- include "copyloop.image" . | nindent 4 }}
    command:
      - sh
      - -c
      - umask 077; [ -s /data/first-key ] || copyloop keys create first --scope admin > /data/first-key
    env: {{- include "copyloop.env" . | nindent 6 }}
    {{- include "copyloop.container" . | nindent 4 }}
{{- end }}
{{- end }}
