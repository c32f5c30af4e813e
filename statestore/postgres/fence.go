// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"
	"fmt"
	"sync"
)

// fence keeps a primary out that was replaced: a promotion begins a new
// timeline, so whoever is on a lower one than was seen before is the old one.
// The zero fence has seen nothing.
type fence struct {
	mu     sync.Mutex
	system string
	line   string // eight hexadecimal digits, so they compare as text
}

// errFenced: the server is not, or no longer, the one that takes writes.
var errFenced = errors.New("the server is not the primary any more")

// pass remembers the highest timeline of a system. An empty system is the one
// seen last.
func (f *fence) pass(system, line string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if system != "" && system != f.system {
		// Another cluster has no timeline in common with the one before.
		f.system, f.line = system, line
		return nil
	}
	if line < f.line {
		return fmt.Errorf("%w: it is on timeline %s and %s was seen; take the old primary away", errFenced, line, f.line)
	}
	f.line = line
	return nil
}
