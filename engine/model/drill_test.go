// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/engine"
)

type fields = map[string]any

// drillFile is a scenario as it is written.
type drillFile struct {
	ID      string              `yaml:"id"`
	Title   string              `yaml:"title"`
	Targets map[string]fields   `yaml:"targets"`
	Chains  map[string][]string `yaml:"chains"`
	Runs    map[string]fields   `yaml:"runs"`
	Steps   []fields            `yaml:"steps"`
}

// player plays one scenario on both sides. The model's answers are held
// against what the scenario expects.
type player struct {
	p      *pair
	named  map[string]int
	labels map[int]string // first name of each permit
}

// unsupported is a verb that the model does not know.
type unsupported string

func (u unsupported) Error() string { return "no verb " + string(u) }

// TestDrills plays the built-in drills that need no more than the hot path.
func TestDrills(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "drill", "scenarios", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no drills here: %v", err)
	}
	e := newEngine(t)
	played := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := drillFile{}
		if err := yaml.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		t.Run(d.ID, func(t *testing.T) {
			if playAll(t, e, &d) {
				played++
			}
		})
	}
	if played < 25 {
		t.Errorf("only %d drills were played to their end", played)
	}
}

// playAll reports whether the scenario was played to its end.
func playAll(t *testing.T, e *engine.Engine, d *drillFile) bool {
	if len(d.Targets) == 0 {
		t.Skip("no targets")
	}
	p, err := newPair([]*engine.Engine{e}, d.scenario())
	if err != nil {
		t.Fatal(err)
	}
	pl := &player{p: p, named: map[string]int{}, labels: map[int]string{}}
	for i, step := range d.Steps {
		want, _ := step["expect"].(fields)
		for verb, args := range step {
			if verb == "expect" {
				continue
			}
			got, err := pl.play(verb, args)
			if no := unsupported(""); errors.As(err, &no) {
				t.Skip(err)
			}
			if err == nil {
				err = p.compare()
			}
			if err != nil {
				t.Fatalf("step %d: %v", i+1, err)
			}
			for key, value := range want {
				if have := got[key]; plain(have) != plain(value) {
					t.Fatalf("step %d %s: %s is %v in the model, and not %v\n%s", i+1, verb, key, have, value, strings.Join(p.trace, "\n"))
				}
			}
		}
	}
	return true
}

// plain makes values comparable: what is absent is 0, false and "".
func plain(v any) string {
	if s := fmt.Sprint(v); v != nil && s != "0" && s != "false" {
		return s
	}
	return ""
}

func (d *drillFile) scenario() *scenario {
	s := &scenario{Chains: map[string][]levelSpec{}}
	for _, name := range slices.Sorted(maps.Keys(d.Targets)) {
		f := d.Targets[name]
		spec := targetSpec{
			Name: name, Kind: text(f, "kind"), Cred: text(f, "cred"), RetryNP: f["retry_np"] == true, DryRun: f["enforce"] == "DRY_RUN",
			MaxAttempts: count(f, "max_attempts"), TaskBudget: count(f, "task_budget"), Consec: count(f, "consec"), Slots: count(f, "slots"),
			Price: number(f, "price"), Ctx: number(f, "ctx"), Floor: count(f, "floor"), Ratio: count(f, "ratio"),
		}
		if spec.Floor != nil {
			*spec.Floor *= 1000
		}
		if v, ok := f["call_timeout"]; ok {
			spec.CallTimeout = new(span(v))
		}
		s.Targets = append(s.Targets, spec)
	}
	for name, levels := range d.Chains {
		for _, l := range levels {
			target, kind, _ := strings.Cut(l, ":")
			s.Chains[name] = append(s.Chains[name], levelSpec{target, kind})
		}
	}
	depth := func(id string) (n int) {
		for ; id != ""; n++ {
			id = text(d.Runs[id], "parent")
		}
		return n
	}
	for id, f := range d.Runs {
		s.Runs = append(s.Runs, runSpec{ID: id, Parent: text(f, "parent"), Cap: number(f, "cap")})
	}
	slices.SortFunc(s.Runs, func(a, b runSpec) int { return depth(a.ID) - depth(b.ID) })
	return s
}

func text(f fields, key string) string {
	s, _ := f[key].(string)
	return s
}

func number(f fields, key string) *int64 {
	if v, ok := f[key].(int); ok {
		return new(int64(v))
	}
	return nil
}

func count(f fields, key string) *int {
	if v, ok := f[key].(int); ok {
		return &v
	}
	return nil
}

// span reads a duration of a drill: milliseconds, or a number with a unit.
func span(v any) time.Duration {
	s := fmt.Sprint(v)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		d, _ := time.ParseDuration(days + "h")
		return 24 * d
	}
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return d
	}
	d, _ := time.ParseDuration(s + "ms")
	return d
}

func (pl *player) play(verb string, args any) (fields, error) {
	f, _ := args.(fields)
	p := pl.p
	switch verb {
	case "acquire":
		a, err := p.acquire(pl.acquireStep(f, text(f, "op")))
		if name := text(f, "as"); a.Permit > 0 && name != "" {
			pl.named[name] = a.Permit
			if pl.labels[a.Permit] == "" {
				pl.labels[a.Permit] = name
			}
		}
		return fields{
			"decision": a.Decision, "reason": a.Reason, "delay_ms": a.Delay.Milliseconds(), "attempt": a.Attempt, "target": a.Target,
			"level": a.Level, "probe": a.Probe, "degraded": a.Degraded, "blocked_by": a.BlockedBy, "terminal": a.Terminal,
			"would": a.Would, "permit": pl.labels[a.Permit],
		}, err
	case "report":
		a, err := p.report(pl.reportStep(f, pl.named[text(f, "permit")]))
		return fields{
			"class": a.Class, "reason": a.Reason, "action": a.Action, "delay_ms": a.Delay.Milliseconds(), "target": a.Target, "level": a.Level,
			"counted": a.Counted, "not_counted_because": a.Why, "opened": a.Opened, "retry_denied": a.RetryDenied, "dl": a.Letter,
			"esc": a.Esc, "terminal": a.Terminal,
		}, err
	case "burst":
		return pl.burst(f)
	case "advance":
		return nil, p.advance(span(args))
	case "set_breaker":
		state, err := p.setBreaker(text(f, "target"), text(f, "mode"))
		return fields{"state": state}, err
	case "run_adjust":
		if err := p.adjust(text(f, "id"), *number(f, "delta")); err != nil {
			return nil, err
		}
		return pl.look("run", f)
	case "run_stop":
		if err := p.stop(text(f, "id"), "STOPPED"); err != nil {
			return nil, err
		}
		return pl.look("run", f)
	}
	return pl.look(verb, f)
}

// look is what only reads; both sides were compared after the step before.
func (pl *player) look(verb string, f fields) (fields, error) {
	w := pl.p.model
	switch verb {
	case "breaker":
		b := w.breaker(text(f, "target"))
		return fields{"state": b.State, "cause": b.Cause, "cycles": b.Cycles, "open_ms": b.Open.Milliseconds(), "consecutive": b.Consecutive}, nil
	case "run":
		r := w.run(text(f, "id"))
		return fields{"state": r.State, "spent": r.Spent, "reserved": r.Reserved, "assumed": r.Assumed, "overrun": r.Overrun}, nil
	case "dlq":
		l := w.letter(strings.TrimPrefix(text(f, "id"), "dl:"))
		return fields{"state": l.State, "kind": l.Kind, "policy": l.Policy, "reason": l.Reason}, nil
	case "esc_wait":
		e := w.escalation(text(f, "id"))
		return fields{"state": e.State, "decision": e.Decision, "by": e.By, "occ": e.Occ}, nil
	}
	return nil, unsupported(verb)
}

func (pl *player) acquireStep(f fields, op string) *acquireStep {
	s := &acquireStep{
		Op: op, Target: text(f, "target"), Chain: text(f, "chain"), Run: text(f, "run"), Task: text(f, "task"), Idem: text(f, "idem"),
		Request: text(f, "request_id"), Est: number(f, "est"), MaxWait: 10 * time.Second,
	}
	if v, ok := f["max_wait"]; ok {
		s.MaxWait = span(v)
	}
	if n := count(f, "max_attempts"); n != nil {
		s.MaxAttempts = *n
	}
	return s
}

func (pl *player) reportStep(f fields, permit int) *reportStep {
	s := &reportStep{Permit: permit, Sig: signal{HTTP: 200}, Dur: 100 * time.Millisecond, Cost: number(f, "cost")}
	if v, ok := f["ms"]; ok {
		s.Dur = span(v)
	}
	if sig, ok := f["sig"].(fields); ok {
		s.Sig = signal{GRPC: text(sig, "grpc"), Exc: text(sig, "exc"), Code: text(sig, "code"), Quality: text(sig, "quality"), Cancelled: sig["cancelled"] == true}
		if n := count(sig, "http"); n != nil {
			s.Sig.HTTP = *n
		}
		if n := count(sig, "retry_after"); n != nil {
			s.Sig.RetryAfter = new(time.Duration(*n) * time.Second)
		}
	}
	return s
}

func (pl *player) burst(f fields) (fields, error) {
	granted, actions := 0, fields{}
	add := func(word string) {
		n, _ := actions[word].(int)
		actions[word] = n + 1
	}
	for i := range *count(f, "n") {
		a, err := pl.p.acquire(pl.acquireStep(f, fmt.Sprint(text(f, "op"), i)))
		if err != nil {
			return nil, err
		}
		if a.Decision != "GRANTED" {
			add(a.Reason)
			continue
		}
		granted++
		r, err := pl.p.report(pl.reportStep(f, a.Permit))
		if err != nil {
			return nil, err
		}
		add(r.Action)
	}
	return fields{"granted": granted, "actions": actions}, nil
}
