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

{{/* What the operator may do in the namespaces that it looks after: no more than its code does. */}}
{{- define "sotto.namespacedRules" -}}
# Its own objects. It never creates or deletes one; "patch" on the object is for finalizers.
- apiGroups: [sotto.dev]
  resources: [networks, securitygroups, users, retentionpolicies]
  verbs: [get, list, watch, patch]
- apiGroups: [sotto.dev]
  resources: [networks/status, securitygroups/status, users/status, retentionpolicies/status]
  verbs: [get, patch]
# An owner reference that blocks deletion needs this right on its owner.
- apiGroups: [sotto.dev]
  resources: [networks/finalizers, securitygroups/finalizers, users/finalizers, retentionpolicies/finalizers]
  verbs: [update]
# Keys, certificates, invites and configuration of the networks; Services; accounts of the workloads.
- apiGroups: [""]
  resources: [secrets, configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# Volumes: never deleted by the operator. With deletionPolicy: Delete they go with their owner.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
