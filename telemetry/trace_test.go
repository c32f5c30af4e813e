// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/server"
)

const (
	callerTrace = "0af7651916cd43dd8448eb211c80319c"
	callerSpan  = "b7ad6b7169203331"
)

// traced serves the API over a connection in memory, with traces into an
// exporter in memory.
func traced(t *testing.T) (*grpc.ClientConn, func() tracetest.SpanStubs) {
	t.Helper()
	w := open(t, nil, testPolicy)
	kept := tracetest.NewInMemoryExporter()
	tracer := newTracer(kept, TraceConfig{Version: "v1.2.3"})
	s := server.New(server.Deps{Engine: w.engine, TraceUnary: tracer.Unary, TraceStream: tracer.Stream})
	g := grpc.NewServer(s.Options()...)
	s.Register(g)
	listener := bufconn.Listen(1 << 16)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.Drain()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := tracer.Close(context.Background()); err != nil {
			t.Error(err)
		}
		w.close()
	})
	return conn, func() tracetest.SpanStubs {
		if err := tracer.provider.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
		spans := kept.GetSpans()
		kept.Reset()
		return spans
	}
}

// attributes are a span's, as words.
func attributes(span *tracetest.SpanStub) map[string]string {
	words := map[string]string{}
	for _, a := range span.Attributes {
		words[string(a.Key)] = a.Value.String()
	}
	return words
}

// wants compares some attributes of the one span that is there.
func wants(t *testing.T, spans tracetest.SpanStubs, want map[string]string) *tracetest.SpanStub {
	t.Helper()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want one", len(spans))
	}
	got := attributes(&spans[0])
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s: %s is %q, want %q", spans[0].Name, key, got[key], value)
		}
	}
	return &spans[0]
}

func TestSpansOfAcquireAndReport(t *testing.T) {
	conn, spans := traced(t)
	permits, runs := pb.NewPermitServiceClient(conn), pb.NewRunServiceClient(conn)
	ctx := t.Context()
	if _, err := runs.StartRun(ctx, &pb.StartRunRequest{RequestId: "q", RunId: "r"}); err != nil {
		t.Fatal(err)
	}
	wants(t, spans(), map[string]string{"rpc.method": "resilience.v1.RunService/StartRun", "rpc.response.status_code": "OK"})

	child := metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+callerTrace+"-"+callerSpan+"-01", "resilience-run-id", "r")
	may, err := permits.Acquire(child, &pb.AcquireRequest{Target: "tool/a"})
	if err != nil || may.GetPermit() == nil {
		t.Fatal(may, err)
	}
	span := wants(t, spans(), map[string]string{
		"rpc.system.name": "grpc", "rpc.method": "resilience.v1.PermitService/Acquire", "rpc.response.status_code": "OK",
		"resilience.target": "tool/a", "resilience.decision": "GRANTED", "resilience.attempt": "1",
		"resilience.run.id": "r", "resilience.permit.id": may.GetPermit().GetPermitId(), "resilience.deny_reason": "",
	})
	if span.Parent.TraceID().String() != callerTrace || span.Parent.SpanID().String() != callerSpan || !span.Parent.IsRemote() {
		t.Errorf("the parent is %v, want the caller's span", span.Parent)
	}
	if span.SpanKind != trace.SpanKindServer || span.Name != "resilience.v1.PermitService/Acquire" || len(span.Events) != 0 {
		t.Errorf("span %q of kind %v with %d events", span.Name, span.SpanKind, len(span.Events))
	}

	denied, err := permits.Acquire(ctx, &pb.AcquireRequest{Target: "tool/a", MaxWait: durationpb.New(0)})
	if err != nil || denied.GetPermit() != nil {
		t.Fatal(denied, err)
	}
	span = wants(t, spans(), map[string]string{
		"resilience.target": "tool/a", "resilience.decision": "DENIED", "resilience.deny_reason": "CONCURRENCY",
	})
	if len(span.Events) != 1 || span.Events[0].Name != "resilience.denied" ||
		!slices.Contains(span.Events[0].Attributes, attribute.String("resilience.deny_reason", "CONCURRENCY")) {
		t.Errorf("events %+v", span.Events)
	}
	if span.Parent.IsValid() || span.Status.Code != otelcodes.Unset {
		t.Errorf("parent %v, status %v; a refusal is an answer", span.Parent, span.Status)
	}

	status := int32(500)
	if _, err := permits.Report(ctx, &pb.ReportRequest{
		PermitId: may.GetPermit().GetPermitId(), Outcome: pb.Outcome_OUTCOME_FAILURE, Signal: &pb.Signal{HttpStatus: &status},
	}); err != nil {
		t.Fatal(err)
	}
	wants(t, spans(), map[string]string{
		"rpc.method": "resilience.v1.PermitService/Report", "resilience.target": "tool/a", "resilience.breaker.state": "CLOSED",
		"resilience.action": "RETRY", "resilience.permit.id": may.GetPermit().GetPermitId(), "resilience.run.id": "r",
	})
}

func TestSpanOfARefusalByTheBreaker(t *testing.T) {
	conn, spans := traced(t)
	if _, err := pb.NewTargetServiceClient(conn).SetBreaker(t.Context(), &pb.SetBreakerRequest{
		RequestId: "q", Target: "x", Mode: pb.BreakerMode_BREAKER_MODE_FORCED_OPEN, Actor: "me", Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	spans()
	if _, err := pb.NewPermitServiceClient(conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); err != nil {
		t.Fatal(err)
	}
	wants(t, spans(), map[string]string{"resilience.deny_reason": "FORCED_OPEN", "resilience.breaker.state": "FORCED_OPEN"})
}

// A request that is wrong has its code and is no failure of the service; a
// panic is one.
func TestSpansOfErrors(t *testing.T) {
	conn, spans := traced(t)
	if _, err := pb.NewPermitServiceClient(conn).Acquire(t.Context(), &pb.AcquireRequest{}); err == nil {
		t.Error("an empty Acquire was answered")
	}
	if span := wants(t, spans(), map[string]string{"rpc.response.status_code": "INVALID_ARGUMENT"}); span.Status.Code != otelcodes.Unset {
		t.Errorf("status %v", span.Status)
	}
	watch, err := pb.NewTargetServiceClient(conn).WatchTargets(t.Context(), &pb.WatchTargetsRequest{NameGlob: strings.Repeat("x", 1<<12)})
	if err == nil {
		_, err = watch.Recv()
	}
	if err == nil {
		t.Error("a watch of an endless prefix was answered")
	}
	wants(t, spans(), map[string]string{"rpc.method": "resilience.v1.TargetService/WatchTargets", "rpc.response.status_code": "INVALID_ARGUMENT"})

	kept := tracetest.NewInMemoryExporter()
	tracer := newTracer(kept, TraceConfig{})
	func() {
		defer func() { _ = recover() }()
		_, _ = tracer.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/a/B"}, func(context.Context, any) (any, error) { panic("x") })
	}()
	if err := tracer.provider.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if span := wants(t, kept.GetSpans(), map[string]string{"rpc.response.status_code": "INTERNAL"}); span.Status.Code != otelcodes.Error {
		t.Errorf("status of a panic: %v", span.Status)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// blocked is an exporter whose collector hangs until the caller gives up.
type blocked struct{ called chan struct{} }

func (b *blocked) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	select {
	case b.called <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}

func (b *blocked) Shutdown(context.Context) error { return nil }

// With a collector that hangs, calls go on and memory stays: the queue is
// bounded and what does not fit is dropped.
func TestAHangingCollectorBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan int, 100)
		hung := &blocked{called: make(chan struct{}, 1)}
		tracer := newTracer(hung, TraceConfig{Failed: func(n int) { failed <- n }})
		info := &grpc.UnaryServerInfo{FullMethod: "/a/B"}
		start, calls := time.Now(), 0
		for range 10 * spanQueue {
			if _, err := tracer.Unary(t.Context(), nil, info, func(context.Context, any) (any, error) { calls++; return nil, nil }); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); calls != 10*spanQueue || took != 0 {
			t.Errorf("%d calls, which waited %s", calls, took)
		}
		<-hung.called
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tracer.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returned %v, want that its time was over", err)
		}
		if n := <-failed; n <= 0 || n > spanQueue {
			t.Errorf("%d spans failed", n)
		}
	})
}

func TestTraceEndpoints(t *testing.T) {
	for _, bad := range []string{"localhost:4317", "4317", "ftp://x", "http://", "http://%zz"} {
		if _, err := NewTracer(t.Context(), TraceConfig{Endpoint: bad}); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:4317") {
			t.Errorf("%q: %v, want a word on what to write", bad, err)
		}
	}
}

// nowhere is an exporter that takes everything at once.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

// BenchmarkTraced is what a span of an Acquire costs its call.
func BenchmarkTraced(b *testing.B) {
	tracer := newTracer(nowhere{}, TraceConfig{})
	info := &grpc.UnaryServerInfo{FullMethod: pb.PermitService_Acquire_FullMethodName}
	req := &pb.AcquireRequest{Target: "x", RunId: "r"}
	resp := &pb.AcquireResponse{Decision: pb.Decision_DECISION_GRANTED, Permit: &pb.Permit{PermitId: "p", Target: "x", Attempt: 1}}
	answer := func(context.Context, any) (any, error) { return resp, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tracer.Unary(b.Context(), req, info, answer); err != nil {
			b.Fatal(err)
		}
	}
	if err := tracer.Close(context.Background()); err != nil {
		b.Error(err)
	}
}
