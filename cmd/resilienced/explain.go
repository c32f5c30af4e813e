// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func newExplain() *cobra.Command {
	return talks(&cobra.Command{
		Use:   "explain ID",
		Short: "Say why a call was granted, delayed or refused",
		Long: `Say why: ID is the id of a decision, as every answer carries one, or the id of a
permit. Which of the two it is is found out.

A decision that is no longer in the log is explained from what its id says by
itself: reason, rule, policy epoch and blocker.`,
		Example: `  resilienced explain dAQECAwQ
  resilienced decisions --target openai/gpt-x
  resilienced acquire openai/gpt-x -o json | jq -r .decision_id | xargs resilienced explain`,
		Args: cobra.ExactArgs(1),
	}, answers(), func(ctx context.Context, s *session, args []string) error {
		got, err := s.explain(ctx, args[0])
		if err != nil {
			return err
		}
		return s.show(got, func() error { return s.explanation(got) }, nil)
	})
}

// explain asks for a decision, and for a permit if the id is no decision's.
func (s *session) explain(ctx context.Context, id string) (*pb.ExplainDecisionResponse, error) {
	got, err := s.Decisions.ExplainDecision(ctx, &pb.ExplainDecisionRequest{Key: &pb.ExplainDecisionRequest_DecisionId{DecisionId: id}})
	if !notAnID(err) {
		return got, err
	}
	got, err = s.Decisions.ExplainDecision(ctx, &pb.ExplainDecisionRequest{Key: &pb.ExplainDecisionRequest_PermitId{PermitId: id}})
	if notAnID(err) {
		return nil, fail(exitNotFound, errors.New("that is the id of no decision and of no permit of this namespace; "+
			"copy it whole, and name the namespace with --namespace if the call was made in another one"))
	}
	if e, ok := client.As(err); ok && e.Kind == client.NotFound {
		return nil, fail(exitNotFound, errors.New("that permit's operation has no record any more, so nothing is known of it; "+
			"a decision's id explains itself for ever"))
	}
	return got, err
}

func notAnID(err error) bool {
	e, ok := client.As(err)
	return ok && e.Kind == client.Usage
}

func (s *session) explanation(got *pb.ExplainDecisionResponse) error {
	if err := s.screen.Line(got.GetText()); err != nil {
		return err
	}
	d := decisionDetails(got.GetRecord())
	d.add("known from", enum.Word(got.GetSource()))
	return d.Write(s.screen)
}

func decisionDetails(r *pb.DecisionRecord) details {
	d := newDetails()
	d.add("decision id", r.GetDecisionId())
	d.add("asked", enum.Word(r.GetKind()))
	d.add("when", age(r.GetAt()))
	d.styled("decision", enum.Word(r.GetDecision()), decisionStyle(r.GetDecision()))
	d.add("reason", enum.Word(r.GetReason()))
	d.add("class", enum.Word(r.GetClass()))
	d.add("signal", r.GetSignalReason())
	d.add("action", enum.Word(r.GetAction()))
	d.add("rule", r.GetRule())
	d.add("blocked by", r.GetBlockedBy())
	if r.GetDelay().AsDuration() > 0 {
		d.add("delay", terminal.Duration(r.GetDelay().AsDuration()))
	}
	if c := r.GetCompared(); c != nil {
		d.add("compared", fmt.Sprintf("%s: %d against %d", c.GetQuantity(), c.GetHave(), c.GetLimit()))
	}
	if r.GetPolicyEpoch() > 0 {
		d.add("policy epoch", strconv.FormatInt(r.GetPolicyEpoch(), 10))
	}
	d.add("target", level(r.GetTarget(), r.GetLevel()))
	d.add("next", nextLevel(r.GetNext()))
	d.add("run", r.GetRunId())
	d.add("task", r.GetTaskId())
	d.add("operation", r.GetOperationId())
	d.add("attempt", positive(r.GetAttempt()))
	d.add("permit", r.GetPermitId())
	d.add("reporter", r.GetReporterId())
	d.add("would have been", would(r.GetWould()))
	for _, l := range r.GetSkipped() {
		d.add("skipped", skippedLevel(l))
	}
	if n := r.GetSuppressed(); n > 0 {
		d.add("stands for", fmt.Sprintf("%d more like it in the same second", n))
	}
	return d
}

func decisionStyle(d pb.Decision) terminal.Style {
	switch d {
	case pb.Decision_DECISION_GRANTED:
		return terminal.Good
	case pb.Decision_DECISION_WAIT:
		return terminal.Warn
	case pb.Decision_DECISION_DENIED:
		return terminal.Bad
	case pb.Decision_DECISION_UNSPECIFIED:
	}
	return terminal.Plain
}

func level(target string, level int32) string {
	if level == 0 {
		return target
	}
	return fmt.Sprintf("%s (level %d)", target, level)
}

func nextLevel(n *pb.NextLevel) string {
	if n == nil {
		return ""
	}
	return level(n.GetTarget(), n.GetLevel())
}

// would is what an observed rule would have answered.
func would(w *pb.WouldDecision) string {
	if w == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s by %s); the rule is observed and refuses nothing", enum.Word(w.GetDecision()), enum.Word(w.GetReason()), dash(w.GetRule()))
}

func skippedLevel(l *pb.SkippedLevel) string {
	text := level(l.GetTarget(), l.GetLevel()) + ": " + enum.Word(l.GetReason())
	if d := l.GetDelay().AsDuration(); d > 0 {
		text += " for " + terminal.Duration(d)
	}
	return text
}
