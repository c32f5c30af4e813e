// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/prices"
	"github.com/resilienced/resilienced/policy/strict"
)

var update = flag.Bool("update", false, "write deploy/policies/policy.schema.json")

// The file that comes with the product is the one that Schema gives.
func TestSchemaFile(t *testing.T) {
	path := filepath.Join("..", "deploy", "policies", "policy.schema.json")
	if *update {
		if err := os.WriteFile(path, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, Schema()) {
		t.Errorf("%s is out of date; write it with: go test ./policy -run TestSchemaFile -update", path)
	}
}

// compiled is the schema for a validator, which checks it against its own.
func compiled(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.schema.json", document); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("policy.schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// valid tells whether a schema takes a YAML text, as an editor reads it.
func valid(tb testing.TB, s *jsonschema.Schema, text []byte) error {
	tb.Helper()
	var n yaml.Node
	if err := yaml.Load(text, &n); err != nil {
		return err
	}
	return s.Validate(value(&n))
}

// value is a node as a JSON value.
func value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.DocumentNode:
		return value(n.Content[0])
	case yaml.MappingNode:
		m := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, value(item))
		}
		return list
	default:
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		digits := strings.ReplaceAll(n.Value, "_", "")
		if i, err := strconv.ParseInt(digits, 10, 64); err == nil {
			return json.Number(strconv.FormatInt(i, 10))
		}
		if json.Valid([]byte(digits)) {
			return json.Number(digits)
		}
	}
	return n.Value
}

func TestSchemaTakesWhatComesWithTheProduct(t *testing.T) {
	s := compiled(t)
	for _, name := range []string{"example.yaml", "minimal.yaml"} {
		text := read(t, name)
		if err := valid(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=./policy.schema.json\n") {
			t.Errorf("%s does not name the schema", name)
		}
	}
}

// What Parse takes, the schema takes.
func TestSchemaTakesWhatParseTakes(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob(filepath.Join("testdata", "good", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(filepath.Base(file), text, Options{}); err != nil {
			t.Errorf("Parse refuses %s: %v", file, err)
		}
		if err := valid(t, s, text); err != nil {
			t.Errorf("the schema refuses %s: %v", file, err)
		}
	}
}

// What Parse refuses, the schema refuses too where it can know: a broken file
// says in its first lines what Parse says, and whether the schema can know.
func TestBrokenFiles(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob(filepath.Join("testdata", "broken", "*.yaml"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			refuses := true
			for line := range strings.Lines(string(text)) {
				if says, ok := strings.CutPrefix(line, "# want: "); ok {
					want = append(want, filepath.Base(file)+":"+strings.TrimSpace(says))
				}
				if strings.HasPrefix(line, "# the schema cannot know") {
					refuses = false
				}
			}
			_, err = Parse(filepath.Base(file), text, Options{})
			if err == nil || len(want) == 0 {
				t.Fatalf("Parse returned %v, the file wants %d problems", err, len(want))
			}
			if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if err := valid(t, s, text); (err != nil) != refuses {
				t.Errorf("the schema says %v", err)
			}
		})
	}
}

// Every key of the schema says what it is for.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var walk func(path string, n any)
	walk = func(path string, n any) {
		switch n := n.(type) {
		case map[string]any:
			if properties, ok := n["properties"].(map[string]any); ok {
				if n["additionalProperties"] != false {
					t.Errorf("%s may have any other key", path)
				}
				for key, p := range properties {
					seen++
					if text, _ := p.(map[string]any)["description"].(string); len(text) < 5 {
						t.Errorf("%s.%s has no description", path, key)
					}
				}
			}
			for key, child := range n {
				walk(path+"."+key, child)
			}
		case []any:
			for _, child := range n {
				walk(path, child)
			}
		}
	}
	walk("", root)
	if seen < 150 {
		t.Errorf("only %d keys were seen", seen)
	}
	keys := rootKeys()
	for _, key := range keys {
		if _, ok := root["properties"].(map[string]any)[key]; !ok {
			t.Errorf("the schema has no %s", key)
		}
	}
	if len(keys) != len(root["properties"].(map[string]any)) {
		t.Error("the schema has more keys than the reader")
	}
}

// For every field there is: what its reader takes, its schema takes. The values
// are all sorts of scalars, lists and mappings, right and wrong ones.
func TestEveryFieldAndItsSchema(t *testing.T) {
	taken := checkFields(t, targetSchema()) + checkFields(t, ruleSchema()) + checkFields(t, chainSchema()) +
		checkFields(t, levelSchema()) + checkFields(t, runSchema()) + checkFields(t, quotaSchema()) + checkFields(t, prices.Schema())
	if taken < 500 {
		t.Errorf("only %d values were taken", taken)
	}
}

func checkFields[T any](t *testing.T, s *strict.Schema[T]) (taken int) {
	t.Helper()
	for _, f := range s.Fields {
		c := jsonschema.NewCompiler()
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.JSON.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("field.json", document); err != nil {
			t.Fatal(err)
		}
		schema, err := c.Compile("field.json")
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		words, _ := f.JSON["enum"].([]string)
		refused := 0
		for _, text := range append(sampleValues(), words...) {
			var n yaml.Node
			if err := yaml.Load([]byte(text), &n); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
			if len(n.Content) > 0 {
				node = n.Content[0]
			}
			refuses := schema.Validate(value(node))
			if refuses != nil {
				refused++
			}
			if _, ok := f.Read(newDecoder("p"), node, "x"); ok {
				taken++
				if refuses != nil {
					t.Errorf("%s: %s is taken, and its schema says %v", f.Path, text, refuses)
				}
			}
		}
		if refused == 0 {
			t.Errorf("%s: its schema refuses nothing", f.Path)
		}
	}
	return taken
}

func sampleValues() []string {
	return []string{
		"0", "1", "-1", "2", "50", "100", "429", "599", "1000", "1_000", "1_0_0", "10000", "1_000_000", "1000000000", "1000000000000000", "1000000000000001", "-32000", "2147483648",
		"0x10", "010", "1.0", "1.5", "1e3", ".nan", ".inf", "+5", "'5'", "'1_000'", "5_", "_5",
		"0s", "1ms", "'0'", "250ms", "30s", "1m30s", "1.5h", ".5s", "1.s", "24h", "7d", "365d", "1d12h", "1 s", "1S", "-5s", "0.5ms", "1us", "9999h",
		"true", "false", "yes", "True", "null", "~", "''", "x", "'x y'", "' x'", "'x '", "é", "USD", "usd", "EURO", "unlimited", "Unlimited", "none",
		"500-503", "503-500", "5_00-5_03", "600-700", "2026-11-01", "DENY", "UNAVAILABLE", "llm", "EMPTY", strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("é", 128),
		"[]", "[x]", "[1]", "[500, 501-503]", "[UNAVAILABLE, INTERNAL]", "[EMPTY]", "[llm, default]", "[x, 1]", "[[x]]", "{}", "{a: b}", "{A: b}", "{a: 1}", "{'a b': 'c'}",
	}
}
