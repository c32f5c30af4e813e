// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"strings"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// drillPrefix marks the namespaces whose clock stands still.
const drillPrefix = "drill-"

func isDrill(namespace string) bool { return strings.HasPrefix(namespace, drillPrefix) }

// Clock is the record of a drill namespace: its stored instant, and when the
// drill itself, in real time, is cleaned away.
type Clock struct {
	Now     rules.Instant `json:"n"`
	EndsAt  rules.Instant `json:"e"`
	Handled int           `json:"h,omitempty"`
}

func clockKey(namespace string) statestore.Key {
	return statestore.Key{Kind: statestore.KindClock, Namespace: namespace, Name: "clock"}
}

// planClock makes the clock of a drill namespace the first want of a command.
func (e *Engine) planClock(c *command) {
	if isDrill(c.namespace) {
		c.key(clockKey(c.namespace), statestore.Read, 0)
	}
}

// clockOf is the instant that a command sees.
func (e *Engine) clockOf(t *txn, c *command) (rules.Instant, error) {
	if !isDrill(c.namespace) {
		return t.now, nil
	}
	clock := record[Clock](t, 0)
	if clock == nil {
		return 0, ErrNotDrill
	}
	return clock.Now, nil
}

func (e *Engine) drillNow(ctx context.Context, namespace string) (rules.Instant, error) {
	r, _, err := e.store.Get(ctx, clockKey(namespace))
	if err != nil {
		return 0, storeError(err)
	}
	clock, ok := r.(*Clock)
	if !ok {
		return 0, ErrNotDrill
	}
	return clock.Now, nil
}
