{{/* CEL: the seconds of a duration such as 30d. */}}
{{- define "sotto.seconds" -}}
int({{ . }}.substring(0, size({{ . }}) - 1)) * ({{ . }}.endsWith('d') ? 86400 : {{ . }}.endsWith('h') ? 3600 : {{ . }}.endsWith('m') ? 60 : 1)
{{- end }}

{{/* The annotation by which somebody says that a thing with users shall go all the same. */}}
{{- define "sotto.confirmDeletion" -}}
sotto.dev/confirm-deletion
{{- end }}

{{/* CEL: whether an object carries that annotation. */}}
{{- define "sotto.confirmed" -}}
{{ . }}.metadata.?annotations['{{ include "sotto.confirmDeletion" . }}'].orValue('') == 'true'
{{- end }}

{{/*
A policy that keeps objects from contradicting each other. Two mistakes must not come of it, so all have this in common:
- A dry run is let through: it sees each object beside the cluster as it is, not as it will be when the others of the same change are
  there too, and GitOps tools that begin with one would be stuck.
- failurePolicy Ignore: where it cannot be decided, the object's condition says it later.
Takes: root, name, kind (plural), with (the other kind), other (its plural), on (operations), changed (CEL: what must have changed on update),
good (CEL), message (CEL).
*/}}
{{- define "sotto.contradiction" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ include "sotto.fullname" .root }}-{{ .name }}
  labels: {{- include "sotto.labels" .root | nindent 4 }}
spec:
  failurePolicy: Ignore
  paramKind: {apiVersion: sotto.dev/v1alpha1, kind: {{ .with }}}
  matchConstraints:
    resourceRules:
    - {apiGroups: [sotto.dev], apiVersions: [v1alpha1], resources: [{{ .kind }}], operations: {{ toJson .on }}, scope: Namespaced}
  matchConditions:
  - name: not-a-dry-run
    expression: "!(has(request.dryRun) && request.dryRun)"
  - name: not-on-its-way-out
    expression: "!has(object.metadata.deletionTimestamp)"
  - name: says-something-new
    expression: {{ printf "request.operation == 'CREATE' || %s" .changed | quote }}
  validations:
  - expression: {{ .good | quote }}
    messageExpression: {{ .message | quote }}
    message: {{ printf "contradicts a %s of this namespace" .with }}
    reason: Invalid
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "sotto.fullname" .root }}-{{ .name }}
  labels: {{- include "sotto.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "sotto.fullname" .root }}-{{ .name }}
  validationActions: [{{ .root.Values.admissionPolicies.contradictions }}]
  # Every {{ .with }} of the object's own namespace.
  paramRef: {selector: {}, parameterNotFoundAction: Allow}
{{- end }}
