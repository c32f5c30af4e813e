// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// story is a run's life: method and request by lines. $NAME stands for the
// field of that name in the latest answer that had it, and + for a pause.
const story = `
PolicyService/ApplyPolicy {"request_id":"p1","reason":"a story","yaml":"version: 1\ntargets:\n- {match: 'tool/*', preset: tool}\nchains:\n  c: {levels: [{target: llm/a, kind: PRIMARY}, {target: llm/b, kind: SAME_PROVIDER_CHEAPER}]}\n"}
PolicyService/ApplyPolicy {"request_id":"p2","reason":"two at once","expected_epoch":"9","yaml":"version: 1\n"}
PolicyService/ExplainTarget {"target":"tool/search"}
RunService/StartRun {"request_id":"r1","run_id":"r","caps":{"calls":"9","cost_micros":5000000},"labels":{"team":"a \u2028 <b>"}}
RunService/StartRun {"request_id":"r2","run_id":"child","parent_run_id":"r"}
PermitService/Acquire {"request_id":"a1","operation_id":"o1","run_id":"child","target":"llm/a","idempotency":"IDEMPOTENCY_IDEMPOTENT","estimate":{"cost_micros":"1000"}}
PermitService/Acquire {"request_id":"a1","operation_id":"o1","run_id":"child","target":"llm/a","idempotency":"IDEMPOTENCY_IDEMPOTENT","estimate":{"cost_micros":"1000"}}
PermitService/Acquire {"request_id":"a1","operation_id":"o1","run_id":"child","target":"llm/b"}
PermitService/Heartbeat {"permit_id":"$permit_id","fence":"$fence"}
PermitService/Report {"permit_id":"$permit_id","fence":"$fence","outcome":"OUTCOME_FAILURE","duration":"0.8s","signal":{"http_status":429,"headers":{"Retry-After":"5"}}}
PermitService/Report {"permit_id":"$permit_id","fence":"$fence","outcome":"OUTCOME_SUCCESS"}
PermitService/Heartbeat {"permit_id":"$permit_id","fence":"$fence"}
TargetService/GetTarget {"target":"llm/a"}
PermitService/Acquire {"request_id":"a2","operation_id":"o2","run_id":"child","target":"llm/a"}
+
PermitService/Acquire {"request_id":"a3","operation_id":"o3","run_id":"child","target":"llm/a","estimate":{"cost_micros":"1000"}}
PermitService/Report {"permit_id":"$permit_id","outcome":"OUTCOME_SUCCESS","signal":{"http_status":200},"usage":{"cost_micros":"900","input_tokens":12,"output_tokens":"3"}}
PermitService/Acquire {"request_id":"a4","operation_id":"o4","run_id":"r","target":"pay","estimate":{"cost_micros":"1000"},"idempotency":"IDEMPOTENCY_NON_IDEMPOTENT"}
PermitService/Report {"permit_id":"$permit_id","outcome":"OUTCOME_FAILURE","signal":{"exception":"timeout"}}
EscalationService/GetEscalation {"escalation_id":"$escalation_id"}
EscalationService/ListEscalations {}
EscalationService/WaitDecision {"escalation_id":"$escalation_id","timeout":"3s"}
DeadLetterService/ListDeadLetters {}
DeadLetterService/GetDeadLetter {"operation_id":"o4"}
PermitService/Acquire {"request_id":"a5","operation_id":"o5","chain":"c","dry_run":true}
PermitService/Acquire {"request_id":"a6","operation_id":"o6","run_id":"child","chain":"c","estimate":{"cost_micros":0}}
PermitService/Release {"permit_id":"$permit_id"}
RunService/AdjustRun {"request_id":"j1","run_id":"r","delta":{"calls":"-6"},"reason":"too much"}
PermitService/Acquire {"request_id":"a7","operation_id":"o7","run_id":"child","target":"llm/b"}
DecisionService/ExplainDecision {"decision_id":"$decision_id"}
DecisionService/ListDecisions {}
TargetService/SetBreaker {"request_id":"b1","target":"llm/b","mode":"BREAKER_MODE_FORCED_OPEN","ttl":"60s","reason":"a drill"}
PermitService/Acquire {"request_id":"a8","operation_id":"o8","target":"llm/b"}
RunService/ReconcileRun {"request_id":"k1","run_id":"r","replaces":{"cost_micros":"1000"},"actual":{"cost_micros":"950"},"reason":"the bill"}
RunService/StopRun {"request_id":"s1","run_id":"r","reason":"done"}
RunService/FinishRun {"request_id":"f1","run_id":"child"}
RunService/GetRun {"run_id":"r"}
RunService/ListRuns {"page_size":1}
RunService/ListRuns {"page_size":1,"page_token":"$next_page_token"}
TargetService/ListTargets {}
`

// A run's life is the same on both ports.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, other := newHarness(t, nil), newHarness(t, nil)
		ours, theirs := map[string]string{}, map[string]string{}
		answers := 0
		for i, line := range strings.Split(strings.TrimSpace(story), "\n") {
			if line == "+" {
				time.Sleep(10 * time.Second)
				continue
			}
			name, text, _ := strings.Cut(line, " ")
			m := methodNamed(t, name)
			first := make(chan outcome, 1) // both at once: one of the calls waits
			go func(r proto.Message) { first <- h.overGRPC(t, m, r) }(requestOf(t, m, text, ours))
			b := other.overJSON(t, m, requestOf(t, m, text, theirs), i%2 == 0)
			a := <-first
			same(t, line, a, b)
			if a.answer != nil && b.answer != nil {
				answers++
				remember(ours, a.answer.ProtoReflect())
				remember(theirs, b.answer.ProtoReflect())
			}
		}
		if answers < 30 {
			t.Errorf("only %d steps were answered", answers)
		}
	})
}

func methodNamed(t *testing.T, name string) protoreflect.MethodDescriptor {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName("resilience.v1." + strings.Replace(name, "/", ".", 1)))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MethodDescriptor)
}

func requestOf(t *testing.T, m protoreflect.MethodDescriptor, text string, known map[string]string) proto.Message {
	t.Helper()
	for name, value := range known {
		text = strings.ReplaceAll(text, `"$`+name+`"`, `"`+value+`"`)
	}
	r := messageOf(t, m.Input())
	if err := protojson.Unmarshal([]byte(text), r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// remember keeps the texts and numbers of an answer by their names.
func remember(known map[string]string, m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() || fd.IsMap():
		case fd.Message() != nil:
			remember(known, v.Message())
		default:
			known[string(fd.Name())] = fmt.Sprint(v.Interface())
		}
		return true
	})
}
