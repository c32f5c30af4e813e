// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"strings"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// watch follows the breakers on one replica until ctx ends. A stream that
// breaks is opened again, and begins with what is so now.
func (t *Traffic) watch(ctx context.Context, replica int) {
	c := t.caller(watcher)
	c.at = replica
	for ctx.Err() == nil {
		stream, err := c.wires[replica].targets.WatchTargets(ctx, &pb.WatchTargetsRequest{NameGlob: "tool/probe*-" + t.cfg.Name})
		for err == nil {
			var got *pb.WatchTargetsResponse
			if got, err = stream.Recv(); err == nil {
				t.saw(replica, got)
			}
		}
		c.pause(ctx, 50*time.Millisecond)
	}
}

func (t *Traffic) saw(replica int, got *pb.WatchTargetsResponse) {
	now := t.cfg.Recorder.Now()
	for _, target := range got.GetTargets() {
		t.cfg.Recorder.Add(history.Event{
			RPC: history.Watch, Replica: replica, Call: now, Return: now, Target: target.GetTarget(),
			Generation: target.GetGeneration(), State: strings.TrimPrefix(target.GetEffectiveState().String(), "BREAKER_STATE_"),
		})
	}
}
