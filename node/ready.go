// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/server/jsonport"
	"github.com/resilienced/resilienced/statestore"
)

// ready looks at what the node needs to answer calls.
func (n *Node) ready(ctx context.Context) []jsonport.Check {
	// Any key will do: that the store answers is what counts.
	_, _, err := n.store.Get(ctx, statestore.Key{Kind: statestore.KindPolicy, Name: "ready"})
	var view *engine.PolicyView
	if err == nil {
		view, err = n.engine.GetPolicy(ctx, "")
	}
	if err != nil {
		// The cause may say more of the machine than a port without identity
		// should, so it goes to the log.
		n.log.LogAttrs(ctx, slog.LevelWarn, "not ready: the store does not answer", slog.Any("error", err))
		const text = "the store does not answer; the server's log says why"
		return []jsonport.Check{{Name: "store", Detail: text}, {Name: "policy", Detail: "it cannot be read from the store"}}
	}
	why := n.watch.trouble()
	status := n.PolicyStatus()
	checks := []jsonport.Check{
		{Name: "store", OK: true},
		{Name: "policy", OK: status.Behind == "", Detail: cmp.Or(status.Behind, fmt.Sprintf("epoch %d", view.Epoch))},
	}
	if why != "" {
		// Were the replica taken out, no call could show that the trouble is over.
		checks = append(checks, jsonport.Check{Name: "store_writes", Advisory: true, Detail: why})
	}
	if status.File != "" {
		// A file with a fault must not take the replicas out: the policy before
		// it is in force.
		checks = append(checks, jsonport.Check{
			Name: "policy_reload", Advisory: true, OK: status.LastSuccess, Detail: cmp.Or(status.LastError, status.File),
		})
	}
	return checks
}
