// SPDX-License-Identifier: Apache-2.0

// Package engine applies the rules to records inside store transactions. It
// groups commands into commits, asks for the keys that they need, and answers
// each caller only after the commit (design §5). It knows no wire type and no
// driver.
package engine

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/operation"
	"github.com/resilienced/resilienced/statestore"
)

// Config assembles an engine. Store is required.
type Config struct {
	Store  statestore.Store
	Logger *slog.Logger // nil: nothing is logged
	// AllowDrills lets StartDrill make namespaces with a virtual clock.
	AllowDrills bool
	// Observe: nothing is refused anywhere but in drills, unless an operator's
	// entry enforces it. What would have been refused is computed and counted.
	Observe bool
	// OnEvent is called after the commit with every event, in the order of
	// each record. It must be quick and must not call the engine. May be nil.
	OnEvent func(Event)
	// NoRecording keeps no calls for simulations. They are kept by default, for
	// 7 days and at most 1,000,000 a namespace.
	NoRecording bool
	// Replay is for engines that play recorded calls in drill namespaces: of
	// every wait that is drawn it takes the shortest, so that nobody is called
	// early who was not, and it keeps no log and no recording.
	Replay bool
	// Observer is told of every answered call. May be nil.
	Observer Observer
	// Replica names this process among those that share the store; it counts
	// what it sees of targets under that name. No two that run may have the same
	// one, and it has no control characters. Empty: one is made if the store
	// tells several processes apart by Notifier, else this is the only one.
	Replica string
	// NoSweeper leaves due work to reads and to Sweep, for tests.
	NoSweeper bool
}

// Engine is safe for use by many goroutines. Close it before its store.
type Engine struct {
	store       statestore.Store
	log         *slog.Logger
	complaints  *complaints
	allowDrills bool
	observe     bool
	builtIn     policy.Quotas // that hold even where nothing is refused
	onEvent     func(Event)
	observer    Observer
	startedAt   instant // store time of New

	background context.Context //nolint:containedctx // transactions live as long as the engine, not their callers
	stop       context.CancelFunc
	quit       chan struct{} // closed when the engine is to stop: ends loops and waiting readers
	quitOnce   sync.Once
	loops      sync.WaitGroup

	commits      *committer
	permits      *permitIDs
	policies     atomic.Pointer[policySet]
	loading      chan struct{} // holds one token: one policy load at a time
	tallies      *tallies
	stripes      *stripes
	quotas       *quotas
	paths        *paths
	decisions    *decisionLog
	observations *observations
	record       *recorder
	replay       bool
	draw         func() uint64
	watchers     *watchers
	returns      *returns
	teller       *teller
	storeTime    atomic.Int64
	commanded    atomic.Uint64 // commands that were committed

	// The two commands of the hot path are used again.
	acquires sync.Pool
	reports  sync.Pool
}

// New opens an engine over a store: it reads or makes the permit key, reads
// the policy, and starts the sweeper.
func New(ctx context.Context, c Config) (*Engine, error) {
	if c.Store == nil {
		return nil, errors.New("engine: a store is required")
	}
	if strings.ContainsFunc(c.Replica, unicode.IsControl) {
		return nil, fmt.Errorf("engine: the replica's name %q has control characters", c.Replica)
	}
	if _, several := c.Store.(statestore.Notifier); several && c.Replica == "" {
		c.Replica = crand.Text()[:8]
	}
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		store: c.Store, log: log, complaints: newComplaints(log), allowDrills: c.AllowDrills, observe: c.Observe, builtIn: policy.Default().Quotas(),
		onEvent: c.OnEvent, observer: c.Observer,
		quit: make(chan struct{}), loading: make(chan struct{}, 1), tallies: newTallies(), stripes: newStripes(c.Replica), paths: newPaths(), watchers: newWatchers(),
		returns: newReturns(), teller: newTeller(c.Store),
		acquires: sync.Pool{New: func() any { return &acquire{} }},
		reports:  sync.Pool{New: func() any { return &report{} }},
	}
	e.background, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.commits = newCommitter(e, c.Store)
	e.quotas = newQuotas(c.Store)
	e.policies.Store(&policySet{file: policy.Default(), above: newAbove(c.Observe)})
	e.decisions, e.observations = newDecisionLog(), newObservations()
	e.record = newRecorder(e, c.NoRecording || c.Replay)
	e.replay, e.draw = c.Replay, rand.Uint64
	if c.Replay {
		e.draw = func() uint64 { return 0 }
	}
	if err := e.open(ctx); err != nil {
		e.stop()
		return nil, err
	}
	e.loops.Go(e.flushLoop)
	if e.commits.shared {
		e.loops.Go(e.returnLoop)
		e.loops.Go(e.probeLoop)
	}
	if e.stripes.replica != "" {
		e.loops.Go(e.stripeLoop)
	}
	if e.teller.notifier != nil {
		e.loops.Go(e.tellLoop)
		e.loops.Go(e.hearLoop)
		e.loops.Go(e.followLoop)
	}
	if !e.record.off {
		e.loops.Go(e.record.loop)
	}
	if !c.NoSweeper {
		e.loops.Go(e.sweepLoop)
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) error {
	key, err := e.permitKey(ctx)
	if err != nil {
		return fmt.Errorf("engine: permit key: %w", err)
	}
	e.permits = newPermitIDs(key)
	now, err := e.store.Now(ctx)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.storeTime.Store(int64(now))
	e.startedAt = now
	if err := e.openPolicies(ctx); err != nil {
		return fmt.Errorf("engine: policy: %w", err)
	}
	namespaces, err := e.store.Namespaces(ctx)
	if err != nil {
		return fmt.Errorf("engine: %w", storeError(err))
	}
	for _, ns := range namespaces {
		if ns == "" || isDrill(ns) {
			continue
		}
		if err := e.loadTallies(ctx, ns); err != nil {
			return fmt.Errorf("engine: tallies: %w", err)
		}
		if err := e.loadObservations(ctx, ns, now); err != nil {
			return fmt.Errorf("engine: observations: %w", err)
		}
	}
	return e.loadStripesFirst(ctx)
}

// Close ends waiting readers and the loops, refuses new commands, waits for
// those under way, and writes what was counted meanwhile. It does not close
// the store. When ctx ends, what is under way at a store that does not answer
// is given up. A second Close does nothing.
func (e *Engine) Close(ctx context.Context) error {
	e.quitOnce.Do(func() { close(e.quit) })
	giveUp := context.AfterFunc(ctx, e.stop)
	defer giveUp()
	e.loops.Wait()
	err := e.commits.close(ctx)
	last, cancel := e.bound(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	e.flush(last)
	e.record.writeAll(last)
	e.stop()
	e.quotas.close()
	return err
}

// closeLimit is how long a closing engine tries to write what it has counted.
const closeLimit = 3 * time.Second

// submit runs a piece of work as a command of its namespace.
func (e *Engine) submit(ctx context.Context, namespace string, urgent bool, w work, plan func(*command)) error {
	patience := otherPatience
	if urgent {
		patience = reportPatience
	}
	return e.submitUntil(ctx, e.commits.patience(ctx, patience), namespace, urgent, w, plan)
}

// submitUntil is submit for a caller who waits until then; zero: for as long as
// ctx.
func (e *Engine) submitUntil(ctx context.Context, until time.Time, namespace string, urgent bool, w work, plan func(*command)) error {
	c := &command{until: until}
	for {
		c.begin(ctx, e, namespace, urgent, w)
		if plan != nil {
			plan(c)
		}
		if again, err := e.attempt(c); !again { //nolint:contextcheck // a transaction outlives its callers
			return err
		}
	}
}

// attempt takes a planned command through a batch. It reports whether the
// command is to be begun again, because the policies have changed since it was;
// then the new ones are loaded.
func (e *Engine) attempt(c *command) (again bool, err error) {
	err = e.commits.do(c)
	if !errors.Is(err, errOutdated) {
		return false, err
	}
	if c.outdated++; c.outdated > maxRounds {
		return false, fmt.Errorf("%w: the policy changes faster than a command can be planned", ErrUnavailable)
	}
	err = e.patiently(c.ctx, c.until, func(ctx context.Context) error { return e.catchUp(ctx, c.policies) })
	return err == nil, err
}

// committed publishes what a batch did.
func (e *Engine) committed(batch []*command, entries []*statestore.Entry) {
	e.quotas.settle(entries)
	e.notice(entries)
	for _, c := range batch {
		if c.err != nil || c.again {
			continue
		}
		e.commanded.Add(1)
		if len(c.tallies) > 0 {
			e.tallies.apply(c.tallies)
		}
		if len(c.seen) > 0 {
			e.observations.apply(c.seen)
		}
		for _, event := range c.events {
			e.publish(event)
		}
	}
}

// now is the store's time as last seen; for views that need no transaction.
func (e *Engine) now(ctx context.Context, namespace string) (rules.Instant, error) {
	if isDrill(namespace) {
		return e.drillNow(ctx, namespace)
	}
	return e.store.Now(ctx)
}

// get reads one record as its type, and the time of its namespace.
func get[T any](ctx context.Context, e *Engine, k statestore.Key) (*T, rules.Instant, error) {
	r, now, err := e.store.Get(ctx, k)
	if err != nil {
		return nil, 0, storeError(err)
	}
	if isDrill(k.Namespace) {
		if now, err = e.drillNow(ctx, k.Namespace); err != nil {
			return nil, 0, err
		}
	}
	typed, _ := r.(*T)
	return typed, now, nil
}

// storeError says of a failed read what callers can act on.
func storeError(err error) error {
	if errors.Is(err, statestore.ErrBadCursor) {
		return &InvalidError{Field: "page_token", Why: "it is not a token of this list; start again without one"}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// idempotent reports whether an operation may be made twice.
func idempotent(mode operation.Idempotency) bool { return mode != operation.NonIdempotent }
