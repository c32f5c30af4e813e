// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/transcript.txt anew")

// TestTranscript runs the program and compares every line of what it prints.
func TestTranscript(t *testing.T) {
	const file = "testdata/transcript.txt"
	var out bytes.Buffer
	if err := run(t.Context(), &out, ""); err != nil {
		t.Fatalf("run: %v\n%s", err, out.String())
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, held := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(held)) {
		if line(got, i) != line(held, i) {
			t.Fatalf("line %d\n got %q\nwant %q\n(go test -update takes it over)", i+1, line(got, i), line(held, i))
		}
	}
}

// TestReadme holds the figures of the README against the transcript.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	transcript, err := os.ReadFile("testdata/transcript.txt")
	if err != nil {
		t.Fatal(err)
	}
	figure := func(row string) string {
		found := regexp.MustCompile(`(?m)^ +` + row + ` +(\d+)$`).FindSubmatch(transcript)
		if found == nil {
			t.Fatalf("the transcript has no row %q", row)
		}
		return string(found[1])
	}
	want := figure("tasks") + " tasks show " + figure("shapes of answers") + " shapes of answers"
	if !strings.Contains(string(readme), want) {
		t.Errorf("README.md does not say %q", want)
	}
}

func line(of []string, i int) string {
	if i < len(of) {
		return of[i]
	}
	return "(no more lines)"
}
