// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/simulate"
)

// export reads the recording.
func (f *simulation) export(ctx context.Context, in *simulate.Input) iter.Seq2[*engine.Call, error] {
	return func(yield func(*engine.Call, error) bool) {
		bounded, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := f.Decisions.ExportCalls(bounded, &pb.ExportCallsRequest{Since: durationpb.New(f.since.length)})
		if err != nil {
			yield(nil, err)
			return
		}
		read := 0
		defer f.clearProgress()
		for {
			part, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if part.GetFrom().IsValid() {
				in.Recording.From = rules.At(part.GetFrom().AsTime())
			}
			in.Recording.Missing = part.GetMissing()
			for _, sent := range part.GetCalls() {
				call, err := server.CallFromProto(sent)
				if err != nil {
					err = fail(exitUnavailable, fmt.Errorf("the server sent a call that this version does not understand (resilienced version --server): %w", err))
				}
				if !yield(call, err) || err != nil {
					return
				}
			}
			if read += len(part.GetCalls()); f.stderr.Redraws() {
				_ = f.stderr.Bytes(fmt.Appendf(nil, "\r%d calls read …", read)) // only progress
			}
		}
	}
}

// keep saves a recording: all of it, under its name, or nothing.
func (f *simulation) keep(calls []*engine.Call) error {
	if f.save == "" {
		return nil
	}
	if _, err := os.Stat(f.save); err == nil {
		return fail(exitUsage, fmt.Errorf("%s exists already; name another file, or remove it", f.save))
	}
	file, err := os.CreateTemp(filepath.Dir(f.save), ".calls-")
	if err != nil {
		return fail(exitUnavailable, err)
	}
	err = writeCalls(file, calls)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), f.save)
	}
	if err != nil {
		return fail(exitUnavailable, errors.Join(fmt.Errorf("save the recording: %w", err), os.Remove(file.Name())))
	}
	return written(f.stderr.Line(fmt.Sprintf("%s saved in %s", count(int64(len(calls)), "call"), f.save)))
}

func writeCalls(file io.Writer, calls []*engine.Call) error {
	out := bufio.NewWriter(file)
	for _, call := range calls {
		if err := server.WriteCall(out, call); err != nil {
			return err
		}
	}
	return out.Flush()
}

// caps reads the runs that calls name, and those above them. A run that is
// gone has the defaults of the policy that is played.
func (f *simulation) caps(ctx context.Context) ([]simulate.AgentRun, error) {
	var found []simulate.AgentRun
	seen := map[string]bool{"": true}
	var add func(id string) error
	add = func(id string) error {
		if seen[id] {
			return nil
		}
		seen[id] = true
		got, err := f.Runs.GetRun(ctx, &pb.GetRunRequest{RunId: id})
		if e, ok := client.As(err); ok && e.Kind == client.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		r := got.GetRun()
		found = append(found, simulate.AgentRun{ID: r.GetRunId(), Parent: r.GetParentRunId(), Caps: capsOf(r.GetCaps())})
		return add(r.GetParentRunId())
	}
	for _, id := range slices.Sorted(maps.Keys(f.runs)) {
		if err := add(id); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func capsOf(c *pb.Caps) budget.Caps {
	if c == nil {
		return budget.Caps{}
	}
	return budget.Caps{Cost: c.CostMicros, Tokens: c.Tokens, Calls: c.Calls, WallMS: c.WallMs}
}
