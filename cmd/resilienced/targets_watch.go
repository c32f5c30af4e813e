// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newTargetsWatch() *cobra.Command {
	return talks(&cobra.Command{
		Use:   "watch [GLOB]",
		Short: "Show the targets, and each change as it happens",
		Long: `Show the targets, and each change as it happens, until it is interrupted.

On a terminal the table is drawn anew with each change. Piped, each change is a
line: its time, the target, its state. With -o json each is a JSON object.`,
		Example: `  resilienced targets watch
  resilienced targets watch 'openai/*'
  resilienced targets watch -o json | jq 'select(.effective_state == "BREAKER_STATE_OPEN")'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTargets,
	}, []string{formTable, formJSON}, func(ctx context.Context, s *session, args []string) error {
		stream, err := s.Targets.WatchTargets(ctx, &pb.WatchTargetsRequest{NameGlob: argument(args)})
		if err != nil {
			return err
		}
		w := &watcher{session: s, seen: map[[2]string]*pb.Target{}}
		for {
			update, err := stream.Recv()
			switch {
			case ctx.Err() != nil:
				return nil //nolint:nilerr // the person has seen enough
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			if err := w.take(update); err != nil {
				return err
			}
		}
	})
}

// watcher shows what a watch sends.
type watcher struct {
	*session
	seen     map[[2]string]*pb.Target
	complete bool
}

func (w *watcher) take(update *pb.WatchTargetsResponse) error {
	for _, t := range update.GetTargets() {
		w.seen[[2]string{t.GetTarget(), t.GetCredentialRef()}] = t
		if err := w.each(t); err != nil {
			return err
		}
	}
	w.complete = w.complete || update.GetSnapshotDone()
	if !w.complete || !w.redraws() {
		return nil
	}
	if err := w.screen.Clear(); err != nil {
		return written(err)
	}
	all := slices.SortedFunc(maps.Values(w.seen), func(a, b *pb.Target) int {
		return cmp.Or(cmp.Compare(a.GetTarget(), b.GetTarget()), cmp.Compare(a.GetCredentialRef(), b.GetCredentialRef()))
	})
	return written(targetsTable(all).Write(w.screen))
}

func (w *watcher) redraws() bool { return w.form == formTable && w.screen.Redraws() }

// each writes one target where the table is not drawn.
func (w *watcher) each(t *pb.Target) error {
	switch {
	case w.redraws():
		return nil
	case w.form == formJSON:
		return w.line(t)
	}
	text := time.Now().UTC().Format(time.RFC3339) + "  " + targetName(t) + "  " + dash(enum.Word(t.GetEffectiveState()))
	if d := openFor(t); d != "" {
		text += " for " + d
	}
	if d := cooldown(t.GetFleetCooldown()); d != "" {
		text += ", cooldown " + d
	}
	if note := targetNote(t); note != "" {
		text += "  " + note
	}
	return written(w.screen.Bytes([]byte(terminal.Clean(text) + "\n")))
}
