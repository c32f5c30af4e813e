// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

const (
	defaultMaxWait  = 10 * time.Second
	defaultDuration = 100 * time.Millisecond
	maxBurst        = 100_000 // operations of a burst
)

// permitVerbs are the verbs of PermitService.
func permitVerbs() []verb {
	acquire := []param{
		may("target", argText), may("chain", argText), may("as", argText), may("run", argText), may("task", argText),
		may("est", argNumber), may("max_attempts", argNumber), may("max_wait", argDuration), may("request_id", argText),
		{name: "idem", kind: argText, words: []string{"I", "N"}},
	}
	report := []param{may("sig", argSignal), may("ms", argDuration), may("cost", argNumber)}
	return []verb{
		{
			name: "acquire", rpc: "PermitService.Acquire", do: doAcquire,
			params: slices.Concat([]param{may("op", argText)}, acquire),
			fields: slices.Concat(texts("decision", "reason", "target", "blocked_by", "would", "permit"),
				millis("delay_ms"), numbers("attempt", "level"), flags("probe", "degraded", "terminal")),
		},
		{
			name: "report", rpc: "PermitService.Report", do: doReport,
			params: slices.Concat([]param{required("permit", argText)}, report),
			fields: slices.Concat(texts("class", "reason", "action", "target", "not_counted_because", "retry_denied", "dl", "esc"),
				millis("delay_ms"), numbers("level"), flags("counted", "opened", "terminal")),
		},
		{
			name: "burst", rpc: "PermitService.Acquire", do: doBurst,
			params: slices.Concat([]param{required("op", argText), required("n", argNumber)}, acquire, report),
			fields: []field{{"granted", fieldNumber}, {"actions", fieldCounts}},
		},
	}
}

func doAcquire(ctx context.Context, s *session, a args) (answer, error) {
	ans, _, err := acquire(ctx, s, a, a.text("op"))
	return ans, err
}

// acquire asks for one attempt. The permit has no id unless it was granted.
func acquire(ctx context.Context, s *session, a args, operation string) (answer, permit, error) {
	req := &pb.AcquireRequest{
		RequestId:   s.requestID(a.text("request_id")),
		RunId:       a.text("run"),
		TaskId:      a.text("task"),
		OperationId: operation,
		Target:      a.text("target"),
		Chain:       a.text("chain"),
		MaxWait:     durationpb.New(a.duration("max_wait", defaultMaxWait)),
	}
	switch a.text("idem") {
	case "I":
		req.Idempotency = pb.Idempotency_IDEMPOTENCY_IDEMPOTENT
	case "N":
		req.Idempotency = pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT
	}
	if cost := a.optional("est"); cost != nil {
		req.Estimate = &pb.Estimate{CostMicros: cost}
	}
	if most := a.optional("max_attempts"); most != nil {
		req.MaxAttempts = new(int32(min(max(*most, math.MinInt32), math.MaxInt32)))
	}
	resp, err := pb.NewPermitServiceClient(s.conn).Acquire(ctx, req)
	if err != nil {
		return nil, permit{}, err
	}
	granted := resp.GetPermit()
	p := permit{granted.GetPermitId(), granted.GetOperationId(), granted.GetFence()}
	if p.operation == "" {
		p.operation = operation
	}
	if resp.GetDecision() == pb.Decision_DECISION_GRANTED && p.id != "" {
		s.bind(a.text("as"), p)
	}
	ans := answer{
		"decision":   enum.Word(resp.GetDecision()),
		"reason":     enum.Word(resp.GetReason()),
		"delay_ms":   resp.GetDelay().AsDuration().Milliseconds(),
		"attempt":    int64(granted.GetAttempt()),
		"target":     granted.GetTarget(),
		"level":      int64(granted.GetLevel()),
		"probe":      granted.GetIsProbe(),
		"degraded":   granted.GetDegraded(),
		"blocked_by": resp.GetBlockedBy(),
		"terminal":   resp.GetTerminal(),
		"would":      enum.Word(resp.GetWould().GetReason()),
		"permit":     s.named[p.id],
	}
	s.events = append(s.events, event{"acquire", p.operation, ans})
	return ans, p, nil
}

func doReport(ctx context.Context, s *session, a args) (answer, error) {
	name := a.text("permit")
	p, ok := s.permits[name]
	if !ok {
		return nil, fmt.Errorf("no permit is named %q%s; an acquire gives the name of its \"as\" when it is granted",
			name, didYouMean(name, keys(s.permits)))
	}
	return report(ctx, s, a, p)
}

// report tells how an attempt went.
func report(ctx context.Context, s *session, a args, p permit) (answer, error) {
	sig, _ := a["sig"].(signal)
	if !a.has("sig") {
		sig.http = new(int64(200))
	}
	req := &pb.ReportRequest{
		RequestId: s.requestID(""),
		PermitId:  p.id,
		Fence:     p.fence,
		Duration:  durationpb.New(a.duration("ms", defaultDuration)),
		// With an envelope, so that it may become a dead letter.
		DeadLetter: &pb.DeadLetterEnvelope{Context: []byte("{}")},
	}
	sig.into(req)
	if cost := a.optional("cost"); cost != nil {
		req.Usage = &pb.Usage{CostMicros: cost}
	}
	resp, err := pb.NewPermitServiceClient(s.conn).Report(ctx, req)
	if err != nil {
		return nil, err
	}
	escalation, err := s.escalation(ctx, resp.GetEscalationId(), p.operation)
	if err != nil {
		return nil, err
	}
	ans := answer{
		"class":               enum.Word(resp.GetClass()),
		"reason":              resp.GetReason(),
		"action":              enum.Word(resp.GetAction()),
		"delay_ms":            resp.GetDelay().AsDuration().Milliseconds(),
		"target":              resp.GetNext().GetTarget(),
		"level":               int64(resp.GetNext().GetLevel()),
		"counted":             resp.GetCounted(),
		"not_counted_because": enum.Word(resp.GetNotCountedBecause()),
		"opened":              resp.GetBreaker().GetOpenedNow(),
		"retry_denied":        enum.Word(resp.GetRetryDenied()),
		"dl":                  s.letter(resp.GetDeadLetterId(), p.operation),
		"esc":                 escalation,
		"terminal":            resp.GetTerminal(),
	}
	s.events = append(s.events, event{"report", p.operation, ans})
	return ans, nil
}

// doBurst makes operations one after another, each an acquire and, if it is
// granted, a report. Directives are counted and not followed.
func doBurst(ctx context.Context, s *session, a args) (answer, error) {
	n := a.number("n")
	if n < 0 || n > maxBurst {
		return nil, fmt.Errorf("a burst has 0 to %d operations, not %d", maxBurst, n)
	}
	var granted int64
	actions := make(map[string]int64)
	for i := range n {
		operation := a.text("op") + strconv.FormatInt(i, 10)
		ans, p, err := acquire(ctx, s, a, operation)
		if err != nil {
			return nil, fmt.Errorf("operation %s: %w", operation, err)
		}
		if ans.text("decision") != "GRANTED" {
			actions[ans.text("reason")]++
			continue
		}
		granted++
		if ans, err = report(ctx, s, a, p); err != nil {
			return nil, fmt.Errorf("operation %s: %w", operation, err)
		}
		actions[ans.text("action")]++
	}
	return answer{"granted": granted, "actions": actions}, nil
}
