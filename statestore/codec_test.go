// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

type sample struct {
	N     int64            `json:"n"`
	Text  string           `json:"text,omitempty"`
	Data  []byte           `json:"data,omitempty"`
	Deep  *sample          `json:"deep,omitempty"`
	Times map[string]int64 `json:"times,omitempty"`
}

type older struct {
	N int64 `json:"n"`
}

func newCodec(t *testing.T) *Codec {
	t.Helper()
	c, err := NewCodec(map[Kind]func() Record{
		KindRun:    func() Record { return new(sample) },
		KindTarget: func() Record { return new(older) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsEncodedCanBeDecoded(t *testing.T) {
	c := newCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		want := &sample{
			N:     rapid.Int64().Draw(t, "n"),
			Text:  string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), // not always UTF-8
			Times: rapid.MapOfN(rapid.String(), rapid.Int64(), 1, 5).Draw(t, "times"),
		}
		for range rapid.IntRange(0, 60).Draw(t, "depth") {
			want = &sample{N: want.N, Deep: want}
		}
		b, err := c.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Decode(KindRun, b)
		if err != nil || !reflect.DeepEqual(got, Record(want)) {
			t.Fatalf("Decode = %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestFieldsMayBeAdded(t *testing.T) {
	c := newCodec(t)
	b, err := c.Encode(&older{N: 7})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Decode(KindRun, b); err != nil || !reflect.DeepEqual(got, &sample{N: 7}) {
		t.Fatalf("Decode = %+v, %v", got, err)
	}
	if b, err = c.Encode(&sample{N: 8, Text: "new"}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Decode(KindTarget, b); err != nil || !reflect.DeepEqual(got, &older{N: 8}) {
		t.Fatalf("Decode = %+v, %v", got, err)
	}
}

func TestCodecKnowsItsKinds(t *testing.T) {
	c := newCodec(t)
	if _, err := c.Decode(KindFold, []byte{0xa0}); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("Decode of a new kind: %v", err)
	}
	if _, err := c.New(KindFold); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("New of a new kind: %v", err)
	}
	if r, err := c.New(KindRun); err != nil || !reflect.DeepEqual(r, &sample{}) {
		t.Errorf("New = %+v, %v", r, err)
	}
	if _, err := c.Decode(KindRun, []byte("nonsense")); !errors.Is(err, ErrNotADatabase) {
		t.Errorf("Decode of nonsense: %v", err)
	}
	if _, err := c.Encode(make(chan int)); !errors.Is(err, ErrRejected) {
		t.Errorf("Encode of a channel: %v", err)
	}
	for r, fits := range map[Record]bool{&sample{}: true, &older{}: false, nil: false} {
		if c.Fits(KindRun, r) != fits {
			t.Errorf("Fits(%T) = %v", r, !fits)
		}
	}
	if c.Fits(KindFold, &sample{}) || c.Fits(KindFold, nil) {
		t.Error("a record fits a kind that is not known")
	}
}

// A map has no order, so its bytes may differ each time; the canonical ones do
// not, and they are read like the others.
func TestCanonicalIsTheSameForTheSame(t *testing.T) {
	c := newCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.MapOfN(rapid.String(), rapid.Int64(), 0, 20).Draw(t, "times")
		want := &sample{N: rapid.Int64().Draw(t, "n"), Times: times}
		first, err := c.Canonical(want)
		if err != nil {
			t.Fatal(err)
		}
		again := maps.Clone(times)
		if len(times) == 0 {
			again = nil
		}
		second, err := c.Canonical(&sample{N: want.N, Times: again})
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x and %x, %v", first, second, err)
		}
		got, err := c.Decode(KindRun, first)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := c.Canonical(got); err != nil || !bytes.Equal(first, third) {
			t.Fatalf("%x and, read again, %x, %v", first, third, err)
		}
		other, err := c.Canonical(&sample{N: want.N + 1, Times: times})
		if err != nil || bytes.Equal(first, other) {
			t.Fatalf("two records have the bytes %x, %v", first, err)
		}
	})
}

func TestAStrictCodecLosesNoField(t *testing.T) {
	kinds := map[Kind]func() Record{KindRun: func() Record { return new(older) }}
	strict, err := NewStrictCodec(kinds)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := newCodec(t).Encode(&sample{N: 7, Text: "new"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := strict.Decode(KindRun, newer); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("a record with a field too many: %v", err)
	}
	same, err := strict.Encode(&older{N: 7})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := strict.Decode(KindRun, same); err != nil || r.(*older).N != 7 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestKindsHaveNames(t *testing.T) {
	seen := map[string]Kind{}
	for kind, name := range kindNames() {
		if other, twice := seen[name]; twice || kind.String() != name {
			t.Errorf("%d and %d are called %q", kind, other, name)
		}
		seen[name] = kind
	}
	if got := Kind(200).String(); got != "kind-200" {
		t.Errorf("an unknown kind is %q", got)
	}
}
