// SPDX-License-Identifier: Apache-2.0

package encode

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestForms(t *testing.T) {
	zero := int64(0)
	run := &pb.Run{RunId: "nightly\u202e", State: pb.RunState_RUN_STATE_ACTIVE, Caps: &pb.Caps{Calls: &zero}, StopReason: "true"}
	wantLine := `{"run_id":"nightly\u202e","parent_run_id":"","state":"RUN_STATE_ACTIVE","caps":{"calls":"0"},"currency":"",` +
		`"soft_percent":0,"overrun_micros":"0","blocked_by":"","stop_reason":"true","labels":{}}` + "\n"
	wantYAML := `run_id: "nightly\u202e"
parent_run_id: ""
state: RUN_STATE_ACTIVE
caps:
  calls: "0"
currency: ""
soft_percent: 0
overrun_micros: "0"
blocked_by: ""
stop_reason: "true"
labels: {}
`
	for range 20 { // what protojson varies it varies from build to build; this at least shows no randomness of ours
		line, err := Line(run)
		if err != nil || string(line) != wantLine {
			t.Fatalf("line %s, %v", line, err)
		}
		text, err := YAML(run)
		if err != nil || string(text) != wantYAML {
			t.Fatalf("YAML\n%s, %v", text, err)
		}
	}
}

// Whatever a client sends as text: the value survives every form, and nothing
// that a terminal would act upon gets out.
func TestTextSurvivesAndIsHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.SampledFrom([]rune{0, '\t', '\n', '\r', 0x1b, 0x7f, 0x85, 0x9b, 0xa0, 0x200b, 0x2028, 0x202e, 0x2066, 0xfeff, 0xfffd, 0xe000, 0xe0041, 0x1f600, '"', '\\', '\'', ':', '#', '-', ' ', 'a', '1'})
		text := string(rapid.SliceOfN(rapid.OneOf(odd, rapid.Rune()), 0, 12).Draw(t, "text"))
		if !utf8.ValidString(text) {
			t.Skip("the wire carries UTF-8 only")
		}
		want := &pb.Run{RunId: text, Labels: map[string]string{"k" + text: text}}
		indented, err := JSON(want)
		if err != nil {
			t.Fatal(err)
		}
		harmless(t, indented)
		var got pb.Run
		if err := protojson.Unmarshal(indented, &got); err != nil || !proto.Equal(want, &got) {
			t.Fatalf("JSON lost %q: %v\n%s", text, err, indented)
		}
		written, err := YAML(want)
		if err != nil {
			t.Fatal(err)
		}
		harmless(t, written)
		var tree map[string]any
		if err := yaml.Unmarshal(written, &tree); err != nil {
			t.Fatalf("YAML of %q cannot be read: %v\n%s", text, err, written)
		}
		again, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		got.Reset()
		if err := protojson.Unmarshal(again, &got); err != nil || !proto.Equal(want, &got) {
			t.Fatalf("YAML lost %q: %v\n%s", text, err, written)
		}
	})
}

func harmless(t *rapid.T, text []byte) {
	for _, r := range string(text) {
		if hidden(r) {
			t.Fatalf("%q got out in %q", r, text)
		}
	}
}

func TestPlain(t *testing.T) {
	text, err := Plain(map[string]string{"a": "<\u202e>"})
	if want := "{\n  \"a\": \"<\\u202e>\"\n}\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
}
