// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules/admit"
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// TestCommandsThatNeverHaveEnough: one that asks for more keys for ever, and one
// whose policy changes each time before it is carried out, end with an error.
func TestCommandsThatNeverHaveEnough(t *testing.T) {
	t.Run("of keys", func(t *testing.T) {
		e, _ := newFaulty(t, 1)
		c := &counter{name: "a"}
		c.then = func(*txn) error {
			if c.ran > 10*maxRounds {
				return errors.New("it goes on and on")
			}
			return errNeed
		}
		if err := e.submit(t.Context(), "n", false, c, c.plan); !errors.Is(err, ErrInternal) || c.ran != maxRounds+1 {
			t.Errorf("after %d turns: %v", c.ran, err)
		}
		if n := count(t, e, "a"); n != 0 {
			t.Errorf("it changed the record %d times", n)
		}
	})
	t.Run("of policies", func(t *testing.T) {
		s := &restless{Store: memory.New(memory.Config{})}
		e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeAll(t, e) })
		s.left.Store(10 * maxRounds)
		c := &counter{name: "a"}
		if err := e.submit(t.Context(), "n", false, c, c.plan); !errors.Is(err, ErrUnavailable) || c.ran != 0 {
			t.Errorf("it ran %d times: %v", c.ran, err)
		}
		s.left.Store(maxRounds / 2)
		if err := e.submit(t.Context(), "n", false, c, c.plan); err != nil || c.ran != 1 {
			t.Errorf("after a few changes it ran %d times: %v", c.ran, err)
		}
	})
}

// restless is a store whose policy epoch is raised before each transaction of
// test records, by somebody else.
type restless struct {
	statestore.Store
	left atomic.Int64
}

func (s *restless) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	if entries[0].Key.Kind == statestore.KindRepeat && s.left.Add(-1) >= 0 {
		epoch := &statestore.Entry{Key: epochKey(), Mode: statestore.Write}
		err := s.Store.Update(ctx, []*statestore.Entry{epoch}, func(instant) (statestore.Durability, error) {
			epoch.Put(&Meta{Epoch: epochIn(epoch) + 1})
			return statestore.Durable, nil
		})
		if err != nil {
			return err
		}
	}
	return s.Store.Update(ctx, entries, fn)
}

// TestOnlyWhatWasCommittedIsTold: an event of a command that failed, was begun
// again or was not committed is not told, and one that was, once.
func TestOnlyWhatWasCommittedIsTold(t *testing.T) {
	s := &faulty{Store: memory.New(memory.Config{})}
	told := map[string]int{}
	e, err := New(t.Context(), Config{Store: s, NoSweeper: true, OnEvent: func(ev Event) { told[ev.Name]++ }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.set(nil, nil, nil); closeAll(t, e) })
	tell := func(name string, then func(tx *txn) error) error {
		c := &counter{name: "a"}
		c.then = func(tx *txn) error {
			tx.emit(Event{Kind: EventRun, Namespace: "n", Name: name})
			return then(tx)
		}
		return e.submit(t.Context(), "n", false, c, c.plan)
	}
	well := func(*txn) error { return nil }
	if err := tell("committed", well); err != nil {
		t.Fatal(err)
	}
	if err := tell("failed", func(*txn) error { return errors.New("own") }); err == nil {
		t.Fatal("no error")
	}
	again := func(tx *txn) error {
		if _, ok := tx.want(statestore.Key{Kind: statestore.KindRepeat, Namespace: "n", Name: "b"}, statestore.Write, 0); !ok {
			return errNeed
		}
		return nil
	}
	if err := tell("begun again", again); err != nil {
		t.Fatal(err)
	}
	s.set(nil, func(*statestore.Entry) bool { return true }, nil)
	if err := tell("rejected", well); err == nil {
		t.Fatal("no error")
	}
	if want := (map[string]int{"committed": 1, "begun again": 1}); fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// TestMessagesAreShort: what would be too long, or of too many namespaces, says
// to look at everything; and a short one names what changed.
func TestMessagesAreShort(t *testing.T) {
	for _, c := range []struct {
		namespaces, length int
		all                bool
	}{{3, 10, false}, {maxTold, 10, false}, {maxTold + 1, 10, true}, {maxTold - 1, 128, true}, {10 * maxTold, 128, true}} {
		w := &teller{notifier: nothing{}, wake: make(chan struct{}, 1), pending: map[news]struct{}{}}
		for i := range c.namespaces {
			ns := strconv.Itoa(i)
			w.note(&Event{Kind: EventRun, Namespace: ns + strings.Repeat("x", c.length-len(ns))})
		}
		if len(w.pending) > maxTold+1 {
			t.Errorf("%+v: %d changes are remembered", c, len(w.pending))
		}
		m := w.message()
		if len(m) > maxMessage || (m == tellAll) != c.all || (!c.all && strings.Count(m, "\n") != c.namespaces) {
			t.Errorf("%+v: a message of %d bytes, %.20q", c, len(m), m)
		}
		if again := w.message(); again != "" {
			t.Errorf("%+v: told again: %.20q", c, again)
		}
	}
}

// nothing is a notifier that nobody hears.
type nothing struct{}

func (nothing) Notify(string)                {}
func (nothing) Notifications() <-chan string { return nil }

// TestRememberedPathsAreBounded: more runs than are remembered make no more.
func TestRememberedPathsAreBounded(t *testing.T) {
	p := newPaths()
	path := []string{"r"}
	for i := range maxPaths + 10 {
		p.put(runKey("n", strconv.Itoa(i)), path)
	}
	if len(p.know) > maxPaths || p.get(runKey("n", strconv.Itoa(maxPaths+9))) == nil {
		t.Errorf("%d paths are remembered", len(p.know))
	}
}

// TestNamespacesAreBounded: a server takes no more than so many.
func TestNamespacesAreBounded(t *testing.T) {
	e, _ := newFaulty(t, 1)
	known := map[string]*counts{}
	for i := range maxNamespaces - 1 {
		known[strconv.Itoa(i)] = &counts{}
	}
	e.quotas.known.Store(&known)
	for i, want := range []error{nil, ErrQuota, ErrQuota} {
		req := ask("a")
		req.Namespace = "new-" + strconv.Itoa(i)
		if _, err := e.Acquire(t.Context(), req); !errors.Is(err, want) {
			t.Errorf("namespace %d: %v, want %v", maxNamespaces+i, err, want)
		}
	}
	req := ask("a")
	req.Namespace = "7"
	if _, err := e.Acquire(t.Context(), req); err != nil {
		t.Errorf("a namespace that was there before: %v", err)
	}
}

// TestQuotaOfOperations: as many as the policy says, no more; and those that
// have gone make room.
func TestQuotaOfOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFaulty(t, 1)
		mustApply(t, e, "n", "version: 1\nquotas: {operations: 5, runs: 2}\n")
		fill := func(turn int) {
			t.Helper()
			for i := range 7 {
				r, err := e.Acquire(t.Context(), ask(fmt.Sprint(turn, "-", i)))
				if err != nil || (r.Reason == admit.Quota) != (i >= 5) {
					t.Fatalf("turn %d, operation %d: %+v, %v", turn, i, r, err)
				}
				if r.Grant == nil {
					continue
				}
				defer func() {
					if _, err := e.Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: r.Grant.PermitID, Signal: succeeded}); err != nil {
						t.Error(err)
					}
				}()
			}
		}
		fill(0)
		for i := range 3 {
			_, err := e.StartRun(t.Context(), &StartRunRequest{Namespace: "n", RunID: strconv.Itoa(i)})
			if errors.Is(err, ErrQuota) != (i >= 2) {
				t.Errorf("run %d: %v", i, err)
			}
		}
		for turn := range 3 {
			time.Sleep(2 * time.Minute) // for a minute a repeat is answered
			if _, err := e.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			fill(turn + 1)
		}
	})
}

// TestPagesAreNoLargerThanAsked: also when most rows are passed over, and one
// that asks for too much gets the most; the tokens lead through all rows once.
func TestPagesAreNoLargerThanAsked(t *testing.T) {
	e, s := newFaulty(t, 1)
	const rows = 3000
	some := 0
	entries := make([]*statestore.Entry, rows)
	for i := range entries {
		entries[i] = &statestore.Entry{Key: statestore.Key{Kind: statestore.KindDecision, Namespace: "n", Name: fmt.Sprint("d", i)}, Mode: statestore.Write}
	}
	err := s.Store.Update(t.Context(), entries, func(now instant) (statestore.Durability, error) {
		some = 0
		for i, entry := range entries {
			row := &DecisionRow{ID: entry.Key.Name, At: now.Add(time.Duration(i) * time.Microsecond)}
			if i%3 == 0 || i%100 > 50 { // some here and there, and many at once
				row.Target = "some"
				some++
			}
			entry.Put(row)
		}
		return statestore.Rebuildable, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		size, most int
		target     string
		want       int
	}{{7, 7, "", rows}, {7, 7, "some", some}, {0, defaultPage, "some", some}, {5000, maxPage, "", rows}, {5000, maxPage, "some", some}} {
		seen := map[string]bool{}
		q := &ListQuery{Namespace: "n", PageSize: c.size, Target: c.target}
		for {
			page, err := e.ListDecisions(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Items) > c.most {
				t.Fatalf("%+v: a page of %d", c, len(page.Items))
			}
			for _, v := range page.Items {
				if seen[v.ID] {
					t.Fatalf("%+v: %s twice", c, v.ID)
				}
				seen[v.ID] = true
			}
			if q.PageToken = page.Next; q.PageToken == "" {
				break
			}
		}
		if len(seen) != c.want {
			t.Errorf("%+v: %d rows", c, len(seen))
		}
	}
}

// deep is a store whose lists go on and on, and that counts the rows read.
type deep struct {
	statestore.Store
	read int
}

func (s *deep) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	if q.Kind != statestore.KindDecision {
		return s.Store.List(ctx, q)
	}
	if s.read += q.Limit; s.read > 10*maxScan {
		return statestore.Page{}, errors.New("it reads on and on")
	}
	page := statestore.Page{Cursor: "more"}
	for range q.Limit {
		page.Rows = append(page.Rows, statestore.Row{Name: "d", Record: &DecisionRow{}})
	}
	return page, nil
}

// TestAPageReadsSoManyRows: one that finds nothing says where to go on.
func TestAPageReadsSoManyRows(t *testing.T) {
	s := &deep{Store: memory.New(memory.Config{})}
	e, err := New(t.Context(), Config{Store: s, NoSweeper: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, e) })
	page, err := e.ListDecisions(t.Context(), &ListQuery{Namespace: "n", Target: "x", PageSize: maxPage})
	if err != nil || len(page.Items) != 0 || page.Next != "more" || s.read > maxScan+maxPage {
		t.Errorf("%d rows were read, the next page is %q, %v", s.read, page.Next, err)
	}
}

// TestTheDecisionLogIsBounded: rows that wait are, refusals that are told apart
// in a second are, and what fits is written, none left out.
func TestTheDecisionLogIsBounded(t *testing.T) {
	s := memory.New(memory.Config{})
	e := &Engine{store: s, log: slog.New(slog.DiscardHandler), decisions: newDecisionLog()}
	e.commits = newCommitter(e, s)
	l := e.decisions
	for i := range maxSampled + 10 {
		k := sampleKey{namespace: "n", run: strconv.Itoa(i)}
		if l.sample(k, 1) != (i < maxSampled) || l.sample(k, 1) {
			t.Fatalf("refusal %d", i)
		}
	}
	if !l.sample(sampleKey{namespace: "n", run: "0"}, 1+1_000_000) || len(l.sampled) != 1 {
		t.Error("a new second does not begin anew")
	}
	const over = 10
	for i := range maxPendingRows + over {
		l.offer("n", &DecisionRow{ID: fmt.Sprint("d", i), At: instant(i + 1)})
	}
	if len(l.pending) != maxPendingRows || l.lost != over {
		t.Errorf("%d rows wait and %d are lost, want %d and %d", len(l.pending), l.lost, maxPendingRows, over)
	}
	for range maxPendingRows / maxRowsPerTurn {
		e.flushDecisions(t.Context())
	}
	if n, err := s.Count(t.Context(), statestore.KindDecision, "n"); err != nil || n != maxPendingRows {
		t.Errorf("%d rows are written, want %d, %v", n, maxPendingRows, err)
	}
}

// TestRefusalsOfTwoNamespacesAreLogged: one does not stand for the other's.
func TestRefusalsOfTwoNamespacesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newFaulty(t, 1)
		mustApply(t, e, "", denyAll)
		for range 3 {
			for _, ns := range []string{"n", "m"} {
				if d, _ := asked(t, e, ns); d == admit.Granted {
					t.Fatal("granted")
				}
			}
		}
		time.Sleep(2 * flushEvery)
		for _, ns := range []string{"n", "m"} {
			if n, err := s.Count(t.Context(), statestore.KindDecision, ns); err != nil || n != 1 {
				t.Errorf("namespace %s has %d rows, want 1, %v", ns, n, err)
			}
		}
	})
}

// TestFencesMustMatch: neither an older nor a newer one goes with a permit.
func TestFencesMustMatch(t *testing.T) {
	e, _ := newFaulty(t, 1)
	a, err := e.Acquire(t.Context(), ask("a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fence := range []uint64{1, a.Grant.Fence - 1, a.Grant.Fence + 1} {
		_, err := e.Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: a.Grant.PermitID, Fence: fence, Signal: classify.Signal{Outcome: classify.OutcomeSuccess}})
		if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Field != "fence" {
			t.Errorf("fence %d for %d: %v", fence, a.Grant.Fence, err)
		}
	}
	if _, err := e.Heartbeat(t.Context(), "n", a.Grant.PermitID, a.Grant.Fence); err != nil {
		t.Errorf("the permit's own: %v", err)
	}
}
