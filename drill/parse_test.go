// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wrap makes a scenario of steps in YAML.
func wrap(steps ...string) string {
	return "id: X\nsteps:\n- " + strings.Join(steps, "\n- ") + "\n"
}

const (
	head = "id: X\n"
	ok   = "steps: [{advance: 1s}]\n"
)

// faulty is a file with one thing wrong.
type faulty struct{ name, text, want string }

func (c faulty) check(t *testing.T) {
	t.Helper()
	t.Run(c.name, func(t *testing.T) {
		s := parse("x.yaml", []byte(c.text))
		var all []string
		for _, f := range s.Faults {
			all = append(all, f.String())
		}
		if !strings.Contains(strings.Join(all, "\n"), c.want) {
			t.Errorf("faults = %q, want one with %q", all, c.want)
		}
	})
}

func TestFaultsOfFiles(t *testing.T) {
	for _, c := range []faulty{
		{"empty", "", "the file is empty"},
		{"comment only", "# nothing\n", "the file is empty"},
		{"not YAML", "id: [", "this is not YAML"},
		{"tabs", "id:\n\t- x", "x.yaml:2: this is not YAML"},
		{"not UTF-8", "id: \xff\xfe\x00", "this is not YAML"},
		{"a list", "[1, 2]", "x.yaml:1: a scenario must be a mapping, not a list"},
		{"two documents", head + ok + "---\nid: Y\n", "a second document begins in line"},
		{"alias", head + "title: &a x\n" + ok, "x.yaml:2: anchors and aliases are not supported"},
		{"tag", head + "title: !!str x\n" + ok, "the tag !!str is not supported"},
		{"deep", head + "title: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper than 16"},
		{"large", "id: " + strings.Repeat("x", maxBytes), "more than 1048576 bytes"},
		{"no id", ok, "x.yaml: the scenario has no id"},
		{"id is a list", "id: [a]\n" + ok, "id must be a name, not a list"},
		{"no steps", head, "the scenario has no steps"},
		{"steps is a mapping", head + "steps: {advance: 1s}", "steps must be a list, not a mapping"},
		{"unknown key", head + "target: {}\n" + ok, `x.yaml:2: a scenario has no "target" (did you mean "targets"?)`},
		{"key twice", head + ok + "id: Y\n", `x.yaml:3: a scenario has "id" in line 1 already`},
		{"key is a list", head + "[a]: b\n" + ok, "a key of a scenario must be a name, not a list"},
	} {
		c.check(t)
	}
}

func TestFaultsOfNames(t *testing.T) {
	for _, c := range []faulty{
		{"no kind", head + "targets: {t: {}}\n" + ok, `target "t" has no kind`},
		{"unknown kind", head + "targets: {t: {kind: lml}}\n" + ok, `kind cannot be "lml" (did you mean "llm"?)`},
		{"unknown override", head + "targets: {t: {kind: llm, slot: 1}}\n" + ok, `x.yaml:2: a target has no "slot" (did you mean "slots"?)`},
		{"override's type", head + "targets: {t: {kind: llm, slots: many}}\n" + ok, `slots must be a whole number, not "many"`},
		{"enforce", head + "targets: {t: {kind: llm, enforce: dry}}\n" + ok, `enforce cannot be "dry"`},
		{"retry_np", head + "targets: {t: {kind: llm, retry_np: 1}}\n" + ok, "retry_np must be true or false"},
		{"floor", head + "targets: {t: {kind: llm, floor: 9223372036854775807}}\n" + ok, "floor is too large"},

		{"level", head + "chains: {c: [t]}\n" + ok, `a level is written target:KIND, not "t"`},
		{"level's kind", head + "chains: {c: [t:PRIMARI]}\n" + ok, `a level's kind cannot be "PRIMARI" (did you mean "PRIMARY"?)`},
		{"no levels", head + "chains: {c: []}\n" + ok, `chain "c" has no levels`},

		{"run's key", head + "runs: {r: {caps: 1}}\n" + ok, `a run has no "caps" (did you mean "cap"?)`},
		{"run's parent", head + "runs: {root: {}, r: {parent: rot}}\n" + ok, `run "r" has the parent "rot", which is not in runs (did you mean "root"?)`},
		{"run's circle", head + "runs: {a: {parent: b}, b: {parent: a}}\n" + ok, `run "a" is its own ancestor`},
	} {
		c.check(t)
	}
}

func TestFaultsOfSteps(t *testing.T) {
	for _, c := range []faulty{
		{"no verb", wrap("{}"), "x.yaml:3: a step needs a verb"},
		{"expect alone", wrap("{expect: {}}"), "a step needs a verb"},
		{"two verbs", wrap("{advance: 1s, acquire: {op: o}}"), "a step has one verb; this one has advance and acquire"},
		{"unknown verb", wrap("{acqiure: {op: o}}"), `there is no verb "acqiure" (did you mean "acquire"?)`},
		{"unknown argument", wrap("{acquire: {op: o, tagret: t}}"), `x.yaml:3: acquire has no argument "tagret" (did you mean "target"?)`},
		{"nothing near", wrap("{breaker: {qqqqqqq: t, target: t}}"), `breaker has no argument "qqqqqqq"; known are target`},
		{"missing argument", wrap("{report: {sig: {http: 200}}}"), `report needs the argument "permit"`},
		{"argument's type", wrap("{acquire: {op: o, est: 1.5}}"), `acquire.est must be a whole number, not "1.5"`},
		{"argument is a list", wrap("{acquire: {op: [o]}}"), "acquire.op must be a name, not a list"},
		{"argument's word", wrap("{acquire: {op: o, idem: X}}"), `acquire.idem cannot be "X"`},
		{"duration", wrap("{advance: soon}"), `advance must be a duration such as 500ms, 30s, 5m, 24h or 7d, not "soon"`},
		{"duration's unit", wrap("{advance: 1w}"), "must be a duration"},
		{"negative duration", wrap("{advance: -1s}"), "advance must not be negative"},
		{"no duration", wrap("{advance: }"), "advance needs a value"},
		{"endless duration", wrap("{advance: 99999999999999d}"), "must be a duration"},
		{"mode", wrap("{set_breaker: {target: t, mode: OPEN}}"), `set_breaker.mode cannot be "OPEN"`},

		{"signal", wrap("{report: {permit: a, sig: {status: 200}}}"), `a signal has no "status"`},
		{"signal's type", wrap("{report: {permit: a, sig: 200}}"), `report.sig must be a mapping, not "200"`},
		{"signal's status", wrap("{report: {permit: a, sig: {http: 70000}}}"), "must be an HTTP status"},
		{"signal's verdict", wrap("{report: {permit: a, sig: {quality: SCHEMA}}}"), `quality cannot be "SCHEMA"`},
		{"result", wrap("{batch_report: {id: B, results: {i1: good}}}"), `batch_report.results.i1 cannot be "good"`},
	} {
		c.check(t)
	}
}

func TestFaultsOfExpectations(t *testing.T) {
	for _, c := range []faulty{
		{"expected field", wrap("{acquire: {op: o}, expect: {delay: 1}}"), `the answer of acquire has no field "delay" (did you mean "delay_ms"?)`},
		{"another verb's field", wrap("{run: {id: r}, expect: {decision: GRANTED}}"), `the answer of run has no field "decision"`},
		{"expected type", wrap("{acquire: {op: o}, expect: {attempt: one}}"), `acquire's attempt must be a whole number, not "one"`},
		{"expected flag", wrap("{acquire: {op: o}, expect: {probe: 1}}"), `acquire's probe must be true or false, not "1"`},
		{"expected list", wrap("{claim: {}, expect: {items: one}}"), `claim's items must be a list, not "one"`},
		{"expected map", wrap("{burst: {op: o, n: 1}, expect: {actions: [STOP]}}"), "burst's actions must be a mapping, not a list"},
		{"expected count", wrap("{burst: {op: o, n: 1}, expect: {actions: {STOP: x}}}"), `burst's actions.STOP must be a whole number`},
		{"part of a millisecond", wrap("{acquire: {op: o}, expect: {delay_ms: 0.5}}"), "acquire's delay_ms is in whole milliseconds"},
	} {
		c.check(t)
	}
}

func TestFaultsAreCollected(t *testing.T) {
	s := parse("x.yaml", []byte("id: X\nrun: {}\nsteps:\n- {acquire: {opp: o}, expect: {x: 1}}\n- {wait: 1s}\n"))
	var lines []int
	for _, f := range s.Faults {
		lines = append(lines, f.Line)
	}
	if diff := cmp.Diff([]int{2, 4, 4, 5}, lines); diff != "" {
		t.Errorf("lines of faults (-want +got):\n%s", diff)
	}
	s = parse("x.yaml", []byte("id: X\nsteps:\n"+strings.Repeat("- {nope: 1}\n", 1000)))
	if len(s.Faults) != maxFaults {
		t.Errorf("%d faults are kept, want %d", len(s.Faults), maxFaults)
	}
}

func TestParseScenario(t *testing.T) {
	s := parse("x.yaml", []byte(`
id: 7
title: "a: b"
targets:
  t: {kind: llm, max_attempts: 2, call_timeout: 30s, price: 0, floor: 3, ratio: 100, retry_np: false, enforce: DRY_RUN}
  "a:b": {kind: action}
chains: {c: [t:PRIMARY, "a:b:HUMAN_QUEUE"]}
runs: {kid: {parent: mum}, mum: {parent: gran, cap: 5}, gran: {}, solo: }
steps:
- {acquire: {op: y, target: t, as: 1, est: 0, max_wait: 0, idem: N}, expect: {decision: GRANTED, level: 0, probe: false, permit: }}
- {report: {permit: 1, ms: 1.5s, sig: {http: 429, retry_after: 9.999}}, expect: {delay_ms: 1s, dl: "", esc: [], retry_denied: false}}
- {advance: 2d}
- {claim: , expect: {items: [b, a, b], n: 2}}
`))
	if len(s.Faults) > 0 {
		t.Fatalf("faults: %v", s.Faults)
	}
	if s.ID != "7" || s.Title != "a: b" {
		t.Errorf("id %q, title %q", s.ID, s.Title)
	}
	allow := cmp.AllowUnexported(targetSpec{}, chainSpec{}, levelSpec{}, runSpec{}, signal{}, expectation{}, field{})
	wantTargets := []targetSpec{
		{
			name: "t", kind: "llm", maxAttempts: new(int64(2)), callTimeout: new(30 * time.Second), price: new(int64(0)),
			floor: new(int64(3000)), ratio: new(int64(100)), retryNP: new(false), dryRun: true,
		},
		{name: "a:b", kind: "action"},
	}
	if diff := cmp.Diff(wantTargets, s.targets, allow); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]chainSpec{{"c", []levelSpec{{"t", "PRIMARY"}, {"a:b", "HUMAN_QUEUE"}}}}, s.chains, allow); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	wantRuns := []runSpec{{id: "gran"}, {id: "solo"}, {"mum", "gran", new(int64(5))}, {id: "kid", parent: "mum"}}
	if diff := cmp.Diff(wantRuns, s.runs, allow); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	wantArgs := []args{
		{"op": "y", "target": "t", "as": "1", "est": int64(0), "max_wait": time.Duration(0), "idem": "N"},
		{"permit": "1", "ms": 1500 * time.Millisecond, "sig": signal{http: new(int64(429)), retryAfter: new(9999 * time.Millisecond)}},
		{scalarArg: 48 * time.Hour},
		{},
	}
	for i, want := range wantArgs {
		if diff := cmp.Diff(want, s.steps[i].args, allow); diff != "" {
			t.Errorf("arguments of step %d (-want +got):\n%s", i+1, diff)
		}
	}
	wantExpect := []expectation{
		{field: field{"delay_ms", fieldMillis}, want: int64(1000)},
		{field: field{"dl", fieldText}},
		{field: field{"esc", fieldText}},
		{field: field{"retry_denied", fieldText}, want: "false", orAbsent: true},
	}
	if diff := cmp.Diff(wantExpect, s.steps[1].expect, allow); diff != "" {
		t.Errorf("expectations (-want +got):\n%s", diff)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "250": 250 * time.Millisecond, "0.5": 500 * time.Microsecond, "1.5s": 1500 * time.Millisecond,
		"30s": 30 * time.Second, "5m": 5 * time.Minute, "24h": 24 * time.Hour, "7d": 168 * time.Hour, "-1ms": -time.Millisecond,
	} {
		if got, ok := parseDuration(text, time.Millisecond); !ok || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "s", "-", "--1", "1 s", "1S", "1e9", "1e999999999s", "0x10", "1/3", "1.2.3s", ".", "1ns", "1h30m", "Inf", "NaN",
		"9223372036854775808", "0.0000001", strings.Repeat("9", 1000), "١s",
	} {
		if got, ok := parseDuration(text, time.Millisecond); ok {
			t.Errorf("parseDuration(%q) = %v, want nothing", text, got)
		}
	}
}

// FuzzParse shows that no file makes the parser panic, and that what it lets
// through can be turned into a policy.
func FuzzParse(f *testing.F) {
	scenarios, err := Builtin()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range scenarios {
		data, err := builtin.ReadFile("scenarios/" + s.File)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("id: X\nsteps:\n- {advance: -.5}\n- {report: {permit: ~, sig: {quality: null}}, expect: {esc: [[]]}}\n"))
	f.Add([]byte("runs: {a: {parent: a}}\n? [a]\n: b\n<<: *x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := named(parse("x.yaml", data))
		for _, fault := range s.Faults {
			_ = printable(fault.String())
		}
		if len(s.Faults) == 0 {
			if _, err := policyText(&s); err != nil {
				t.Fatalf("policy: %v", err)
			}
		}
	})
}
