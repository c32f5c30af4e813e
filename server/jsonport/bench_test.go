// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/statestore/memory"
)

func benchRequest() *pb.AcquireRequest {
	return &pb.AcquireRequest{
		RequestId: "0190c5a2-7b1f-7c3e-9d4a-5f6b7c8d9e0f", Target: "openai/gpt-x", ReporterId: "worker-1",
		Idempotency: pb.Idempotency_IDEMPOTENCY_IDEMPOTENT,
	}
}

// BenchmarkAcquire is the same call over loopback through each port, by 64
// callers. The clients are Go's own and share the processors with the server.
func BenchmarkAcquire(b *testing.B) {
	store := memory.New(memory.Config{})
	e, err := engine.New(b.Context(), engine.Config{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := errors.Join(e.Close(context.Background()), store.Close()); err != nil {
			b.Error(err)
		}
	}()
	s := server.New(server.Deps{Engine: e})
	json, err := protojson.Marshal(benchRequest())
	if err != nil {
		b.Fatal(err)
	}
	binary, err := proto.Marshal(benchRequest())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("gRPC", func(b *testing.B) { benchGRPC(b, s) })
	b.Run("HTTP with JSON", func(b *testing.B) { benchHTTP(b, s, "application/json", string(json)) })
	b.Run("HTTP with protobuf", func(b *testing.B) { benchHTTP(b, s, "application/proto", string(binary)) })
}

func listenLoopback(b *testing.B) net.Listener {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func benchGRPC(b *testing.B, s *server.Server) {
	b.Helper()
	g := grpc.NewServer(s.Options()...)
	s.Register(g)
	l := listenLoopback(b)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client := pb.NewPermitServiceClient(conn)
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := client.Acquire(b.Context(), benchRequest()); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	_ = conn.Close()
	g.Stop()
	if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
		b.Error(err)
	}
}

func benchHTTP(b *testing.B, s *server.Server, contentType, body string) {
	b.Helper()
	srv := NewServer(New(Deps{Server: s}))
	l := listenLoopback(b)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	url := "http://" + l.Addr().String() + acquire
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := postOnce(b.Context(), client, url, contentType, body); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	client.CloseIdleConnections()
	_ = srv.Close()
	if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
		b.Error(err)
	}
}

func postOnce(ctx context.Context, client *http.Client, url, contentType, body string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
