// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
)

// sampler lets one line a second through for each status code and counts the
// rest, so that an outage does not become a flood of its own.
type sampler struct {
	codes [codes.Unauthenticated + 1]struct {
		second  atomic.Int64
		dropped atomic.Int64
	}
}

// take reports whether a line of this code may be written in this second, and
// how many were not since the last one.
func (s *sampler) take(code codes.Code, second int64) (int64, bool) {
	c := &s.codes[min(code, codes.Unauthenticated)]
	if last := c.second.Load(); last == second || !c.second.CompareAndSwap(last, second) {
		c.dropped.Add(1)
		return 0, false
	}
	return c.dropped.Swap(0), true
}

// levelOf is how loud a failure is: loud if it is ours, silent at the default
// level if it is the caller's.
func levelOf(code codes.Code) slog.Level {
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return slog.LevelError
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.OK:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

// logCall writes about a call that failed, or that was slow and went well.
func (s *Server) logCall(ctx context.Context, method string, err error, took time.Duration) {
	code := codeOf(err)
	level := levelOf(code)
	if !s.log.Enabled(ctx, level) {
		return
	}
	suppressed, ok := s.sampler.take(code, time.Now().Unix())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("method", method), slog.String("code", code.String()), slog.Duration("took", took)}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int64("suppressed", suppressed))
	}
	if err == nil {
		s.log.LogAttrs(ctx, level, "a call was slow", attrs...)
		return
	}
	cause := errors.Unwrap(err)
	if cause == nil {
		cause = err
	}
	s.log.LogAttrs(ctx, level, "a call failed", append(attrs, slog.String("cause", cause.Error()))...)
}
