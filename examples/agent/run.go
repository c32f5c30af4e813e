// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/resilienced/resilienced/examples/agent/upstream"
)

const (
	// runCap is what the run may spend, in micro-USD: a little less than the
	// tasks want.
	runCap = 440_000
	// runSoft is the part of it, in percent, from which cheaper models are used.
	runSoft = 92
)

// run does all tasks in one run and prints the transcript. Without an address
// it starts a server of its own.
func run(ctx context.Context, out io.Writer, addr string) (failed error) {
	if addr == "" {
		own, err := serve(ctx)
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, own.stop()) }()
		addr = own.addr
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	provider := upstream.Start()
	defer provider.Close()

	runs := pb.NewRunServiceClient(conn)
	started, err := runs.StartRun(ctx, &pb.StartRunRequest{
		RequestId: rand.Text(), RunId: "agent-" + rand.Text(),
		Caps: &pb.Caps{CostMicros: new(int64(runCap))}, SoftPercent: new(int32(runSoft)),
	})
	if err != nil {
		return fmt.Errorf("start a run at %s: %w", addr, err)
	}
	log := newTranscript(out)
	log.legend()
	a := &agent{provider: provider, model: newModel(), guard: &guard{
		permits: pb.NewPermitServiceClient(conn), run: started.GetRun().GetRunId(), reporter: rand.Text(), log: log,
	}}
	for _, c := range chapters(provider) {
		log.begin(c.title)
		for _, t := range c.tasks {
			log.task(&t)
			if err := a.work(ctx, &t); err != nil {
				return fmt.Errorf("task %q: %w", t.title, err)
			}
		}
	}
	finished, err := runs.FinishRun(ctx, &pb.FinishRunRequest{RequestId: rand.Text(), RunId: a.guard.run})
	if err != nil {
		return fmt.Errorf("finish the run: %w", err)
	}
	log.total(finished.GetRun(), provider.Calls())
	return log.failed
}
