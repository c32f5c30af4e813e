// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// errNeed is returned by a command that wants more keys than it was given. It
// has changed nothing and joins a later batch with all of them.
var errNeed = errors.New("engine: more keys are needed")

// work is the body of a command. It is pure but for what it puts, it may be
// run again, and its last run decides.
type work interface {
	apply(t *txn) error
}

// want names one record that a command uses.
type want struct {
	key   statestore.Key
	mode  statestore.Mode
	depth uint8
}

// command is one unit of work on its way through a batch. It is used by the
// caller's goroutine until it is queued, then by the batch's leader, then by
// the caller again.
type command struct {
	ctx       context.Context //nolint:containedctx // a command lives as long as its caller's call
	engine    *Engine
	namespace string
	urgent    bool // reports and heartbeats go first
	work      work

	wants   []want
	entries []*statestore.Entry // those of the batch, in the order of wants
	own     []statestore.Entry  // of a batch of one
	rounds  int

	policies *policySet        // that the command is planned with
	mark     *statestore.Entry // of the leader: the epoch that its batch sees
	locked   time.Time         // of the leader: when its batch had its keys; zero if it wrote nothing
	outdated int               // how often it was planned with too old a set

	err   error
	again bool
	done  bool
	left  bool       // in flight, and nobody waits for it
	batch []*command // of the leader

	// Guarded by the committer's lock.
	list       *fifo // that it waits in, or nil
	prev, next *command
	parked     bool // with a key
	parkings   int

	until time.Time // its caller waits no longer; zero: as long as ctx
	began time.Time // when it came to a lane; zero if its caller waits for ever
	kept

	events  []Event
	tallies []tallyOp
	seen    []sighting
	txn     txn

	// Room for what most commands need, so that they allocate little.
	room struct {
		wants   [6]want
		entries [7]*statestore.Entry // one more for the epoch
		own     [7]statestore.Entry
		undo    [6]undone
		tallies [1]tallyOp
		seen    [1]sighting
		batch   [1]*command
	}
}

// kept is the part of a command that its next use takes over.
type kept struct {
	body  statestore.Func // applies the leader's batch
	wake  chan struct{}
	timer *time.Timer
}

// begin readies a new or used command. It is planned and decided with the
// policies of this moment, or begun again.
func (c *command) begin(ctx context.Context, e *Engine, namespace string, urgent bool, w work) {
	c.ctx, c.engine, c.namespace, c.urgent, c.work = ctx, e, namespace, urgent, w
	c.wants, c.entries, c.own = c.room.wants[:0], c.room.entries[:0], c.room.own[:0]
	c.tallies, c.seen, c.txn.undo = c.room.tallies[:0], c.room.seen[:0], c.room.undo[:0]
	c.rounds, c.parkings, c.done, c.again, c.err = 0, 0, false, false, nil
	c.policies, c.txn.engine = e.policies.Load(), e
	if c.body == nil {
		c.body = c.applyBatch
	}
	e.planClock(c)
}

// spent reports, to the command's caller, whether nobody else holds it any
// more. Of one that was left in flight only that may be looked at.
func (c *command) spent() bool { return !c.left && c.done }

// key adds a record to the command's wants and returns its handle. Asking for
// a record twice keeps the stronger mode.
func (c *command) key(k statestore.Key, mode statestore.Mode, depth uint8) int {
	for i := range c.wants {
		if c.wants[i].key == k {
			if mode != statestore.Read {
				c.wants[i].mode = mode
			}
			return i
		}
	}
	c.wants = append(c.wants, want{key: k, mode: mode, depth: depth})
	return len(c.wants) - 1
}

// txn is what a command sees of the transaction that it runs in.
type txn struct {
	engine  *Engine
	cmd     *command
	now     rules.Instant // of the command's namespace
	durable bool
	undo    []undone
	missing bool
}

type undone struct {
	entry   *statestore.Entry
	record  statestore.Record
	changed bool
}

// get returns the record behind a handle, or nil.
func (t *txn) get(i int) statestore.Record { return t.cmd.entries[i].Record() }

// record returns the record behind a handle as its type, or nil.
func record[T any](t *txn, i int) *T {
	r, _ := t.cmd.entries[i].Record().(*T)
	return r
}

// put changes the record behind a handle, which must be held.
func (t *txn) put(i int, r statestore.Record) {
	e := t.cmd.entries[i]
	t.undo = append(t.undo, undone{e, e.Record(), e.Changed()})
	e.Put(r)
}

// want makes sure that a record is in the transaction and returns its handle;
// false means that it is not there yet. A command that got a false goes on
// only to find out what else it needs, and then returns errNeed.
func (t *txn) want(k statestore.Key, mode statestore.Mode, depth uint8) (int, bool) {
	i := t.cmd.key(k, mode, depth)
	if i >= len(t.cmd.entries) || (mode != statestore.Read && !t.cmd.entries[i].Held()) {
		t.missing = true
		return i, false
	}
	return i, true
}

// emit notes an event, published after the commit.
func (t *txn) emit(e Event) { t.cmd.events = append(t.cmd.events, e) }

// run applies one command and takes its changes back if it fails.
func (t *txn) run(c *command) {
	t.cmd, t.missing, t.durable = c, false, false
	t.undo = t.undo[:0]
	c.events, c.tallies, c.seen, c.err, c.again = c.events[:0], c.tallies[:0], c.seen[:0], nil, false
	err := t.protect(c)
	if err == nil && t.missing {
		err = errNeed
	}
	if err == nil {
		return
	}
	for _, u := range slices.Backward(t.undo) {
		u.entry.Restore(u.record, u.changed)
	}
	c.events, c.tallies, c.seen, t.durable = c.events[:0], c.tallies[:0], c.seen[:0], false
	if errors.Is(err, errNeed) {
		c.again = true
		return
	}
	c.err = err
}

// protect turns a panic of a rule into an error of its command alone.
func (t *txn) protect(c *command) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.engine.log.Error("a rule panicked; its command was dropped", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrInternal, p)
		}
	}()
	if t.now, err = t.engine.clockOf(t, c); err != nil {
		return err
	}
	if t.engine.commits.shared && !isDrill(c.namespace) {
		t.now = c.newest(t.now)
	}
	return c.work.apply(t)
}
