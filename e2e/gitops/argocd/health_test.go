package argocd

import (
	"os"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

const root = "../../../"

// sample is one row of what `operator/examples/statuses.rs` writes.
type sample struct {
	Case   string         `json:"case"`
	Object map[string]any `json:"object"`
}

// samples are the statuses that the operator's own code writes.
func samples(t *testing.T) []sample {
	t.Helper()
	path := os.Getenv("SOTTO_STATUSES")
	if path == "" {
		t.Fatal("SOTTO_STATUSES names no file: run `make gitops`")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []sample
	// As a client of Kubernetes reads: whole numbers stay whole.
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(root + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// overrides are the health checks of integrations/argocd/argocd-cm.yaml, as Argo CD reads them.
func overrides(t *testing.T) lua.ResourceHealthOverrides {
	t.Helper()
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict([]byte(read(t, "integrations/argocd/argocd-cm.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	found := lua.ResourceHealthOverrides{}
	for key, script := range config.Data {
		// resource.customizations.health.GROUP_KIND
		group, kind, fine := strings.Cut(strings.TrimPrefix(key, "resource.customizations.health."), "_")
		if !fine || group != "sotto.dev" {
			t.Fatalf("argocd-cm.yaml has the key %s", key)
		}
		if script != read(t, "integrations/argocd/health.lua") {
			t.Errorf("%s is not integrations/argocd/health.lua: run `make generate`", key)
		}
		found[group+"/"+kind] = v1alpha1.ResourceOverride{HealthLua: script}
	}
	return found
}

// condition is the condition of that type, or nothing.
func condition(object map[string]any, kind string) map[string]any {
	list, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

// TestHealth runs the scripts of argocd-cm.yaml in Argo CD's own virtual machine over the statuses of the operator.
func TestHealth(t *testing.T) {
	wanted := map[string]struct {
		status health.HealthStatusCode
		// The condition whose message comes through, or else the words.
		message, words string
	}{
		"no status":                      {health.HealthStatusProgressing, "", "Waiting for the Sotto operator"},
		"not seen yet":                   {health.HealthStatusProgressing, "", "Waiting for the Sotto operator"},
		"rolling out":                    {health.HealthStatusProgressing, "Progressing", "RollingOut: "},
		"ready":                          {health.HealthStatusHealthy, "Ready", ""},
		"ready, then edited":             {health.HealthStatusProgressing, "", "has not seen this change yet"},
		"edited and rolling out":         {health.HealthStatusProgressing, "Progressing", "RollingOut: "},
		"broken just now":                {health.HealthStatusDegraded, "Degraded", "NetworkNotFound: "},
		"broken for long":                {health.HealthStatusDegraded, "Degraded", "NetworkNotFound: "},
		"broken for long, then edited":   {health.HealthStatusProgressing, "", "has not seen this change yet"},
		"put right":                      {health.HealthStatusHealthy, "Ready", ""},
		"ready, being deleted":           {health.HealthStatusProgressing, "", "Pending deletion"},
		"broken for long, being deleted": {health.HealthStatusProgressing, "", "Pending deletion"},
		"paused":                         {health.HealthStatusSuspended, "Paused", ""},
		"paused, then edited":            {health.HealthStatusSuspended, "Paused", ""},
		"goes on after a pause":          {health.HealthStatusHealthy, "Ready", ""},
	}
	scripts := overrides(t)
	if len(scripts) != 4 {
		t.Fatalf("argocd-cm.yaml has %d kinds, wanted 4", len(scripts))
	}
	// The other way to install it, as integrations/argocd/README.md says.
	wild := lua.ResourceHealthOverrides{"sotto.dev/*": {HealthLua: read(t, "integrations/argocd/health.lua")}}
	seen := map[string]int{}
	for _, row := range samples(t) {
		object := &unstructured.Unstructured{Object: row.Object}
		name := object.GetKind() + ": " + row.Case
		want, known := wanted[row.Case]
		if !known {
			t.Errorf("%s: this test knows no such case", name)
			continue
		}
		seen[row.Case]++
		result, err := health.GetResourceHealth(object, scripts)
		if err != nil || result == nil {
			t.Errorf("%s: %v %v", name, result, err)
			continue
		}
		if result.Status != want.status || !strings.Contains(result.Message, want.words) {
			t.Errorf("%s: %s (%s), wanted %s (%s)", name, result.Status, result.Message, want.status, want.words)
		}
		if want.message != "" {
			c := condition(row.Object, want.message)
			if c == nil || c["message"] == "" || !strings.Contains(result.Message, c["message"].(string)) {
				t.Errorf("%s: says %q, the condition %v", name, result.Message, c)
			}
		}
		if other, err := health.GetResourceHealth(object, wild); err != nil || other == nil || *other != *result {
			t.Errorf("%s: by the wildcard %v %v", name, other, err)
		}
		// The script by itself, without what Argo CD does about deletion before.
		if own, err := scripts.GetResourceHealth(object); err != nil || own.Status != want.status {
			t.Errorf("%s: the script by itself says %v %v", name, own, err)
		}
	}
	for name := range wanted {
		// Every case for each of the four kinds.
		if seen[name] != 4 {
			t.Errorf("%q: %d samples, wanted 4", name, seen[name])
		}
	}
}

// TestExamples reads examples/argocd with Argo CD's own types, unknown fields refused, and looks that what it points at is there.
func TestExamples(t *testing.T) {
	names := map[string]bool{}
	for _, document := range strings.Split(read(t, "examples/argocd/application.yaml"), "\n---\n") {
		var app v1alpha1.Application
		if err := yaml.UnmarshalStrict([]byte(document), &app); err != nil {
			t.Fatal(err)
		}
		if app.Kind != "Application" || app.APIVersion != v1alpha1.SchemeGroupVersion.String() {
			t.Errorf("%s %s is no Application", app.APIVersion, app.Kind)
		}
		for _, option := range app.Spec.SyncPolicy.SyncOptions {
			if name, _, fine := strings.Cut(option, "="); !fine || name == "" {
				t.Errorf("%s: sync option %q", app.Name, option)
			}
		}
		if !app.Spec.SyncPolicy.SyncOptions.HasOption("ServerSideApply=true") {
			t.Errorf("%s does not apply on the server", app.Name)
		}
		if _, err := os.Stat(root + app.Spec.Source.Path); err != nil || app.Spec.Source.Path == "" {
			t.Errorf("%s: path %q: %v", app.Name, app.Spec.Source.Path, err)
		}
		names[app.Name] = true
	}
	if len(names) < 2 {
		t.Errorf("only %v", names)
	}
}
