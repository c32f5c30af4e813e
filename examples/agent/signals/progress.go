// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// Progress knows how far an HTTP call has got. Whether a request had left when
// its connection broke decides whether it may have taken effect. A nil
// Progress knows nothing. It is safe for concurrent use.
type Progress struct{ phase atomic.Int32 }

// Watch returns a context whose HTTP call is watched. Use it for one call.
func Watch(ctx context.Context) (context.Context, *Progress) {
	p := &Progress{}
	p.reach(pb.CallPhase_CALL_PHASE_BEFORE_SEND)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { p.reach(pb.CallPhase_CALL_PHASE_SENDING) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				p.reach(pb.CallPhase_CALL_PHASE_BODY_SENT)
			}
		},
		GotFirstResponseByte: func() { p.reach(pb.CallPhase_CALL_PHASE_FIRST_BYTE) },
	}), p
}

// Phase is how far the call has got.
func (p *Progress) Phase() pb.CallPhase {
	if p == nil {
		return pb.CallPhase_CALL_PHASE_UNSPECIFIED
	}
	return pb.CallPhase(p.phase.Load())
}

// reach never goes back: an answer may come before the request's end is noticed.
func (p *Progress) reach(phase pb.CallPhase) {
	for {
		now := p.phase.Load()
		if now >= int32(phase) || p.phase.CompareAndSwap(now, int32(phase)) {
			return
		}
	}
}
