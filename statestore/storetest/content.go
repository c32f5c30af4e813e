// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"math"
	"strings"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func recordTests() []test {
	return []test{
		{"an absent record is nil", absentIsNil},
		{"extreme numbers come back", extremeNumbers},
		{"a text that is not UTF-8 comes back", anyText},
		{"a record of a megabyte comes back", largeRecord},
		{"names may be any text", anyName},
		{"a name may be empty", emptyName},
		{"kinds do not mix", kindsDoNotMix},
		{"a read entry sees the record", readSees},
		{"an entry may be used again", entryAgain},
	}
}

func absentIsNil(r *rig) {
	k := key(plain, "nobody")
	r.want(k, nil)
	for _, e := range []*statestore.Entry{write(k), read(k), try(k)} {
		r.update([]*statestore.Entry{e}, func(rules.Instant) {
			if e.Record() != nil || e.Loaded() != nil || e.Changed() {
				r.Errorf("mode %d: record %v, loaded %v, changed %v", e.Mode, e.Record(), e.Loaded(), e.Changed())
			}
			if held := e.Mode != statestore.Read; e.Held() != held {
				r.Errorf("mode %d: held = %v, want %v", e.Mode, e.Held(), held)
			}
		})
	}
}

func extremeNumbers(r *rig) {
	for name, rec := range map[string]statestore.Record{
		"most":  &Task{N: math.MaxInt64, Rank: math.MaxInt64, Due: math.MaxInt64},
		"least": &Task{N: math.MinInt64, Rank: math.MinInt64, Due: 1},
		"none":  &Task{},
	} {
		r.putOne(key(task, name), rec)
		r.want(key(task, name), rec)
	}
	r.reopen()
	if r.outlives() {
		r.want(key(task, "least"), &Task{N: math.MinInt64, Rank: math.MinInt64, Due: 1})
	}
}

func anyText(r *rig) {
	rec := &Plain{Text: "a\x00b\xff\xfe\"'\n", Data: []byte{0, 0xff, 1}}
	r.putOne(key(plain, "a"), rec)
	r.want(key(plain, "a"), rec)
	r.reopen()
	if r.outlives() {
		r.want(key(plain, "a"), rec)
	}
}

func largeRecord(r *rig) {
	rec := &Plain{Data: bytes.Repeat([]byte{7}, 1<<20)}
	r.putOne(key(plain, "a"), rec)
	r.want(key(plain, "a"), rec)
	r.putOne(key(plain, "a"), &Plain{N: 1})
	r.want(key(plain, "a"), &Plain{N: 1})
}

// oddNames are names that a careless store would change or mix up.
func oddNames() []string {
	return []string{
		"a", "A", "a ", " a", "ä", "a\u0308", "100%", "a_b", "axb", "'; DROP TABLE x --", `back\slash`, `"quoted"`,
		"new\nline", "tab\t", "a/b/c", "1", "01", "1.0", "NULL", "日本", "🙂", strings.Repeat("long", 128),
	}
}

func anyName(r *rig) {
	records := make(map[statestore.Key]statestore.Record)
	for i, name := range oddNames() {
		records[key(plain, name)] = &Plain{N: int64(i)}
		records[in(name, key(plain, "n"))] = &Plain{N: int64(-i)}
	}
	r.put(records)
	for k, rec := range records {
		r.want(k, rec)
	}
	if n := r.count(plain, "acme"); n != len(oddNames()) {
		r.Fatalf("Count = %d, want %d", n, len(oddNames()))
	}
}

func emptyName(r *rig) {
	k := statestore.Key{Kind: plain}
	r.putOne(k, &Plain{N: 1})
	r.want(k, &Plain{N: 1})
	r.wantNone(key(plain, ""), statestore.Key{Kind: other})
}

func kindsDoNotMix(r *rig) {
	r.putOne(key(plain, "a"), &Plain{N: 1})
	r.wantNone(key(other, "a"), key(timed, "a"), key(ranked, "a"))
	r.putOne(key(other, "a"), &Plain{N: 2})
	r.remove(key(plain, "a"))
	r.want(key(other, "a"), &Plain{N: 2})
}

func readSees(r *rig) {
	r.putOne(key(plain, "a"), &Plain{N: 1})
	a, b := read(key(plain, "a")), write(key(plain, "b"))
	r.update([]*statestore.Entry{a, b}, func(rules.Instant) {
		b.Put(&Plain{N: a.Record().(*Plain).N + 1})
	})
	r.want(b.Key, &Plain{N: 2})
}

func entryAgain(r *rig) {
	entries := []*statestore.Entry{write(key(plain, "a"))}
	for n := range int64(3) {
		r.update(entries, func(rules.Instant) {
			if entries[0].Changed() {
				r.Error("an entry that is loaded again is still changed")
			}
			if rec, _ := entries[0].Record().(*Plain); n > 0 && rec.N != n-1 {
				r.Errorf("N = %d, want %d", rec.N, n-1)
			}
			entries[0].Put(&Plain{N: n})
		})
	}
}
