// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The collector's settings of a service that keeps many small records: it may
// use memory freely while there is plenty, and is held to a part of what the
// machine or its control group has. GOGC and GOMEMLIMIT, if set, win.
const (
	collectPercent = 400
	memoryShare    = 0.75
)

// TuneMemory applies them to the whole process, which is for its main to ask.
// Where the machine does not say how much memory it has, the collector keeps
// Go's own setting, which needs no limit.
func TuneMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		_, err := memlimit.Set(
			memlimit.WithRatio(memoryShare),
			memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
		)
		if err != nil {
			return
		}
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
