// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"strconv"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// into puts the signal into a report, with the outcome that goes with it.
func (s signal) into(req *pb.ReportRequest) {
	if s.quality != "" && s.http == nil && s.grpc == "" && s.exception == "" {
		s.http = new(int64(200)) // a verdict is about an answer that came
	}
	req.Outcome = s.outcome()
	req.Signal = s.wire()
	if s.quality != "" {
		req.Quality = &pb.Quality{Verdict: pb.QualityVerdict(enum.Number(pb.QualityVerdict(0), s.quality))}
	}
}

// outcome is the caller's own view of such a call.
func (s signal) outcome() pb.Outcome {
	switch {
	case s.cancelled:
		return pb.Outcome_OUTCOME_CANCELLED
	case s.http != nil && *s.http >= 200 && *s.http < 300, s.http == nil && s.grpc == "OK":
		return pb.Outcome_OUTCOME_SUCCESS
	}
	return pb.Outcome_OUTCOME_FAILURE
}

// wire is what the target said; nil if it said nothing.
func (s signal) wire() *pb.Signal {
	if s == (signal{quality: s.quality, cancelled: s.cancelled}) {
		return nil
	}
	sig := &pb.Signal{GrpcCode: s.grpc, Exception: s.exception, BodyCode: s.code}
	if s.http != nil {
		sig.HttpStatus = new(int32(*s.http))
	}
	switch {
	case s.retryAfter == nil:
	case *s.retryAfter < 0: // only a raw header can say this
		seconds := strconv.FormatFloat(s.retryAfter.Seconds(), 'f', -1, 64)
		sig.Headers = map[string]string{"retry-after": seconds}
	default:
		sig.RetryAfter = durationpb.New(*s.retryAfter)
	}
	return sig
}
