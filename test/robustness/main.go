// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// options are what the command line says.
type options struct {
	short   bool
	length  time.Duration
	seed    uint64
	store   string
	only    string
	mutants int
	mutant  string
	keep    string
	out     string
	check   string
	lengths lengths
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "robustness:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	o := options{}
	flag.BoolVar(&o.short, "short", false, "the form for CI: a few minutes, three mutants drawn by the seed")
	flag.DurationVar(&o.length, "for", 0, "how long to go on with trials of the service; each kind has its turn at least once")
	flag.Uint64Var(&o.seed, "seed", 1, "what is drawn is drawn from it")
	flag.StringVar(&o.store, "store", cluster.Postgres, "postgres: three replicas and a synchronous standby; sqlite or memory: one replica")
	flag.StringVar(&o.only, "only", "", "kinds of trials, by semicolons; all without it")
	flag.IntVar(&o.mutants, "mutants", -1, "how many mutants to draw; below 0: all, and three with -short")
	flag.StringVar(&o.mutant, "mutant", "", "one mutant by its name, and no trial of the service")
	flag.StringVar(&o.keep, "history", "", "a file to keep all histories in")
	flag.StringVar(&o.out, "out", "", "where to write the report, docs/RELIABILITY.md")
	flag.StringVar(&o.check, "check", "", "judge the histories in a file and run nothing")
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("there is no argument %q", flag.Arg(0))
	}
	if !slices.Contains([]string{cluster.Postgres, cluster.SQLite, cluster.Memory}, o.store) {
		return o, fmt.Errorf("-store %q: it is postgres, sqlite or memory", o.store)
	}
	o.lengths = longLengths()
	if o.short {
		o.lengths = shortLengths()
		if o.mutants < 0 {
			o.mutants = 3
		}
	}
	return o, nil
}

// postgres reports whether mutants that need PostgreSQL can be run.
func (o *options) postgres() bool { return o.store == cluster.Postgres }

// choose leaves the kinds that were asked for.
func (o *options) choose(kinds []string) []string {
	switch {
	case o.only == "" && o.short:
		return draw(kinds, o.seed)
	case o.only == "":
		return kinds
	}
	want := strings.Split(o.only, ";")
	return slices.DeleteFunc(kinds, func(k string) bool { return !slices.Contains(want, k) })
}

func run(ctx context.Context) error {
	o, err := parse()
	if err != nil {
		return err
	}
	if o.check != "" {
		return judge(o.check)
	}
	dir, err := os.MkdirTemp("", "robustness")
	if err != nil {
		return err
	}
	s := &session{options: o, dir: dir, began: time.Now(), service: map[string]*tally{}}
	s.say("seed %d", o.seed)
	if o.keep != "" {
		if s.history, err = os.Create(o.keep); err != nil {
			return err
		}
	}
	err = s.all(ctx)
	if s.history != nil {
		err = errors.Join(err, s.history.Close())
	}
	if err != nil {
		return fmt.Errorf("%w; logs are in %s", err, dir)
	}
	return os.RemoveAll(dir)
}

// all runs what the options ask for, and writes the report.
func (s *session) all(ctx context.Context) error {
	if s.options.mutant == "" {
		if err := s.press(ctx); err != nil {
			return err
		}
	}
	if err := s.breed(ctx); err != nil {
		return err
	}
	if s.options.out != "" {
		if err := s.write(ctx, s.options.out); err != nil {
			return err
		}
	}
	return s.end()
}

// judge runs the checks on the histories in a file.
func judge(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	bad := 0
	err = history.Read(file, func(h *history.History) error {
		v := &verdict{}
		v.judge(h)
		fmt.Printf("trial %d, %s %s: %s %s\n", h.Setup.Trial, h.Setup.Fault, h.Setup.Mutant, v.figures.short(), v.void)
		for _, r := range v.results {
			fmt.Printf("  %-12s %7d checked; %s\n", r.Check, r.Checked, r.Note)
			for _, text := range r.Violations {
				fmt.Printf("    %s\n", text)
			}
			if r.Bad() {
				bad++
			}
		}
		return nil
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d checks found something", bad)
	}
	return err
}
