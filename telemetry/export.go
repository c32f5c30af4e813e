// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// complaintEvery is how often a collector that is away is written about.
const complaintEvery = time.Minute

// patient is an exporter that counts its failures and writes about them now
// and then, where the SDK would write about each to the process's own log.
type patient struct {
	sdktrace.SpanExporter
	log       *slog.Logger
	failed    func(int)
	ended     <-chan struct{} // closed when nothing waits for the collector any more
	complains atomic.Int64    // no complaint before, in Unix nanoseconds
}

// ExportSpans implements sdktrace.SpanExporter. Its failures end here.
func (p *patient) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- p.SpanExporter.ExportSpans(bounded, spans) }()
	var err error
	select {
	case err = <-sent:
	case <-p.ended:
		cancel()
		err = <-sent
	}
	if err == nil {
		return nil
	}
	if p.failed != nil {
		p.failed(len(spans))
	}
	now, next := time.Now(), p.complains.Load()
	if p.log != nil && now.UnixNano() >= next && p.complains.CompareAndSwap(next, now.Add(complaintEvery).UnixNano()) {
		p.log.WarnContext(ctx, "the trace collector did not take spans; calls are not affected", "error", err, "spans", len(spans))
	}
	return nil
}
