// SPDX-License-Identifier: Apache-2.0

package model

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/engine"
)

// TestMain makes the sequences longer and more than rapid would by itself,
// unless the command line says otherwise. The seed in the output is enough to
// repeat a failure.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "300", "rapid.steps": "60", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	flag.Parse()
	os.Exit(m.Run())
}

// below draws a number from 0 up to n, evenly: rapid's own ranges prefer small
// numbers, and sequences of small numbers go nowhere.
func below(t *rapid.T, n int, label string) int {
	v := 0
	for size := 1; size < 4*n; size *= 2 {
		v *= 2
		if rapid.Bool().Draw(t, label) {
			v++
		}
	}
	return v % n
}

// pick draws one of the values.
func pick[T any](t *rapid.T, label string, values ...T) T {
	return values[below(t, len(values), label)]
}

// maybe draws one of the values, or nil.
func maybe[T any](t *rapid.T, label string, values ...T) *T {
	i := below(t, len(values)+1, label)
	if i == 0 {
		return nil
	}
	return &values[i-1]
}

// The themes of a check: what it dwells on.
const (
	mixed = iota
	outages
	money
	retries
	answers
	observed
	themes
)

// drawScenario makes two to four targets, a chain over them and runs with
// parents and caps.
func drawScenario(t *rapid.T, theme int) *scenario {
	s := &scenario{Chains: map[string][]levelSpec{}}
	n := 2 + below(t, 3, "targets")
	for i := range n {
		s.Targets = append(s.Targets, drawTarget(t, fmt.Sprintf("t%d", i), theme))
	}
	kind := 0
	for i := range n {
		s.Chains["c"] = append(s.Chains["c"], levelSpec{s.Targets[i].Name, ranks[kind]})
		kind = max(kind, 1, below(t, len(ranks), "kind"))
	}
	s.Runs = []runSpec{
		{ID: "root", Cap: maybe(t, "cap", int64(1000), 3000, 500), Calls: maybe(t, "calls", int64(4), 10, 20)},
		{ID: "child", Parent: "root", Cap: maybe(t, "cap", int64(400), 1000, 200)},
		{ID: "leaf", Parent: "child", Cap: maybe(t, "cap", int64(300), 150)},
		{ID: "free"},
	}
	return s
}

func drawTarget(t *rapid.T, name string, theme int) targetSpec {
	s := targetSpec{
		Name: name, Kind: pick(t, "preset", "llm", "llm", "llm", "tool", "fast", "action"), Cred: pick(t, "cred", "", "", "k1", "k2"),
		MaxAttempts: maybe(t, "max_attempts", 1, 2, 4), Consec: maybe(t, "consec", 2, 3), Price: maybe(t, "price", int64(0), 10, 50, 100),
		Ctx: maybe(t, "ctx", int64(1000), 2000), RetryNP: rapid.Bool().Draw(t, "retry_np"), QRetries: maybe(t, "quality_retries", 1, 2),
		PerLevel: maybe(t, "retries_per_level", 1),
		DryRun:   below(t, 16, "dry") == 15,
	}
	if theme == observed {
		s.DryRun = below(t, 4, "dry") > 0
	}
	if theme == outages || theme == answers {
		s.Kind, s.Price = pick(t, "preset", "llm", "fast"), nil
		return s
	}
	if theme == money {
		s.Kind, s.Price = "llm", new(pick(t, "price", int64(0), 10, 50, 100))
		if name == "t0" {
			s.Price = new(int64(60))
		}
		return s
	}
	s.TaskBudget, s.Slots = maybe(t, "task_budget", 1, 2), maybe(t, "slots", 0, 1, 2)
	s.Floor, s.Ratio = maybe(t, "floor", 0, 1000, 2000), maybe(t, "ratio", 0, 500)
	s.CallTimeout = maybe(t, "call_timeout", 5*time.Second, 50*time.Second)
	return s
}

// drawSignal makes a signal of which many are failures.
func drawSignal(t *rapid.T) signal {
	s := signal{HTTP: 200}
	switch below(t, 10, "signal") {
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
	theme  int
	newest int // operation
	p      *pair
	s      *scenario
	ops    map[string]acquireStep // what an operation always asks
	bias   signal
}

func (c *script) acquire(t *rapid.T) {
	c.ask(t, c.name(t))
}

// name is that of a new operation or of one of the newest.
func (c *script) name(t *rapid.T) string {
	if back := below(t, 8, "back"); back < 4 {
		return fmt.Sprintf("o%d", max(c.newest-back, 0))
	}
	c.newest++
	return fmt.Sprintf("o%d", c.newest)
}

// ask asks for an operation, which says the same of itself every time.
func (c *script) ask(t *rapid.T, name string) acquireAnswer {
	step, known := c.ops[name]
	if !known {
		step = acquireStep{
			Op: name, Run: pick(t, "run", "", "root", "child", "leaf", "leaf", "free"), Task: pick(t, "task", "", "k"),
			Idem: pick(t, "idem", "", "", "I", "N"), Chain: "c",
		}
		switch c.theme {
		case outages, answers:
			step.Run, step.Idem = "", pick(t, "idem", "", "", "", "N")
		case money:
			step.Run, step.Idem = pick(t, "run", "root", "child", "leaf", "leaf"), ""
		}
		if c.theme != outages && rapid.Bool().Draw(t, "single") {
			step.Chain, step.Target = "", c.s.Targets[below(t, len(c.s.Targets), "target")].Name
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
	a, err := c.p.acquire(&step)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pile leaves a few permits of one target open, granted one after another.
func (c *script) pile(t *rapid.T) {
	name := c.s.Targets[below(t, len(c.s.Targets), "target")].Name
	for i := range 2 + below(t, 4, "n") {
		if _, err := c.p.acquire(&acquireStep{Op: fmt.Sprintf("p%d-%d", len(c.p.trace), i), Target: name}); err != nil {
			t.Fatal(err)
		}
		if err := c.p.advance(pick(t, "gap", 0, time.Second, 3*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

// relay keeps a few calls of one target open while others are reported, so that
// a report may be older than the streak it meets.
func (c *script) relay(t *rapid.T) {
	name := c.s.Targets[below(t, len(c.s.Targets), "target")].Name
	kind := pick(t, "kind", signal{HTTP: 200, Quality: "SCHEMA_VIOLATION"}, signal{HTTP: 401}, signal{HTTP: 500})
	var open []int
	for i := range 10 {
		a, err := c.p.acquire(&acquireStep{Op: fmt.Sprintf("r%d-%d", len(c.p.trace), i), Target: name, Idem: "I"})
		if err == nil && a.Permit > 0 {
			open = append(open, a.Permit)
		}
		if err == nil {
			err = c.p.advance(pick(t, "gap", 0, 500*time.Millisecond))
		}
		if err == nil && len(open) > 0 && below(t, 4, "report") > 0 {
			k := below(t, len(open), "which")
			sig := kind
			if below(t, 4, "good") == 3 {
				sig = signal{HTTP: 200}
			}
			_, err = c.p.report(&reportStep{Permit: open[k], Sig: sig, Dur: 40 * time.Millisecond})
			open = slices.Delete(open, k, k+1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// crowd makes as many calls as the rate window wants, over a minute or so.
func (c *script) crowd(t *rapid.T) {
	name := c.s.Targets[below(t, len(c.s.Targets), "target")].Name
	odds := 1 + below(t, 4, "odds")
	for i := range 22 {
		a, err := c.p.acquire(&acquireStep{Op: fmt.Sprintf("w%d-%d", len(c.p.trace), i), Target: name, Idem: "I"})
		sig := signal{HTTP: 200}
		if i%4 < odds {
			sig.HTTP = 500
		}
		if err == nil && a.Permit > 0 {
			_, err = c.p.report(&reportStep{Permit: a.Permit, Sig: sig, Dur: 40 * time.Millisecond})
		}
		if err == nil {
			err = c.p.advance(pick(t, "gap", 0, time.Second, 3*time.Second, 4*time.Second))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// follow does what a directive said: it waits, asks and reports.
func (c *script) follow(t *rapid.T) {
	for back := range 9 {
		name := fmt.Sprintf("o%d", c.newest-back)
		o := c.p.model.ops[name]
		if o == nil || !o.promised || rapid.Bool().Draw(t, "other") {
			continue
		}
		if wait := o.notBefore - c.p.model.now; wait > 0 {
			if err := c.p.advance(wait); err != nil {
				t.Fatal(err)
			}
		}
		a := c.ask(t, name)
		if a.Permit > 0 && below(t, 4, "give back") == 3 {
			if err := c.p.release(a.Permit); err != nil {
				t.Fatal(err)
			}
			a = c.ask(t, name)
		}
		if a.Permit == 0 {
			return
		}
		sig := c.bias
		if below(t, 4, "refused") == 3 {
			sig = signal{Exc: "refused_stream"}
		}
		c.tell(t, &reportStep{Permit: a.Permit, Sig: sig, Dur: 40 * time.Millisecond, Cost: maybe(t, "cost", int64(0), 20)})
		return
	}
	t.Skip("nothing was promised")
}

// hold sends a heartbeat, or gives a permit back.
func (c *script) hold(t *rapid.T) {
	open := c.p.reportable()
	if len(open) == 0 {
		t.Skip("nothing is held")
	}
	number := open[below(t, len(open), "permit")]
	do := c.p.heartbeat
	if below(t, 4, "release") == 0 {
		do = c.p.release
	}
	if err := do(number); err != nil {
		t.Fatal(err)
	}
}

func (c *script) tell(t *rapid.T, step *reportStep) {
	if below(t, 4, "another") == 3 {
		step.Sig = drawSignal(t)
	}
	if _, err := c.p.report(step); err != nil {
		t.Fatal(err)
	}
}

func (c *script) report(t *rapid.T) {
	open := c.p.reportable()
	if len(open) == 0 {
		t.Skip("nothing to report")
	}
	step := reportStep{Permit: open[below(t, len(open), "permit")], Sig: c.bias, Cost: maybe(t, "cost", int64(0), 20, 40, 300)}
	if c.theme == answers {
		step.Sig = pick(t, "answer", signal{HTTP: 200}, signal{HTTP: 401}, signal{HTTP: 500}, signal{HTTP: 200, Quality: "SCHEMA_VIOLATION"})
	}
	if c.theme == money {
		step.Cost = pick(t, "cost", nil, new(int64(60)), new(int64(80)))
		step.Sig = signal{HTTP: 200}
	}
	slots := c.p.model.permits[step.Permit-1].target.slots
	if step.Dur = 40 * time.Millisecond; slots == 0 { // waits for slots follow from durations, which the engine keeps coarsely
		step.Dur = pick(t, "dur", 100*time.Millisecond, time.Minute, 10*time.Minute)
	}
	c.tell(t, &step)
}

// burst makes new operations that all fail the same way.
func (c *script) burst(t *rapid.T) {
	if c.bias = drawSignal(t); below(t, 4, "silent") == 3 {
		c.bias = signal{Exc: "timeout"}
	}
	chain, run := "", ""
	if below(t, 2, "chain") == 1 {
		chain = "c"
	}
	if c.theme == money {
		run, c.bias = pick(t, "run", "root", "child", "leaf"), signal{HTTP: 200}
	}
	name := c.s.Targets[below(t, len(c.s.Targets), "target")].Name
	for i := range 1 + below(t, 6, "n") {
		step := acquireStep{Op: fmt.Sprintf("b%d-%d", len(c.p.trace), i), Target: name, Chain: chain, Run: run, MaxWait: 10 * time.Second, Idem: pick(t, "idem", "", "I")}
		if chain != "" {
			step.Target = ""
		}
		a, err := c.p.acquire(&step)
		if err == nil && a.Permit > 0 {
			_, err = c.p.report(&reportStep{Permit: a.Permit, Sig: c.bias, Dur: 40 * time.Millisecond, Cost: maybe(t, "cost", int64(20))})
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
	name := c.s.Targets[below(t, len(c.s.Targets), "target")].Name
	if _, err := c.p.setBreaker(name, pick(t, "mode", "AUTO", "AUTO", "AUTO", "AUTO", "AUTO", "FORCED_OPEN", "FORCED_CLOSED", "DISABLED")); err != nil {
		t.Fatal(err)
	}
}

func (c *script) changeRun(t *rapid.T) {
	id := pick(t, "run", c.p.runs...)
	var err error
	if below(t, 20, "end") < 19 {
		err = c.p.adjust(id, pick(t, "delta", int64(500), 1000, -300))
	} else {
		err = c.p.stop(id, pick(t, "final", "STOPPED", "COMPLETED"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEngineFollowsTheModel drives random sequences through both.
func TestEngineFollowsTheModel(t *testing.T) { follow(t, []*engine.Engine{newEngine(t)}) }

// TestReplicasFollowTheModel sends each step to another of three replicas.
func TestReplicasFollowTheModel(t *testing.T) { follow(t, newReplicas(t, 3)) }

func follow(t *testing.T, e []*engine.Engine) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		theme := below(t, themes, "theme")
		s := drawScenario(t, theme)
		p, err := newPair(e, s)
		if err != nil {
			t.Fatal(err)
		}
		c := &script{p: p, s: s, ops: map[string]acquireStep{}, theme: theme, bias: signal{HTTP: 500}}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": c.acquire, "acquire2": c.acquire, "acquire3": c.acquire, "report": c.report, "report2": c.report, "report3": c.report,
			"acquire4": c.acquire, "report4": c.report, "burst": c.burst, "burst2": c.burst, "burst3": c.burst, "follow": c.follow, "follow2": c.follow,
			"follow3": c.follow, "advance": c.advance,
			"advance2": c.advance, "advance3": c.advance, "pile": c.pile, "relay": c.relay, "relay2": c.relay, "crowd": c.crowd, "set_breaker": c.setBreaker, "hold": c.hold, "hold2": c.hold,
			"run": c.changeRun,
			"": func(t *rapid.T) {
				if err := p.compare(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
