// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// answering are callers of a server whose n-th answer takes as long as took
// says. One caller at a time uses them.
func answering(took func(n int) time.Duration) Callers {
	n := 0
	return func(int) Op {
		return func(_ context.Context, laps *Laps) error {
			n++
			time.Sleep(took(n))
			laps.Lap()
			return nil
		}
	}
}

// A server that stops once is seen by all operations that fell due meanwhile.
// A loop that waits for each answer sees it once.
func TestOpenCorrectsForCoordinatedOmission(t *testing.T) {
	stop := func(n int) time.Duration {
		if n == 26 {
			return 200 * time.Millisecond // while 50 fall due
		}
		return 100 * time.Microsecond
	}
	late := func(r *Result) (n int64) {
		for _, bar := range r.Latency.Distribution() {
			if bar.From >= int64(50*time.Millisecond) {
				n += bar.Count
			}
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		open := Open{Rate: 250, Callers: 1, For: time.Second, sleep: time.Sleep}
		r, err := open.Run(t.Context(), answering(stop), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops != 250 {
			t.Errorf("%d operations in a second at 250 a second", r.Ops)
		}
		// Those due 0, 4, 8, … 152 ms after the stop began ended 200.1, 196.2, 192.3, … 51.9 ms late.
		if n := late(r); n != 39 {
			t.Errorf("%d were late by 50 ms or more, want 39", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r, err := Closed{Callers: 1, For: time.Second}.Run(t.Context(), answering(stop), nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := late(r); n != 1 {
			t.Errorf("a closed loop saw %d, want 1", n)
		}
	})
}

func TestOpenSaysThatItFellBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := Open{Rate: 1000, Callers: 1, For: time.Minute, sleep: time.Sleep}
		slow := answering(func(int) time.Duration { return 10 * time.Millisecond })
		if _, err := open.Run(t.Context(), slow, nil); !errors.Is(err, ErrBehind) {
			t.Errorf("err = %v, want ErrBehind", err)
		}
	})
}

func TestOpenWithoutARate(t *testing.T) {
	for _, rate := range []float64{0, -1, math.NaN()} {
		if _, err := (Open{Rate: rate, Callers: 1, For: time.Minute}).Run(t.Context(), answering(nil), nil); !errors.Is(err, ErrNoRate) {
			t.Errorf("rate %v: err = %v, want ErrNoRate", rate, err)
		}
	}
}

func TestASlowPaceEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := Open{Rate: 0.001, Callers: 1, For: time.Second, sleep: time.Sleep}
		begin := time.Now()
		r, err := open.Run(t.Context(), answering(func(int) time.Duration { return time.Millisecond }), nil)
		if err != nil || r.Ops != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("took %v for a window of a second", took)
		}
	})
}

func TestTheSleeperSleepsLongEnough(t *testing.T) {
	s := newSleeper()
	defer s.end()
	begin := time.Now()
	s.sleep(3 * time.Millisecond)
	// A signal may wake it; a minute would be another matter.
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("slept %v", took)
	}
}
