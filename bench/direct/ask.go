// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"errors"
	"strconv"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/engine"
)

// Ask is what a pair of calls is for.
type Ask struct {
	Run    string // empty: none
	Target string
}

// Asks gives each caller what its next pair of calls is for.
type Asks func(caller int) func() Ask

// Always asks for the same.
func Always(a Ask) Asks {
	return func(int) func() Ask { return func() Ask { return a } }
}

// EachItsRun gives every caller a run for itself.
func EachItsRun(caller int) func() Ask {
	a := Ask{Run: RunOf(caller), Target: Target}
	return func() Ask { return a }
}

// OverRuns goes round many runs. Callers begin apart and take the same steps,
// so two of them are never on one run at once unless one laps the other.
func OverRuns(runs, callers int) Asks {
	return func(caller int) func() Ask {
		at := caller
		return func() Ask {
			a := Ask{Run: RunOf(at % runs), Target: Target}
			at += callers
			return a
		}
	}
}

// Over goes round many runs and many targets, in steps that visit all. Callers
// begin far apart, so that none comes where another has just been.
func Over(runs, targets int) Asks {
	const step, apart = 7919, 15_485_863 // primes
	return func(caller int) func() Ask {
		at := caller * apart
		return func() Ask {
			at += step
			return Ask{Run: RunOf(at % runs), Target: TargetOf(at % targets)}
		}
	}
}

// RunOf names the n-th run.
func RunOf(n int) string { return "run-" + strconv.Itoa(n) }

// TargetOf names the n-th target.
func TargetOf(n int) string { return "tool/t" + strconv.Itoa(n) }

// Pairs are callers that make an Acquire and its Report.
func (d *Engine) Pairs(asks Asks) load.Callers {
	return func(caller int) load.Op {
		next := asks(caller)
		p := d.Pair(Ask{})
		return func(ctx context.Context, laps *load.Laps) error {
			p.Ask = next()
			var permit string
			err := laps.Insist(ctx, Passes, func(ctx context.Context) (err error) {
				permit, err = p.Acquire(ctx)
				return err
			})
			if err != nil {
				return err
			}
			return laps.Insist(ctx, Passes, func(ctx context.Context) error { return p.Report(ctx, permit) })
		}
	}
}

// Passes reports whether an error says that the store did not answer in time,
// or that too many ask for that, which a client meets by asking again.
func Passes(err error) bool {
	if _, full := errors.AsType[*engine.OverloadedError](err); full {
		return true
	}
	return errors.Is(err, engine.ErrUnavailable) || errors.Is(err, engine.ErrOutcomeUnknown)
}
