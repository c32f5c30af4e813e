// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"log/slog"
	"sync"
	"time"
)

// complainEvery is how often the log says that something still fails.
const complainEvery = time.Minute

// complaints keeps the log readable while work behind the decisions fails turn
// after turn, as all of it does while the store is gone: each kind of failure
// is logged when it begins and then once a minute, with how often it was not.
type complaints struct {
	log   *slog.Logger
	mu    sync.Mutex
	kinds map[string]*complaint // by message, of which the engine has a few
}

type complaint struct {
	logged     time.Time
	suppressed int
}

func newComplaints(log *slog.Logger) *complaints {
	return &complaints{log: log, kinds: map[string]*complaint{}}
}

// warn logs a message that is a constant of the code, unless it was logged a
// moment ago.
func (c *complaints) warn(message string, args ...any) {
	now := time.Now()
	c.mu.Lock()
	kind := c.kinds[message]
	if kind == nil {
		kind = &complaint{}
		c.kinds[message] = kind
	}
	if now.Sub(kind.logged) < complainEvery {
		kind.suppressed++
		c.mu.Unlock()
		return
	}
	suppressed := kind.suppressed
	kind.logged, kind.suppressed = now, 0
	c.mu.Unlock()
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	c.log.Warn(message, args...)
}
