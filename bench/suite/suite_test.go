// SPDX-License-Identifier: Apache-2.0

package suite_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/suite"
)

// TestMain makes this test binary the program that a child runs.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == process.Serve {
		if err := process.ServeChild(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Everything is measured once for a moment; no figure is looked at.
func TestEverythingRuns(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	size := suite.Short()
	size.Callers, size.Slice, size.Open = []int{2}, 10*time.Millisecond, 40*time.Millisecond
	cfg := suite.Config{Program: program, Folder: t.TempDir(), Progress: t.Output(), Size: size}
	s, err := suite.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	p, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := p.String()
	for _, want := range []string{"# Performance", "## Goals", "## (a)", "## (b)", "## (c)", "### On one hot capped run", "## (d)", "## (e)", "(a) p99 of Acquire"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(text, cfg.Folder) {
		t.Error("the page names a folder of this machine")
	}
}
