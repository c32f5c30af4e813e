// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	type m = map[string]int64
	type g = map[string][]string
	for _, c := range []struct {
		name   string
		verb   string
		expect string // YAML
		got    answer
		want   []Mismatch
	}{
		{"nothing expected", "run: {id: r}", "{}", answer{"state": "ACTIVE"}, nil},
		{"the rest is free", "run: {id: r}", "{state: ACTIVE}", answer{"state": "ACTIVE", "spent": int64(5)}, nil},
		{"another number", "run: {id: r}", "{spent: 4}", answer{"spent": int64(5)}, []Mismatch{{"spent", "4", "5"}}},
		{"several", "run: {id: r}", "{state: STOPPED, spent: 5, reserved: 1}", answer{"state": "ACTIVE", "spent": int64(5)}, []Mismatch{{"state", "STOPPED", "ACTIVE"}, {"reserved", "1", "nothing"}}},
		{"letters count", "run: {id: r}", "{state: active}", answer{"state": "ACTIVE"}, []Mismatch{{"state", "active", "ACTIVE"}}},

		{"absent is 0", "run: {id: r}", "{spent: 0}", answer{}, nil},
		{"absent is false", "run: {id: r}", "{spent: false, state: false}", answer{}, nil},
		{"absent is empty text", "run: {id: r}", `{spent: "", state: ""}`, answer{"state": ""}, nil},
		{"absent is empty list", "run: {id: r}", "{spent: [], state: []}", answer{}, nil},
		{"absent is null", "run: {id: r}", "{spent: null, state: ~}", answer{"spent": int64(0)}, nil},
		{"zero is not there", "run: {id: r}", "{spent: 0}", answer{"spent": int64(3)}, []Mismatch{{"spent", "nothing", "3"}}},
		{"false is not there", "acquire: {op: o}", "{probe: false}", answer{"probe": true}, []Mismatch{{"probe", "nothing", "true"}}},
		{"0 may be a name", "acquire: {op: o}", "{permit: 0}", answer{"permit": "0"}, nil},
		{"0 is not another name", "acquire: {op: o}", "{permit: 0}", answer{"permit": "a"}, []Mismatch{{"permit", "0", "a"}}},

		{"a list is a set", "claim: {}", "{items: [b, a, a]}", answer{"items": []string{"a", "b"}}, nil},
		{"more than the list", "claim: {}", "{items: [a]}", answer{"items": []string{"b", "a"}}, []Mismatch{{"items", "[a]", "[a, b]"}}},
		{"less than the list", "claim: {}", "{items: [a]}", answer{}, []Mismatch{{"items", "[a]", "nothing"}}},
		{"an empty list", "claim: {}", "{items: []}", answer{"items": []string{"a"}}, []Mismatch{{"items", "nothing", "[a]"}}},

		{"a map is whole", "burst: {op: o, n: 1}", "{actions: {STOP: 1}}", answer{"actions": m{"STOP": 1, "RETRY": 2}}, []Mismatch{{"actions", "{STOP: 1}", "{RETRY: 2, STOP: 1}"}}},
		{"an equal map", "burst: {op: o, n: 1}", "{actions: {STOP: 1, RETRY: 0}}", answer{"actions": m{"STOP": 1, "WAIT": 0}}, nil},
		{"an empty map", "burst: {op: o, n: 1}", "{actions: {}}", answer{"actions": m{}}, nil},
		{"not an empty map", "burst: {op: o, n: 1}", "{actions: {}}", answer{"actions": m{"STOP": 1}}, []Mismatch{{"actions", "nothing", "{STOP: 1}"}}},
		{"lists in a map", "failed_items: {}", "{by_reason: {A: [x, y], B: []}}", answer{"by_reason": g{"A": {"y", "x"}}}, nil},
		{"other lists in a map", "failed_items: {}", "{by_reason: {A: [x]}}", answer{"by_reason": g{"A": {"y"}}}, []Mismatch{{"by_reason", "{A: [x]}", "{A: [y]}"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := parse("x.yaml", []byte(wrap("{"+c.verb+", expect: "+c.expect+"}")))
			if len(s.Faults) > 0 {
				t.Fatalf("faults: %v", s.Faults)
			}
			if diff := cmp.Diff(c.want, match(s.steps[0].expect, c.got)); diff != "" {
				t.Errorf("mismatches (-want +got):\n%s", diff)
			}
		})
	}
}
