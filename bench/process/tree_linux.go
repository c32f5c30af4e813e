// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// TreeTime is the processor time that a process and its living children have
// used. Those of PostgreSQL live as long as their connections.
func TreeTime(pid int) (time.Duration, error) {
	total, err := scheduled(pid)
	if err != nil {
		return 0, err
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		// The parent is the second field behind the program's name in brackets.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 2 || string(fields[1]) != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return 0, err
		}
		if used, err := scheduled(child); err == nil {
			total += used
		}
	}
	return total, nil
}

// scheduled is how long a process of one thread has had a processor.
func scheduled(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, err
	}
	first, _, _ := bytes.Cut(text, []byte{' '})
	ns, err := strconv.ParseInt(string(first), 10, 64)
	return time.Duration(ns), err
}
