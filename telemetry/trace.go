// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Bounds of what waits for the trace collector. What does not fit is dropped;
// a call never waits for it.
const (
	spanQueue    = 2048
	spanBatch    = 512
	spanInterval = time.Second
	exportLimit  = 5 * time.Second
)

// scope names who made the spans.
const scope = "github.com/resilienced/resilienced"

// TraceConfig says where spans go.
type TraceConfig struct {
	// Endpoint is the collector's OTLP/gRPC address as a URL:
	// http://127.0.0.1:4317 in clear text, https://… with TLS.
	Endpoint string
	// Version is the build's, for the spans' resource.
	Version string
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
	// Failed is told how many spans the collector did not take; may be nil.
	Failed func(spans int)
}

// Tracer makes a span of each call of the API, as a child of the caller's
// (W3C traceparent in the metadata). How many of the traces that begin here are
// kept is what OTEL_TRACES_SAMPLER says: all, by default. It is safe for many
// goroutines. Close it after the last call.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	callers  propagation.TraceContext
	ended    chan struct{} // closed by Close
}

// NewTracer makes a tracer. It does not wait for the collector to be there.
func NewTracer(ctx context.Context, c TraceConfig) (*Tracer, error) {
	at, err := url.Parse(c.Endpoint)
	if err != nil || (at.Scheme != "http" && at.Scheme != "https") || at.Host == "" {
		return nil, fmt.Errorf("the trace endpoint %q is not a URL such as http://127.0.0.1:4317 (clear text) or https://collector:4317 (TLS)", c.Endpoint)
	}
	exporter, err := otlptracegrpc.New(ctx,
		otlptracegrpc.WithEndpointURL(c.Endpoint), otlptracegrpc.WithTimeout(exportLimit),
		// A batch that failed is lost: the next one is more interesting.
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}),
	)
	if err != nil {
		return nil, fmt.Errorf("traces to %s: %w", c.Endpoint, err)
	}
	return newTracer(exporter, c), nil
}

func newTracer(exporter sdktrace.SpanExporter, c TraceConfig) *Tracer {
	ended := make(chan struct{})
	to := &patient{SpanExporter: exporter, log: c.Logger, failed: c.Failed, ended: ended}
	about := resource.NewSchemaless(semconv.ServiceName("resilienced"), semconv.ServiceVersion(buildLabels(c.Version)[0]))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithBatcher(to,
			sdktrace.WithMaxQueueSize(spanQueue), sdktrace.WithMaxExportBatchSize(spanBatch),
			sdktrace.WithBatchTimeout(spanInterval), sdktrace.WithExportTimeout(exportLimit)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer(scope), ended: ended}
}

// Close sends what is left, until ctx ends, and gives up what is not sent then.
// It is called once.
func (t *Tracer) Close(ctx context.Context) error {
	defer close(t.ended)
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("the last spans were not sent: %w", err)
	}
	return nil
}

// Unary is the interceptor that makes a call's span.
func (t *Tracer) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	ctx, span := t.start(ctx, info.FullMethod)
	finished := false
	defer func() { end(span, err, finished) }()
	resp, err = handler(ctx, req)
	finished = true
	if span.IsRecording() {
		describe(span, req, resp)
	}
	return resp, err
}

// Stream is the same for streams.
func (t *Tracer) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx, span := t.start(stream.Context(), info.FullMethod)
	finished := false
	defer func() { end(span, err, finished) }()
	err = handler(srv, &tracedStream{ServerStream: stream, ctx: ctx})
	finished = true
	return err
}

// tracedStream is a stream whose context carries the span.
type tracedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream is a context's carrier
}

// Context returns the context with the span.
func (s *tracedStream) Context() context.Context { return s.ctx }

// start begins the span of a call under the caller's, if there is one.
func (t *Tracer) start(ctx context.Context, full string) (context.Context, trace.Span) {
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = t.callers.Extract(ctx, carrier(md))
	}
	method := strings.TrimPrefix(full, "/")
	return t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer), //nolint:spancheck // Unary and Stream end it
		trace.WithAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(method)))
}

// end ends a span with the call's status.
func end(span trace.Span, err error, finished bool) {
	defer span.End()
	code := codes.Internal // a panic is on its way
	if finished {
		code = status.Code(err)
	}
	span.SetAttributes(semconv.RPCResponseStatusCode(wireCode(code)))
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		span.SetStatus(otelcodes.Error, code.String()) // ours, and not the request's
	default:
	}
}

// wireCode is the name of a code as the protocol has it, such as NOT_FOUND.
func wireCode(code codes.Code) string {
	names := [...]string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
		"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	if int(code) < len(names) {
		return names[code]
	}
	return "UNKNOWN"
}

// carrier reads metadata for a propagator.
type carrier metadata.MD

// Get implements propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	if v := metadata.MD(c).Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier; nothing is sent from here.
func (c carrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}

// The attributes of a decision (there is no convention for them elsewhere).
const (
	attrTarget     = attribute.Key("resilience.target")
	attrDecision   = attribute.Key("resilience.decision")
	attrDenyReason = attribute.Key("resilience.deny_reason")
	attrBreaker    = attribute.Key("resilience.breaker.state")
	attrAttempt    = attribute.Key("resilience.attempt")
	attrRun        = attribute.Key("resilience.run.id")
	attrPermit     = attribute.Key("resilience.permit.id")
	attrAction     = attribute.Key("resilience.action")
	attrDelay      = attribute.Key("resilience.delay_ms")

	eventDenied = "resilience.denied"
)
