// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"net/http"
	"testing"
	"time"
)

// TestEarly: a call counts as early from the moment at which everybody can
// know, and as on its way before; never for ever.
func TestEarly(t *testing.T) {
	began := time.Now()
	a := newAccount(Config{Rate: 100, Grace: 50 * time.Millisecond})
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	for _, step := range []struct {
		ms, ask         int // ask: seconds named in the answer
		early, onTheWay int // afterwards
	}{
		{0, 0, 0, 0},
		{10, 2, 0, 0},    // told at 10: not before 2010
		{20, 0, 0, 1},    // nobody can know yet
		{60, 0, 0, 2},    // 50 ms after it, still
		{61, 0, 1, 2},    // everybody knows
		{500, 3, 2, 2},   // early, and told: not before 3500
		{520, 1, 3, 2},   // early by the first, whatever the second; a shorter wait shortens nothing
		{2009, 0, 4, 2},  // by both
		{2011, 0, 5, 2},  // by the second
		{3499, 0, 6, 2},  // by the second
		{3500, 0, 6, 2},  // not before 3500 is at 3500
		{10000, 1, 6, 2}, // all is over
		{10049, 0, 6, 3}, // and begins again
	} {
		a.arrive(at(step.ms), false)
		if step.ask > 0 {
			a.ask(http.Header{}, at(step.ms), step.ask)
		}
		if a.Early != step.early || a.OnTheWay != step.onTheWay {
			t.Fatalf("at %d ms: %d early and %d on their way; want %d and %d", step.ms, a.Early, a.OnTheWay, step.early, step.onTheWay)
		}
	}
}

// TestLimit: the bucket holds one second's calls and refused ones take nothing.
func TestLimit(t *testing.T) {
	now := time.Now()
	a := newAccount(Config{Rate: 10})
	let := 0
	for range 25 {
		if a.arrive(now, true) {
			let++
		}
	}
	if let != 10 || a.Limited != 15 || a.Calls != 25 || a.Trouble != 25 {
		t.Errorf("%d let in, %+v", let, a.Account)
	}
	if !a.arrive(now.Add(100*time.Millisecond), false) || a.arrive(now.Add(150*time.Millisecond), false) {
		t.Error("a tenth of a second is worth one call")
	}
	h := http.Header{}
	a.limited(h, now.Add(150*time.Millisecond))
	for name, want := range map[string]string{
		"Retry-After": "1", "X-Ratelimit-Limit-Requests": "10", "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "950ms",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
}

// TestCost rounds up, each part for itself.
func TestCost(t *testing.T) {
	if cost(1200, InputPrice) != 2400 || cost(0, InputPrice) != 0 || cost(1, 1) != 1 {
		t.Error(cost(1200, InputPrice), cost(0, InputPrice), cost(1, 1))
	}
}
