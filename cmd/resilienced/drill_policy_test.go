// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDrillPolicy(t *testing.T) {
	good := write(t, "good.yaml", "version: 1\ntargets: [{match: x, preset: fast}]\nchains: {c: [x:PRIMARY]}\n")
	code, transcript, stderr := run(t, "drill", "--policy", good, "--target", "x")
	if code != exitOK || !strings.Contains(transcript, "breaker opened") {
		t.Fatalf("%d %s%s", code, transcript, stderr)
	}
	kept := write(t, "x.transcript", transcript)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"the same", []string{"--policy", good, "--target", "x", "--check", kept}, exitOK, "as in"},
		{"another", []string{"--policy", good, "--chain", "c", "--check", kept}, exitFailed, "x.transcript:1: "},
		{"json", []string{"--policy", good, "--chain", "c", "-o", "json"}, exitOK, `"kind": "transient"`},
		{"no such chain", []string{"--policy", good, "--chain", "d"}, exitUsage, "it has: c"},
		{"neither", []string{"--policy", good}, exitUsage, "--target NAME or --chain NAME"},
		{"no policy", []string{"--target", "x"}, exitUsage, "--policy FILE"},
		{"a scenario too", []string{"--policy", good, "--target", "x", "a.yaml"}, exitUsage, "name one"},
		{"no such file", []string{"--policy", "none.yaml", "--target", "x"}, exitUsage, "none.yaml"},
		{"not valid", []string{"--policy", write(t, "bad.yaml", "version: 1\ntargetz: []\n"), "--target", "x"}, exitConfig, "bad.yaml:2:1"},
		{"tap", []string{"--policy", good, "--target", "x", "-o", "tap"}, exitUsage, "table or json"},
		{"json without", []string{"-o", "json"}, exitUsage, "--policy"},
	} {
		code, stdout, stderr := run(t, append([]string{"drill"}, c.args...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%s: %d\n%s%s", c.name, code, stdout, stderr)
		}
	}
}
