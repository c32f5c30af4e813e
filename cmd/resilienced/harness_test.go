// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// live is a real service in this process, for commands.
func live(t *testing.T) *service {
	t.Helper()
	s := start(t, "--store", "memory")
	t.Cleanup(func() { s.end(t) })
	return s
}

// op runs an operator's command against the service.
func (s *service) op(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runAt(t, s.conn.Target(), args...)
}

// must runs a command that has to succeed, and returns its standard output.
func (s *service) must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := s.op(t, args...)
	if code != exitOK {
		t.Fatalf("%q: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// runAt runs a command against the server at an address.
func runAt(t *testing.T, addr string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs locked
	t.Setenv("RESILIENCED_ADDR", addr)
	t.Setenv("RESILIENCED_ACTOR", "op")
	t.Setenv("RESILIENCED_HTTP_ADDR", "127.0.0.1:1") // nobody
	code = Run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// locked is a buffer for a command whose child writes too.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// fake is a server of which only some methods answer, as a test says.
type fake struct {
	pb.UnimplementedTargetServiceServer
	pb.UnimplementedRunServiceServer
	pb.UnimplementedPolicyServiceServer
	pb.UnimplementedDecisionServiceServer
	pb.UnimplementedPermitServiceServer
	answer func(ctx context.Context, method string, req any) (any, error)
}

// serveFake starts a server that answers every unary method with answer, and
// returns its address. A nil answer without an error is UNIMPLEMENTED.
func serveFake(t *testing.T, answer func(ctx context.Context, method string, req any) (any, error)) string {
	t.Helper()
	f := &fake{answer: answer}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if got, err := f.answer(ctx, info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:], req); got != nil || err != nil {
			return got, err
		}
		return next(ctx, req)
	}))
	pb.RegisterTargetServiceServer(s, f)
	pb.RegisterRunServiceServer(s, f)
	pb.RegisterPolicyServiceServer(s, f)
	pb.RegisterDecisionServiceServer(s, f)
	pb.RegisterPermitServiceServer(s, f)
	healthpb.RegisterHealthServer(s, health.NewServer())
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// scrub takes out what differs from run to run.
func scrub(text string) string {
	for _, r := range []struct{ pattern, by string }{
		{`now|[0-9.]+(ms|s|m|h|d)([0-9]+[smh])? ago`, "AGO"},
		{`[0-9]{16,}`, "GENERATION"},
		{`\bAQ[A-Za-z0-9_-]{40,}`, "PERMIT"},
		{`\bdAQ[A-Za-z0-9_-]{15,}`, "DECISION"},
		{`op-[0-9a-f-]{36}`, "OPERATION"},
		{`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`, "TIME"},
		{` +\n`, "\n"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
	}
	return text
}

// wantText compares two texts, with the differing parts visible.
func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}
