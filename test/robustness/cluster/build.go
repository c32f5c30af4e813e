// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Source says how the binary is built. Only Dir is required.
type Source struct {
	// Dir is where the binary and what it is built from go.
	Dir string
	// Race builds with the race detector. A replica that finds a race then
	// exits with code 66, which Cluster.Faulty reports.
	Race bool
	// Tags are build tags, of a mutant for example.
	Tags []string
	// Overlay replaces source files, by absolute path or by path below the
	// module, as `go build -overlay` does.
	Overlay map[string]string
	// Skewable makes a replica's wall clock movable, for SkewReplica.
	Skewable bool
}

// Build makes the binary of the module that the working directory is in, and
// returns its path. Go's build cache makes a second build short.
func Build(ctx context.Context, s Source) (string, error) {
	module, err := goEnv(ctx, "GOMOD")
	if err != nil {
		return "", err
	}
	root := filepath.Dir(module)
	if err := look(root); err != nil {
		return "", err
	}
	args := []string{"build", "-o", filepath.Join(s.Dir, "resilienced")}
	if s.Race {
		args = append(args, "-race")
	}
	if len(s.Tags) > 0 {
		args = append(args, "-tags", strings.Join(s.Tags, ","))
	}
	overlay, err := s.overlay(ctx, root)
	if err != nil {
		return "", err
	}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/resilienced")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return filepath.Join(s.Dir, "resilienced"), nil
}

// look reads the module's folders. Go's test cache sees what this process reads
// and not what `go build` does, and would repeat the result of an old build.
func look(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
}

// overlay writes the file for `go build -overlay`, and returns "" if nothing
// is replaced.
func (s Source) overlay(ctx context.Context, root string) (string, error) {
	replace := map[string]string{}
	for old, by := range s.Overlay {
		if !filepath.IsAbs(old) {
			old = filepath.Join(root, old)
		}
		replace[old] = by
	}
	if s.Skewable {
		clock, err := skewable(ctx, s.Dir)
		if err != nil {
			return "", err
		}
		maps.Copy(replace, clock)
	}
	if len(replace) == 0 {
		return "", nil
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.Dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}

// skewVar is the variable of a replica's environment that moves its wall
// clock, by a whole number of seconds.
const skewVar = "CLUSTER_CLOCK_SKEW"

// skewFile is added to Go's package time.
const skewFile = `package time

import "syscall"

var skew = func() (seconds int64) {
	text, _ := syscall.Getenv("` + skewVar + `")
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	for _, digit := range []byte(text) {
		seconds = 10*seconds + int64(digit-'0')
	}
	if negative {
		return -seconds
	}
	return seconds
}()
`

// skewable returns what replaces Go's package time by one whose Now is off by
// skewVar. Monotonic readings, and so timers, are left alone, as they would be
// on a machine whose wall clock is wrong.
func skewable(ctx context.Context, dir string) (map[string]string, error) {
	root, err := goEnv(ctx, "GOROOT")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, "src", "time", "time.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	const reading = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if bytes.Count(text, []byte(reading)) != 1 {
		return nil, fmt.Errorf("%s: Now does not begin as it did in Go 1.26: teach skewable the new form", path)
	}
	text = bytes.Replace(text, []byte(reading), []byte(reading+"\tsec += skew\n"), 1)
	now, skew := filepath.Join(dir, "time.go.txt"), filepath.Join(dir, "skew.go.txt")
	if err := os.WriteFile(now, text, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(skew, []byte(skewFile), 0o600); err != nil {
		return nil, err
	}
	return map[string]string{path: now, filepath.Join(root, "src", "time", "skew.go"): skew}, nil
}

func goEnv(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
