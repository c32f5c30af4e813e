// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// permitService is the hot path. Acquire and Report have files of their own.
type permitService struct {
	pb.UnimplementedPermitServiceServer
	*Server
}

// Heartbeat renews a lease and learns whether to cancel.
func (s *permitService) Heartbeat(ctx context.Context, r *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	inherit(ctx, &r.PermitId, keyPermit)
	var c checker
	namespace := c.namespace(ctx)
	c.handle("permit_id", r.GetPermitId(), maxPermitID, required)
	if err := c.err(); err != nil {
		return nil, err
	}
	h, err := s.engine.Heartbeat(ctx, namespace, r.GetPermitId(), r.GetFence())
	if err != nil {
		return nil, err
	}
	return &pb.HeartbeatResponse{
		Lease: durationpb.New(h.Lease), HeartbeatEvery: durationpb.New(h.Every),
		CancelRequested: h.Cancel, CancelReason: wireReason(h.CancelReason),
	}, nil
}

// Release gives a permit back unused.
func (s *permitService) Release(ctx context.Context, r *pb.ReleaseRequest) (*pb.ReleaseResponse, error) {
	release := &engine.ReleaseRequest{
		PermitID: r.GetPermitId(), Fence: r.GetFence(),
		AcquireRequestID: r.GetAcquireRequestId(), OperationID: r.GetOperationId(),
	}
	if release.AcquireRequestID == "" {
		inherit(ctx, &release.PermitID, keyPermit)
	} else {
		inherit(ctx, &release.OperationID, keyOperation)
	}
	var c checker
	release.Namespace = c.namespace(ctx)
	checkRelease(&c, r, release)
	if err := c.err(); err != nil {
		return nil, err
	}
	result, err := s.engine.Release(ctx, release)
	if err != nil {
		return nil, err
	}
	resp := &pb.ReleaseResponse{Released: result.Released}
	if result.Run != nil {
		resp.Run = runSummary(result.Run)
	}
	return resp, nil
}

func checkRelease(c *checker, r *pb.ReleaseRequest, release *engine.ReleaseRequest) {
	c.id("request_id", r.GetRequestId(), optional)
	if release.PermitID == "" && release.AcquireRequestID == "" {
		c.fail("permit_id", "is required, unless acquire_request_id is set")
	}
	c.handle("permit_id", release.PermitID, maxPermitID, optional)
	c.id("acquire_request_id", release.AcquireRequestID, optional)
	c.id("operation_id", release.OperationID, optional)
}
