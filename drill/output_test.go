// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// three are a drill that passes, one that does not and one that cannot.
func three(t *testing.T) (*fakeConn, []Scenario) {
	t.Helper()
	f := &fakeConn{}
	granting(f, retries)
	return f, []Scenario{
		parse("a.yaml", []byte("id: A\ntitle: \"goes \\e[31mwell\\u202e # ünd \\\\ so\"\nsteps:\n"+
			"- {acquire: {op: o, target: t, as: a}}\n- {report: {permit: a, sig: {http: 503}}, expect: {action: RETRY}}\n")),
		parse("b.yaml", []byte("id: \"B\\n<1>\"\ntitle: fails\nsteps:\n- {advance: 1s}\n"+
			"- {acquire: {op: o, target: t, as: b}, expect: {decision: DENIED, target: \"a\\tb\"}}\n")),
		parse("c.yaml", []byte("id: C\ntitle: later\nsteps:\n- {batch_claim: {id: B}}\n")),
		parse("d.yaml", []byte("id: D\ntitle: odd\nstep: 1\n")),
	}
}

func execute(t *testing.T, format Format) (string, int) {
	t.Helper()
	f, scenarios := three(t)
	var out bytes.Buffer
	failed, err := Execute(t.Context(), f, scenarios, Options{Format: format, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), failed
}

func TestTable(t *testing.T) {
	got, failed := execute(t, Table)
	if failed != 3 {
		t.Errorf("%d failed, want 3", failed)
	}
	same(t, "table", `ok    A  goes \x1b[31mwell\u202e # ünd \ so
FAIL  B\n<1>  fails
        step 2 (line 5) acquire: decision: want DENIED, got GRANTED
        step 2 (line 5) acquire: target: want a\tb, got t
        answer {attempt: 2, decision: GRANTED, permit: b, target: t}
FAIL  C  later
        step 1 (line 4) batch_claim: this version has no BatchService.ClaimItems
FAIL  D  odd
        d.yaml:3: a scenario has no "step" (did you mean "steps"?)

1 of 4 drills ok, 3 failed (1 mismatch, 1 invalid scenario, 1 not in this version)

what answered each kind of failure, seen and expected in drills that passed:
  transient      RETRY with backoff [A]
  persistent     NOT EXERCISED
  quality        NOT EXERCISED
  partial        NOT EXERCISED
  unrecoverable  NOT EXERCISED
  rate/cost      NOT EXERCISED
`, got)
}

func TestTAP(t *testing.T) {
	got, _ := execute(t, TAP)
	lines := strings.Split(got, "\n")
	for i, line := range lines {
		if strings.Contains(line, "duration_ms") {
			lines[i] = "  duration_ms: 0"
		}
	}
	same(t, "TAP", `TAP version 14
1..4
ok 1 - A goes \\x1b[31mwell\\u202e \# ünd \\ so
not ok 2 - B\\n<1> fails
  ---
  reason: "mismatch"
  file: "b.yaml"
  step: 2
  line: 5
  verb: "acquire"
  mismatches:
    - {field: "decision", want: "DENIED", got: "GRANTED"}
    - {field: "target", want: "a\\tb", got: "t"}
  message: "answer {attempt: 2, decision: GRANTED, permit: b, target: t}"
  duration_ms: 0
  ...
not ok 3 - C later
  ---
  reason: "not in this version"
  file: "c.yaml"
  step: 1
  line: 4
  verb: "batch_claim"
  message: "this version has no BatchService.ClaimItems"
  duration_ms: 0
  ...
not ok 4 - D odd
  ---
  reason: "invalid scenario"
  file: "d.yaml"
  message: "d.yaml:3: a scenario has no \"step\" (did you mean \"steps\"?)"
  duration_ms: 0
  ...
# 1 of 4 drills ok, 3 failed (1 mismatch, 1 invalid scenario, 1 not in this version)
# transient      RETRY with backoff [A]
# persistent     NOT EXERCISED
# quality        NOT EXERCISED
# partial        NOT EXERCISED
# unrecoverable  NOT EXERCISED
# rate/cost      NOT EXERCISED
`, strings.Join(lines, "\n"))
}

func TestJUnit(t *testing.T) {
	got, _ := execute(t, JUnit)
	var suites junitSuites
	dec := xml.NewDecoder(strings.NewReader(got))
	if err := dec.Decode(&suites); err != nil {
		t.Fatalf("this is not XML: %v\n%s", err, got)
	}
	if _, err := dec.Token(); err == nil {
		if _, err = dec.Token(); !errors.Is(err, io.EOF) {
			t.Errorf("there is more after the document: %v", err)
		}
	}
	suite := suites.Suite
	if suite.Tests != 4 || suite.Failures != 3 || suite.Errors != 0 || len(suite.Cases) != 4 {
		t.Errorf("tests %d, failures %d, errors %d, %d cases", suite.Tests, suite.Failures, suite.Errors, len(suite.Cases))
	}
	if !strings.Contains(suite.Out, "partial        NOT EXERCISED") {
		t.Errorf("the kinds are not in %q", suite.Out)
	}
	if c := suite.Cases[0]; c.Failure != nil || c.Name != `A goes \x1b[31mwell\u202e # ünd \ so` {
		t.Errorf("first case %+v", c)
	}
	if c := suite.Cases[1]; c.Failure == nil || c.Failure.Type != "mismatch" || c.Name != `B\n<1> fails` ||
		c.Failure.Message != "step 2 (line 5) acquire: decision: want DENIED, got GRANTED" {
		t.Errorf("second case %+v, failure %+v", c, c.Failure)
	}
}

func TestFormats(t *testing.T) {
	_, err := Execute(t.Context(), &fakeConn{}, nil, Options{Format: "junt"})
	if err == nil || !strings.Contains(err.Error(), `did you mean "junit"?`) {
		t.Errorf("error %v", err)
	}
	for _, name := range Formats() {
		if n, err := Execute(t.Context(), &fakeConn{}, nil, Options{Format: Format(name)}); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// brokenPipe fails every write.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestExecuteErrors(t *testing.T) {
	f, scenarios := three(t)
	n, err := Execute(t.Context(), f, scenarios, Options{Out: brokenPipe{}})
	if !errors.Is(err, io.ErrClosedPipe) || n != 3 {
		t.Errorf("%d failed, error %v", n, err)
	}

	f = &fakeConn{}
	on(f, "DrillService.StartDrill", func(proto.Message) (proto.Message, error) { return nil, refusal(9, "DRILLS_OFF") })
	var out bytes.Buffer
	n, err = Execute(t.Context(), f, scenarios, Options{Out: &out})
	if n != 4 || err == nil || !strings.Contains(err.Error(), "DRILLS_OFF") {
		t.Errorf("%d failed, error %v", n, err)
	}
	if got := out.String(); strings.Count(got, "DRILLS_OFF") != 1 || !strings.Contains(got, "2 not run") {
		t.Errorf("table:\n%s", got)
	}
}

func TestProgress(t *testing.T) {
	f, scenarios := three(t)
	var out bytes.Buffer
	var written []int
	_, err := Execute(t.Context(), f, scenarios, Options{Out: &out, Progress: func(Result) { written = append(written, out.Len()) }})
	if err != nil || len(written) != 4 || written[0] == 0 || written[1] <= written[0] {
		t.Errorf("written before each scenario's end: %d, error %v", written, err)
	}
}

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain Grüße 日本": "plain Grüße 日本", "a\nb\r\t": `a\nb\r\t`, "\x00\x1b\x7f": `\x00\x1b\x7f`, "\u200b\u2028\ufeff": `\u200b\u2028\ufeff`,
		"\xff\xc3": `\xff\xc3`, "'quoted' \ufffd": "'quoted' \ufffd", "\U000e0001": `\U000e0001`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}
