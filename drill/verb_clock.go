// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// maxAdvance is the most that the clock moves in one request.
const maxAdvance = 366 * 24 * time.Hour

// clockVerbs are the verbs of DrillService.
func clockVerbs() []verb {
	return []verb{{
		name: "advance", rpc: "DrillService.AdvanceClock", do: doAdvance,
		params: []param{{name: scalarArg, kind: argDuration, required: true}},
	}}
}

func doAdvance(ctx context.Context, s *session, a args) (answer, error) {
	client := pb.NewDrillServiceClient(s.conn)
	for left := a.duration(scalarArg, 0); ; left -= maxAdvance {
		_, err := client.AdvanceClock(ctx, &pb.AdvanceClockRequest{
			RequestId: s.requestID(""), By: durationpb.New(min(left, maxAdvance)),
		})
		if err != nil || left <= maxAdvance {
			return answer{}, err
		}
	}
}
