package flux

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/yaml"
)

const examples = "../../../examples"

// TestExamples reads examples/flux with Flux's own types, unknown fields refused, and looks that what it points at is there.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(examples, "flux", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	paths := 0
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var kind struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		read := func(into any) {
			if err := yaml.UnmarshalStrict(document, into); err != nil {
				t.Errorf("%s: %v", kind.Kind, err)
			}
		}
		// A path in our repository.
		there := func(path string) {
			paths++
			if _, err := os.Stat(filepath.Join(examples, "..", path)); err != nil {
				t.Errorf("%s: %v", kind.Kind, err)
			}
		}
		switch kind.APIVersion + " " + kind.Kind {
		case sourcev1.GroupVersion.String() + " GitRepository":
			var source sourcev1.GitRepository
			read(&source)
			found["GitRepository "+source.Name] = true
		case helmv2.GroupVersion.String() + " HelmRelease":
			var release helmv2.HelmRelease
			read(&release)
			there(release.Spec.Chart.Spec.Chart)
			if ref := release.Spec.Chart.Spec.SourceRef; !found[ref.Kind+" "+ref.Name] {
				t.Errorf("HelmRelease %s is of a %s %s that is not here", release.Name, ref.Kind, ref.Name)
			}
		case kustomizev1.GroupVersion.String() + " Kustomization":
			var one kustomizev1.Kustomization
			read(&one)
			there(one.Spec.Path)
			there(filepath.Join(one.Spec.Path, "kustomization.yaml"))
			if ref := one.Spec.SourceRef; !found[ref.Kind+" "+ref.Name] {
				t.Errorf("Kustomization %s is of a %s %s that is not here", one.Name, ref.Kind, ref.Name)
			}
			if !one.Spec.Wait || one.Spec.Timeout == nil {
				t.Errorf("Kustomization %s does not wait for health, or without a limit", one.Name)
			}
			for _, other := range one.Spec.DependsOn {
				if !found["Kustomization "+other.Name] {
					t.Errorf("Kustomization %s depends on %s, which is not here", one.Name, other.Name)
				}
			}
			found["Kustomization "+one.Name] = true
		default:
			t.Errorf("%s %s: this test knows no such kind", kind.APIVersion, kind.Kind)
		}
	}
	if paths < 3 {
		t.Errorf("only %d paths were looked at", paths)
	}
}
