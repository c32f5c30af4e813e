// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// ListTransitions reads a target's breaker history, newest first.
func (s *targetService) ListTransitions(ctx context.Context, r *pb.ListTransitionsRequest) (*pb.ListTransitionsResponse, error) {
	var c checker
	namespace := c.namespace(ctx)
	checkListTransitions(&c, r)
	if err := c.err(); err != nil {
		return nil, err
	}
	page, err := s.engine.ListTransitions(ctx, &engine.TransitionsQuery{
		Namespace: namespace, Target: r.GetTarget(), Credential: r.GetCredentialRef(), Since: instantOf(r.GetSince()),
		PageSize: int(r.GetPageSize()), PageToken: r.GetPageToken(),
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.ListTransitionsResponse{NextPageToken: page.Next}
	for i := range page.Items {
		resp.Transitions = append(resp.Transitions, wireTransition(&page.Items[i]))
	}
	return resp, nil
}

func checkListTransitions(c *checker, r *pb.ListTransitionsRequest) {
	c.name("target", r.GetTarget(), required)
	c.name("credential_ref", r.GetCredentialRef(), optional)
	c.page(r.GetPageSize(), r.GetPageToken())
	c.instant("since", r.GetSince())
}
