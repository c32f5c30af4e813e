// SPDX-License-Identifier: Apache-2.0

package strict

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

func TestDurationsAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, MaxDuration.Milliseconds()).Draw(t, "ms")) * time.Millisecond
		if got, ok := ParseDuration(FormatDuration(d)); !ok || got != d {
			t.Fatalf("%v is written %s and read %v, %v", d, FormatDuration(d), got, ok)
		}
	})
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "1.5s": 1500 * time.Millisecond, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "1m30s": 90 * time.Second,
	} {
		if got, ok := ParseDuration(text); !ok || got != want {
			t.Errorf("%s is read %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "1", "s", "1 s", "1S", "1us", "0.1ms", "1h-1m", "..s", "1.2.3s", "9999999999d", "1s\n"} {
		if got, ok := ParseDuration(text); ok {
			t.Errorf("%q is read %v", text, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"max_attempts", "task_budget", "window", "openai/gpt-4o"}
	for word, want := range map[string]string{
		"max_atempts": "max_attempts", "MAX_ATTEMPTS": "max_attempts", "task_retry_budget": "task_budget", "widnow": "window",
		"openai/gpt4o": "openai/gpt-4o", "zzz": "", "": "", strings.Repeat("max_attempts", 9): "",
	} {
		got := DidYouMean(word, words)
		if want != "" {
			want = "; did you mean \"" + want + "\"?"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestDurationsThatWereMeant(t *testing.T) {
	for text, want := range map[string]string{
		"30sec": "30s", "5 minutes": "5m", "1H": "1h", "2 Days": "2d", "100msec": "100ms", "1h 30min": "1h30m", "30x": "", "soon": "", "": "",
	} {
		if want != "" {
			want = "; did you mean " + want + "?"
		}
		if got := durationMeant(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// A table reads what it has, and says of everything else where it belongs.
func TestSchemaReads(t *testing.T) {
	type pair struct {
		n    int
		flag bool
	}
	s := New(Number("a.n", 0, 9, func(p *pair) *int { return &p.n }), Flag("flag", func(p *pair) *bool { return &p.flag }))
	d := NewDecoder("f", Kind{Name: "file"})
	root := d.Document([]byte("a: {n: 3, m: 4}\nflag: true\nn: 5\n"))
	var p pair
	for _, set := range s.Read(d, root, Place{}) {
		set.Apply(&p)
	}
	if p != (pair{3, true}) {
		t.Errorf("read %+v", p)
	}
	want := "f:1:11: a.m: the key \"m\" is not known here; did you mean \"n\"?\nf:3:1: n: the key \"n\" is not known here; it belongs under a"
	want = strings.Replace(want, "; did you mean \"n\"?", "; known are n", 1)
	if err := d.Err(); err == nil || err.Error() != want {
		t.Errorf("problems:\n%v\nwant:\n%s", err, want)
	}
}

// What is no plain YAML is refused before anything walks it.
func TestDocumentRefuses(t *testing.T) {
	for _, text := range []string{"", "null", "a: &x 1", "a: !!str b", "<<: {a: 1}", "? [a]\n: b", "a: 1\n---\nb: 2", "a: 1\na: 2", "\xff", "a: \x01", strings.Repeat("[", 20)} {
		d := NewDecoder("f", Kind{Name: "file", Begin: "a:"})
		d.Document([]byte(text))
		if d.Err() == nil {
			t.Errorf("%q is taken", text)
		}
	}
	d := NewDecoder("f", Kind{})
	if n := d.Document([]byte("a: [b, {c: d}]")); n == nil || n.Kind != yaml.MappingNode || d.Err() != nil {
		t.Errorf("%v, %v", n, d.Err())
	}
}
