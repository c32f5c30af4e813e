// SPDX-License-Identifier: Apache-2.0

// Command bench measures the service against its limits and writes
// the pages of docs/ that
// say how fast it is. It is run by `make bench`, from the root of the module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/suite"
	"github.com/resilienced/resilienced/node"
	"github.com/resilienced/resilienced/test/pgserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	short  bool
	out    string
	folder string
	only   string
	page   string
	keep   string
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == process.Serve {
		// An interrupt is for the parent, which then ends its children.
		return process.ServeChild(context.WithoutCancel(ctx), os.Stdin, os.Stdout)
	}
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.short, "short", false, "run everything once for a moment, to see that it runs; write nothing")
	flags.StringVar(&o.out, "out", "docs", "the folder to write the pages to")
	flags.StringVar(&o.page, "page", "", "one of alone, postgresql; empty: both")
	flags.StringVar(&o.folder, "dir", os.TempDir(), "a folder on the disk to measure")
	flags.StringVar(&o.only, "only", "", "some of "+suite.Parts+"; what they give goes to standard output")
	flags.StringVar(&o.keep, "profiles", "", "a folder to keep the CPU profiles in")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	return measure(ctx, o)
}

func measure(ctx context.Context, o options) (err error) {
	node.TuneMemory() // the engine without RPC runs here
	program, err := os.Executable()
	if err != nil {
		return err
	}
	// Where PostgreSQL is to have its files too.
	if err := os.Setenv("TMPDIR", o.folder); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(o.folder, "resilienced-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	cfg := suite.Config{Program: program, Folder: folder, Profiles: o.keep, Progress: os.Stderr, Size: suite.Full()}
	if o.short {
		cfg.Size = suite.Short()
	}
	if o.only != "" {
		cfg.Only = strings.Split(o.only, ",")
	}
	for _, p := range pages() {
		if o.page != "" && o.page != p.name {
			continue
		}
		if err := p.write(ctx, cfg, o); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// target is a page that can be written.
type target struct {
	name, file string
	open       func(context.Context, suite.Config) (*suite.Suite, error)
}

func pages() []target {
	return []target{
		{"alone", "PERFORMANCE.md", suite.Alone},
		{"postgresql", "PERFORMANCE-POSTGRESQL.md", suite.Shared},
	}
}

// write measures for a page and writes it, or prints it if it is not whole.
func (t target) write(ctx context.Context, cfg suite.Config, o options) (err error) {
	s, err := t.open(ctx, cfg)
	if errors.Is(err, pgserver.ErrNotInstalled) && o.short {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p, err := s.Run(ctx)
	switch {
	case err != nil || o.short || p == nil:
		return err
	case o.only != "":
		_, err := fmt.Print(p)
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, t.file), []byte(p.String()), 0o644); err != nil {
		return err
	}
	return scale(s.Scaling(), o.out)
}

// scale writes what docs/SCALING.md shows of a run.
func scale(s *suite.Scaling, folder string) error {
	if s == nil {
		return nil
	}
	file := filepath.Join(folder, "SCALING.md")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	spliced, err := page.Splice(string(text), s.Tables)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for name, plot := range s.Pictures {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(plot.SVG()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(spliced), 0o644)
}
