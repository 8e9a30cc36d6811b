package flux

import (
	"os"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

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

// TestStatuses computes what Flux waits for: an object that is new or was edited is in progress, a good one current, a broken one
// failed, and the message is the operator's.
func TestStatuses(t *testing.T) {
	wanted := map[string]struct {
		status status.Status
		// The condition whose message comes through; empty: the message is kstatus' own.
		message string
	}{
		// What kstatus calls good without looking: why our definitions have a default status. An API server shows none like it
		// (e2e/tests/api/gitops.rs).
		"no status":                      {status.CurrentStatus, ""},
		"not seen yet":                   {status.InProgressStatus, ""},
		"rolling out":                    {status.InProgressStatus, "Progressing"},
		"ready":                          {status.CurrentStatus, ""},
		"ready, then edited":             {status.InProgressStatus, ""},
		"edited and rolling out":         {status.InProgressStatus, "Progressing"},
		"broken just now":                {status.InProgressStatus, "Degraded"},
		"broken for long":                {status.FailedStatus, "Degraded"},
		"broken for long, then edited":   {status.InProgressStatus, ""},
		"put right":                      {status.CurrentStatus, ""},
		"ready, being deleted":           {status.TerminatingStatus, ""},
		"broken for long, being deleted": {status.TerminatingStatus, ""},
		"paused":                         {status.CurrentStatus, ""},
		"paused, then edited":            {status.InProgressStatus, ""},
		"goes on after a pause":          {status.CurrentStatus, ""},
	}
	seen := map[string]int{}
	for _, row := range samples(t) {
		object := unstructured.Unstructured{Object: row.Object}
		name := object.GetKind() + ": " + row.Case
		want, known := wanted[row.Case]
		if !known {
			t.Errorf("%s: this test knows no such case", name)
			continue
		}
		seen[row.Case]++
		result, err := status.Compute(&object)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if result.Status != want.status {
			t.Errorf("%s: %s (%s), wanted %s", name, result.Status, result.Message, want.status)
		}
		if want.message != "" {
			c := condition(row.Object, want.message)
			if c == nil || c["message"] == "" || !strings.Contains(result.Message, c["message"].(string)) {
				t.Errorf("%s: says %q, the condition %v", name, result.Message, c)
			}
		}
	}
	for name := range wanted {
		// Every case for each of the four kinds.
		if seen[name] != 4 {
			t.Errorf("%q: %d samples, wanted 4", name, seen[name])
		}
	}
}
