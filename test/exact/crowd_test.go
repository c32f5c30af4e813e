// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is many callers of one tree of capped runs. They keep their books, and
// they behave as callers do: they repeat a request, give up on one, forget
// permits, and report twice or late.
type crowd struct {
	books  *purses
	system system
	seed   uint64
	leaves []string
	// lease is what permits are asked for, and hold how long they are used.
	lease, hold func(*rand.Rand) time.Duration
	// overruns lets some calls cost more than they reserved.
	overruns bool
	// gone says that the service is not there any more; nil: it always is.
	gone func() bool
	// recent are the requests that were granted, if they are to be kept.
	recent *log[*entry]

	commands atomic.Int64 // Acquires and Reports
	late     atomic.Int64 // Reports after the lease's end
	cancels  sync.WaitGroup
}

// The size of what callers ask for. Costs are far below estimates, so that it
// is mostly the reservations under way that fill a cap.
const (
	mostEstimate = 1000
	mostCost     = 8
)

// grow makes the tree: a root, two teams, and four runs in each team. Their
// caps are such that now one and now the other is in the way.
func (c *crowd) grow(ctx context.Context, limit int64) error {
	start := func(name, parent string, limit int64) error {
		c.books.add(name, parent, limit)
		return c.system.start(ctx, name, parent, limit)
	}
	if err := start("root", "", limit); err != nil {
		return err
	}
	for team := range 2 {
		name := "team-" + strconv.Itoa(team)
		if err := start(name, "root", limit*6/10); err != nil {
			return err
		}
		for run := range 4 {
			leaf := name + "-run-" + strconv.Itoa(run)
			if err := start(leaf, name, limit*2/10); err != nil {
				return err
			}
			c.leaves = append(c.leaves, leaf)
		}
	}
	return nil
}

// run lets callers make their calls and waits for them.
func (c *crowd) run(ctx context.Context, callers, calls int) {
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			random := dice(c.seed, caller)
			for n := range calls {
				c.call(ctx, random, strconv.Itoa(caller)+"-"+strconv.Itoa(n))
			}
		})
	}
	all.Wait()
	c.cancels.Wait()
}

// call is one request from its Acquire to its Report.
func (c *crowd) call(ctx context.Context, random *rand.Rand, name string) {
	e := &entry{ask: ask{
		request: "r-" + name, operation: "o-" + name, run: c.leaves[random.IntN(len(c.leaves))],
		estimate: 1 + random.Int64N(mostEstimate), lease: c.lease(random),
	}}
	switch chance := random.IntN(100); {
	case chance < 5:
		twice(func() { c.acquire(ctx, e) })
	case chance < 12:
		c.acquire(c.impatient(ctx, random), e)
		if random.IntN(10) > 0 {
			c.acquire(ctx, e)
		}
	default:
		c.acquire(ctx, e)
	}
	if !c.books.holds(e) {
		return
	}
	if c.recent != nil {
		c.recent.add(e)
	}
	if random.IntN(1000) == 0 {
		return // it forgets the permit
	}
	if d := c.hold(random); d > 0 {
		time.Sleep(d)
		if d >= e.ask.lease {
			c.late.Add(1)
		}
	}
	t := c.choose(random, e.ask.estimate)
	switch chance := random.IntN(100); {
	case chance < 5:
		twice(func() { c.report(ctx, e, t) })
	case chance < 10:
		c.report(ctx, e, t)
		c.report(ctx, e, t)
	case chance < 15:
		c.report(c.impatient(ctx, random), e, t)
		if random.IntN(10) > 0 {
			c.report(ctx, e, t)
		}
	default:
		c.report(ctx, e, t)
	}
}

// choose says how a call went.
func (c *crowd) choose(random *rand.Rand, reserved int64) tell {
	switch chance := random.IntN(1000); {
	case chance < 1:
		return tell{use: unpriced}
	case chance < 30:
		return tell{use: unused}
	case chance < 40 && c.overruns:
		return tell{use: priced, cost: reserved + random.Int64N(2*reserved)}
	default:
		return tell{use: priced, cost: min(random.Int64N(mostCost), reserved)}
	}
}

// twice does something two times at once.
func twice(do func()) {
	var other sync.WaitGroup
	other.Go(do)
	do()
	other.Wait()
}

// impatient returns a context that ends at a random moment soon.
func (c *crowd) impatient(ctx context.Context, random *rand.Rand) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	turns := random.IntN(300)
	c.cancels.Go(func() {
		for range turns {
			runtime.Gosched()
		}
		cancel(errGaveUp)
	})
	return ctx
}

var errGaveUp = errors.New("the caller gave up")

func (c *crowd) acquire(ctx context.Context, e *entry) {
	c.commands.Add(1)
	m := c.books.asking(e)
	r, err := c.system.acquire(ctx, e.ask)
	if err != nil {
		c.failed(ctx, "Acquire", e, err)
		c.books.askLost(e)
		return
	}
	c.books.answered(e, m, r)
}

func (c *crowd) report(ctx context.Context, e *entry, t tell) {
	c.commands.Add(1)
	c.books.telling(e, t)
	answer, err := c.system.report(ctx, e.permit, t)
	if err != nil {
		c.failed(ctx, "Report", e, err)
		c.books.tellLost(e)
		return
	}
	c.books.told(e, answer)
}

// failed: only a caller that gave up gets an error, or one whose service died.
func (c *crowd) failed(ctx context.Context, method string, e *entry, err error) {
	if ctx.Err() == nil && (c.gone == nil || !c.gone()) {
		c.books.broken.add("E", "%s of request %s failed: %v", method, e.ask.request, err)
	}
}

// resolve asks again for everything whose fate is not known. No call from
// before may be under way in the service.
func (c *crowd) resolve(ctx context.Context) {
	c.books.settled(true)
	defer c.books.settled(false)
	for _, e := range c.books.fate() {
		if e.permit == "" {
			c.acquire(ctx, e)
		} else {
			c.report(ctx, e, e.tell)
		}
	}
}

// check compares every balance, once nothing is reserved any more, with the
// books (A2), and parents with their children (A7).
func (c *crowd) check(ctx context.Context) {
	if left := c.books.fate(); len(left) > 0 {
		c.books.broken.add("E", "%d requests have no answer yet", len(left))
		return
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); c.balance(ctx, "root").reserved > 0 && time.Now().Before(deadline); {
		<-tick.C
	}
	below := map[string]sums{}
	for name, p := range c.books.runs {
		got := c.balance(ctx, name)
		c.books.compare(name, got, false)
		if p.parent != nil {
			below[p.parent.name] = below[p.parent.name].plus(got)
		}
	}
	for name, sum := range below {
		if got := c.balance(ctx, name); got != sum {
			c.books.broken.add("A7", "run %s shows %+v, its children %+v together", name, got, sum)
		}
	}
}

func (c *crowd) balance(ctx context.Context, run string) sums {
	got, err := c.system.balance(ctx, run)
	if err != nil {
		c.books.broken.add("E", "GetRun of %s failed: %v", run, err)
	}
	return got
}

// watch looks at every run until ctx ends: no balance may pass its cap, unless
// calls may cost more than they reserved.
func (c *crowd) watch(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for name, p := range c.books.runs {
			if got := c.balance(context.WithoutCancel(ctx), name); !c.overruns && got.spent+got.reserved+got.assumed > p.limit {
				c.books.broken.add("A1", "run %s shows %+v, its cap is %d", name, got, p.limit)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
