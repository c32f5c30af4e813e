// SPDX-License-Identifier: Apache-2.0

package server

import (
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/breaker"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/escalation"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/operation"
)

// constants returns the names and values of the constants of a type, as the
// source of a package of rules declares them.
func constants(t *testing.T, pkg, typeName string) map[string]constant.Value {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "rules", pkg, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	// Other packages are not needed for constants, so their absence is no error.
	config := types.Config{Importer: importer.Default(), Error: func(error) {}}
	checked, _ := config.Check(pkg, fset, parsed, nil)
	found := map[string]constant.Value{}
	for _, name := range checked.Scope().Names() {
		c, ok := checked.Scope().Lookup(name).(*types.Const)
		if !ok || !c.Exported() {
			continue
		}
		if named, ok := c.Type().(*types.Named); ok && named.Obj().Name() == typeName {
			found[name] = c.Val()
		}
	}
	if len(found) == 0 {
		t.Fatalf("package %s has no constant of type %s", pkg, typeName)
	}
	return found
}

// Every value of the rules has a value of its own on the wire, and every value
// of the wire that the rules can give comes from one of them.
func TestRulesHaveWords(t *testing.T) {
	number := func(v constant.Value) uint8 {
		n, _ := constant.Uint64Val(v)
		return uint8(n)
	}
	text := constant.StringVal
	cases := []struct {
		pkg, name string
		wire      func(constant.Value) int32
		names     map[int32]string
		none      []string // rules' values that the wire calls unspecified
		unused    []int32  // wire values that this version never gives
	}{
		{"admit", "Reason", func(v constant.Value) int32 { return int32(wireReason(admit.Reason(text(v)))) }, pb.DecisionReason_name, []string{"None"}, []int32{28}},
		{"admit", "Outcome", func(v constant.Value) int32 { return int32(wireOutcome(admit.Outcome(number(v)))) }, pb.Decision_name, nil, nil},
		{"operation", "Action", func(v constant.Value) int32 { return int32(wireAction(operation.Action(number(v)))) }, pb.Action_name, []string{"ActionUnspecified"}, nil},
		{"fallback", "Kind", func(v constant.Value) int32 { return int32(wireKind(fallback.Kind(number(v)))) }, pb.LevelKind_name, nil, nil},
		{"budget", "Source", func(v constant.Value) int32 { return int32(wireSource(budget.Source(number(v)))) }, pb.EstimateSource_name, []string{"SourceNone"}, nil},
		{"budget", "State", func(v constant.Value) int32 { return int32(wireRunState(budget.State(number(v)))) }, pb.RunState_name, nil, nil},
		{"breaker", "Phase", func(v constant.Value) int32 { return int32(wirePhase(breaker.Phase(number(v)))) }, pb.BreakerState_name, nil, nil},
		{"breaker", "Cause", func(v constant.Value) int32 { return int32(wireCause(breaker.Cause(number(v)))) }, pb.BreakerCause_name, []string{"CauseNone"}, nil},
		{"classify", "Class", func(v constant.Value) int32 { return int32(wireClass(classify.Class(number(v)))) }, pb.Class_name, []string{"ClassUnspecified"}, nil},
		{"classify", "Certainty", func(v constant.Value) int32 { return int32(wireCertainty(classify.Certainty(number(v)))) }, pb.Certainty_name, []string{"CertaintyUnspecified"}, nil},
		{"deadletter", "State", func(v constant.Value) int32 { return int32(wireLetterState(deadletter.State(number(v)))) }, pb.DeadLetterState_name, nil, []int32{2, 3, 4, 6, 7}},
		{"deadletter", "Kind", func(v constant.Value) int32 { return int32(wireLetterKind(deadletter.Kind(number(v)))) }, pb.DeadLetterKind_name, nil, nil},
		{"deadletter", "ReplayPolicy", func(v constant.Value) int32 { return int32(wireReplayPolicy(deadletter.ReplayPolicy(number(v)))) }, pb.ReplayPolicy_name, nil, nil},
		{"escalation", "State", func(v constant.Value) int32 { return int32(wireEscalationState(escalation.State(number(v)))) }, pb.EscalationState_name, nil, nil},
		{"escalation", "Default", func(v constant.Value) int32 { return int32(wireDefault(escalation.Default(number(v)))) }, pb.DefaultAction_name, nil, []int32{3}},
	}
	for _, c := range cases {
		t.Run(c.pkg+"."+c.name, func(t *testing.T) {
			from := map[int32]string{}
			for name, value := range constants(t, c.pkg, c.name) {
				w := c.wire(value)
				if slices.Contains(c.none, name) {
					if w != 0 {
						t.Errorf("%s is %v on the wire, want unspecified", name, c.names[w])
					}
					continue
				}
				if w == 0 || c.names[w] == "" {
					t.Errorf("%s has no word on the wire", name)
				}
				if other, taken := from[w]; taken {
					t.Errorf("%s and %s are both %s on the wire", name, other, c.names[w])
				}
				from[w] = name
			}
			for n, name := range c.names {
				if n != 0 && from[n] == "" && !slices.Contains(c.unused, n) {
					t.Errorf("%s comes from no value of the rules", name)
				}
			}
		})
	}
}

// Every word that a request may bring means something, and every one that it
// may not yet bring means "unknown".
func TestWordsFromTheWire(t *testing.T) {
	verdicts := map[classify.QualityVerdict]bool{}
	for n, name := range pb.QualityVerdict_name {
		verdicts[verdictOf(pb.QualityVerdict(n))] = true
		if n != 0 && verdictOf(pb.QualityVerdict(n)) == unknownVerdict {
			t.Errorf("%s means nothing", name)
		}
	}
	if want := constants(t, "classify", "QualityVerdict"); len(verdicts) != len(want) {
		t.Errorf("the wire gives %d verdicts, the rules have %d", len(verdicts), len(want))
	}
	if got := verdictOf(99); got != unknownVerdict {
		t.Errorf("an unknown verdict is %v, want the unknown one: it is a complaint", got)
	}
	if v := classify.Classify(classify.Signal{Outcome: classify.OutcomeSuccess, HTTPStatus: 200, Quality: unknownVerdict}, classify.Context{}, nil); v.Class != classify.Unknown {
		t.Errorf("an unknown verdict is classified as %v, want UNKNOWN", v.Class)
	}
	for n := range pb.Class_name {
		if got := wireClass(classOf(pb.Class(n))); got != pb.Class(n) {
			t.Errorf("class %v comes back as %v", pb.Class(n), got)
		}
	}
	outcomes := map[classify.Outcome]bool{}
	for n := range pb.Outcome_name {
		outcomes[outcomeOf(pb.Outcome(n))] = true
	}
	if want := constants(t, "classify", "Outcome"); len(outcomes) != len(want) {
		t.Errorf("the wire gives %d outcomes, the rules have %d", len(outcomes), len(want))
	}
	modes := map[operation.Idempotency]bool{}
	for n := range pb.Idempotency_name {
		modes[idempotencyOf(pb.Idempotency(n))] = true
	}
	if want := constants(t, "operation", "Idempotency"); len(modes) != len(want) {
		t.Errorf("the wire gives %d modes, the rules have %d", len(modes), len(want))
	}
	if classOf(99) != classify.ClassUnspecified || outcomeOf(99) != classify.OutcomeUnspecified || phaseOf(99) != classify.PhaseUnspecified {
		t.Error("an unknown word is taken for a known one")
	}
}

// The fine words that go out as text are those of the wire too.
func TestNotCountedWords(t *testing.T) {
	for n, name := range pb.NotCountedBecause_name {
		if got := wireNotCounted(strings.TrimPrefix(name, "NOT_COUNTED_BECAUSE_")); int32(got) != n {
			t.Errorf("%s comes back as %v", name, got)
		}
	}
	if got := wireNotCounted(""); got != 0 {
		t.Errorf("no reason is %v", got)
	}
}
