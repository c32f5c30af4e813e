// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

//go:embed scenarios/*.yaml
var builtin embed.FS

// Builtin returns the scenarios that come with the program.
func Builtin() ([]Scenario, error) {
	files, err := fs.Glob(builtin, "scenarios/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("built-in scenarios: %w", err)
	}
	scenarios := make([]Scenario, 0, len(files))
	for _, file := range files {
		data, err := builtin.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("built-in scenarios: %w", err)
		}
		scenarios = append(scenarios, named(parse(path.Base(file), data)))
	}
	if err := distinct(scenarios); err != nil {
		return nil, err
	}
	return scenarios, nil
}

// Load reads scenarios from files, and from the *.yaml files of directories in
// order of their names. What is wrong inside a file is in its scenario's
// Faults; an error is about a path that cannot be read, or about two scenarios
// with the same id.
func Load(paths []string) ([]Scenario, error) {
	var scenarios []Scenario
	for _, p := range paths {
		files, err := filesAt(p)
		if err != nil {
			return nil, fmt.Errorf("load scenarios: %w", err)
		}
		for _, file := range files {
			data, err := readFile(file)
			if err != nil {
				return nil, fmt.Errorf("load scenarios: %w", err)
			}
			scenarios = append(scenarios, named(parse(file, data)))
		}
	}
	if err := distinct(scenarios); err != nil {
		return nil, err
	}
	return scenarios, nil
}

// filesAt returns the path itself, or the scenario files of a directory.
func filesAt(p string) ([]string, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{p}, nil
	}
	list, err := os.ReadDir(p)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range list {
		if !e.IsDir() && filepath.Ext(e.Name()) == ".yaml" {
			files = append(files, filepath.Join(p, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no *.yaml file", p)
	}
	return files, nil
}

// readFile reads a file, of one that is too large only enough to tell.
func readFile(name string) (data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxBytes+1))
}

// named gives a scenario without an id the name of its file.
func named(s Scenario) Scenario {
	if s.ID == "" {
		s.ID = filepath.Base(s.File)
	}
	return s
}

// distinct fails if two scenarios have the same id.
func distinct(scenarios []Scenario) error {
	files := make(map[string]string, len(scenarios))
	for _, s := range scenarios {
		if first, twice := files[s.ID]; twice && s.named {
			return fmt.Errorf("load scenarios: %s and %s both have the id %q", first, s.File, s.ID)
		}
		if s.named {
			files[s.ID] = s.File
		}
	}
	return nil
}
