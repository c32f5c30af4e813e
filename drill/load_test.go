// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBuiltin(t *testing.T) {
	scenarios, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(scenarios) < 37 {
		t.Errorf("%d scenarios are built in, want at least 37", len(scenarios))
	}
	for _, s := range scenarios {
		for _, f := range s.Faults {
			t.Error(f)
		}
		if s.ID+".yaml" != s.File || s.Title == "" {
			t.Errorf("file %s has the id %q and the title %q", s.File, s.ID, s.Title)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", "id: B\nsteps: [{advance: 1s}]\n")
	write(t, dir, "a.yaml", "id: A\nsteps: [{advance: 1s}]\n")
	write(t, dir, "bad.yaml", "}{\x00")
	write(t, dir, "noid.yaml", "steps: [{advance: 1s}]\n")
	write(t, dir, "README.md", "no scenario")
	if err := os.Mkdir(filepath.Join(dir, "dir.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := write(t, t.TempDir(), "scenario.txt", "id: C\nsteps: [{advance: 1s}]\n")
	scenarios, err := Load([]string{other, dir})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	faults := 0
	for _, s := range scenarios {
		ids = append(ids, s.ID)
		if len(s.Faults) > 0 {
			faults++
		}
	}
	same(t, "ids", []string{"C", "A", "B", "bad.yaml", "noid.yaml"}, ids)
	if faults != 2 {
		t.Errorf("%d scenarios have faults, want 2", faults)
	}
}

func TestLoadErrors(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	a := write(t, dir, "a.yaml", "id: same\nsteps: [{advance: 1s}]\n")
	b := write(t, dir, "b.yaml", "id: same\nstep: []\n")
	for _, c := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"missing", []string{filepath.Join(dir, "none.yaml")}, "none.yaml"},
		{"empty directory", []string{empty}, "holds no *.yaml file"},
		{"same id", []string{dir}, a + " and " + b + ` both have the id "same"`},
		{"same file", []string{a, a}, `both have the id "same"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			scenarios, err := Load(c.paths)
			if err == nil || !strings.Contains(err.Error(), c.want) || scenarios != nil {
				t.Errorf("scenarios %v, error %v, want %q in it", scenarios, err, c.want)
			}
		})
	}
}

// TestLargeFile shows that a file is not read to its end if it has none.
func TestLargeFile(t *testing.T) {
	file := write(t, t.TempDir(), "a.yaml", strings.Repeat("#\n", maxBytes))
	scenarios, err := Load([]string{file})
	if err != nil || len(scenarios) != 1 || len(scenarios[0].Faults) != 1 {
		t.Errorf("scenarios %v, error %v", scenarios, err)
	}
}
