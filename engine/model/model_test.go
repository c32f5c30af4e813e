// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// pick draws one of the values.
func pick[T any](t *rapid.T, label string, values ...T) T {
	return values[rapid.IntRange(0, len(values)-1).Draw(t, label)]
}

// maybe draws one of the values, or nil.
func maybe[T any](t *rapid.T, label string, values ...T) *T {
	i := rapid.IntRange(0, len(values)).Draw(t, label)
	if i == 0 {
		return nil
	}
	return &values[i-1]
}

// drawScenario makes two to four targets, a chain over them and runs with
// parents and caps.
func drawScenario(t *rapid.T) *scenario {
	s := &scenario{Chains: map[string][]levelSpec{}}
	n := rapid.IntRange(2, 4).Draw(t, "targets")
	for i := range n {
		s.Targets = append(s.Targets, drawTarget(t, fmt.Sprintf("t%d", i)))
	}
	kind := 0
	for i := range n {
		s.Chains["c"] = append(s.Chains["c"], levelSpec{s.Targets[i].Name, ranks[kind]})
		kind = rapid.IntRange(max(kind, 1), len(ranks)-1).Draw(t, "kind")
	}
	s.Runs = []runSpec{
		{ID: "root", Cap: maybe(t, "cap", int64(1000), 3000, 500), Calls: maybe(t, "calls", int64(4), 10)},
		{ID: "child", Parent: "root", Cap: maybe(t, "cap", int64(400), 1000, 200)},
		{ID: "leaf", Parent: "child", Cap: maybe(t, "cap", int64(300), 150)},
		{ID: "free"},
	}
	return s
}

func drawTarget(t *rapid.T, name string) targetSpec {
	s := targetSpec{
		Name: name, Kind: pick(t, "preset", "llm", "llm", "llm", "tool", "fast", "action"), Cred: pick(t, "cred", "", "k1", "k2"),
		MaxAttempts: maybe(t, "max_attempts", 1, 2, 4), TaskBudget: maybe(t, "task_budget", 1, 2), Consec: maybe(t, "consec", 2, 3),
		Slots: maybe(t, "slots", 0, 1, 2), Price: maybe(t, "price", int64(0), 10, 50, 100), Ctx: maybe(t, "ctx", int64(1000), 2000),
		RetryNP: rapid.Bool().Draw(t, "retry_np"), DryRun: rapid.IntRange(0, 15).Draw(t, "dry") == 15,
		Floor: maybe(t, "floor", 0, 1000, 2000), Ratio: maybe(t, "ratio", 0, 500), QRetries: maybe(t, "quality_retries", 1, 2),
		CallTimeout: maybe(t, "call_timeout", 5*time.Second, 50*time.Second),
	}
	return s
}

// drawSignal makes a signal of which many are failures.
func drawSignal(t *rapid.T) signal {
	s := signal{HTTP: 200}
	switch rapid.IntRange(0, 9).Draw(t, "signal") {
	case 0, 1:
	case 2, 3:
		s.HTTP = pick(t, "http", 500, 503, 502, 500)
	case 4:
		s.HTTP = pick(t, "http", 400, 401, 403, 404, 408, 409, 413, 425, 501, 525, 402, 422, 529, 418)
	case 5:
		s.HTTP = pick(t, "http", 429, 503, 500, 408, 400)
		s.RetryAfter = maybe(t, "retry_after", 0, time.Second, 5*time.Second, 9*time.Second, 10*time.Second, 40*time.Second, 2*time.Minute)
	case 6:
		s = signal{Exc: pick(t, "exc", "timeout", "timeout", "connect", "dns", "reset", "weird", "refused_stream")}
	case 7:
		s.Quality = pick(t, "quality", "SCHEMA_VIOLATION", "HALLUCINATED_TOOL", "BAD_TOOL_ARGS", "REFUSAL", "EMPTY", "TRUNCATED", "SEMANTIC_FAIL",
			"LOW_CONFIDENCE", "NEEDS_INFO", "NEEDS_AUTHORITY", "AMBIGUOUS_TASK", "COST_COMMITMENT")
	case 8:
		s = signal{GRPC: pick(t, "grpc", "OK", "UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL", "NOT_FOUND",
			"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "CANCELLED")}
	default:
		s = pick(t, "code", signal{HTTP: 400, Code: "context_length_exceeded"}, signal{HTTP: 400, Code: "content_policy_violation"},
			signal{HTTP: 429, Code: "insufficient_quota"}, signal{HTTP: 503, Code: "overloaded_error"}, signal{Cancelled: true})
	}
	return s
}

// script draws the steps of one check.
type script struct {
	p    *pair
	s    *scenario
	ops  map[string]acquireStep // what an operation always asks
	sent map[string]string      // request ids in use
	bias signal
}

func (c *script) acquire(t *rapid.T) {
	name := fmt.Sprintf("o%d", rapid.IntRange(0, 5).Draw(t, "op"))
	step, known := c.ops[name]
	if !known {
		step = acquireStep{
			Op: name, Run: pick(t, "run", "", "root", "child", "leaf", "leaf", "free"), Task: pick(t, "task", "", "k"),
			Idem: pick(t, "idem", "", "", "I", "N"), Chain: "c",
		}
		if rapid.Bool().Draw(t, "single") {
			step.Chain, step.Target = "", c.s.Targets[rapid.IntRange(0, len(c.s.Targets)-1).Draw(t, "target")].Name
		} else {
			step.Pin = maybe(t, "pin", 0, 0, 1)
		}
		c.ops[name] = step
	}
	step.Est = maybe(t, "est", int64(10), 100, 0)
	step.MaxWait = pick(t, "max_wait", 10*time.Second, 0, 100*time.Millisecond)
	step.MaxAttempts = pick(t, "max", 0, 0, 0, 2)
	step.Deadline = pick(t, "deadline", 0, 0, 0, 3*time.Second)
	step.Request = pick(t, "request", "", "", name+"-q")
	if _, err := c.p.acquire(&step); err != nil {
		t.Fatal(err)
	}
}

func (c *script) report(t *rapid.T) {
	open := c.p.reportable()
	if len(open) == 0 {
		t.Skip("nothing to report")
	}
	step := reportStep{Permit: open[rapid.IntRange(0, len(open)-1).Draw(t, "permit")], Sig: c.bias, Cost: maybe(t, "cost", int64(0), 20, 40, 300)}
	if rapid.Bool().Draw(t, "another") {
		step.Sig = drawSignal(t)
	}
	slots := c.p.model.permits[step.Permit-1].target.slots
	if step.Dur = 40 * time.Millisecond; slots == 0 { // waits for slots follow from durations, which the engine keeps coarsely
		step.Dur = pick(t, "dur", 100*time.Millisecond, time.Minute, 10*time.Minute)
	}
	if _, err := c.p.report(&step); err != nil {
		t.Fatal(err)
	}
}

// burst makes new operations that all fail the same way.
func (c *script) burst(t *rapid.T) {
	c.bias = drawSignal(t)
	name := c.s.Targets[rapid.IntRange(0, len(c.s.Targets)-1).Draw(t, "target")].Name
	for i := range rapid.IntRange(1, 6).Draw(t, "n") {
		step := acquireStep{Op: fmt.Sprintf("b%d-%d", len(c.p.trace), i), Target: name, MaxWait: 10 * time.Second, Idem: pick(t, "idem", "", "I")}
		a, err := c.p.acquire(&step)
		if err == nil && a.Permit > 0 {
			_, err = c.p.report(&reportStep{Permit: a.Permit, Sig: c.bias, Dur: 40 * time.Millisecond})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (c *script) advance(t *rapid.T) {
	d := pick(t, "d", time.Second, 500*time.Millisecond, 2*time.Second, 5*time.Second, 9*time.Second, 10*time.Second, 29*time.Second,
		30*time.Second, time.Minute, 2*time.Minute, 5*time.Minute, 10*time.Second, time.Second, 30*time.Second, time.Minute, 0)
	if d == 0 {
		d = pick(t, "long", 15*time.Minute, time.Hour, 24*time.Hour, 31*24*time.Hour)
	}
	if err := c.p.advance(d); err != nil {
		t.Fatal(err)
	}
}

func (c *script) setBreaker(t *rapid.T) {
	name := c.s.Targets[rapid.IntRange(0, len(c.s.Targets)-1).Draw(t, "target")].Name
	if _, err := c.p.setBreaker(name, pick(t, "mode", "AUTO", "AUTO", "AUTO", "FORCED_OPEN", "FORCED_CLOSED", "DISABLED")); err != nil {
		t.Fatal(err)
	}
}

func (c *script) changeRun(t *rapid.T) {
	id := pick(t, "run", c.p.runs...)
	var err error
	if rapid.IntRange(0, 7).Draw(t, "end") < 7 {
		err = c.p.adjust(id, pick(t, "delta", int64(500), 1000, -300))
	} else {
		err = c.p.stop(id, pick(t, "final", "STOPPED", "COMPLETED"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEngineFollowsTheModel drives random sequences through both.
func TestEngineFollowsTheModel(t *testing.T) {
	e := newEngine(t)
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		p, err := newPair(e, s)
		if err != nil {
			t.Fatal(err)
		}
		c := &script{p: p, s: s, ops: map[string]acquireStep{}, sent: map[string]string{}, bias: signal{HTTP: 500}}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": c.acquire, "acquire2": c.acquire, "acquire3": c.acquire, "report": c.report, "report2": c.report, "report3": c.report,
			"acquire4": c.acquire, "report4": c.report, "burst": c.burst, "burst2": c.burst, "burst3": c.burst, "advance": c.advance,
			"advance2": c.advance, "advance3": c.advance, "set_breaker": c.setBreaker, "run": c.changeRun,
			"": func(t *rapid.T) {
				if err := p.compare(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
