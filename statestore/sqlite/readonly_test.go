// SPDX-License-Identifier: Apache-2.0

//go:build !windows

package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/resilienced/resilienced/statestore"
)

func TestReadOnly(t *testing.T) {
	cases := []struct {
		name         string
		file, folder os.FileMode
	}{
		{"the file", 0o444, 0o777},
		{"the folder", 0o666, 0o555},
		{"the folder of a new file", 0, 0o555},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filled(t, 3)
			if c.file == 0 {
				path = filepath.Join(filepath.Dir(path), "new.db")
			} else {
				chmod(t, path, c.file)
			}
			chmod(t, path+".lock", 0o666)
			dir := filepath.Dir(path)
			chmod(t, filepath.Dir(dir), 0o755)
			chmod(t, dir, c.folder)
			t.Cleanup(func() { chmod(t, dir, 0o755) })

			said := child(t, "open", path, asNobody)
			if !strings.HasPrefix(said, statestore.ErrReadOnly.Error()) || !strings.Contains(said, "let the service's user") {
				t.Fatalf("Open says %q, want %q and what to do", said, statestore.ErrReadOnly)
			}
		})
	}
}

func TestReadOnlyModeCountsForRootToo(t *testing.T) {
	path := filled(t, 3)
	chmod(t, path, 0o444)
	_, err := Open(t.Context(), testConfig(path))
	wantError(t, err, statestore.ErrReadOnly, "")
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}

// asNobody gives the child a user whom file modes bind, if this one is root.
func asNobody(cmd *exec.Cmd) {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Path = "/proc/self/exe"
	}
}
