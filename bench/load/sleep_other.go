// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package load

import "time"

// sleeper sleeps as exactly as Go's timers do.
type sleeper struct{}

func newSleeper() sleeper { return sleeper{} }

func (sleeper) sleep(d time.Duration) { time.Sleep(d) }

func (sleeper) end() {}
