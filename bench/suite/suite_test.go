// SPDX-License-Identifier: Apache-2.0

package suite_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/bench/page"
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

// tiny measures everything once for a moment; no figure is looked at.
func tiny(t *testing.T) suite.Config {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	size := suite.Short()
	size.Callers, size.Slice, size.Open = []int{2}, 10*time.Millisecond, 40*time.Millisecond
	return suite.Config{Program: program, Folder: t.TempDir(), Progress: t.Output(), Size: size}
}

// written runs a suite and returns its page.
func written(t *testing.T, s *suite.Suite, folder string) string {
	t.Helper()
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
	if strings.Contains(text, folder) {
		t.Error("the page names a folder of this machine")
	}
	return text
}

func has(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestAlone(t *testing.T) {
	cfg := tiny(t)
	s, err := suite.Alone(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	has(t, written(t, s, cfg.Folder), "# Performance\n", "## Goals", "## (a)", "## (b)", "## (c)", "### On one hot capped run", "## (d)", "## (e)", "(a) p99 of Acquire")
	if s.Scaling() != nil {
		t.Error("one replica says something of scaling")
	}
}

func TestShared(t *testing.T) {
	cfg := tiny(t)
	s, err := suite.Shared(t.Context(), cfg)
	if err != nil {
		t.Fatal(err) // one that misses PostgreSQL says what to install
	}
	has(t, written(t, s, cfg.Folder), "# Performance on PostgreSQL\n", "## (g)", "## (h)", "### One hot slotted target", "## (i)", "## (j)", "## (k)",
		"## (l)", "## (m)", "recorded calls", "## (n)", "## (o)", "breaker known to 3 replicas", "resident bytes per idle record, postgres")
	got := s.Scaling()
	for _, name := range suite.Tables() {
		if got.Tables[name] == nil || len(got.Tables[name].Rows) == 0 {
			t.Errorf("nothing is written for %q", name)
		}
	}
	text, err := os.ReadFile(scalingPage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := page.Splice(string(text), got.Tables); err != nil {
		t.Error(err)
	}
	for name, plot := range got.Pictures {
		if !strings.Contains(string(text), "("+name+")") {
			t.Errorf("the page does not show %s", name)
		}
		if len(plot.Lines) == 0 {
			t.Errorf("%s has no lines", name)
		}
	}
}
