// SPDX-License-Identifier: Apache-2.0

package failures

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// namespaceKey is the metadata key that names a call's namespace.
const namespaceKey = "resilience-namespace"

// callTook is how long a call takes in a scene, and betweenCalls how far apart
// operations begin.
const (
	callTook     = 200 * time.Millisecond
	betweenCalls = time.Second
)

// reason is why a drill changes anything, for the audit.
const reason = "drill of a policy"

// stage is a drill namespace with the policy in it, and the scene that is
// written there.
type stage struct {
	ctx     context.Context //nolint:containedctx // it carries the namespace, and lives as long as the scene
	drills  pb.DrillServiceClient
	permits pb.PermitServiceClient
	runs    pb.RunServiceClient
	people  pb.EscalationServiceClient
	targets pb.TargetServiceClient
	in      Input
	scene   *Scene
	now     time.Duration
	down    string // the target that fails; empty: every target does
	run     string // of the calls; empty: none
}

func open(ctx context.Context, conn grpc.ClientConnInterface, in Input, scene *Scene) (*stage, error) {
	s := &stage{
		drills: pb.NewDrillServiceClient(conn), permits: pb.NewPermitServiceClient(conn), runs: pb.NewRunServiceClient(conn),
		people: pb.NewEscalationServiceClient(conn), targets: pb.NewTargetServiceClient(conn), in: in, scene: scene,
	}
	drill, err := s.drills.StartDrill(ctx, &pb.StartDrillRequest{RequestId: uuid.NewString()})
	if err != nil {
		return nil, fmt.Errorf("start a drill: %w", err)
	}
	s.ctx = metadata.AppendToOutgoingContext(ctx, namespaceKey, drill.GetNamespace())
	apply := &pb.ApplyPolicyRequest{RequestId: uuid.NewString(), Yaml: in.Policy, Reason: reason}
	_, err = pb.NewPolicyServiceClient(conn).ApplyPolicy(s.ctx, apply) //nolint:contextcheck // it is ctx with the namespace
	if err != nil {
		return nil, errors.Join(fmt.Errorf("apply the policy: %w", err), s.close()) //nolint:contextcheck // the stage has it
	}
	return s, nil
}

func (s *stage) close() error {
	_, err := s.drills.EndDrill(context.WithoutCancel(s.ctx), &pb.EndDrillRequest{RequestId: uuid.NewString()})
	return err
}

// say writes a line that is no call.
func (s *stage) say(format string, args ...any) {
	s.scene.Lines = append(s.scene.Lines, Line{At: s.now, What: fmt.Sprintf(format, args...)})
}

// line writes what an operation did and what it was answered.
func (s *stage) line(who, what, answer string) {
	s.scene.Lines = append(s.scene.Lines, Line{At: s.now, Who: who, What: what, Answer: answer})
}

func (s *stage) fire(pattern string) { s.scene.fire(pattern, s.now) }

// advance moves the drill's clock.
func (s *stage) advance(by time.Duration) error {
	if by <= 0 {
		return nil
	}
	_, err := s.drills.AdvanceClock(s.ctx, &pb.AdvanceClockRequest{RequestId: uuid.NewString(), By: durationpb.New(by)})
	if err != nil {
		return fmt.Errorf("advance by %v: %w", by, err)
	}
	s.now += by
	return nil
}

// breaker reads a target's breaker.
func (s *stage) breaker(target string) (*pb.Target, error) {
	resp, err := s.targets.GetTarget(s.ctx, &pb.GetTargetRequest{Target: target})
	if err != nil {
		return nil, fmt.Errorf("read target %s: %w", target, err)
	}
	return resp.GetTarget(), nil
}
