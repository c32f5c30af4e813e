// SPDX-License-Identifier: Apache-2.0

// Command bench measures the service against its limits and writes
// docs/PERFORMANCE.md. It is run by `make bench`, from the root of the module.
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

	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/suite"
	"github.com/resilienced/resilienced/node"
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
	flags.StringVar(&o.out, "out", filepath.Join("docs", "PERFORMANCE.md"), "the page to write")
	flags.StringVar(&o.folder, "dir", os.TempDir(), "a folder on the disk to measure")
	flags.StringVar(&o.only, "only", "", "some of unary,durable,engine,open,allocations,profile; the page goes to standard output")
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
	s, err := suite.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p, err := s.Run(ctx)
	if err != nil {
		return err
	}
	switch {
	case o.short:
		return nil
	case o.only != "":
		_, err := fmt.Print(p)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(o.out, []byte(p.String()), 0o644)
}
