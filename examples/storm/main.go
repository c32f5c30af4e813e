// SPDX-License-Identifier: Apache-2.0

// Command storm shows what ten agents do to a provider that limits and fails,
// once with the retries that everybody has and once behind resilienced. It
// needs nothing but this machine. See README.md.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

//go:embed policy.yaml
var ownPolicy string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

// standard is the scenario of the README.
func standard() scenario {
	return scenario{
		agents: 10, tasks: 30, limit: 2 * time.Minute, policy: ownPolicy,
		upstream: upstream.Config{
			Seed: 1, Rate: 10, Flake: 10, Cap: 50_000, Grace: 50 * time.Millisecond,
			Hiccup: upstream.Window{From: 2 * time.Second, For: 3 * time.Second},
			Outage: upstream.Window{From: 7 * time.Second, For: 4 * time.Second},
		},
	}
}

// run does what the arguments say and prints to out.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	sc := standard()
	flags := flag.NewFlagSet("storm", flag.ContinueOnError)
	flags.SetOutput(progress)
	var quoted []string
	arm := flags.String("arm", "both", "`WHICH` arm to run: bare, guarded or both")
	flags.IntVar(&sc.agents, "agents", sc.agents, "`HOW MANY` agents work side by side")
	flags.IntVar(&sc.tasks, "tasks", sc.tasks, "`HOW MANY` tasks there are")
	flags.Uint64Var(&sc.upstream.Seed, "seed", sc.upstream.Seed, "`NUMBER` that draws the tasks, the answers and the failures")
	policy := flags.String("policy", "", "`FILE` with another policy for the guarded arm")
	flags.BoolVar(&sc.keep, "keep", false, "a task that is done again goes on where it was, in both arms, and not from its beginning")
	flags.Func("write", "put the table into this `FILE` too, between its marks; may be given again", func(file string) error {
		quoted = append(quoted, file)
		return nil
	})
	asJSON := flags.Bool("json", false, "print the figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	arms, ok := map[string][]bool{"bare": {false}, "guarded": {true}, "both": {false, true}}[*arm]
	switch {
	case !ok:
		return fmt.Errorf("--arm %q: want bare, guarded or both", *arm)
	case sc.agents < 1 || sc.agents > 1000 || sc.tasks < 1 || sc.tasks > 100_000:
		return fmt.Errorf("--agents %d --tasks %d: want 1 to 1000 agents and 1 to 100000 tasks", sc.agents, sc.tasks)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *policy != "" {
		text, err := os.ReadFile(*policy)
		if err != nil {
			return err
		}
		sc.policy = string(text)
	}
	at := commit(ctx)
	var outcomes []outcome
	for _, guarded := range arms {
		o, err := runArm(ctx, sc, guarded, loopback, newProgress(progress, sc, guarded).watch)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped in the %s arm: %w", o.Arm, err)
		}
		outcomes = append(outcomes, o)
	}
	for _, file := range quoted {
		if err := quote(file, at, args, sc, outcomes); err != nil {
			return err
		}
	}
	if *asJSON {
		return printJSON(out, sc, outcomes)
	}
	return printTable(out, sc, outcomes)
}
