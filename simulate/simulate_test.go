// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/simulate"
)

// start is when the recordings of these tests begin.
var start = rules.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

// calls gives a recording to a simulation.
func calls(list ...*engine.Call) func(func(*engine.Call, error) bool) {
	return func(yield func(*engine.Call, error) bool) {
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// call is a call of an operation of its own that cost a dollar.
func call(i int, at time.Duration, status int) *engine.Call {
	c := &engine.Call{
		AcquiredAt: start.Add(at), ReportedAt: start.Add(at + 100*time.Millisecond), Target: "api",
		Operation: fmt.Sprintf("o%d", i), Idempotency: operation.Idempotent,
		Signal: classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: status, Duration: 100 * time.Millisecond},
		Usage:  budget.Usage{Cost: new(int64(1_000_000))},
	}
	if status >= 400 {
		c.Signal.Outcome = classify.OutcomeFailure
	}
	return c
}

func text(s string) simulate.Policy { return simulate.Policy{Text: []byte(s)} }

func run(t *testing.T, in simulate.Input) *simulate.Result {
	t.Helper()
	r, err := simulate.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Targets) > 0 {
		var calls, refused int64
		for _, x := range r.Targets {
			calls, refused = calls+x.Calls, refused+x.New.Denied+x.New.Waits
		}
		if calls != r.Calls || calls != r.Totals.Calls || refused != r.Totals.New.Denied+r.Totals.New.Waits ||
			r.Totals.New.Granted+refused != calls {
			t.Errorf("targets do not add up to the totals: %+v", r.Totals)
		}
	}
	return r
}

// side is what matters of a Side.
func side(s simulate.Side) string {
	return fmt.Sprintf("granted %d denied %d waits %d early %d cost %d not spent %d put off %d unpriced %d opened %d for %d runs %d",
		s.Granted, s.Denied, s.Waits, s.Early, s.CostMicros, s.NotSpentMicros, s.PutOffMicros, s.Unpriced, s.Opened, s.OpenMS, s.RunsStopped)
}

func reasons(list []simulate.Refusal) string {
	var out strings.Builder
	for _, f := range list {
		fmt.Fprintf(&out, "%s %s %d $%d;", f.Decision, f.Reason, f.Calls, f.CostMicros/1_000_000)
	}
	return out.String()
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s\n is %s\nnot %s", what, got, want)
	}
}

// outage is five failures, a second apart, then four good calls, and one long
// after.
func outage() []*engine.Call {
	var list []*engine.Call
	for i := range 9 {
		status := 503
		if i >= 5 {
			status = 200
		}
		list = append(list, call(i, time.Duration(i)*time.Second, status))
	}
	return append(list, call(9, time.Minute, 200))
}

// Five failures open the breaker at the fifth report. With a threshold of
// three it opens two seconds earlier and refuses two calls more. It is probed
// and closed by the last call.
func TestAnEarlierBreakerRefusesMore(t *testing.T) {
	r := run(t, simulate.Input{
		Calls: calls(outage()...), New: text("version: 1\ntargets: [{match: api, preset: llm, breaker: {consecutive_failures: 3}}]"),
	})
	want(t, "old", side(r.Totals.Old), "granted 6 denied 4 waits 0 early 0 cost 6000000 not spent 4000000 put off 0 unpriced 0 opened 1 for 56000 runs 0")
	want(t, "new", side(r.Totals.New), "granted 4 denied 6 waits 0 early 0 cost 4000000 not spent 6000000 put off 0 unpriced 0 opened 1 for 58000 runs 0")
	want(t, "reasons", reasons(r.Totals.New.Refusals), "DENIED BREAKER_OPEN 6 $6;")
	if r.Totals.NewlyRefused != 2 || r.Totals.NewlyGranted != 0 || r.Calls != 10 || r.Lost != 0 || len(r.Targets) != 1 || r.Targets[0].Target != "api" {
		t.Errorf("result %+v", r)
	}
	o := r.Totals.New.Openings[0]
	if o.At != start.Add(2100*time.Millisecond).Time() || o.ClosedAt == nil || *o.ClosedAt != start.Add(60100*time.Millisecond).Time() ||
		o.Cause != "TRANSPORT" || o.Target != "api" || o.Reopened != 0 {
		t.Errorf("opening %+v", o)
	}
	if *r.From != start.Time() || *r.Until != start.Add(60100*time.Millisecond).Time() {
		t.Errorf("from %v until %v", r.From, r.Until)
	}
	want(t, "answer", r.Answer, "Of 10 calls, the new policy refuses 2 that the old one grants. The calls that it grants cost $4.00 (old: $6.00), and breakers open 1 times (old: 1).")
}

// A probe that fails opens the breaker again: one opening, to the end.
func TestAFailedProbeReopens(t *testing.T) {
	list := slices.Concat(outage()[:5], []*engine.Call{call(5, time.Minute, 503), call(6, 3*time.Minute, 503)})
	r := run(t, simulate.Input{Calls: calls(list...), New: text("version: 1")})
	o := r.Totals.New.Openings
	if len(o) != 1 || r.Totals.New.Opened != 1 || o[0].Reopened != 2 || o[0].ClosedAt != nil || o[0].ForMS != 3*60_000+100-4100 {
		t.Errorf("openings %+v", o)
	}
}

// A cap of $3.50 lets three calls of a dollar pass.
func TestACapStopsARun(t *testing.T) {
	var list []*engine.Call
	for i := range 6 {
		c := call(i, time.Duration(i)*time.Second, 200)
		c.Run, c.Estimate.Cost = "r", new(int64(1_000_000))
		list = append(list, c)
	}
	r := run(t, simulate.Input{Calls: calls(list...), New: text("version: 1\nruns: {caps: {cost_micros: 3500000}}")})
	want(t, "old", side(r.Totals.Old), "granted 6 denied 0 waits 0 early 0 cost 6000000 not spent 0 put off 0 unpriced 0 opened 0 for 0 runs 0")
	want(t, "new", side(r.Totals.New), "granted 3 denied 3 waits 0 early 0 cost 3000000 not spent 3000000 put off 0 unpriced 0 opened 0 for 0 runs 1")
	if len(r.Runs) != 1 || r.Runs[0].Run != "r" || r.Runs[0].Old != nil {
		t.Fatalf("runs %+v", r.Runs)
	}
	stop := simulate.RunStop{
		At: start.Add(3 * time.Second).Time(), Reason: "RUN_BUDGET", Rule: "run.caps.cost_micros", BlockedBy: "r", Calls: 3, CostMicros: 3_000_000,
	}
	if *r.Runs[0].New != stop {
		t.Errorf("stopped %+v, want %+v", *r.Runs[0].New, stop)
	}
	// The caps that runs have are those of both sides, an ancestor's too.
	capped := run(t, simulate.Input{
		Calls: calls(list...), New: text("version: 1"),
		Runs: []simulate.AgentRun{{ID: "root", Caps: budget.Caps{Calls: new(int64(2))}}, {ID: "r", Parent: "root"}},
	})
	if len(capped.Runs) != 1 || capped.Runs[0].Old == nil || capped.Runs[0].Old.BlockedBy != "root" || capped.Runs[0].New.Calls != 4 {
		t.Errorf("runs %+v", capped.Runs)
	}
}

// A Retry-After of ten seconds holds the target. Three calls came early; a
// caller that may wait is told to, one that may not is denied.
func TestEarlyRetriesAreHeldBack(t *testing.T) {
	limited := call(0, 0, 429)
	limited.Signal.Headers = map[string]string{"retry-after": "10"}
	limited.Usage = budget.Usage{}
	list := []*engine.Call{limited, call(1, time.Second, 200), call(2, 2*time.Second, 200), call(3, 5*time.Second, 200), call(4, 20*time.Second, 200)}
	r := run(t, simulate.Input{Calls: calls(list...), New: text("version: 1\ntargets: [{match: api, preset: llm, max_wait: 0s}]")})
	want(t, "old", side(r.Totals.Old), "granted 2 denied 0 waits 3 early 3 cost 1000000 not spent 0 put off 3000000 unpriced 0 opened 0 for 0 runs 0")
	want(t, "new", side(r.Totals.New), "granted 2 denied 3 waits 0 early 3 cost 1000000 not spent 3000000 put off 0 unpriced 0 opened 0 for 0 runs 0")
	want(t, "reasons", reasons(r.Totals.Old.Refusals), "WAIT COOLDOWN 3 $3;")
}

// A retry comes early if no draw would have allowed it: half of the backoff is
// the least that equal jitter draws.
func TestBackoffTakesTheShortestDraw(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		early int64
	}{{400 * time.Millisecond, 1}, {500 * time.Millisecond, 0}} {
		again := call(0, 100*time.Millisecond+c.after, 200)
		r := run(t, simulate.Input{Calls: calls(call(0, 0, 503), again), New: text("version: 1")})
		if r.Totals.New.Early != c.early || r.Totals.New.Waits != c.early {
			t.Errorf("after %v: %s", c.after, side(r.Totals.New))
		}
	}
}

// What a policy only observes is granted and told apart.
func TestObservedRulesRefuseNothing(t *testing.T) {
	r := run(t, simulate.Input{Calls: calls(outage()...), New: text("version: 1\ntargets: [{match: api, preset: llm, enforcement: DRY_RUN}]")})
	if r.Totals.New.Granted != 10 || r.Totals.NewlyGranted != 4 {
		t.Errorf("new %s", side(r.Totals.New))
	}
	want(t, "observed", reasons(r.Totals.New.Observed), "DENIED BREAKER_OPEN 4 $4;")
}

const chained = `
version: 1
targets: [{match: "*", preset: llm}]
chains: {c: {levels: [{target: api, kind: PRIMARY}, {target: spare, kind: CROSS_PROVIDER}]}}
`

// A call of a chain is played on its own level. When that is closed, the call
// is denied for what closed it, and the chain would have gone on.
func TestAChainIsPlayedOnTheLevelThatWasCalled(t *testing.T) {
	list := outage()[:7]
	for _, c := range list {
		c.Chain = "c"
	}
	spare := call(7, 7*time.Second, 200)
	spare.Chain, spare.Level, spare.Target = "c", 1, "spare"
	r := run(t, simulate.Input{Calls: calls(append(list, spare)...), New: text(chained), Old: text("version: 1")})
	for name, s := range map[string]simulate.Side{"old, without the chain": r.Totals.Old, "new": r.Totals.New} {
		if s.Granted != 6 || s.Denied != 2 {
			t.Errorf("%s: %s", name, side(s))
		}
		want(t, name, reasons(s.Refusals), "DENIED BREAKER_OPEN 2 $2;")
	}
	if r.Totals.New.Moved != 2 || r.Totals.Old.Moved != 0 {
		t.Errorf("moved %d and %d", r.Totals.New.Moved, r.Totals.Old.Moved)
	}
	if r.Targets[0].Target != "api" || r.Targets[1].Target != "spare" || r.Targets[1].New.Granted != 1 {
		t.Errorf("targets %+v", r.Targets)
	}
}

// A call without a report holds its slot for its lease. A late report replaces
// the loss; one whose lease was kept alive is no loss.
func TestLostLateAndLongCalls(t *testing.T) {
	lost := call(0, 0, 200)
	lost.ReportedAt, lost.Signal, lost.Usage = 0, classify.Signal{}, budget.Usage{}
	within, after := call(1, 10*time.Second, 200), call(2, 30*time.Second, 200)
	policy := text("version: 1\ntargets: [{match: api, preset: llm, call_timeout: 10s, lease_margin: 5s, max_hold: 1h, max_wait: 0s, limit: {concurrency: 1}}]")
	r := run(t, simulate.Input{Calls: calls(within, lost, after), New: policy})
	want(t, "lost", side(r.Totals.New), "granted 2 denied 1 waits 0 early 0 cost 1000000 not spent 1000000 put off 0 unpriced 1 opened 0 for 0 runs 0")
	want(t, "lost", reasons(r.Totals.New.Refusals), "DENIED CONCURRENCY 1 $1;")
	if r.Lost != 1 {
		t.Errorf("%d lost", r.Lost)
	}
	late := call(0, 0, 200)
	late.ReportedAt, late.Late = start.Add(20*time.Second), true
	r = run(t, simulate.Input{Calls: calls(within, lost, late, after), New: policy})
	if r.Calls != 3 || r.Lost != 0 || r.Totals.New.Granted != 2 || r.Totals.New.CostMicros != 2_000_000 {
		t.Errorf("late: %+v", r.Totals.New)
	}
	late.Late = false // its heartbeats kept the slot, so a call after 16 s finds it taken too
	r = run(t, simulate.Input{Calls: calls(late, call(1, 16*time.Second, 200), after), New: policy})
	want(t, "long", reasons(r.Totals.New.Refusals), "DENIED CONCURRENCY 1 $1;")
}

// Who calls, in which task and with what, is played too: each of these bounds
// needs it.
func TestIdentityIsPlayed(t *testing.T) {
	again := func(i int, change func(*engine.Call)) *engine.Call {
		c := call(0, time.Duration(i)*20*time.Second, 400)
		c.Run = "r"
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		change func(i int) func(*engine.Call)
		policy string
		want   string
	}{
		"task": {func(i int) func(*engine.Call) {
			return func(c *engine.Call) {
				c.Operation, c.Task, c.Signal.HTTPStatus = fmt.Sprint("o", i/2), "t", 408
			}
		}, "retry: {task_budget: 1}", "DENIED TASK_RETRY_BUDGET 1 $1;"},
		"fingerprint": {func(i int) func(*engine.Call) {
			return func(c *engine.Call) { c.Operation, c.Fingerprint = fmt.Sprint("o", i), "f" }
		}, "max_identical_failures: 2", "DENIED REPEATED_FAILURE 2 $2;"},
		"credential": {func(i int) func(*engine.Call) {
			return func(c *engine.Call) {
				c.Operation, c.Credential, c.Signal.HTTPStatus = fmt.Sprint("o", i), fmt.Sprint("key", i%2), 503
			}
		}, "breaker: {consecutive_failures: 1, cooldown_base: 5m, per_credential: true}", "DENIED BREAKER_OPEN 2 $2;"},
	} {
		var list []*engine.Call
		for i := range 4 {
			list = append(list, again(i, c.change(i)))
		}
		r := run(t, simulate.Input{Calls: calls(list...), New: text("version: 1\ntargets: [{match: api, preset: llm, " + c.policy + "}]")})
		want(t, name, reasons(r.Totals.New.Refusals), c.want)
		if name == "credential" && (len(r.Totals.New.Openings) != 2 || r.Totals.New.Openings[0].Credential != "key0") {
			t.Errorf("openings %+v", r.Totals.New.Openings)
		}
	}
}

// Money is valued alike on both sides: by the caller, else by the new prices,
// else by the old ones.
func TestBothSidesCountTheSameMoney(t *testing.T) {
	tokens := func(i int, target string) *engine.Call {
		c := call(i, time.Duration(i)*time.Second, 200)
		c.Target, c.Usage = target, budget.Usage{Input: new(int64(1_000_000))}
		return c
	}
	r := run(t, simulate.Input{
		Calls: calls(tokens(0, "both"), tokens(1, "old"), tokens(2, "none")),
		Old:   text("version: 1\ntargets: [{match: both, preset: llm, price: {input: 5}}, {match: old, preset: llm, price: {input: 7}}]"),
		New:   text("version: 1\ntargets: [{match: both, preset: llm, price: {input: 11}}]"),
	})
	for _, s := range []simulate.Side{r.Totals.Old, r.Totals.New} {
		if s.CostMicros != 18 || s.Unpriced != 1 {
			t.Errorf("%s", side(s))
		}
	}
}

func BenchmarkRun(b *testing.B) {
	const n = 50_000
	list := make([]*engine.Call, 0, n)
	for i := range n {
		status := 200
		if i%50 == 0 {
			status = 503
		}
		c := call(i, time.Duration(i)*20*time.Millisecond, status)
		c.Target = fmt.Sprintf("api/%d", i%20)
		c.Run = fmt.Sprintf("run-%d", i/100)
		list = append(list, c)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := simulate.Run(b.Context(), simulate.Input{Calls: calls(list...), New: text("version: 1")})
		if err != nil {
			b.Fatal(err)
		}
		if r.Calls != n {
			b.Fatal(r.Calls)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
