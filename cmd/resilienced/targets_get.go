// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newTargetsGet() *cobra.Command {
	credential := ""
	cmd := talks(&cobra.Command{
		Use:   "get TARGET",
		Short: "Show everything the fleet knows about one target",
		Long: `Show everything the fleet knows about one target.

A target that nobody called yet reads as a fresh one; standard error says so,
in case the name is misspelt.`,
		Example: `  resilienced targets get openai/gpt-x
  resilienced targets get openai/gpt-x -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTargets,
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		got, err := s.Targets.GetTarget(ctx, &pb.GetTargetRequest{Target: args[0], CredentialRef: credential})
		if err != nil {
			return err
		}
		t := got.GetTarget()
		if err := s.warnFresh(ctx, t); err != nil {
			return err
		}
		return s.show(t, func() error { return targetDetails(t).Write(s.screen) }, nil)
	})
	cmd.Flags().StringVar(&credential, "credential", "", "`NAME` of the credential, where policy keeps the target apart by it")
	return cmd
}

// warnFresh says on standard error that a target may not exist at all: the
// server reads a fresh one for every name.
func (s *session) warnFresh(ctx context.Context, t *pb.Target) error {
	if t.GetGeneration() > 0 || t.GetWindow().GetCalls() > 0 || len(t.GetLastTransitions()) > 0 || t.GetForced() != nil || t.GetFleetCooldown() != nil {
		return nil
	}
	listed, err := s.Targets.ListTargets(ctx, &pb.ListTargetsRequest{PageSize: 1, NameGlob: t.GetTarget()})
	if err != nil || len(listed.GetTargets()) > 0 {
		return nil //nolint:nilerr // it is only a hint
	}
	explained, err := s.Policies.ExplainTarget(ctx, &pb.ExplainTargetRequest{Target: t.GetTarget()})
	if err != nil || explained.GetKind() != "" && len(explained.GetMatched()) > 0 {
		return nil //nolint:nilerr // it is only a hint
	}
	return written(s.stderr.Line(fmt.Sprintf("note: no policy names %s, and it was never called or nothing is left of that; this is how a fresh target reads", t.GetTarget())))
}

// details is a table of names and values; empty values are left out.
type details struct{ *terminal.Table }

func newDetails() details {
	return details{terminal.NewTable(terminal.Column{Keep: true}, terminal.Column{Keep: true})}
}

func (d details) add(name, value string) {
	if value != "" {
		d.Row(terminal.Cell{Text: name, Style: terminal.Faint}, terminal.Cell{Text: value})
	}
}

func (d details) styled(name, value string, style terminal.Style) {
	if value != "" {
		d.Row(terminal.Cell{Text: name, Style: terminal.Faint}, terminal.Cell{Text: value, Style: style})
	}
}

func targetDetails(t *pb.Target) details {
	d := newDetails()
	d.add("target", t.GetTarget())
	d.add("credential", t.GetCredentialRef())
	d.styled("state", enum.Word(t.GetEffectiveState()), targetStyle(t.GetEffectiveState()))
	d.add("cause", enum.Word(t.GetCause()))
	d.add("open for", openFor(t))
	if f := t.GetForced(); f != nil {
		d.add("set by", dash(f.GetBy())+": "+f.GetReason())
	}
	d.add("in a row", fmt.Sprintf("%d failures, %d of quality, %d refused credentials", t.GetConsecutiveFailures(), t.GetConsecutiveQuality(), t.GetAuthStreak()))
	if w := t.GetWindow(); w != nil {
		d.add("window", fmt.Sprintf("%d calls, %d failures, %d slow in %s", w.GetCalls(), w.GetFailures(), w.GetSlow(), terminal.Duration(w.GetLength().AsDuration())))
	}
	if c := t.GetFleetCooldown(); c.GetRemaining().AsDuration() > 0 {
		d.add("cooldown", fmt.Sprintf("%s (%s, the target said %q)", terminal.Duration(c.GetRemaining().AsDuration()), c.GetCause(), c.GetRawValue()))
	}
	d.add("slots", slots(t.GetSlots()))
	d.add("retry tokens", milli(t.GetRetryTokensMilli()))
	d.add("openings in a row", positive(t.GetCycles()))
	for _, p := range t.GetProbes() {
		d.add("probe", fmt.Sprintf("%s by %s, %s left", p.GetOperationId(), dash(p.GetReporterId()), terminal.Duration(p.GetRemaining().AsDuration())))
	}
	for _, h := range t.GetHeldReporters() {
		d.add("held reporter", h.GetReporterDigest()+" for "+terminal.Duration(h.GetRemaining().AsDuration()))
	}
	d.add("observed rules", strings.Join(t.GetObserved(), ", "))
	d.add("generation", strconv.FormatUint(t.GetGeneration(), 10))
	for _, change := range t.GetLastTransitions() {
		d.add("changed", age(change.GetAt())+": "+transition(change))
	}
	return d
}

// transition is a change of state in a few words.
func transition(c *pb.TargetTransition) string {
	text := dash(enum.Word(c.GetFrom())) + " → " + dash(enum.Word(c.GetTo()))
	if cause := enum.Word(c.GetCause()); cause != "" {
		text += " (" + cause + ")"
	}
	if c.GetActor() != "" || c.GetReason() != "" {
		text += " by " + dash(c.GetActor()) + ": " + c.GetReason()
	}
	return text
}

// milli writes thousandths.
func milli(n int64) string {
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(float64(n)/1000, 'f', 3, 64), "0"), ".")
}

func positive(n int32) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}
