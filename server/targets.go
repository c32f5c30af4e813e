// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	"google.golang.org/grpc"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// targetService shows targets and holds breakers.
type targetService struct {
	pb.UnimplementedTargetServiceServer
	*Server
}

// ListTargets reads targets by name.
func (s *targetService) ListTargets(ctx context.Context, r *pb.ListTargetsRequest) (*pb.ListTargetsResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.page(r.GetPageSize(), r.GetPageToken())
	c.name("name_glob", r.GetNameGlob(), optional)
	choices(&c, "states", r.GetStates(), pb.BreakerState_name)
	if err := c.err(); err != nil {
		return nil, err
	}
	page, err := collect(asked{r.GetPageSize(), r.GetPageToken()}, func(size int, token string) (engine.Page[*engine.TargetView], error) {
		return s.engine.ListTargets(ctx, &engine.ListQuery{
			Namespace: namespace, Prefix: globPrefix(r.GetNameGlob()), PageSize: size, PageToken: token,
		})
	}, func(v *engine.TargetView) bool {
		return matches(r.GetNameGlob(), v.Name) && among(r.GetStates(), wirePhase(v.Control.Breaker.Phase))
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListTargetsResponse{NextPageToken: page.Next}
	for _, v := range page.Items {
		resp.Targets = append(resp.Targets, wireTarget(v))
	}
	return resp, nil
}

// matches reports whether a name is wanted; no pattern wants all.
func matches(pattern, name string) bool { return pattern == "" || globMatch(pattern, name) }

// GetTarget reads one target.
func (s *targetService) GetTarget(ctx context.Context, r *pb.GetTargetRequest) (*pb.GetTargetResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	c.name("target", r.GetTarget(), required)
	c.name("credential_ref", r.GetCredentialRef(), optional)
	if err := c.err(); err != nil {
		return nil, err
	}
	view, err := s.engine.GetTarget(ctx, namespace, r.GetTarget(), r.GetCredentialRef())
	if err != nil {
		return nil, err
	}
	return &pb.GetTargetResponse{Target: wireTarget(view)}, nil
}

// WatchTargets sends a snapshot and then what changes.
func (s *targetService) WatchTargets(r *pb.WatchTargetsRequest, stream grpc.ServerStreamingServer[pb.WatchTargetsResponse]) error {
	ctx := stream.Context()
	var c checker
	namespace := c.namespace(ctx)
	c.name("name_glob", r.GetNameGlob(), optional)
	if err := c.err(); err != nil {
		return err
	}
	w := &targetWatch{stream: stream, glob: r.GetNameGlob(), prefix: globPrefix(r.GetNameGlob()), shown: map[string]uint64{}}
	if err := w.snapshot(ctx, s.engine, namespace); err != nil {
		return err
	}
	return s.engine.WatchTargets(ctx, namespace, w.prefix, w.changed)
}

// targetWatch is one reader of WatchTargets.
type targetWatch struct {
	stream       grpc.ServerStreamingServer[pb.WatchTargetsResponse]
	glob, prefix string
	// shown has the generations of the snapshot until the engine has gone
	// through its own, which repeats what did not change meanwhile.
	shown map[string]uint64
}

// snapshot sends all targets, a page at a time, and says when it is complete.
func (w *targetWatch) snapshot(ctx context.Context, from *engine.Engine, namespace string) error {
	q := &engine.ListQuery{Namespace: namespace, Prefix: w.prefix, PageSize: maxPageSize}
	for {
		page, err := from.ListTargets(ctx, q)
		if err != nil {
			return err
		}
		message := &pb.WatchTargetsResponse{SnapshotDone: page.Next == ""}
		for _, v := range page.Items {
			if matches(w.glob, v.Name) {
				w.shown[v.Name] = v.Control.Breaker.Generation
				message.Targets = append(message.Targets, wireTarget(v))
			}
		}
		if err := w.stream.Send(message); err != nil || message.GetSnapshotDone() {
			return err
		}
		q.PageToken = page.Next
	}
}

// changed sends one target that is not as the snapshot showed it.
func (w *targetWatch) changed(v *engine.TargetView, first bool) error {
	if !matches(w.glob, v.Name) {
		return nil
	}
	if generation, seen := w.shown[v.Name]; first && seen && generation == v.Control.Breaker.Generation {
		return nil
	}
	if !first {
		w.shown = nil
	}
	return w.stream.Send(&pb.WatchTargetsResponse{Targets: []*pb.Target{wireTarget(v)}})
}

// SetBreaker holds a target's breaker, or gives it back to the rules.
func (s *targetService) SetBreaker(ctx context.Context, r *pb.SetBreakerRequest) (*pb.SetBreakerResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkSetBreaker(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	var d digest
	d.begin("set breaker")
	d.text(r.GetTarget())
	d.text(r.GetCredentialRef())
	d.number(int64(r.GetMode()))
	d.duration(r.GetTtl())
	d.text(r.GetReason())
	d.text(r.GetActor())
	view, err := s.engine.SetBreaker(ctx, &engine.SetBreakerRequest{
		Namespace: namespace, RequestID: r.GetRequestId(), Target: r.GetTarget(), Credential: r.GetCredentialRef(),
		Mode: modeOf(r.GetMode()), TTL: r.GetTtl().AsDuration(), Actor: actorOf(ctx, r.GetActor()), Reason: r.GetReason(), Hash: d.value(),
	})
	if err != nil {
		return nil, err
	}
	return &pb.SetBreakerResponse{Target: wireTarget(view)}, nil
}

func checkSetBreaker(c *checker, r *pb.SetBreakerRequest) {
	c.id("request_id", r.GetRequestId(), required)
	c.name("target", r.GetTarget(), required)
	c.name("credential_ref", r.GetCredentialRef(), optional)
	choice(c, "mode", r.GetMode(), pb.BreakerMode_name, required)
	c.span("ttl", r.GetTtl(), maxTTL)
	if r.GetTtl() != nil && r.GetMode() == pb.BreakerMode_BREAKER_MODE_AUTO {
		c.fail("ttl", "does not go with BREAKER_MODE_AUTO, which holds nothing; leave it out")
	}
	c.text("reason", r.GetReason(), maxNote, required)
	c.name("actor", r.GetActor(), optional)
}
