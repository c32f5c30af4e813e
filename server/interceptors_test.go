// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// counts is a Meter that remembers.
type counts struct {
	mu    sync.Mutex
	calls map[string][]codes.Code
}

// count is the handle of one method.
type count struct {
	to     *counts
	method string
}

func (c *counts) Method(name string) MethodMeter { return &count{c, name} }

func (c *count) Done(code codes.Code, _ time.Duration) {
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	if c.to.calls == nil {
		c.to.calls = map[string][]codes.Code{}
	}
	c.to.calls[c.method] = append(c.to.calls[c.method], code)
}

func names(links []link) []string {
	var list []string
	for _, l := range links {
		list = append(list, l.name)
	}
	return list
}

func TestChainOrder(t *testing.T) {
	if got, want := names(New(Deps{}).chain()), []string{"recovery", "logging", "deadline", "errors"}; !slices.Equal(got, want) {
		t.Errorf("chain %q, want %q", got, want)
	}
	if got, want := names(New(Deps{Meter: &counts{}}).chain()), []string{"recovery", "logging", "metrics", "deadline", "errors"}; !slices.Equal(got, want) {
		t.Errorf("chain with metrics %q, want %q", got, want)
	}
	traced := Deps{
		TraceUnary: func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			return h(ctx, req)
		},
		TraceStream: func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return h(srv, stream)
		},
	}
	if got, want := names(New(traced).chain()), []string{"recovery", "traces", "logging", "deadline", "errors"}; !slices.Equal(got, want) {
		t.Errorf("with traces %v, want %v", got, want)
	}
}

// call runs a handler through the whole chain as a method.
func call(ctx context.Context, s *Server, method string, handler grpc.UnaryHandler) (any, error) {
	links := s.chain()
	for _, l := range slices.Backward(links) {
		next := handler
		handler = func(ctx context.Context, req any) (any, error) {
			return l.unary(ctx, req, &grpc.UnaryServerInfo{FullMethod: method}, next)
		}
	}
	return handler(ctx, nil)
}

func TestPanicIsAnswered(t *testing.T) {
	var log bytes.Buffer
	s := New(Deps{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := call(t.Context(), s, pb.PermitService_Acquire_FullMethodName, func(context.Context, any) (any, error) {
		panic("s3cret")
	})
	wantError(t, err, codes.Internal, "INTERNAL", "")
	if strings.Contains(err.Error(), "s3cret") {
		t.Error("the panic's value is sent")
	}
	if !strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "interceptors_test.go") {
		t.Errorf("the log %q lacks the panic or its stack", log.String())
	}
}

func TestEveryCallHasAnEnd(t *testing.T) {
	s := New(Deps{})
	synctest.Test(t, func(t *testing.T) {
		cases := []struct {
			method string
			own    time.Duration // the caller's
			want   time.Duration // 0: none
		}{
			{pb.PermitService_Acquire_FullMethodName, 0, 30 * time.Second},
			{pb.PermitService_Acquire_FullMethodName, time.Second, time.Second},
			{pb.PermitService_Acquire_FullMethodName, time.Hour, 30 * time.Second},
			{pb.EscalationService_WaitDecision_FullMethodName, 0, 65 * time.Second},
			{pb.TargetService_WatchTargets_FullMethodName, 0, 0},
		}
		for _, c := range cases {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if c.own > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.own)
			}
			_, err := call(ctx, s, c.method, func(ctx context.Context, _ any) (any, error) {
				end, has := ctx.Deadline()
				if has != (c.want > 0) || has && time.Until(end) != c.want {
					t.Errorf("%s with %v: %v is left, want %v", c.method, c.own, time.Until(end), c.want)
				}
				return nil, nil
			})
			cancel()
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func TestMetersCountEveryCallOnce(t *testing.T) {
	meter := &counts{}
	h := newHarness(t, func(d *Deps) { d.Meter = meter })
	h.grant(t.Context(), t, &pb.AcquireRequest{Target: "t"})
	_, err := h.permits.Acquire(t.Context(), &pb.AcquireRequest{})
	wantError(t, err, codes.InvalidArgument, "INVALID_REQUEST", "target")
	meter.mu.Lock()
	defer meter.mu.Unlock()
	if got, want := meter.calls[pb.PermitService_Acquire_FullMethodName], []codes.Code{codes.OK, codes.InvalidArgument}; !slices.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestLogIsQuietAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := New(Deps{Logger: slog.New(slog.NewTextHandler(&log, nil)), SlowCall: time.Second})
		answer := func(err error, took time.Duration) {
			_, _ = call(t.Context(), s, "/x/Y", func(context.Context, any) (any, error) {
				time.Sleep(took)
				return nil, err
			})
		}
		lines := func() int { return strings.Count(log.String(), "\n") }
		answer(nil, 0)
		answer(engine.ErrRunUnknown, 0)
		if lines() != 0 {
			t.Errorf("calls that went well, or went wrong by the caller, are logged:\n%s", log.String())
		}
		answer(nil, 2*time.Second)
		if lines() != 1 || !strings.Contains(log.String(), "slow") {
			t.Errorf("a slow call is not logged:\n%s", log.String())
		}
		for range 1000 {
			answer(errors.New("disk on fire"), 0)
		}
		if lines() != 2 || !strings.Contains(log.String(), "disk on fire") {
			t.Errorf("%d lines for 1000 failures in one second, want one more:\n%s", lines(), log.String())
		}
		time.Sleep(time.Second)
		answer(errors.New("disk on fire"), 0)
		if lines() != 3 || !strings.Contains(log.String(), "suppressed=999") {
			t.Errorf("what was not logged is not counted:\n%s", log.String())
		}
	})
}

// Whoever waits on a call's context when the call ends sees why it ended: a
// context whose Done is closed has an error, or package context panics in a
// goroutine of its own.
func TestContextOfACallThatEnded(t *testing.T) {
	for _, waited := range []bool{false, true} {
		ctx := &lateDeadline{Context: t.Context(), end: time.Now().Add(time.Hour)}
		if waited {
			ctx.Done()
		}
		ctx.stop()
		select {
		case <-ctx.Done():
			if ctx.Err() == nil {
				t.Error("the context is done and has no error")
			}
		default:
			if ctx.Err() != nil {
				t.Errorf("the context is not done and has the error %v", ctx.Err())
			}
		}
	}
}
