// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/rules"
)

func TestClockStartsAtTheWallClockOrTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := rules.At(time.Now())
		for _, floor := range []rules.Instant{0, wall - 5, wall, wall + 7} {
			c := NewClock(floor)
			if got, want := c.Now(), max(wall, floor); got != want {
				t.Errorf("with a floor of %d the clock starts at %d, want %d", floor, got, want)
			}
		}
		c := NewClock(wall.Add(time.Hour))
		time.Sleep(time.Minute)
		if got := c.Now().Sub(wall); got != time.Hour+time.Minute {
			t.Errorf("a minute later the clock is %v ahead", got)
		}
	})
}
