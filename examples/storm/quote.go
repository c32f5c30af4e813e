// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The marks around the table in a file that quotes it.
const (
	quoteBegin = "<!-- storm: written by go run . --write, not by hand -->\n"
	quoteEnd   = "<!-- storm: end -->\n"
)

// quote puts the table between the marks of a file, with where it is from.
func quote(file, at string, args []string, sc scenario, outcomes []outcome) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(text), quoteBegin)
	_, after, ended := strings.Cut(rest, quoteEnd)
	if !begun || !ended {
		return fmt.Errorf("%s has no line %q before a line %q to write between", file, strings.TrimSpace(quoteBegin), strings.TrimSpace(quoteEnd))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s```text\n$ %s\n", before, quoteBegin, commandLine(args))
	if err := printTable(&b, sc, outcomes); err != nil {
		return err
	}
	fmt.Fprintf(&b, "```\n\nWritten on %s at commit %s, %s, %d cores.\n%s%s",
		time.Now().UTC().Format(time.DateOnly), at, runtime.Version(), runtime.NumCPU(), quoteEnd, after)
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

// commandLine is what was typed, without the files that it was written to.
func commandLine(args []string) string {
	words := []string{"go", "run", "."}
	for i := 0; i < len(args); i++ {
		switch name := strings.TrimLeft(args[i], "-"); {
		case name == "write":
			i++
		case strings.HasPrefix(name, "write="):
		default:
			words = append(words, args[i])
		}
	}
	return strings.Join(words, " ")
}

// commit names the code that runs.
func commit(ctx context.Context) string {
	id, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(id))
	if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD").Run() != nil {
		name += " and changes"
	}
	return name
}
