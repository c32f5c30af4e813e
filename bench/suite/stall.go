// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/sitting"
	"github.com/resilienced/resilienced/statestore"
)

// stalls is how often a measurement is begun again because the store did not
// answer in time, which says more about the machine's disk than about us.
const stalls = 3

// stalled reports whether an error says so.
func stalled(err error) bool {
	return direct.Passes(err) || passes(err) || errors.Is(err, statestore.ErrUnavailable) || errors.Is(err, statestore.ErrUnknownOutcome)
}

// steady does something until the store does not stall, a few times. Each
// stall is told and counts among the void sittings.
func (s *Suite) steady(ctx context.Context, what string, do func(context.Context) error) error {
	for turn := 1; ; turn++ {
		err := do(ctx)
		if err == nil || !stalled(err) || turn > stalls || ctx.Err() != nil {
			return err
		}
		s.say("%s: begun again: %v", what, err)
		s.voids = append(s.voids, sitting.Void{Name: what + ", the store stalled"})
	}
}
