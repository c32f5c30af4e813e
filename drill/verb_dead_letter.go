// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// letterPrefix begins the name of a dead letter: dl:o1 is that of operation o1.
const letterPrefix = "dl:"

// deadLetterVerbs are the verbs of DeadLetterService.
func deadLetterVerbs() []verb {
	id := required("id", argText)
	return []verb{
		{
			name: "dlq", rpc: "DeadLetterService.GetDeadLetter", do: doDeadLetter, params: []param{id},
			fields: append(texts("state", "reason", "kind", "policy"), numbers("replays")...),
		},
		{
			name: "replay", rpc: "DeadLetterService.ReplayDeadLetters",
			params: []param{id, may("force", argFlag)}, fields: numbers("count"),
		},
		{
			name: "claim", rpc: "DeadLetterService.ClaimReplays",
			params: []param{may("max", argNumber), may("auto", argText)},
			fields: append(append(sets("items"), numbers("n")...), texts("reason")...),
		},
		{
			name: "complete", rpc: "DeadLetterService.CompleteReplay",
			params: []param{
				id,
				{name: "outcome", kind: argText, required: true, words: []string{"SUCCEEDED", "FAILED", "FATAL", "DEFERRED"}},
				may("delay", argDuration), may("fence", argNumber),
			},
			fields: texts("state"),
		},
	}
}

// doDeadLetter reads a letter. One that is not there is ABSENT.
func doDeadLetter(ctx context.Context, s *session, a args) (answer, error) {
	operation, ok := strings.CutPrefix(a.text("id"), letterPrefix)
	if !ok {
		return nil, fmt.Errorf("%q is no name of a dead letter; write %s and the operation", a.text("id"), letterPrefix)
	}
	resp, err := pb.NewDeadLetterServiceClient(s.conn).GetDeadLetter(ctx, &pb.GetDeadLetterRequest{
		Key: &pb.GetDeadLetterRequest_OperationId{OperationId: operation},
	})
	if failed := (*callError)(nil); errors.As(err, &failed) && failed.status.Code() == codes.NotFound {
		return answer{"state": "ABSENT"}, nil
	}
	if err != nil {
		return nil, err
	}
	l := resp.GetDeadLetter()
	return answer{
		"state":   enum.Word(l.GetState()),
		"reason":  l.GetReason(),
		"kind":    enum.Word(l.GetKind()),
		"policy":  enum.Word(l.GetReplayPolicy()),
		"replays": int64(l.GetReplayCount()),
	}, nil
}
