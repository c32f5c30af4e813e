// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func options(tb testing.TB) Options {
	tb.Helper()
	return Options{Codec: codec(tb), From: "a", ClockWait: 10 * time.Second}
}

func TestCopyKeepsEverything(t *testing.T) {
	for _, way := range []struct {
		name     string
		from, to func(testing.TB) statestore.Store
	}{{"memory to sqlite", inMemory, inSQLite}, {"sqlite to memory", inSQLite, inMemory}, {"sqlite to sqlite", inSQLite, inSQLite}} {
		t.Run(way.name, func(t *testing.T) {
			from, to := way.from(t), way.to(t)
			fill(t, from, 600) // more than two pages
			put(t, from, key(named, "acme", "large"), &note{Data: make([]byte, 3<<20)})
			var told []Progress
			o := options(t)
			o.Progress = func(p Progress) { told = append(told, p) }
			r, err := Copy(t.Context(), from, to, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Resumed || r.Written != 3601 || r.Equal != 0 || r.Removed != 0 || len(r.Families) != 6 {
				t.Errorf("%+v", r)
			}
			for _, c := range r.Families {
				if !c.Equal() || c.Source.Records < 600 || len(c.Source.Sum) != 64 {
					t.Errorf("%+v", c)
				}
			}
			for _, k := range []statestore.Key{key(named, "", "n00007"), key(ordered, "zeta\x1f", "n00599"), key(named, "acme", "large")} {
				want, _, _ := from.Get(t.Context(), k)
				got, _, err := to.Get(t.Context(), k)
				if err != nil || want == nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%+v: %v, want %v, %v", k, got, want, err)
				}
			}
			if err := Unfinished(t.Context(), to); err != nil {
				t.Error(err)
			}
			last := told[len(told)-1]
			if last.Phase != PhaseVerify || last.Done != 2*3601 || last.Total != 2*3601 {
				t.Errorf("the last progress is %+v", last)
			}
			if _, err := Verify(t.Context(), from, to, o.Codec, nil); err != nil {
				t.Error(err)
			}
			if _, err := Copy(t.Context(), from, to, o); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "--verify-only") {
				t.Errorf("a second copy: %v", err)
			}
		})
	}
}

// However often it is interrupted, and whatever happens to the source between
// two attempts, a copy that comes to its end is exact, and one that does not
// is known to be unfinished.
func TestCopyResumes(t *testing.T) {
	c := codec(t)
	rapid.Check(t, func(r *rapid.T) {
		from, to := inMemory(t), inMemory(t)
		change := func() {
			for range rapid.IntRange(0, 30).Draw(r, "changes") {
				ns, name := rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "ns"), rapid.StringMatching("[a-d]{1,2}").Draw(r, "name")
				n := rapid.Int64Range(0, 3).Draw(r, "n")
				switch rapid.IntRange(0, 3).Draw(r, "what") {
				case 0:
					put(t, from, key(named, ns, name), nil)
				case 1:
					put(t, from, key(ordered, ns, name), nil)
				case 2:
					put(t, from, key(named, ns, name), &note{N: n, Map: map[string]int64{name: n, "x": 1}})
				default:
					put(t, from, key(ordered, ns, name), &ranked{N: n, Rank: n})
				}
			}
		}
		o := Options{Codec: c, From: "a", ClockWait: time.Second}
		for attempt := range 10 {
			change()
			cut := &failing{to, rapid.IntRange(0, 12).Draw(r, "updates before the cut")}
			result, err := Copy(t.Context(), from, cut, o)
			if err == nil {
				if _, err := Verify(t.Context(), from, to, c, nil); err != nil {
					r.Fatalf("attempt %d: %v", attempt, err)
				}
				if err := Unfinished(t.Context(), to); err != nil {
					r.Fatal(err)
				}
				return
			}
			if !errors.Is(err, errCut) {
				r.Fatal(err)
			}
			spaces, _ := to.Namespaces(t.Context())
			if err := Unfinished(t.Context(), to); len(spaces) > 0 && !errors.Is(err, ErrUnfinished) {
				r.Fatalf("after %+v the target seems whole: %v", result, err)
			}
		}
	})
}

func TestCopyRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, from, to statestore.Store, o *Options)
		want error
		says string
	}{
		{"a target with records of its own", func(t *testing.T, _, to statestore.Store, _ *Options) {
			t.Helper()
			put(t, to, key(named, "", "theirs"), &note{})
		}, ErrNotEmpty, "give an empty one"},
		{"a copy of another source", func(t *testing.T, from, to statestore.Store, o *Options) {
			t.Helper()
			if _, err := Copy(t.Context(), from, &failing{to, 2}, *o); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			o.From = "b"
		}, ErrOtherSource, "from a and not from b"},
		{"an unfinished copy as the source", func(t *testing.T, from, _ statestore.Store, _ *Options) {
			t.Helper()
			put(t, from, markKey(), &Mark{From: "x"})
		}, ErrUnfinished, "source: the store is an unfinished copy of x"},
		{"a kind that nobody knows", func(t *testing.T, from, _ statestore.Store, _ *Options) {
			t.Helper()
			put(t, from, key(strange, "acme", "s"), &note{})
		}, ErrUnknownKind, `kind-200, 1 of namespace "acme"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to, o := inSQLite(t), inSQLite(t), options(t)
			fill(t, from, 10)
			c.make(t, from, to, &o)
			before, err := Check(t.Context(), to, CheckOptions{Codec: o.Codec})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Copy(t.Context(), from, to, o)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q with %q", err, c.want, c.says)
			}
			after, err := Check(t.Context(), to, CheckOptions{Codec: o.Codec})
			if err != nil || !reflect.DeepEqual(before.Families, after.Families) || !reflect.DeepEqual(before.Mark, after.Mark) {
				t.Errorf("the target was changed: %+v, %+v, %v", before, after, err)
			}
		})
	}
}

func TestAWriterBesideACopyIsFound(t *testing.T) {
	from, to := inMemory(t), inMemory(t)
	fill(t, from, 20)
	o := options(t)
	o.Progress = func(p Progress) {
		if p.Phase == PhaseCopy && p.Done > 0 {
			put(t, to, key(ordered, "zeta\x1f", "n00003"), &ranked{N: 99})
		}
	}
	if _, err := Copy(t.Context(), from, to, o); !errors.Is(err, errForeign) {
		t.Errorf("a writer in the target: %v", err)
	}
	from, to = inMemory(t), inMemory(t)
	fill(t, from, 20)
	o.Progress = func(p Progress) {
		if p.Phase == PhaseCopy && p.Done > 60 {
			put(t, from, key(named, "", "n00003"), &note{N: 99})
		}
	}
	_, err := Copy(t.Context(), from, to, o)
	if !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "with different checksums") {
		t.Errorf("a writer in the source: %v", err)
	}
	if err := Unfinished(t.Context(), to); !errors.Is(err, ErrUnfinished) {
		t.Errorf("a copy that differs may be served: %v", err)
	}
	o.Progress = nil
	if r, err := Copy(t.Context(), from, to, o); err != nil || r.Written != 1 || r.Equal != 119 {
		t.Errorf("once more: %+v, %v", r, err)
	}
}

// ahead is a source whose records tell a later time than the target's clock.
type ahead struct {
	statestore.Store
	by time.Duration
}

func (a ahead) Now(ctx context.Context) (rules.Instant, error) {
	now, err := a.Store.Now(ctx)
	return now.Add(a.by), err
}

func TestCopyWaitsForTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := inMemory(t), inMemory(t)
		fill(t, from, 3)
		begun := time.Now()
		frozen, err := from.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		until := frozen.Add(7 * time.Second)
		if _, err := Copy(t.Context(), fixed{from, until}, to, options(t)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		if now, _ := to.Now(t.Context()); now < until {
			t.Errorf("time went back by %v", until.Sub(now))
		}
		_, err = Copy(t.Context(), ahead{from, time.Hour}, inMemory(t), options(t))
		if !errors.Is(err, ErrClockBehind) || !strings.Contains(err.Error(), "by 1h0m0s") {
			t.Errorf("an hour: %v", err)
		}
	})
}

// fixed is a source whose time stands, as that of a file does.
type fixed struct {
	statestore.Store
	at rules.Instant
}

func (f fixed) Now(context.Context) (rules.Instant, error) { return f.at, nil }

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		p    Progress
		rate float64
		left time.Duration
	}{
		{Progress{}, 0, 0},
		{Progress{Done: 100, Total: 400, Elapsed: 2 * time.Second}, 50, 6 * time.Second},
		{Progress{Done: 500, Total: 400, Elapsed: 10 * time.Second}, 50, 0},
		{Progress{Total: 400, Elapsed: time.Second}, 0, 0},
	} {
		if c.p.Rate() != c.rate || c.p.Left() != c.left {
			t.Errorf("%+v: %v a second, %v left", c.p, c.p.Rate(), c.p.Left())
		}
	}
}

// Every difference between two stores is found, wherever it is.
func TestVerifyFindsEachDifference(t *testing.T) {
	for i, spoil := range []func(s statestore.Store){
		func(s statestore.Store) { put(t, s, key(named, "acme", "n00001"), nil) },
		func(s statestore.Store) { put(t, s, key(named, "acme", "more"), &note{}) },
		func(s statestore.Store) { put(t, s, key(named, "new", "n"), &note{}) },
		func(s statestore.Store) { put(t, s, key(named, "", "n00001"), &note{N: 1}) },
		func(s statestore.Store) { put(t, s, key(ordered, "acme", "n00001"), &ranked{N: 1, Rank: 9}) },
	} {
		from, to := inMemory(t), inMemory(t)
		fill(t, from, 4)
		fill(t, to, 4)
		if all, err := Verify(t.Context(), from, to, codec(t), nil); err != nil || len(all) != 6 {
			t.Fatal(all, err)
		}
		spoil(to)
		if _, err := Verify(t.Context(), from, to, codec(t), nil); !errors.Is(err, ErrDiffers) {
			t.Errorf("target %d: %v", i, err)
		}
		spoil(from)
		if _, err := Verify(t.Context(), from, to, codec(t), nil); err != nil {
			t.Errorf("both %d: %v", i, err)
		}
	}
}
