// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func anyQuery(t *rapid.T) Query {
	return Query{
		Kind:       Kind(rapid.Byte().Draw(t, "kind")),
		Namespace:  rapid.String().Draw(t, "namespace"),
		Prefix:     rapid.StringN(0, 3, -1).Draw(t, "prefix"),
		Descending: rapid.Bool().Draw(t, "descending"),
	}
}

func TestCursorComesBackAndBelongsToItsList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := anyQuery(t)
		want := Position{Order: rapid.Int64().Draw(t, "order"), Name: string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))}
		q.After = q.CursorAt(want)
		got, more, err := q.Start()
		if err != nil || !more || got != want {
			t.Fatalf("Start = %+v, %v, %v, want %+v", got, more, err, want)
		}
		other := anyQuery(t)
		other.After, q.Limit = q.After, other.Limit
		if _, _, err := other.Start(); other != q && !errors.Is(err, ErrBadCursor) {
			t.Fatalf("the cursor of %+v is good for %+v: %v", q, other, err)
		}
	})
}

func TestStartOfTheFirstPage(t *testing.T) {
	if p, more, err := (Query{}).Start(); p != (Position{}) || more || err != nil {
		t.Fatalf("Start = %+v, %v, %v", p, more, err)
	}
}

func FuzzStart(f *testing.F) {
	q := Query{Kind: KindRun, Namespace: "acme"}
	f.Add("")
	f.Add(q.CursorAt(Position{Order: -1, Name: "a"}))
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 12)))
	f.Add("\n" + q.CursorAt(Position{Order: -1, Name: "a"}) + "\r\n")
	f.Fuzz(func(t *testing.T, token string) {
		q.After = token
		p, more, err := q.Start()
		if err != nil && !errors.Is(err, ErrBadCursor) {
			t.Fatal(err)
		}
		if err == nil && more && q.CursorAt(p) != token {
			t.Fatalf("%q is taken, but it is not the token of %+v", token, p)
		}
	})
}

func TestPrefixEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xfe, 0xff}), 0, 4), func(b []byte) string { return string(b) })
		prefix, name := text.Draw(t, "prefix"), text.Draw(t, "name")
		end, found := PrefixEnd(prefix)
		within := name >= prefix && (!found || name < end)
		if within != strings.HasPrefix(name, prefix) {
			t.Fatalf("PrefixEnd(%q) = %q, %v; %q", prefix, end, found, name)
		}
	})
}
