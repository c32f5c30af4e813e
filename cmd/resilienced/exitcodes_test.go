// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// Every code that a command can end with is in the table of help, once.
func TestExitCodesAreDocumented(t *testing.T) {
	code, out, _ := run(t, "help", "exit-codes")
	if code != exitOK {
		t.Fatalf("exit %d", code)
	}
	seen := map[int]bool{}
	for _, row := range exitCodes() {
		if seen[row.code] || !strings.Contains(out, fmt.Sprintf("%3d  %s", row.code, row.word)) {
			t.Errorf("code %d is twice in the table or not in help:\n%s", row.code, out)
		}
		seen[row.code] = true
	}
	for kind := client.Failed; kind <= client.Invalid; kind++ {
		if !seen[exitOf(kind)] {
			t.Errorf("kind %d leads to %d, which is not in the table", kind, exitOf(kind))
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d codes", len(seen))
	}
}

// What a server answers decides how a command ends.
func TestExitCodesOfAnswers(t *testing.T) {
	var fault error
	addr := serveFake(t, func(context.Context, string, any) (any, error) { return nil, fault })
	for _, c := range []struct {
		code   codes.Code
		reason pb.ErrorReason
		want   int
	}{
		{codes.InvalidArgument, pb.ErrorReason_ERROR_REASON_INVALID_REQUEST, exitUsage},
		{codes.InvalidArgument, pb.ErrorReason_ERROR_REASON_POLICY_INVALID, exitConfig},
		{codes.NotFound, pb.ErrorReason_ERROR_REASON_RUN_UNKNOWN, exitNotFound},
		{codes.PermissionDenied, 0, exitDenied},
		{codes.Unauthenticated, 0, exitDenied},
		{codes.AlreadyExists, pb.ErrorReason_ERROR_REASON_IDEMPOTENCY_MISMATCH, exitFailed},
		{codes.FailedPrecondition, pb.ErrorReason_ERROR_REASON_RUN_FINAL, exitFailed},
		{codes.Aborted, pb.ErrorReason_ERROR_REASON_EPOCH_CHANGED, exitFailed},
		{codes.ResourceExhausted, pb.ErrorReason_ERROR_REASON_QUOTA, exitFailed},
		{codes.ResourceExhausted, pb.ErrorReason_ERROR_REASON_OVERLOADED, exitTemporary},
		{codes.Unavailable, pb.ErrorReason_ERROR_REASON_SHUTTING_DOWN, exitTemporary},
		{codes.Unavailable, pb.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, exitTemporary},
		{codes.Unavailable, pb.ErrorReason_ERROR_REASON_STORE_FULL, exitUnavailable},
		{codes.DeadlineExceeded, pb.ErrorReason_ERROR_REASON_DEADLINE, exitUnavailable},
		{codes.Unimplemented, 0, exitUnavailable},
		{codes.DataLoss, pb.ErrorReason_ERROR_REASON_STORE_DAMAGED, exitSoftware},
		{codes.Internal, pb.ErrorReason_ERROR_REASON_INTERNAL, exitSoftware},
	} {
		s := status.New(c.code, "said")
		if c.reason != 0 {
			var err error
			if s, err = s.WithDetails(&errdetails.ErrorInfo{Reason: strings.TrimPrefix(c.reason.String(), "ERROR_REASON_"), Domain: "resilienced"}); err != nil {
				t.Fatal(err)
			}
		}
		fault = s.Err()
		if code, out, errs := runAt(t, addr, "runs", "get", "r"); code != c.want || out != "" || !strings.HasPrefix(errs, "resilienced: ") {
			t.Errorf("%v %v: exit %d, want %d; %q", c.code, c.reason, code, c.want, errs)
		}
	}
}
