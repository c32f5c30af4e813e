// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// patterns returns what was seen as "kind: pattern [drills]".
func patterns(r Report) []string {
	var all []string
	for _, k := range r.Kinds {
		for _, p := range k.Patterns {
			all = append(all, k.Kind+": "+p.Name+" ["+strings.Join(p.Drills, " ")+"]")
		}
	}
	return all
}

func TestKindsOfCalls(t *testing.T) {
	f := &fakeConn{}
	granting(f, retries)
	retried := func(expect string) string {
		return wrap(
			"{acquire: {op: o, target: t, as: a}}", "{report: {permit: a, sig: {http: 503}}, expect: {"+expect+"}}",
			"{acquire: {op: o, target: t, as: b}}", "{report: {permit: b}, expect: {action: CONTINUE}}",
		)
	}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"seen and expected", retried("action: RETRY"), []string{"transient: RETRY with backoff [X]", "transient: RETRY with backoff, then success [X]"}},
		{"seen only", retried("class: TRANSIENT"), nil},
		{"another operation succeeded", strings.Replace(retried("action: RETRY"), "op: o, target: t, as: b", "op: p, target: t, as: b", 1), []string{"transient: RETRY with backoff [X]"}},
		{"the drill failed", retried("action: RETRY, delay_ms: 1") + "", nil},
		{"in a burst", wrap("{burst: {op: o, n: 2, target: t, sig: {http: 503}}, expect: {actions: {RETRY: 2}}}"), []string{"transient: RETRY with backoff [X]"}},
		{"in a burst, not counted", wrap("{burst: {op: o, n: 2, target: t, sig: {http: 503}}, expect: {granted: 2}}"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			same(t, "patterns", c.want, patterns(runAll(t, f, c.text)))
		})
	}
}

func TestKindsOfReports(t *testing.T) {
	const (
		deadLetter = pb.Action_ACTION_DEAD_LETTER
		fallback   = pb.Action_ACTION_FALLBACK
		retry      = pb.Action_ACTION_RETRY
	)
	for _, c := range []struct {
		name   string
		answer *pb.ReportResponse
		expect string
		want   []string
	}{
		{"retry without backoff", &pb.ReportResponse{Class: pb.Class_CLASS_TRANSIENT, Action: retry}, "action: RETRY", nil},
		{"escalate", &pb.ReportResponse{Class: pb.Class_CLASS_UNRECOVERABLE, Action: pb.Action_ACTION_ESCALATE}, "action: ESCALATE", []string{"unrecoverable: ESCALATE to a person [X]"}},
		{"fall back", &pb.ReportResponse{Class: pb.Class_CLASS_PERSISTENT, Action: fallback}, "action: FALLBACK", []string{"persistent: FALLBACK to another target [X]"}},
		{"dead letter", &pb.ReportResponse{Class: pb.Class_CLASS_TRANSIENT, Action: deadLetter, RetryDenied: pb.DecisionReason_DECISION_REASON_ATTEMPTS_EXHAUSTED}, "action: DEAD_LETTER", []string{"persistent: DEAD_LETTER when no retry is left [X]"}},
		{"dead letter at once", &pb.ReportResponse{Class: pb.Class_CLASS_TRANSIENT, Action: deadLetter}, "action: DEAD_LETTER", nil},
		{"dead letter of the unknown", &pb.ReportResponse{Class: pb.Class_CLASS_UNKNOWN, Action: deadLetter}, "action: DEAD_LETTER", nil},
		{"bad answer", &pb.ReportResponse{Class: pb.Class_CLASS_QUALITY, Action: fallback}, "action: FALLBACK", []string{"quality: FALLBACK to another target [X]"}},
		{"opened by bad answers", &pb.ReportResponse{Class: pb.Class_CLASS_QUALITY, Breaker: &pb.BreakerView{OpenedNow: true}}, "opened: true", []string{"quality: breaker opened [X]"}},
		{"opened by failures", &pb.ReportResponse{Class: pb.Class_CLASS_TRANSIENT, Breaker: &pb.BreakerView{OpenedNow: true}}, "opened: true", []string{"persistent: breaker opened [X]"}},
		{"opened, not expected", &pb.ReportResponse{Class: pb.Class_CLASS_TRANSIENT, Breaker: &pb.BreakerView{OpenedNow: true}}, "class: TRANSIENT", nil},
		{"downshift", &pb.ReportResponse{Class: pb.Class_CLASS_PRESSURE, Action: fallback}, "action: FALLBACK", []string{"rate/cost: FALLBACK to another level [X]"}},
		{"stay", &pb.ReportResponse{Class: pb.Class_CLASS_PRESSURE, Action: retry, Delay: durationpb.New(1)}, "action: RETRY", []string{"rate/cost: RETRY after the wait that was asked for [X]"}},
		{"stop", &pb.ReportResponse{Class: pb.Class_CLASS_DETERMINISTIC, Action: pb.Action_ACTION_STOP}, "action: STOP", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeConn{}
			granting(f, func(*pb.ReportRequest) (*pb.ReportResponse, error) { return c.answer, nil })
			report := runAll(t, f, wrap("{acquire: {op: o, target: t, as: a}}", "{report: {permit: a}, expect: {"+c.expect+"}}"))
			wantOK(t, report.Results[0])
			same(t, "patterns", c.want, patterns(report))
		})
	}
}

func TestKindsOfAnswers(t *testing.T) {
	const wait, denied = pb.Decision_DECISION_WAIT, pb.Decision_DECISION_DENIED
	for _, c := range []struct {
		name   string
		step   string
		answer *pb.AcquireResponse
		want   []string
	}{
		{"breaker", "reason: BREAKER_OPEN", &pb.AcquireResponse{Decision: denied, Reason: pb.DecisionReason_DECISION_REASON_BREAKER_OPEN}, []string{"persistent: refused at once with BREAKER_OPEN [X]"}},
		{"breaker, not expected", "decision: DENIED", &pb.AcquireResponse{Decision: denied, Reason: pb.DecisionReason_DECISION_REASON_BREAKER_OPEN}, nil},
		{"cooldown", "reason: COOLDOWN", &pb.AcquireResponse{Decision: wait, Reason: pb.DecisionReason_DECISION_REASON_COOLDOWN}, []string{"rate/cost: the fleet waits (COOLDOWN) [X]"}},
		{"budget", "reason: RUN_BUDGET", &pb.AcquireResponse{Decision: denied, Reason: pb.DecisionReason_DECISION_REASON_RUN_BUDGET}, []string{"rate/cost: no grant above the cap (RUN_BUDGET) [X]"}},
		{"stop", "reason: RUN_EXHAUSTED", &pb.AcquireResponse{Decision: denied, Reason: pb.DecisionReason_DECISION_REASON_RUN_EXHAUSTED}, []string{"rate/cost: hard stop (RUN_EXHAUSTED) [X]"}},
		{"pressure", "reason: COST_PRESSURE", &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED, Reason: pb.DecisionReason_DECISION_REASON_COST_PRESSURE}, []string{"rate/cost: a cheaper level (COST_PRESSURE) [X]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeConn{}
			on(f, "PermitService.Acquire", func(*pb.AcquireRequest) (*pb.AcquireResponse, error) { return c.answer, nil })
			report := runAll(t, f, wrap("{acquire: {op: o, target: t}, expect: {"+c.step+"}}"))
			wantOK(t, report.Results[0])
			same(t, "patterns", c.want, patterns(report))
		})
	}
}

// TestKindsOfObjects goes by answers: this version has no calls that give some
// of them.
func TestKindsOfObjects(t *testing.T) {
	for _, c := range []struct {
		step string
		got  answer
		want []string
	}{
		{"breaker: {target: t}, expect: {state: OPEN}", answer{"state": "OPEN", "cause": "QUALITY"}, []string{"quality: breaker opened [X]"}},
		{"breaker: {target: t}, expect: {cause: AUTH}", answer{"state": "OPEN", "cause": "AUTH"}, []string{"persistent: breaker opened [X]"}},
		{"breaker: {target: t}, expect: {open_ms: 5}", answer{"state": "OPEN", "cause": "AUTH"}, nil},
		{"breaker: {target: t}, expect: {state: CLOSED}", answer{"state": "CLOSED"}, nil},
		{"esc_wait: {id: e}, expect: {state: DEFAULTED}", answer{"state": "DEFAULTED"}, []string{"unrecoverable: the default at the deadline [X]"}},
		{"esc_wait: {id: e}, expect: {decision: approve}", answer{"state": "DECIDED"}, []string{"unrecoverable: a person's decision [X]"}},
		{"esc_wait: {id: e}, expect: {occ: 1}", answer{"state": "DECIDED"}, nil},
		{
			"batch_report: {id: B, results: {}}, expect: {committed: [a], retry: [b], dead_lettered: [c]}",
			answer{"committed": []string{"a"}, "retry": []string{"b"}, "dead_lettered": []string{"c"}},
			[]string{"partial: successes committed [X]", "partial: only the failed slice retried [X]", "partial: fatal items dead-lettered [X]"},
		},
		{"batch_report: {id: B, results: {}}, expect: {retry: []}", answer{"committed": []string{"a"}}, nil},
	} {
		t.Run(c.step, func(t *testing.T) {
			s := parse("x.yaml", []byte(wrap("{"+c.step+"}")))
			if len(s.Faults) > 0 {
				t.Fatal(s.Faults)
			}
			one, all := newSightings(), newSightings()
			one.note(s.steps[0], []event{{s.steps[0].verb, "", c.got}})
			all.add("X", one)
			same(t, "patterns", c.want, patterns(Report{Kinds: all.kinds()}))
		})
	}
}
