// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// processorTime is what this process has used, in user and system mode.
func processorTime() (time.Duration, error) { return usage(syscall.RUSAGE_SELF) }

func usage(who int) (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0, os.NewSyscallError("getrusage", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// OwnTime is the processor time of this process and of its children that have
// ended; 0 if it is not known.
func OwnTime() time.Duration {
	own, err := usage(syscall.RUSAGE_SELF)
	if err != nil {
		return 0
	}
	children, err := usage(syscall.RUSAGE_CHILDREN)
	if err != nil {
		return 0
	}
	return own + children
}

// SelfTime is the processor time of this process alone; 0 if it is not known.
func SelfTime() time.Duration {
	own, err := processorTime()
	if err != nil {
		return 0
	}
	return own
}

// Niceness is the priority that this process runs at, 0 being the usual one.
func Niceness() int {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	// The fields are counted from behind the program's name, which is in brackets.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const field = 16
	if len(fields) <= field {
		return 0
	}
	nice, err := strconv.Atoi(string(fields[field]))
	if err != nil {
		return 0
	}
	return nice
}

// MachineTime is how long this machine's processors have been at work since
// its start, all together; 0 if it is not known.
func MachineTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	fields := bytes.Fields(line)
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Linux runs
	var ticks int64
	// user, nice, system, idle, iowait, irq, softirq
	for _, i := range []int{1, 2, 3, 6, 7} {
		if i >= len(fields) {
			return 0
		}
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}

// resident is how much memory this process has in use, or 0 where the system
// does not say so in the way of Linux.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
