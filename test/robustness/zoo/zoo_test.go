// SPDX-License-Identifier: Apache-2.0

package zoo

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/test/robustness/check"
)

const root = "../../.."

// TestMutantsApply applies every mutant to the code as it is and compiles what
// it changes. When one fails here, the code has moved on: give the mutant the
// new text.
func TestMutantsApply(t *testing.T) {
	names, checks := map[string]bool{}, map[string]bool{}
	for _, c := range check.Checks() {
		checks[c.Name] = true
	}
	for _, m := range All() {
		if names[m.Name] {
			t.Errorf("two mutants are named %s", m.Name)
		}
		names[m.Name] = true
		for _, c := range m.Checks {
			if !checks[c] {
				t.Errorf("%s: there is no check %q", m.Name, c)
			}
		}
		if len(m.Checks) == 0 || m.Breaks == "" {
			t.Errorf("%s says too little of itself", m.Name)
		}
		if _, err := Apply(root, m); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		return
	}
	// Together they compile as they do alone, and it costs one build. Only when
	// that fails it matters which.
	if compile(t, All()) == "" {
		return
	}
	for _, m := range All() {
		if out := compile(t, []Mutant{m}); out != "" {
			t.Errorf("mutant %s does not compile:\n%s", m.Name, out)
		}
	}
}

// compile compiles the packages that the mutants change, and returns what the
// compiler says.
func compile(t *testing.T, mutants []Mutant) string {
	t.Helper()
	dir := t.TempDir()
	files, err := Overlay(root, dir, mutants...)
	if err != nil {
		return err.Error()
	}
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	var packages []string
	for name, path := range files {
		replace[filepath.Join(base, name)] = path
		packages = append(packages, "./"+filepath.Dir(name))
	}
	slices.Sort(packages)
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", overlay}, slices.Compact(packages)...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return string(out) + err.Error()
	}
	return ""
}

// TestApplyRefuses shows that a mutant that has rotted is found.
func TestApplyRefuses(t *testing.T) {
	for name, old := range map[string]string{"gone": "no such text is there", "twice": "return"} {
		_, err := Apply(root, Mutant{Name: name, Edits: []Edit{{File: "test/robustness/zoo/zoo.go", Old: old}}})
		if err == nil || !strings.Contains(err.Error(), "must have once") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
