// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// auditReason is why a drill does what must be explained.
const auditReason = "drill"

// targetVerbs are the verbs of TargetService.
func targetVerbs() []verb {
	return []verb{
		{
			name: "breaker", rpc: "TargetService.GetTarget", do: doBreaker,
			params: []param{required("target", argText)},
			fields: append(append(texts("state", "cause"), numbers("cycles", "consecutive")...), millis("open_ms")...),
		},
		{
			name: "set_breaker", rpc: "TargetService.SetBreaker", do: doSetBreaker, read: doBreaker,
			params: []param{
				required("target", argText),
				{name: "mode", kind: argText, required: true, words: enum.Words(pb.BreakerMode(0))},
			},
			fields: texts("state"),
		},
	}
}

func doBreaker(ctx context.Context, s *session, a args) (answer, error) {
	resp, err := pb.NewTargetServiceClient(s.conn).GetTarget(ctx, &pb.GetTargetRequest{Target: a.text("target")})
	if err != nil {
		return nil, err
	}
	return targetAnswer(resp.GetTarget()), nil
}

func doSetBreaker(ctx context.Context, s *session, a args) (answer, error) {
	resp, err := pb.NewTargetServiceClient(s.conn).SetBreaker(ctx, &pb.SetBreakerRequest{
		RequestId: s.requestID(""),
		Target:    a.text("target"),
		Mode:      pb.BreakerMode(enum.Number(pb.BreakerMode(0), a.text("mode"))),
		Reason:    auditReason,
	})
	if err != nil {
		return nil, err
	}
	return targetAnswer(resp.GetTarget()), nil
}

func targetAnswer(t *pb.Target) answer {
	return answer{
		"state":       enum.Word(t.GetEffectiveState()),
		"cause":       enum.Word(t.GetCause()),
		"cycles":      int64(t.GetCycles()),
		"open_ms":     t.GetOpenFor().AsDuration().Milliseconds(),
		"consecutive": int64(t.GetConsecutiveFailures()),
	}
}
