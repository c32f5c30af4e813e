// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// In a drill, the history of a breaker that was forced for a while has the end
// of that with its due time, page by page, and goes after 30 days.
func TestListTransitions(t *testing.T) {
	h := newHarness(t, nil)
	drills := pb.NewDrillServiceClient(h.conn)
	d, err := drills.StartDrill(t.Context(), &pb.StartDrillRequest{RequestId: "d"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := in(t.Context(), keyNamespace, d.GetNamespace())
	advance := func(by time.Duration) {
		t.Helper()
		if _, err := drills.AdvanceClock(ctx, &pb.AdvanceClockRequest{
			RequestId: fmt.Sprint("a", by), By: durationpb.New(by),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.targets.SetBreaker(ctx, &pb.SetBreakerRequest{
		RequestId: "q", Target: "x", Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Ttl: durationpb.New(time.Hour), Reason: "repair", Actor: "me",
	}); err != nil {
		t.Fatal(err)
	}
	advance(2 * time.Hour)
	all, err := h.targets.ListTransitions(ctx, &pb.ListTransitionsRequest{Target: "x"})
	if err != nil || len(all.GetTransitions()) != 2 || all.GetNextPageToken() != "" {
		t.Fatalf("all: %v, %v", all, err)
	}
	last, first := all.GetTransitions()[0], all.GetTransitions()[1]
	if first.GetTo() != pb.BreakerState_BREAKER_STATE_FORCED_OPEN || first.GetActor() != "me" || first.GetReason() != "repair" ||
		first.GetCause() != 0 || last.GetFrom() != first.GetTo() || last.GetTo() != pb.BreakerState_BREAKER_STATE_CLOSED ||
		last.GetGeneration() <= first.GetGeneration() || last.GetAt().AsTime().Sub(first.GetAt().AsTime()) != time.Hour {
		t.Errorf("transitions %v", all)
	}
	page, err := h.targets.ListTransitions(ctx, &pb.ListTransitionsRequest{Target: "x", PageSize: 1})
	if err != nil || len(page.GetTransitions()) != 1 || page.GetNextPageToken() == "" {
		t.Fatalf("first page: %v, %v", page, err)
	}
	rest, err := h.targets.ListTransitions(ctx, &pb.ListTransitionsRequest{Target: "x", PageSize: 1, PageToken: page.GetNextPageToken()})
	if err != nil || len(rest.GetTransitions()) != 1 || rest.GetTransitions()[0].GetGeneration() != first.GetGeneration() || rest.GetNextPageToken() != "" {
		t.Errorf("second page: %v, %v", rest, err)
	}
	since, err := h.targets.ListTransitions(ctx, &pb.ListTransitionsRequest{Target: "x", Since: last.GetAt()})
	if err != nil || len(since.GetTransitions()) != 1 || since.GetTransitions()[0].GetGeneration() != last.GetGeneration() {
		t.Errorf("since: %v, %v", since, err)
	}
	if other, err := h.targets.ListTransitions(t.Context(), &pb.ListTransitionsRequest{Target: "x"}); err != nil || len(other.GetTransitions()) != 0 {
		t.Errorf("another namespace: %v, %v", other, err)
	}
	advance(30 * 24 * time.Hour)
	if old, err := h.targets.ListTransitions(ctx, &pb.ListTransitionsRequest{Target: "x"}); err != nil || len(old.GetTransitions()) != 0 {
		t.Errorf("30 days later: %v, %v", old, err)
	}
}

func TestListTransitionsBadInput(t *testing.T) {
	h := newHarness(t, nil)
	for field, r := range map[string]*pb.ListTransitionsRequest{
		"target":         {},
		"credential_ref": {Target: "x", CredentialRef: "a\x1fb"},
		"page_size":      {Target: "x", PageSize: 1001},
		"since":          {Target: "x", Since: &timestamppb.Timestamp{Nanos: -1}},
	} {
		_, err := h.targets.ListTransitions(t.Context(), r)
		wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", field)
	}
	_, err := h.targets.ListTransitions(t.Context(), &pb.ListTransitionsRequest{Target: "x", PageToken: "x"})
	wantError(t, err, codes.InvalidArgument, "PAGE_TOKEN_INVALID", "page_token")
}
