// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/simulate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNothingIsAnAnswer(t *testing.T) {
	for _, in := range []simulate.Input{
		{New: text("version: 1")},
		{New: text("version: 1"), Calls: calls(), Recording: simulate.Recording{Namespace: "team", From: start}},
	} {
		r := run(t, in)
		if r.Calls != 0 || r.From != nil || !strings.Contains(r.Answer, "no recorded calls") || !strings.Contains(r.Answer, "--since") {
			t.Errorf("result %+v", r)
		}
		var out bytes.Buffer
		if err := r.WriteText(&out); err != nil || out.String() != r.Answer+"\n" {
			t.Errorf("text %q, %v", out.String(), err)
		}
		if in.Recording.Namespace != "" && (!strings.Contains(r.Answer, `"team"`) || !strings.Contains(r.Answer, "2026-03-01 12:00:00Z")) {
			t.Errorf("answer %q", r.Answer)
		}
		if encoded, err := json.Marshal(r); err != nil || bytes.Contains(encoded, []byte("null")) {
			t.Errorf("JSON %s, %v", encoded, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	cut := errors.New("cut off")
	broken := func(yield func(*engine.Call, error) bool) {
		if yield(call(0, 0, 200), nil) {
			yield(nil, cut)
		}
	}
	before, none, never := call(0, 0, 200), call(0, 0, 200), call(0, 0, 200)
	before.ReportedAt, none.Target, never.AcquiredAt = before.AcquiredAt-1, "", 0
	good := text("version: 1")
	for name, c := range map[string]struct {
		in   simulate.Input
		want string
	}{
		"no policy":             {simulate.Input{}, "empty"},
		"a wrong policy":        {simulate.Input{New: simulate.Policy{File: "new.yaml", Text: []byte("version: 1\nrun: {}")}}, "new.yaml:2"},
		"a wrong old policy":    {simulate.Input{New: good, Old: text("version: x")}, "compare with"},
		"a broken stream":       {simulate.Input{New: good, Calls: broken}, "cut off"},
		"no target":             {simulate.Input{New: good, Calls: calls(none)}, "call 1 has no target"},
		"no time":               {simulate.Input{New: good, Calls: calls(call(1, 0, 200), never)}, "call 2 of"},
		"reported too early":    {simulate.Input{New: good, Calls: calls(before)}, "before it was granted"},
		"too many":              {simulate.Input{New: good, Calls: calls(outage()...), MaxCalls: 9}, "more than 9"},
		"a run twice":           {simulate.Input{New: good, Runs: []simulate.AgentRun{{ID: "r"}, {ID: "r"}}}, "twice"},
		"a run above itself":    {simulate.Input{New: good, Calls: calls(inRun("a")), Runs: []simulate.AgentRun{{ID: "a", Parent: "b"}, {ID: "b", Parent: "a"}}}, "ancestor"},
		"runs that nest deeply": {simulate.Input{New: good, Calls: calls(inRun("r12")), Runs: nested(12)}, "deep"},
	} {
		r, err := simulate.Run(t.Context(), c.in)
		if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := simulate.Run(t.Context(), simulate.Input{New: text("x: 1")})
	if _, ok := errors.AsType[*policy.ParseError](err); !ok {
		t.Errorf("a policy's problems come as %T", err)
	}
	if _, err := simulate.Run(t.Context(), simulate.Input{New: good, Calls: calls(outage()...), MaxCalls: 9}); !errors.Is(err, simulate.ErrTooMany) {
		t.Errorf("too many calls are %v", err)
	}
}

func inRun(id string) *engine.Call {
	c := call(0, 0, 200)
	c.Run = id
	return c
}

func nested(depth int) []simulate.AgentRun {
	runs := []simulate.AgentRun{{ID: "r0"}}
	for i := 1; i <= depth; i++ {
		runs = append(runs, simulate.AgentRun{ID: fmt.Sprint("r", i), Parent: fmt.Sprint("r", i-1)})
	}
	return runs
}

func TestCancelEndsASimulation(t *testing.T) {
	stop := errors.New("enough")
	var list []*engine.Call
	for i := range 5000 {
		list = append(list, call(i, time.Duration(i)*time.Second, 200))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	in := simulate.Input{Calls: calls(list...), New: text("version: 1"), Progress: func(played, _ int) {
		if played > 1000 {
			cancel(stop)
		}
	}}
	if _, err := simulate.Run(ctx, in); !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := simulate.Run(ctx, in); !errors.Is(err, stop) {
		t.Errorf("cancelled before: %v", err)
	}
}

func TestProgressEndsAtItsTotal(t *testing.T) {
	var list []*engine.Call
	for i := range 2000 {
		list = append(list, call(i, time.Duration(i)*time.Second, 200))
	}
	last := 0
	run(t, simulate.Input{Calls: calls(list...), New: text("version: 1"), Progress: func(played, total int) {
		if played < last || total != 4000 {
			t.Errorf("%d of %d after %d", played, total, last)
		}
		last = played
	}})
	if last != 4000 {
		t.Errorf("%d of 4000 at the end", last)
	}
}

// TestOrderOfTheRecordingDoesNotMatter: calls of other replicas may come a
// little out of order.
func TestOrderOfTheRecordingDoesNotMatter(t *testing.T) {
	in := simulate.Input{Calls: calls(outage()...), New: text("version: 1")}
	want := run(t, in)
	list := outage()
	list[0], list[7] = list[7], list[0]
	list[2], list[3] = list[3], list[2]
	in.Calls = calls(list...)
	if got := run(t, in); side(got.Totals.New) != side(want.Totals.New) {
		t.Errorf("%s\n%s", side(got.Totals.New), side(want.Totals.New))
	}
}

// A million dollars a thousand times over does not wrap round.
func TestSumsSaturate(t *testing.T) {
	var list []*engine.Call
	for i := range 20_000 {
		c := call(i, time.Duration(i)*time.Second, 200)
		c.Usage.Cost = new(int64(budget.MaxAmount))
		list = append(list, c)
	}
	r := run(t, simulate.Input{Calls: calls(list...), New: text("version: 1")})
	if r.Totals.New.CostMicros != 1<<63-1 {
		t.Errorf("the sum is %d", r.Totals.New.CostMicros)
	}
}

// TestText compares the text of one result with testdata/result.txt; write it
// anew with UPDATE=1.
func TestText(t *testing.T) {
	list := outage()
	for i := range 4 {
		c := call(20+i, time.Duration(70+i)*time.Second, 200)
		c.Target, c.Run, c.Estimate.Cost, c.Usage.Cost = "tool/\u202esearch", "run\x1b[31m", new(int64(400_001)), new(int64(400_001))
		list = append(list, c)
	}
	r := run(t, simulate.Input{
		Calls: calls(list...), Recording: simulate.Recording{Namespace: "team", Missing: 7},
		New: text("version: 1\ntargets: [{match: api, preset: llm, breaker: {consecutive_failures: 3}}]\nruns: {caps: {cost_micros: 1000000}}"),
	})
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "result.txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wanted, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(wanted) {
		t.Errorf("text is now\n%s", out.String())
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Error("a name reaches the terminal as it is")
	}
	if err := r.WriteText(failing{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a writer's error is %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// The field names of the JSON are a contract.
func TestJSONNames(t *testing.T) {
	encoded, err := json.Marshal(run(t, simulate.Input{Calls: calls(outage()...), New: text("version: 1")}))
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(encoded, &r); err != nil {
		t.Fatal(err)
	}
	totals, _ := r["totals"].(map[string]any)
	will, _ := totals["new"].(map[string]any)
	for _, name := range []string{"answer", "from", "until", "calls", "lost", "missing", "totals", "targets", "runs", "limits"} {
		if _, ok := r[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
	for _, name := range []string{
		"granted", "denied", "waits", "refusals", "observed", "cost_micros", "not_spent_micros", "put_off_micros", "unpriced",
		"early", "moved", "opened", "open_ms", "openings", "runs_stopped",
	} {
		if _, ok := will[name]; !ok {
			t.Errorf("there is no totals.new.%s", name)
		}
	}
}
