// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// drillService runs scenarios in namespaces of their own.
type drillService struct {
	pb.UnimplementedDrillServiceServer
	*Server
}

// StartDrill makes a fresh namespace.
func (s *drillService) StartDrill(ctx context.Context, r *pb.StartDrillRequest) (*pb.StartDrillResponse, error) {
	var c checker
	c.id("request_id", r.GetRequestId(), required)
	c.span("lifetime", r.GetLifetime(), maxLifetime)
	if err := c.err(); err != nil {
		return nil, err
	}
	d, err := s.engine.StartDrill(ctx, r.GetRequestId(), r.GetLifetime().AsDuration())
	if err != nil {
		return nil, err
	}
	return &pb.StartDrillResponse{Namespace: d.Namespace, Now: wireTime(d.Now)}, nil
}

// AdvanceClock moves the clock of a drill.
func (s *drillService) AdvanceClock(ctx context.Context, r *pb.AdvanceClockRequest) (*pb.AdvanceClockResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.id("request_id", r.GetRequestId(), required)
	if r.GetBy() == nil {
		c.fail("by", "is required: how far to move the clock")
	}
	c.duration("by", r.GetBy(), maxAdvance)
	if err := c.err(); err != nil {
		return nil, err
	}
	d, err := s.engine.AdvanceClock(ctx, namespace, r.GetRequestId(), r.GetBy().AsDuration())
	if err != nil {
		return nil, err
	}
	return &pb.AdvanceClockResponse{EventsHandled: int64(d.Handled), Now: wireTime(d.Now)}, nil
}

// EndDrill deletes a drill.
func (s *drillService) EndDrill(ctx context.Context, r *pb.EndDrillRequest) (*pb.EndDrillResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.id("request_id", r.GetRequestId(), required)
	if err := c.err(); err != nil {
		return nil, err
	}
	if err := s.engine.EndDrill(ctx, namespace); err != nil {
		return nil, err
	}
	return &pb.EndDrillResponse{}, nil
}
