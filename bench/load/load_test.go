// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/bench/load"
)

// sleeping are callers whose calls take as long as took says.
func sleeping(calls int, took func() time.Duration) load.Callers {
	return func(int) load.Op {
		return func(_ context.Context, laps *load.Laps) error {
			for range calls {
				time.Sleep(took())
				laps.Lap()
			}
			return nil
		}
	}
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// near allows for the histogram's three digits.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if got < 0.998*want || got > 1.002*want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestClosedCountsWhatEndsInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		probe := func(context.Context) (load.Reading, error) {
			n := read.Add(1)
			return load.Reading{CPU: time.Duration(n) * time.Second, Commits: uint64(40 * n), Memory: n}, nil
		}
		// The calls end at 5, 15, 25 … ms, the window is from 102 to 1102 ms.
		first := true
		took := func() time.Duration {
			if first {
				first = false
				return 5 * time.Millisecond
			}
			return 10 * time.Millisecond
		}
		closed := load.Closed{Callers: 1, Warm: 102 * time.Millisecond, For: time.Second}
		r, err := closed.Run(t.Context(), sleeping(1, took), probe)
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops != 100 || r.Calls != 100 || r.Window != time.Second {
			t.Errorf("%d operations, %d calls in %v, want 100, 100 in 1 s", r.Ops, r.Calls, r.Window)
		}
		if r.Used != (load.Reading{CPU: time.Second, Commits: 40, Memory: 2}) {
			t.Errorf("used %+v", r.Used)
		}
		near(t, "rate", r.Rate(), 100)
		near(t, "CPU", r.CPU(), float64(10*time.Millisecond))
		near(t, "commits", r.Commits(), 0.4)
		near(t, "p50", r.Quantile(50), float64(10*time.Millisecond))
	})
}

func TestAnOperationOfTwoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := load.Closed{Callers: 4, Warm: time.Millisecond, For: time.Second}
		r, err := closed.Run(t.Context(), sleeping(2, always(4*time.Millisecond)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops != 4*125 || r.Calls != 4*250 {
			t.Errorf("%d operations of %d calls, want 500 of 1000", r.Ops, r.Calls)
		}
		near(t, "p99", r.Quantile(99), float64(4*time.Millisecond))
	})
}

func TestTheFirstErrorEndsALoad(t *testing.T) {
	broken := errors.New("broken")
	loads := map[string]func(context.Context, load.Callers, load.Probe) (*load.Result, error){
		"closed": load.Closed{Callers: 8, For: time.Hour}.Run,
		"open":   load.Open{Rate: 100, Callers: 8, For: time.Hour}.Run,
	}
	for name, run := range loads {
		t.Run(name, func(t *testing.T) {
			callers := func(caller int) load.Op {
				return func(ctx context.Context, laps *load.Laps) error {
					if caller == 3 {
						return broken
					}
					select {
					case <-time.After(time.Millisecond):
					case <-ctx.Done():
					}
					laps.Lap()
					return nil
				}
			}
			if _, err := run(t.Context(), callers, nil); !errors.Is(err, broken) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestAProbeThatFailsEndsALoad(t *testing.T) {
	gone := errors.New("gone")
	probe := func(context.Context) (load.Reading, error) { return load.Reading{}, gone }
	closed := load.Closed{Callers: 2, For: time.Hour}
	if _, err := closed.Run(t.Context(), sleeping(1, always(time.Millisecond)), probe); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
}

func TestTheContextEndsALoad(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	closed := load.Closed{Callers: 2, For: time.Hour}
	if _, err := closed.Run(ctx, sleeping(1, always(time.Millisecond)), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

// A call whose failure passes is made again, and takes as long as all its
// attempts; another failure, or too many, end the load.
func TestInsist(t *testing.T) {
	busy, broken := errors.New("busy"), errors.New("broken")
	passes := func(err error) bool { return errors.Is(err, busy) }
	run := func(t *testing.T, answer func(n int) error) (*load.Result, error) {
		t.Helper()
		n := 0
		closed := load.Closed{Callers: 1, For: 30 * time.Second}
		return closed.Run(t.Context(), func(int) load.Op {
			return func(ctx context.Context, laps *load.Laps) error {
				return laps.Insist(ctx, passes, func(context.Context) error {
					time.Sleep(time.Second)
					n++
					return answer(n)
				})
			}
		}, nil)
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := run(t, func(n int) error {
			if n%3 != 0 {
				return busy
			}
			return nil
		})
		if err != nil || r.Calls < 9 || r.Passed < 2*r.Calls || r.Quantile(0) < 3.0e9 || r.Quantile(100) > 3.1e9 {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err = run(t, func(int) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("err = %v", err)
		}
		if _, err = run(t, func(int) error { return busy }); !errors.Is(err, busy) {
			t.Errorf("err = %v", err)
		}
	})
}
