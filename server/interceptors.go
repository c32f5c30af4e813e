// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// maxCall is the longest that a call may take whose caller set no deadline or
// a later one.
const maxCall = 30 * time.Second

// endless marks a method without a limit.
const endless = 0

// callLimits are the methods with another limit than maxCall.
func callLimits() map[string]time.Duration {
	return map[string]time.Duration{
		pb.EscalationService_WaitDecision_FullMethodName:                 maxPoll + 5*time.Second,
		pb.TargetService_WatchTargets_FullMethodName:                     endless,
		pb.DecisionService_ExportCalls_FullMethodName:                    endless,
		"/grpc.health.v1.Health/Watch":                                   endless,
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      endless,
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": endless,
	}
}

// link is one interceptor of the chain, for calls of both kinds.
type link struct {
	name   string
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

// chain is every interceptor, outermost first. This is the only place that
// says what a call passes through.
func (s *Server) chain() []link {
	onPanic := recovery.WithRecoveryHandlerContext(s.recovered)
	links := []link{
		{"recovery", recovery.UnaryServerInterceptor(onPanic), recovery.StreamServerInterceptor(onPanic)},
	}
	if s.trace.unary != nil && s.trace.stream != nil {
		links = append(links, s.trace)
	}
	links = append(links, link{"logging", s.logUnary, s.logStream})
	if s.meters != nil {
		links = append(links, link{"metrics", s.meterUnary, s.meterStream})
	}
	return append(links,
		link{"deadline", s.deadlineUnary, s.deadlineStream},
		// Identity goes here: after what bounds a call, before what reads it.
		link{"errors", s.errorsUnary, s.errorsStream},
	)
}

// Interceptors are the chain as options of a gRPC server.
func (s *Server) Interceptors() []grpc.ServerOption {
	var unary []grpc.UnaryServerInterceptor
	var stream []grpc.StreamServerInterceptor
	for _, l := range s.chain() {
		unary, stream = append(unary, l.unary), append(stream, l.stream)
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary...), grpc.ChainStreamInterceptor(stream...)}
}

// Chain is the same as one interceptor of each kind, for ports that are not a
// gRPC server.
func (s *Server) Chain() (grpc.UnaryServerInterceptor, grpc.StreamServerInterceptor) {
	links := s.chain()
	unary := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		for _, l := range slices.Backward(links) {
			next := handler
			handler = func(ctx context.Context, req any) (any, error) { return l.unary(ctx, req, info, next) }
		}
		return handler(ctx, req)
	}
	stream := func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		for _, l := range slices.Backward(links) {
			next := handler
			handler = func(srv any, ss grpc.ServerStream) error { return l.stream(srv, ss, info, next) }
		}
		return handler(srv, ss)
	}
	return unary, stream
}

// recovered answers a call whose handler panicked.
func (s *Server) recovered(ctx context.Context, value any) error {
	s.log.LogAttrs(ctx, slog.LevelError, "a handler panicked",
		slog.Any("panic", value), slog.String("stack", string(debug.Stack())))
	return s.public(fmt.Errorf("%w: %v", errPanic, value))
}

// logUnary writes about calls that failed or took long, and about no other.
// go-grpc-middleware's logging writes or prepares fields for every call, which
// costs more here than the decision itself.
func (s *Server) logUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	resp, err := handler(ctx, req)
	if took := time.Since(start); err != nil || took >= s.slowCall {
		s.logCall(ctx, info.FullMethod, err, took)
	}
	return resp, err
}

func (s *Server) logStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	if err != nil {
		s.logCall(stream.Context(), info.FullMethod, err, time.Since(start))
	}
	return err
}

func (s *Server) meterUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	resp, err := handler(ctx, req)
	if m := s.meters[info.FullMethod]; m != nil {
		m.Done(codeOf(err), time.Since(start))
	}
	return resp, err
}

func (s *Server) meterStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	if m := s.meters[info.FullMethod]; m != nil {
		m.Done(codeOf(err), time.Since(start))
	}
	return err
}

// limit is how long a call may still take; false if it is bounded well enough.
func (s *Server) limit(ctx context.Context, method string) (time.Duration, bool) {
	limit, special := s.limits[method]
	if !special {
		limit = maxCall
	}
	if limit == endless {
		return 0, false
	}
	end, has := ctx.Deadline()
	return limit, !has || time.Until(end) > limit
}

// deadlineUnary gives every call an end, so that none waits for ever.
func (s *Server) deadlineUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	limit, needed := s.limit(ctx, info.FullMethod)
	if !needed {
		return handler(ctx, req)
	}
	bounded := &lateDeadline{Context: ctx, end: time.Now().Add(limit)}
	defer bounded.stop()
	return handler(bounded, req) //nolint:contextcheck // it carries the call's own
}

// lateDeadline is a context with a deadline whose timer is made only when
// somebody waits for it. Most calls are answered before anybody does, and the
// timer would cost them more than their interceptors together. It is used by
// one call's goroutine; contexts made from it may be used by others.
type lateDeadline struct {
	context.Context //nolint:containedctx // it is one
	end             time.Time
	once            sync.Once
	made            context.Context //nolint:containedctx // with the timer
	cancel          context.CancelFunc
	waited          atomic.Bool // made has the timer, and says how the call ended
}

func (c *lateDeadline) timed() context.Context {
	c.once.Do(func() {
		c.made, c.cancel = context.WithDeadline(c.Context, c.end)
		c.waited.Store(true)
	})
	return c.made
}

// Deadline implements context.Context.
func (c *lateDeadline) Deadline() (time.Time, bool) { return c.end, true }

// Done implements context.Context.
func (c *lateDeadline) Done() <-chan struct{} { return c.timed().Done() }

// Err implements context.Context.
func (c *lateDeadline) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	if !c.waited.Load() && time.Now().Before(c.end) {
		return nil
	}
	return c.timed().Err()
}

// stop ends the timer, if there is one.
func (c *lateDeadline) stop() {
	c.once.Do(func() { c.made, c.cancel = c.Context, func() {} })
	c.cancel()
}

func (s *Server) deadlineStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	bounded, cancel := s.untilDrain(stream.Context())
	defer cancel()
	if limit, needed := s.limit(bounded, info.FullMethod); needed {
		var done context.CancelFunc
		bounded, done = context.WithTimeout(bounded, limit)
		defer done()
	}
	err := handler(srv, &boundedStream{ServerStream: stream, bounded: bounded})
	if err != nil && errors.Is(context.Cause(bounded), errDraining) {
		return s.public(errDraining)
	}
	return err
}

// boundedStream is a stream whose context ends earlier.
type boundedStream struct {
	grpc.ServerStream
	bounded context.Context //nolint:containedctx // a stream is a context's carrier
}

// Context returns the bounded context.
func (s *boundedStream) Context() context.Context { return s.bounded }

// errorsUnary turns the errors of handlers into what callers are told.
func (s *Server) errorsUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if err == nil {
		return resp, nil
	}
	err = s.public(err)
	pushback(ctx, err)
	return nil, err
}

func (s *Server) errorsStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	err := handler(srv, &strictStream{ServerStream: stream, decode: s.decode})
	if err == nil {
		return nil
	}
	err = s.public(err)
	pushback(stream.Context(), err)
	return err
}

// strictStream says of bytes that cannot be decoded whose fault they are.
type strictStream struct {
	grpc.ServerStream
	decode func(any, error) error
}

// RecvMsg reads the next message.
func (s *strictStream) RecvMsg(m any) error {
	return s.decode(m, s.ServerStream.RecvMsg(m))
}

// decode says of bytes that are no message whose fault they are: the
// request's, and not the server's, as gRPC has it.
func (s *Server) decode(m any, err error) error {
	switch {
	case err == nil && undecodable(m):
		return s.public(errMalformed)
	case err != nil && codeOf(err) == codes.Internal:
		return s.public(fmt.Errorf("%w: %s", errMalformed, err.Error()))
	default:
		return err
	}
}
