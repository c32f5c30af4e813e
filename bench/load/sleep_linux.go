// SPDX-License-Identifier: Apache-2.0

package load

import (
	"runtime"
	"syscall"
	"time"
)

// sleeper sleeps more exactly than Go's timers, which an idle process wakes up
// for up to a millisecond late. It has an operating system thread to itself.
type sleeper struct{}

func newSleeper() sleeper {
	runtime.LockOSThread()
	return sleeper{}
}

func (sleeper) sleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // woken early: the next operation is a little early
}

func (sleeper) end() { runtime.UnlockOSThread() }
