// SPDX-License-Identifier: Apache-2.0

package operation

import "testing"

// TestAStateOfANewerVersionHasAName: a replica of the version before writes
// what it does not know as it found it, and does not fall over its name.
func TestAStateOfANewerVersionHasAName(t *testing.T) {
	for state, want := range map[State]string{0: "OPEN", DeadLettered: "DEAD_LETTERED", 200: "200"} {
		if got := (&Operation{State: state}).Facts().State; got != want {
			t.Errorf("state %d is called %q, want %q", state, got, want)
		}
	}
}
