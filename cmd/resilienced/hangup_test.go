// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SIGHUP has the policy file looked into at once, whether or not it changed,
// and does not end the service.
func TestHangupReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("version: 1\n")
	s := start(t, "--store", "memory", "--policy", file)
	for _, step := range []struct{ text, says string }{
		{"version: 1\n", "the policy file is as it was when it was applied"},
		{"version: 1\nretries: 3\n", "policy.yaml:2:1"},
		{"version: 1\n# new\n", "recovered=true"},
	} {
		write(step.text)
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.log.wait(step.says)
	}
	s.end(t)
}
