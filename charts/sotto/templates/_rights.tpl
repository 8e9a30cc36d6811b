{{/*
The operator's rights: no more than its code does. Where it looks after all namespaces, those of "place" reach only as far as it has bound
them: into namespaces that have a Network.
*/}}

{{/* Whether the operator binds its rights over a namespace by itself, once there is a Network in it. */}}
{{- define "sotto.bindsItself" -}}
{{- if and .Values.rbac.create (not .Values.operator.watchNamespaces) }}true{{ end }}
{{- end }}

{{/* Its own objects and events. It never creates or deletes one of its own. */}}
{{- define "sotto.rules.objects" -}}
- apiGroups: [sotto.dev]
  resources: [networks, securitygroups, users, retentionpolicies]
  verbs: [list, watch]
# Finalizers.
- apiGroups: [sotto.dev]
  resources: [users, retentionpolicies]
  verbs: [patch]
- apiGroups: [sotto.dev]
  resources: [networks/status, securitygroups/status, users/status, retentionpolicies/status]
  verbs: [patch]
# An owner reference that blocks deletion needs this right on its owner.
- apiGroups: [sotto.dev]
  resources: [networks/finalizers, securitygroups/finalizers, users/finalizers, retentionpolicies/finalizers]
  verbs: [update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What it makes, but for Secrets: [group, kinds]. Volumes stand alone: they are never deleted by it, they go with their owner. */}}
{{- define "sotto.kinds" -}}
- ["", [configmaps, services, serviceaccounts]]
- [apps, [deployments, statefulsets]]
- [policy, [poddisruptionbudgets]]
- [networking.k8s.io, [networkpolicies, ingresses]]
- [gateway.networking.k8s.io, [httproutes, tlsroutes]]
- [cert-manager.io, [certificates]]
{{- end }}

{{/* To see what it has made. */}}
{{- define "sotto.rules.watch" -}}
{{- range include "sotto.kinds" . | fromYamlArray }}
- apiGroups: [{{ first . | quote }}]
  resources: {{ last . | toJson }}
  verbs: [get, list, watch]
{{- end }}
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch]
{{- end }}

{{/* To make it. Who may start pods in a namespace can read its Secrets by them, so the two go together. */}}
{{- define "sotto.rules.place" -}}
# Keys, certificates, invites and passwords of the networks, and the Secrets that their objects name.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch, create, patch, delete]
{{- range include "sotto.kinds" . | fromYamlArray }}
- apiGroups: [{{ first . | quote }}]
  resources: {{ last . | toJson }}
  verbs: [create, patch, delete]
{{- end }}
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create, patch]
{{- end }}
