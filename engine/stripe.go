// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// Each replica counts in a stripe of its own, so that none waits for another,
// and reads what the others have written. The sum that a command sees is the
// replica's own part as it is, and the others' as they were at most
// stripeBound ago: they write every flushEvery, and it reads as often.
//
// The stripes of all namespaces are in one list, by when they were written: one
// short read finds what is new.
const (
	// stripeBound is how old the others' part may be.
	stripeBound = 250 * time.Millisecond
	// stripeIdle: a replica that nobody asks stops to read after that, and reads
	// before it answers the next command.
	stripeIdle = 2 * time.Second
	// A stripe is dated when its transaction begins and seen when it is
	// committed. Each read goes back that far behind the newest that is known,
	// and now and then as far as any transaction lasts.
	stripeOverlap = time.Second
	stripeFar     = 15 * time.Second
	stripeTurns   = 50
	stripePage    = 500
)

// Stripe is what one replica has counted about a target.
type Stripe struct {
	Tally     target.Tally `json:"t"`
	FlushedAt instant      `json:"f"` // when it was written
}

// DueAt is when the stripe may go: its replica counts nothing there any more.
func (s *Stripe) DueAt() rules.Instant { return s.Tally.DueAt() }

// OrderBy sorts stripes by when they were written.
func (s *Stripe) OrderBy() int64 { return int64(s.FlushedAt) }

// stripes is how a replica follows the others.
type stripes struct {
	replica string // names the own stripe; empty: there are no others
	begun   time.Time

	used    atomic.Int64  // when the last command came, in ns since begun
	awake   atomic.Bool   // the loop reads
	loading chan struct{} // holds one token: one reader at a time

	// Guarded by loading.
	newest instant // of the stripes that were read
	turn   int
}

func newStripes(replica string) *stripes {
	return &stripes{replica: replica, begun: time.Now(), loading: make(chan struct{}, 1)}
}

// stored is where a replica keeps its stripe of a tally. Its name tells whose:
// the list is the server's own.
func (s *stripes) stored(k statestore.Key) statestore.Key {
	if s.replica == "" {
		return k
	}
	return statestore.Key{Kind: statestore.KindStripe, Name: k.Namespace + sep + k.Name + sep + s.replica}
}

// owner takes a stripe's name apart.
func owner(name string) (tally statestore.Key, replica string, ok bool) {
	namespace, rest, _ := strings.Cut(name, sep)
	name, replica, ok = strings.Cut(rest, sep)
	return tallyKey(namespace, name), replica, ok && replica != ""
}

// take keeps what another replica wrote, unless it is known.
func (e *tallyEntry) take(replica string, s *Stripe) {
	if old := e.others[replica]; old != nil && old.FlushedAt >= s.FlushedAt {
		return
	}
	if e.others == nil {
		e.others = map[string]*Stripe{}
	}
	e.others[replica] = s
	e.addUp()
}

// followStripes makes sure that the others' parts are not too old before a
// command or a reader looks at them. While the loop reads it costs nothing.
func (e *Engine) followStripes(ctx context.Context, until time.Time) error {
	s := e.stripes
	if s.replica == "" {
		return nil
	}
	s.used.Store(int64(time.Since(s.begun)))
	if s.awake.Load() {
		return nil
	}
	return e.patiently(ctx, until, e.readStripes)
}

// stripeLoop reads what the others have written, as long as there are commands.
func (e *Engine) stripeLoop() {
	s := e.stripes
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-tick.C:
		}
		if !s.awake.Load() {
			continue
		}
		if time.Since(s.begun)-time.Duration(s.used.Load()) > stripeIdle {
			s.awake.Store(false)
			continue
		}
		ctx, cancel := e.bound(e.background, transactionLimit)
		if err := e.pollStripes(ctx); err != nil {
			e.complaints.warn("what other replicas counted could not be read; rates follow this one's calls meanwhile", "error", err)
		}
		cancel()
	}
}

// readStripes reads what the others have written unless somebody has just done
// so, and starts the loop.
func (e *Engine) readStripes(ctx context.Context) error {
	s := e.stripes
	select {
	case s.loading <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.loading }()
	if s.awake.Load() {
		return nil
	}
	if err := e.loadStripes(ctx); err != nil {
		return err
	}
	s.awake.Store(true)
	return nil
}

func (e *Engine) pollStripes(ctx context.Context) error {
	select {
	case e.stripes.loading <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-e.stripes.loading }()
	return e.loadStripes(ctx)
}

// loadStripesFirst reads what was counted before this engine was opened. The
// only replica reads it too: others may have been there.
func (e *Engine) loadStripesFirst(ctx context.Context) error {
	if err := e.loadStripes(ctx); err != nil {
		return fmt.Errorf("engine: stripes: %w", err)
	}
	return nil
}

// loadStripes reads the list from its newest end back to what is known. The
// caller holds loading.
func (e *Engine) loadStripes(ctx context.Context) error {
	s := e.stripes
	overlap := stripeOverlap
	if s.turn++; s.turn%stripeTurns == 0 {
		overlap = stripeFar
	}
	until, newest := s.newest.Add(-overlap), s.newest
	q := statestore.Query{Kind: statestore.KindStripe, Descending: true, Limit: stripePage}
	for {
		page, err := e.store.List(ctx, q)
		if err != nil {
			return storeError(err)
		}
		known := e.takeStripes(page.Rows, until, &newest)
		if known || page.Cursor == "" {
			s.newest = newest
			return nil
		}
		q.After = page.Cursor
	}
}

// takeStripes takes in a page; true if it reaches back to what is known.
func (e *Engine) takeStripes(rows []statestore.Row, until instant, newest *instant) bool {
	e.tallies.mu.Lock()
	defer e.tallies.mu.Unlock()
	for _, row := range rows {
		stripe, ok := row.Record.(*Stripe)
		if !ok {
			continue
		}
		if stripe.FlushedAt < until {
			return true
		}
		*newest = max(*newest, stripe.FlushedAt)
		if k, replica, ok := owner(row.Name); ok && replica != e.stripes.replica {
			e.tallies.entry(k).take(replica, stripe)
		}
	}
	return false
}

// names are the targets of a namespace that somebody has counted about.
func (s *tallies) names(namespace string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k := range s.byKey {
		if k.Namespace == namespace {
			names = append(names, k.Name)
		}
	}
	return names
}
