// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// A node's metrics are scraped over HTTP while it works.
func TestScrape(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(openPolicy)
	s := serve(t, Config{Store: "memory", Version: "v9.9.9", PolicyFile: file})
	write(badPolicy)
	if err := s.node.Reload(t.Context()); err == nil {
		t.Error("a bad policy was taken")
	}
	web := httptest.NewServer(s.node.Metrics())
	defer web.Close()
	permits := pb.NewPermitServiceClient(s.conn)
	for range 3 {
		if _, err := permits.Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := permits.Acquire(t.Context(), &pb.AcquireRequest{}); err == nil {
		t.Error("an empty Acquire was answered")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(string(text))); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`resilienced_acquire_total{decision="GRANTED",reason="",target="x"} 3`,
		`resilienced_permits_in_flight{target="x"} 3`,
		`resilienced_breaker_state{state="CLOSED",target="x"} 1`,
		`resilienced_acquire_duration_seconds_count 4`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Acquire",grpc_service="resilience.v1.PermitService",grpc_type="unary"} 3`,
		`grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Acquire",grpc_service="resilience.v1.PermitService",grpc_type="unary"} 1`,
		`resilienced_config_last_reload_successful 0`,
		`resilienced_config_epoch 1`,
		`resilienced_build_info{goversion="`,
		`version="v9.9.9"} 1`,
		`go_goroutines `,
		`process_start_time_seconds `,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the scrape has no %s", line)
		}
	}
	web.CloseClientConnections()
	if err := s.end(t); err != nil {
		t.Error(err)
	}
}

// sink is a trace collector.
type sink struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	names []string
}

func (s *sink) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				s.names = append(s.names, span.GetName())
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// Spans reach a collector over OTLP, the last ones with the node's end.
func TestTracesReachACollector(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kept, g := &sink{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(g, kept)
	served := make(chan error, 1)
	go func() { served <- g.Serve(listener) }()
	s := serve(t, Config{Store: "memory", OTLPEndpoint: "http://" + listener.Addr().String()})
	if _, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); err != nil {
		t.Error(err)
	}
	if err := s.end(t); err != nil {
		t.Error(err)
	}
	g.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if len(kept.names) != 1 || kept.names[0] != "resilience.v1.PermitService/Acquire" {
		t.Errorf("the collector has %q", kept.names)
	}
}

// Without a collector calls are answered, the node ends, and the spans that
// were not taken are counted.
func TestADeadCollectorStopsNothing(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Config{Store: "memory", OTLPEndpoint: "http://" + address})
	if _, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); err != nil {
		t.Error(err)
	}
	if err := s.end(t); err != nil {
		t.Error(err)
	}
	rec := httptest.NewRecorder()
	s.node.Metrics().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if !strings.Contains(rec.Body.String(), "resilienced_trace_spans_failed_total 1\n") {
		t.Error("the span that was not taken is not counted")
	}
}

func TestBadTraceEndpoint(t *testing.T) {
	_, err := New(t.Context(), Config{Store: "memory", OTLPEndpoint: "collector:4317"})
	if _, ok := errors.AsType[*TraceError](err); !ok || !strings.Contains(err.Error(), "http://127.0.0.1:4317") {
		t.Errorf("%v; want a TraceError that says what to write", err)
	}
}
