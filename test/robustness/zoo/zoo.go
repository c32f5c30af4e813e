// SPDX-License-Identifier: Apache-2.0

package zoo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is one fault that a programmer could have made.
type Mutant struct {
	Name string
	// Breaks says what is wrong, in one line.
	Breaks string
	Edits  []Edit
	// Postgres: it needs three replicas on one PostgreSQL. Otherwise one
	// replica on SQLite shows it.
	Postgres bool
	// Fault is the kind of trial that shows it; empty: load alone.
	Fault string
	// Checks are those that must find it; one is enough.
	Checks []string
	// Excused says why it need not be found; empty: it must be.
	Excused string
}

// Edit replaces text in a file of the module.
type Edit struct {
	File string
	Old  string // it must be there exactly once
	New  string
}

// Apply returns the files of the module at root that the mutants change, by
// their path below it, with the mutants' texts.
func Apply(root string, mutants ...Mutant) (map[string]string, error) {
	files := map[string]string{}
	for _, m := range mutants {
		for _, e := range m.Edits {
			text, known := files[e.File]
			if !known {
				read, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
				if err != nil {
					return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
				}
				text = string(read)
			}
			if n := strings.Count(text, e.Old); n != 1 {
				return nil, fmt.Errorf("mutant %s: %s has %d times, and must have once:\n%s", m.Name, e.File, n, e.Old)
			}
			files[e.File] = strings.Replace(text, e.Old, e.New, 1)
		}
	}
	return files, nil
}

// Overlay writes the changed files into a folder and returns, by their path
// below the module's root, where they are: what cluster.Source takes.
func Overlay(root, dir string, mutants ...Mutant) (map[string]string, error) {
	files, err := Apply(root, mutants...)
	if err != nil {
		return nil, err
	}
	overlay := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256([]byte(name))
		path := filepath.Join(dir, hex.EncodeToString(sum[:8])+".go")
		if err := os.WriteFile(path, []byte(files[name]), 0o600); err != nil {
			return nil, err
		}
		overlay[name] = path
	}
	return overlay, nil
}
