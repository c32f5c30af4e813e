// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/encode"
	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/simulate"
)

// simulation is one `policy simulate`.
type simulation struct {
	*session
	since   span
	calls   string // a file of calls instead of the server's
	save    string // where the server's calls are kept
	against string // a file to compare with, with --calls

	runs map[string]bool // the runs that calls name
}

func newPolicySimulate() *cobra.Command {
	f := &simulation{since: span{length: longestSummary, set: true}}
	var cmd *cobra.Command
	cmd = talks(&cobra.Command{
		Use:   "simulate NEW",
		Short: "Play recorded calls through a new policy: what would have opened, refused, cost",
		Long: `Play the calls that the server has recorded through the policy in force and
through NEW, and compare: what would have been refused and why, which breakers would
have opened, what it would have cost. The rules are the real ones. Nothing is changed
anywhere; the answer says what it cannot know.

--save keeps the recording in a file, a call in JSON on each line, without texts that
callers sent. --calls plays such a file without a server, against --against or
against a service without a policy.`,
		Example: `  resilienced policy simulate new.yaml
  resilienced policy simulate new.yaml --since 24h --save calls.jsonl
  resilienced policy simulate newer.yaml --calls calls.jsonl --against policy.yaml
  resilienced policy simulate new.yaml -o json | jq .totals.new.cost_micros`,
		Args: cobra.ExactArgs(1),
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		run := *f
		run.session, run.runs = s, map[string]bool{}
		if err := run.usage(); err != nil {
			return err
		}
		_, text, err := readPolicy(cmd, args[0])
		if err != nil {
			return err
		}
		return run.play(ctx, cmd, simulate.Policy{File: fileName(args[0]), Text: text})
	})
	flags := cmd.Flags()
	flags.Var(&f.since, "since", "how far back, at most 7d")
	flags.StringVar(&f.save, "save", "", "keep the recording in this `FILE`, which must not exist yet")
	flags.StringVar(&f.calls, "calls", "", "play this `FILE` of calls and ask no server; - is standard input")
	flags.StringVar(&f.against, "against", "", "with --calls: compare with this policy `FILE`")
	cmd.MarkFlagsMutuallyExclusive("calls", "save")
	cmd.MarkFlagsMutuallyExclusive("calls", "since")
	return cmd
}

func (f *simulation) usage() error {
	switch {
	case f.since.length <= 0 || f.since.length > longestSummary:
		return fmt.Errorf("--since is %s; it must be above 0 and at most 7d", f.since.String())
	case f.against != "" && f.calls == "":
		return errors.New("--against goes with --calls; with a server the policy in force is compared with")
	}
	return nil
}

// play runs the simulation and shows what came of it.
func (f *simulation) play(ctx context.Context, cmd *cobra.Command, next simulate.Policy) error {
	in := simulate.Input{New: next, Progress: f.progress}
	var err error
	if f.calls != "" {
		err = f.fromFile(cmd, &in)
	} else {
		err = f.fromServer(ctx, &in)
	}
	if err != nil {
		return err
	}
	result, err := simulate.Run(ctx, in)
	f.clearProgress()
	if err != nil {
		return simulationError(err)
	}
	return f.result(result)
}

// simulationError gives an error of the simulation its exit code; those of a
// server have theirs.
func simulationError(err error) error {
	if _, ours := client.As(err); ours {
		return err
	}
	if _, has := errors.AsType[*failure](err); has {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return fail(exitTemporary, errors.New("interrupted; nothing was changed"))
	}
	if _, invalid := errors.AsType[*policy.ParseError](err); invalid {
		return fail(exitConfig, err)
	}
	return fail(exitFailed, err)
}

func (f *simulation) result(r *simulate.Result) error {
	switch f.form {
	case formJSON, formYAML:
		text, err := encode.Plain(r)
		if err == nil && f.form == formYAML {
			text, err = encode.FromJSON(text)
		}
		if err != nil {
			return fail(exitSoftware, err)
		}
		return written(f.screen.Bytes(text))
	}
	return written(r.WriteText(f.out))
}

func (f *simulation) progress(played, total int) {
	if f.stderr.Redraws() {
		_ = f.stderr.Bytes(fmt.Appendf(nil, "\r%d of %d calls played …", played, total)) // only progress
	}
}

func (f *simulation) clearProgress() {
	if f.stderr.Redraws() {
		_ = f.stderr.Bytes([]byte("\r\x1b[K")) // only progress
	}
}

// fromFile takes calls that were saved.
func (f *simulation) fromFile(cmd *cobra.Command, in *simulate.Input) error {
	if f.against != "" {
		_, text, err := readPolicy(cmd, f.against)
		if err != nil {
			return err
		}
		in.Old = simulate.Policy{File: fileName(f.against), Text: text}
	}
	file := cmd.InOrStdin()
	if f.calls != "-" {
		opened, err := os.Open(f.calls)
		if err != nil {
			return fail(exitUsage, err)
		}
		file = opened
	}
	in.Calls = func(yield func(*engine.Call, error) bool) {
		if closer, ok := file.(io.Closer); ok && f.calls != "-" {
			defer closer.Close() //nolint:errcheck // it was only read
		}
		for call, err := range server.ReadCalls(file) {
			if err != nil {
				err = fail(exitConfig, fmt.Errorf("%s: %w", fileName(f.calls), err))
			}
			if !yield(call, err) {
				return
			}
		}
	}
	return nil
}

// fromServer takes what the server has recorded, with the caps of the runs
// that it names.
func (f *simulation) fromServer(ctx context.Context, in *simulate.Input) error {
	now, err := f.Policies.GetPolicy(ctx, &pb.GetPolicyRequest{})
	if err != nil {
		return err
	}
	in.Old = simulate.Policy{File: fmt.Sprintf("epoch %d", now.GetEpoch()), Text: []byte(now.GetYaml())}
	var calls []*engine.Call
	for call, err := range f.export(ctx, in) {
		if err != nil {
			return err
		}
		calls = append(calls, call)
		if len(calls) > simulate.MaxCalls {
			return simulationError(simulate.ErrTooMany)
		}
		f.runs[call.Run] = true
	}
	if err := f.keep(calls); err != nil {
		return err
	}
	if in.Runs, err = f.caps(ctx); err != nil {
		return err
	}
	in.Calls = func(yield func(*engine.Call, error) bool) {
		for _, call := range calls {
			if !yield(call, nil) {
				return
			}
		}
	}
	return nil
}
