// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// The sizes of what spenders ask for. Costs are far below estimates, so that it
// is mostly the reservations under way that fill a cap.
const (
	mostEstimate = 1000
	mostCost     = 50
)

func (c *caller) entry(actor, id, target string, lease time.Duration) *entry {
	return &entry{by: fmt.Sprint("client-", c.id), mode: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT, want: history.Event{
		RPC: history.Acquire, Actor: actor, Request: actor + "-" + id, Operation: "o-" + actor + "-" + id,
		Target: c.name(target), Lease: lease,
	}}
}

// lease is between two bounds.
func (c *caller) lease(least, most time.Duration) time.Duration {
	return (least + c.upTo(most-least)).Truncate(time.Millisecond)
}

// asked makes the Acquire as clients do: mostly once, sometimes twice at once,
// sometimes giving up and then not always asking again.
func (c *caller) asked(ctx context.Context, e *entry) history.Event {
	switch at := c.random.IntN(100); {
	case at < 20: // what was not carried out is not asked again
		got, _ := c.once(ctx, e.want, c.asking(e))
		if e.lost = got.Outcome == history.Unknown; !e.lost {
			return got
		}
		return c.acquire(ctx, e)
	case at < 24:
		twin, other := *e, c.twin()
		var got history.Event
		twice(func() { got = c.acquire(ctx, e) }, func() { other.acquire(ctx, &twin) })
		if e.lost = e.lost || twin.lost; e.permit == nil {
			e.permit = twin.permit
		}
		return got
	case at < 29:
		soon, cancel := c.impatient(ctx)
		got, _ := c.once(soon, e.want, c.asking(e))
		cancel()
		e.lost = got.Outcome == history.Unknown
		if !e.lost || c.chance(30) {
			return got
		}
		return c.acquire(ctx, e)
	default:
		return c.acquire(ctx, e)
	}
}

// told sends the report as clients do.
func (c *caller) told(ctx context.Context, e *entry) {
	switch at := c.random.IntN(100); {
	case at < 4:
		twin, other := *e, c.twin()
		tell := *e.tell
		twin.tell = &tell
		twice(func() { c.report(ctx, e) }, func() { other.report(ctx, &twin) })
		e.tell.told = e.tell.told || tell.told
	case at < 8:
		c.report(ctx, e)
		c.report(ctx, e)
	case at < 12:
		soon, cancel := c.impatient(ctx)
		got, _ := c.once(soon, e.tell.want, e.tell.reporting())
		cancel()
		if e.tell.told = got.Outcome == history.OK; !e.tell.told && c.chance(80) {
			c.report(ctx, e)
		}
	default:
		c.report(ctx, e)
	}
}

// twin is another goroutine of the same client.
func (c *caller) twin() *caller {
	other := c.caller(c.random.Int())
	other.id = c.id
	return other
}

// done files what has to be looked at again.
func (c *caller) done(e *entry) {
	switch {
	case e.open():
		c.open.add(e)
	case c.chance(5):
		c.recent.add(e)
	}
}

// spend makes one call of a capped run.
func (c *caller) spend(ctx context.Context, id string) {
	tree, path := c.forest.choose(c)
	e := c.entry("spender", id, "tool/money", c.lease(400*time.Millisecond, 2*time.Second))
	e.want.Runs, e.want.Amount = path, 1+c.random.Int64N(mostEstimate)
	defer c.done(e)
	got := c.asked(ctx, e)
	c.forest.answered(ctx, c, tree, got.Outcome)
	if e.permit == nil || c.chance(2) {
		return // refused, or it forgets the permit
	}
	hold := c.upTo(40 * time.Millisecond)
	switch {
	case c.chance(1):
		hold = e.want.Lease + c.upTo(200*time.Millisecond) // it reports late
	case c.chance(20):
		hold = c.upTo(500 * time.Millisecond)
	}
	c.pause(ctx, hold)
	switch at := c.random.IntN(100); {
	case at < 3:
		e.use(history.Unused, 0)
	case at < 4:
		e.use(history.Unpriced, 0)
	case at < 5:
		e.use(history.Priced, e.want.Amount+c.random.Int64N(mostEstimate)) // more than it reserved
	default:
		e.use(history.Priced, min(c.random.Int64N(mostCost), e.want.Amount))
	}
	c.told(ctx, e)
}

// slot takes one of a target's few slots.
func (c *caller) slot(ctx context.Context, id string) { c.place(ctx, "slot", id, "tool/slots") }

// turned takes a slot of the target whose limit is changed.
func (c *caller) turned(ctx context.Context, id string) { c.place(ctx, "dial", id, "tool/dial") }

func (c *caller) place(ctx context.Context, actor, id, target string) {
	e := c.entry(actor, id, target, c.lease(300*time.Millisecond, 900*time.Millisecond))
	defer c.done(e)
	c.asked(ctx, e)
	if e.permit == nil || c.chance(5) {
		return
	}
	if c.chance(6) {
		c.hold(ctx, e, e.permit.GetLease().AsDuration()+c.upTo(500*time.Millisecond))
	} else {
		c.pause(ctx, c.upTo(50*time.Millisecond))
	}
	if c.chance(5) {
		e.use(history.Unused, 0)
	} else {
		e.use(history.Unpriced, 0)
	}
	c.told(ctx, e)
}

// probe calls a target that is well and ill in turn.
func (c *caller) probe(ctx context.Context, id string) {
	target := "tool/probe1"
	if c.chance(50) {
		target = "tool/probe2"
	}
	e := c.entry("prober", id, target, c.lease(500*time.Millisecond, 900*time.Millisecond))
	defer c.done(e)
	c.asked(ctx, e)
	if e.permit == nil || c.chance(4) {
		return
	}
	hold := c.upTo(20 * time.Millisecond)
	if c.chance(12) {
		hold = c.upTo(700 * time.Millisecond) // the breaker may be in another phase by then
	}
	c.pause(ctx, hold)
	switch {
	case c.chance(10):
		e.use(history.Unused, 0)
	case c.moods[e.want.Target].well():
		e.use(history.Unpriced, 0)
	default:
		e.use(history.Broken, 0)
	}
	c.told(ctx, e)
}

const (
	// leavers are how many clients never ask again, leaveTime how long each
	// waits for an answer.
	leavers   = 2
	leaveTime = 150 * time.Millisecond
)

// leaveOften goes on until ctx ends. These clients have a goroutine each, so
// that there are some while all others wait.
func (c *caller) leaveOften(ctx, work context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		c.leave(work, fmt.Sprintf("%s-%d-%d", c.cfg.Name, c.id, n))
		c.pause(ctx, 20*time.Millisecond+c.upTo(40*time.Millisecond))
	}
}

// leave asks for a slot with a long lease and goes when it has waited for a
// while: what is granted to nobody then must be given back. It never asks
// again. While all is well it has its answer long before.
func (c *caller) leave(ctx context.Context, id string) {
	e := c.entry("leaver", id, "tool/left", leftLease)
	soon, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if c.once(soon, e.want, c.asking(e)); e.permit == nil {
		return
	}
	e.use(history.Unused, 0)
	if c.told(ctx, e); e.open() {
		c.open.add(e)
	}
}

// pay makes a call that must not be made twice, and often asks for it again.
func (c *caller) pay(ctx context.Context, id string) {
	e := c.entry(history.Payer, id, "pay/it", c.lease(time.Second, 2*time.Second))
	e.mode = pb.Idempotency_IDEMPOTENCY_NON_IDEMPOTENT
	defer c.payments.add(e)
	defer c.done(e)
	c.asked(ctx, e)
	if e.permit == nil || c.chance(10) {
		return
	}
	c.pause(ctx, c.upTo(20*time.Millisecond))
	e.use(history.Unpriced, 0)
	e.tell.req.ResultRef = "result of " + id
	e.tell.want.Result = e.tell.req.ResultRef
	c.told(ctx, e)
	if c.chance(30) {
		c.payAgain(ctx, e, "again")
	}
}

// payAgain asks for a payment by a new request.
func (c *caller) payAgain(ctx context.Context, e *entry, name string) {
	again := &entry{want: e.want, mode: e.mode, by: e.by}
	again.want.Request = name + "-" + e.want.Request
	c.acquire(ctx, again)
	if again.permit != nil {
		c.open.add(again)
	}
}

// write makes a dead letter: it reports a failure that nothing is left to do
// about.
func (c *caller) write(ctx context.Context, id string) {
	e := c.entry("writer", id, "tool/letter", c.lease(time.Second, 2*time.Second))
	defer c.letters.add(e)
	defer c.done(e)
	c.asked(ctx, e)
	if e.permit == nil {
		return
	}
	payload := make([]byte, c.random.IntN(2000))
	for i := range payload {
		payload[i] = byte(c.random.Uint32())
	}
	t := e.use(history.Broken, 0)
	t.req.DeadLetter = &pb.DeadLetterEnvelope{Payload: payload}
	t.want.Digest = digest(payload)
	c.told(ctx, e)
}

func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// plain makes a call that nothing limits, and renews its lease.
func (c *caller) plain(ctx context.Context, id string) {
	e := c.entry("plain", id, "tool/plain", c.lease(300*time.Millisecond, 600*time.Millisecond))
	defer c.done(e)
	c.asked(ctx, e)
	if e.permit == nil {
		return
	}
	switch {
	case c.chance(10): // it comes too late with its heartbeat
		c.pause(ctx, e.permit.GetLease().AsDuration()+1100*time.Millisecond)
		c.beat(ctx, e)
	case c.chance(30):
		c.hold(ctx, e, e.permit.GetLease().AsDuration()*2)
	default:
		c.pause(ctx, c.upTo(20*time.Millisecond))
	}
	e.use(history.Unpriced, 0)
	c.told(ctx, e)
}
