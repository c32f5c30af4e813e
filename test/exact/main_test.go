// SPDX-License-Identifier: Apache-2.0

// Package exact proves the service's main promise from outside: its callers
// keep books of their own, which know nothing of how the service works, and
// compare what it says with what they have. The invariants go by the names of
// the list that they come from:
//
//	A1  a run and each of its ancestors: spent + assumed + reserved ≤ cap, and
//	    no grant that would pass it. Nor is a call refused that surely fits.
//	A2  the balances are the fold of what callers did, each permit once.
//	A3  what calls cost beyond their reservation is booked in full; it is the
//	    only way past a cap, and nothing is granted after it.
//	A4  a lost permit never gives its money back by itself; a late report
//	    replaces what was assumed for it.
//	A7  a parent's balance is the sum of its children's.
//	B1  at most one probe of a half-open breaker is live.
//	B2  an open breaker grants nothing before its cooldown is over.
//	B3  a generation is used by one transition, and they only go up; a report
//	    of an older generation does not vote.
//	D1  at most as many live permits as the target has slots.
//	D2  a slot comes back when its permit is reported or its lease is over.
//	D5  while a holder believes in its lease, so does the service.
//	E1  a report counts once, however often it is sent, and is answered alike.
//	E3  an Acquire that is repeated gets the same permit, however often.
//	F1  an acknowledged dead letter, forced breaker, run, cap or result is there.
//	G7  an operation's fences only go up, and none is used twice.
//
// Each test prints its seed; RESILIENCED_SEED runs it again with that one.
package exact

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seed returns the seed of a test and prints it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := number(t, "RESILIENCED_SEED", int(time.Now().UnixNano()&0xffffff))
	t.Logf("RESILIENCED_SEED=%d", n)
	return uint64(n)
}

// number reads a setting of the tests.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text, set := os.LookupEnv(name)
	if !set {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is not a number", name, text)
	}
	return n
}

// dice returns a source of chance of one actor, so that what an actor does
// follows from the seed whatever the others do.
func dice(seed uint64, actor ...int) *rand.Rand {
	stream := uint64(0)
	for _, n := range actor {
		stream = stream*1_000_003 + uint64(n) + 1
	}
	return rand.New(rand.NewPCG(seed, stream))
}
