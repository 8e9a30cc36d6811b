{{- define "sotto.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sotto.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "sotto.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sotto.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sotto.operatorName" -}}
{{ include "sotto.fullname" . }}-operator
{{- end }}

{{- define "sotto.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sotto.operatorName" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The ClusterRole of what the operator may do in a namespace that has a Network. */}}
{{- define "sotto.placeRole" -}}
{{ include "sotto.operatorName" . }}-namespace
{{- end }}

{{/* The RoleBinding by which it takes that role; the operator's code has this name. */}}
{{- define "sotto.placeBinding" -}}
sotto-operator-secrets
{{- end }}

{{- define "sotto.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sotto.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "sotto.labels" -}}
{{ include "sotto.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sotto.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Refuses times with which two could lead, or a leader would give up without need. */}}
{{- define "sotto.checkLeaderElection" -}}
{{- with .Values.operator.leaderElection }}
{{- $duration := .leaseDuration | trimSuffix "s" | int }}
{{- $deadline := .renewDeadline | trimSuffix "s" | int }}
{{- if ge $deadline $duration }}
{{- fail (printf "operator.leaderElection.renewDeadline (%s) must be below leaseDuration (%s): a leader ends itself before another one may lead" .renewDeadline .leaseDuration) }}
{{- end }}
{{- if ge (.retryPeriod | trimSuffix "s" | int) $deadline }}
{{- fail (printf "operator.leaderElection.retryPeriod (%s) must be below renewDeadline (%s): a leader tries more than once" .retryPeriod .renewDeadline) }}
{{- end }}
{{- end }}
{{- end }}
