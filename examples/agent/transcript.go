// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/examples/agent/signals"
)

// transcript prints what happens, a line an answer. It prints nothing that
// differs from run to run: no times, no ids.
type transcript struct {
	out    io.Writer
	failed error // the first error of out

	tasks, shapes, calls, refused int
	answers                       map[string]int // by class
	told                          map[string]int // by action
}

func newTranscript(out io.Writer) *transcript {
	return &transcript{out: out, answers: map[string]int{}, told: map[string]int{}}
}

func (t *transcript) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(t.out, format, args...); t.failed == nil {
		t.failed = err
	}
}

// legend says how to read what follows.
func (t *transcript) legend() {
	t.printf("A call is a line: its target, what was heard, what the server makes of that and by\n" +
		"which rule, what the run has used so far, and what the agent is told to do.\n")
}

// begin opens a chapter.
func (t *transcript) begin(chapter string) { t.printf("\n== %s\n", chapter) }

// task opens a task.
func (t *transcript) task(of *task) {
	t.tasks++
	if of.shaped() {
		t.shapes++
	}
	t.printf("\n%3d  %s\n", t.tasks, of.title)
}

// asked prints the answer to an Acquire where it is not a plain yes.
func (t *transcript) asked(a *pb.AcquireResponse) {
	reason := name(a.GetReason().String(), "DECISION_REASON_")
	switch a.GetDecision() {
	case pb.Decision_DECISION_GRANTED:
		if a.GetReason() != pb.DecisionReason_DECISION_REASON_UNSPECIFIED {
			t.printf("     ask → %s instead: %s\n", a.GetPermit().GetTarget(), because(reason, a))
		}
	case pb.Decision_DECISION_WAIT:
		if a.GetReason() != pb.DecisionReason_DECISION_REASON_BACKOFF { // our own clock was early
			t.printf("     ask → WAIT: %s\n", because(reason, a))
		}
	default:
		t.refused++
		t.printf("     ask → DENIED, %s: %s%s\n", name(a.GetAction().String(), "ACTION_"), because(reason, a), balance(a.GetRun()))
	}
}

// because names the reason and who is in the way. A run is only called that:
// its id is another every time.
func because(reason string, a *pb.AcquireResponse) string {
	switch blocker := a.GetBlockedBy(); blocker {
	case "":
		return reason
	case a.GetRun().GetRunId():
		return reason + " of the run"
	default:
		return reason + " of " + blocker
	}
}

// called prints one call: what was heard, what the server makes of it, and what
// it says to do.
func (t *transcript) called(p *pb.Permit, a signals.Answer, r *pb.ReportResponse) {
	t.calls++
	class := name(r.GetClass().String(), "CLASS_")
	t.answers[class]++
	t.told[name(r.GetAction().String(), "ACTION_")]++
	t.printf("     %-13s %-32s %-13s %-17s %-3s %s  %s\n", p.GetTarget(), heard(a), class, r.GetReason(), r.GetRule(),
		strings.TrimSpace(balance(r.GetRun())), directive(r))
}

// total is the table at the end.
func (t *transcript) total(r *pb.Run, reached int) {
	t.begin("in all")
	t.printf("\n")
	row := func(name, value string) { t.printf("     %-24s %s\n", name, value) }
	row("tasks", strconv.Itoa(t.tasks))
	row("shapes of answers", strconv.Itoa(t.shapes))
	row("calls made", strconv.Itoa(t.calls))
	row("calls that got through", strconv.Itoa(reached))
	row("calls refused", strconv.Itoa(t.refused))
	row("classes", counts(t.answers))
	row("directives", counts(t.told))
	row("cap", dollars(runCap))
	row("spent", dollars(r.GetSpent().GetCostMicros()))
	row("held to be spent", dollars(r.GetAssumed().GetCostMicros()))
	row("together", dollars(r.GetSpent().GetCostMicros()+r.GetAssumed().GetCostMicros()))
}

func counts(of map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, of[name]))
	}
	return strings.Join(parts, ", ")
}

// heard is the signal in a few words.
func heard(a signals.Answer) string {
	var words []string
	if s := a.Signal; s != nil {
		if s.HttpStatus != nil {
			words = append(words, strconv.Itoa(int(s.GetHttpStatus())))
		}
		if s.GetBodyCode() != "" {
			words = append(words, s.GetBodyCode())
		}
		if s.GetException() != "" {
			words = append(words, s.GetException()+",", lower(name(s.GetPhase().String(), "CALL_PHASE_")))
		}
	}
	if v := a.Quality.GetVerdict(); v != pb.QualityVerdict_QUALITY_VERDICT_UNSPECIFIED {
		words = append(words, lower(name(v.String(), "QUALITY_VERDICT_")))
	}
	return strings.Join(words, " ")
}

// directive is what the server says to do, and what it did beside.
func directive(r *pb.ReportResponse) string {
	text := name(r.GetAction().String(), "ACTION_")
	if r.GetAction() == pb.Action_ACTION_RETRY {
		text += " in " + round(r.GetDelay())
	}
	if r.GetAction() == pb.Action_ACTION_FALLBACK {
		text += " to " + r.GetNext().GetTarget()
	}
	if r.GetRetryDenied() != pb.DecisionReason_DECISION_REASON_UNSPECIFIED {
		text += ", no retry: " + name(r.GetRetryDenied().String(), "DECISION_REASON_")
	}
	if r.GetBreaker().GetOpenedNow() {
		text += ", breaker OPEN"
	}
	if r.GetDeadLetterId() != "" {
		text += ", dead letter kept"
	}
	if r.GetEscalationId() != "" {
		text += ", a person is asked"
	}
	return text
}

// balance is what the run has used: spent, and held to be spent.
func balance(r *pb.RunSummary) string {
	if r == nil {
		return ""
	}
	text := "  " + dollars(r.GetSpent().GetCostMicros()+r.GetAssumed().GetCostMicros())
	if state := name(r.GetState().String(), "RUN_STATE_"); state != "ACTIVE" {
		text += " " + state
	}
	return text
}

func dollars(micros int64) string { return fmt.Sprintf("$%d.%06d", micros/1_000_000, micros%1_000_000) }

func round(d *durationpb.Duration) string { return d.AsDuration().Round(time.Millisecond).String() }

// name is an enum's value without its prefix.
func name(value, prefix string) string { return strings.TrimPrefix(value, prefix) }

func lower(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", " ") }
