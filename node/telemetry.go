// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"net/http"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/telemetry"
)

// traceTimeout is how long the last spans have to leave at the end.
const traceTimeout = 2 * time.Second

// meter is the metrics as the server counts in them.
type meter struct{ metrics *telemetry.Metrics }

// Method returns the handle of a method.
func (m meter) Method(full string) server.MethodMeter { return m.metrics.Method(full) }

// openTelemetry makes the metrics, and the tracer if there is an endpoint.
func (n *Node) openTelemetry(ctx context.Context) error {
	n.metrics = telemetry.New(telemetry.Config{
		Version: n.cfg.Version, Logger: n.log, PolicyStatus: n.reloaded,
	})
	if n.cfg.OTLPEndpoint == "" {
		return nil
	}
	tracer, err := telemetry.NewTracer(ctx, telemetry.TraceConfig{
		Endpoint: n.cfg.OTLPEndpoint, Version: n.cfg.Version, Logger: n.log, Failed: n.metrics.SpansFailed,
	})
	if err != nil {
		return &TraceError{Err: err}
	}
	n.tracer = tracer
	return nil
}

// reloaded says how the last reading of the policy went, and by which policy
// is decided.
func (n *Node) reloaded() (ok bool, epoch uint64) {
	s := n.PolicyStatus()
	return s.LastSuccess && s.Behind == "", s.Epoch
}

// TraceError is a trace endpoint that cannot be used.
type TraceError struct{ Err error }

// Error says what to write instead.
func (e *TraceError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *TraceError) Unwrap() error { return e.Err }

// Metrics answers scrapes. It may be served as long as the node lives.
func (n *Node) Metrics() http.Handler { return n.metrics.Handler() }

// event hands an event of the engine to the metrics and to who asked for it.
func (n *Node) event(e engine.Event) {
	n.metrics.Event(e)
	if n.cfg.OnEvent != nil {
		n.cfg.OnEvent(e)
	}
}

// endTracing sends the last spans. That they are lost does not make the end of
// the node a failure.
func (n *Node) endTracing(ctx context.Context) {
	if n.tracer == nil {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceTimeout)
	defer cancel()
	if err := n.tracer.Close(bounded); err != nil {
		n.log.WarnContext(ctx, "traces", "error", err)
	}
}
