// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/server"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// net/http lingers for half a second on a connection whose request it did not
// read to its end.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const acquire = "/resilience.v1.PermitService/Acquire"

// harness is a server over a memory store with both ports, in memory.
type harness struct {
	engine *engine.Engine
	server *server.Server
	port   *Port
	http   *http.Server
	client *http.Client
	dial   func(context.Context) (net.Conn, error)
	grpc   *grpc.ClientConn
}

func newHarness(tb testing.TB, change func(*Deps)) *harness {
	tb.Helper()
	return newHarnessOn(tb, memory.New(memory.Config{}), change)
}

func newHarnessOn(tb testing.TB, store statestore.Store, change func(*Deps)) *harness {
	tb.Helper()
	e, err := engine.New(tb.Context(), engine.Config{Store: store, AllowDrills: true})
	if err != nil {
		tb.Fatal(err)
	}
	h := &harness{engine: e, server: server.New(server.Deps{Engine: e})}
	deps := Deps{Server: h.server, Version: map[string]string{"version": "test"}}
	if change != nil {
		change(&deps)
	}
	h.port = New(deps)
	h.http = NewServer(h.port)
	g := grpc.NewServer(h.server.Options()...)
	h.server.Register(g)
	httpAt, grpcAt := newPipes(), newPipes()
	served := make(chan error, 2)
	go func() { served <- h.http.Serve(httpAt) }()
	go func() { served <- g.Serve(grpcAt) }()
	h.dial = httpAt.dial
	h.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return h.dial(ctx) },
	}}
	h.grpc, err = grpc.NewClient("passthrough:///pipe", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return grpcAt.dial(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		h.client.CloseIdleConnections()
		if err := h.grpc.Close(); err != nil {
			tb.Error(err)
		}
		g.Stop()
		if err := h.http.Close(); err != nil {
			tb.Error(err)
		}
		for range cap(served) {
			// A short test may end before they have begun to serve.
			if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, grpc.ErrServerStopped) {
				tb.Error(err)
			}
		}
		if err := e.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return h
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// failure is an error's body.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string          `json:"type"`
		Value string          `json:"value"`
		Debug json.RawMessage `json:"debug"`
	} `json:"details"`
}

func (a answer) failure(tb testing.TB) failure {
	tb.Helper()
	var f failure
	if err := json.Unmarshal(a.body, &f); err != nil {
		tb.Fatalf("the body %q is no error: %v", a.body, err)
	}
	return f
}

// fields are the paths of the violations.
func (f failure) fields(tb testing.TB) []string {
	tb.Helper()
	var paths []string
	for _, d := range f.Details {
		if d.Type != "google.rpc.BadRequest" {
			continue
		}
		var bad struct {
			FieldViolations []struct{ Field string }
		}
		if err := json.Unmarshal(d.Debug, &bad); err != nil {
			tb.Fatal(err)
		}
		for _, v := range bad.FieldViolations {
			paths = append(paths, v.Field)
		}
	}
	return paths
}

// reason is the one of ErrorInfo.
func (f failure) reason(tb testing.TB) string {
	tb.Helper()
	for _, d := range f.Details {
		if d.Type == "google.rpc.ErrorInfo" {
			var info struct{ Reason string }
			if err := json.Unmarshal(d.Debug, &info); err != nil {
				tb.Fatal(err)
			}
			return info.Reason
		}
	}
	return ""
}

// send sends a request; headers are pairs.
func (h *harness) send(ctx context.Context, tb testing.TB, method, path string, body io.Reader, headers ...string) answer {
	tb.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := h.client.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, read}
}

// post calls a method with JSON.
func (h *harness) post(tb testing.TB, path, body string, headers ...string) answer {
	tb.Helper()
	return h.send(tb.Context(), tb, http.MethodPost, path, strings.NewReader(body),
		append([]string{"Content-Type", "application/json"}, headers...)...)
}

// compact is JSON without the spaces that protojson varies.
func compact(tb testing.TB, body []byte) string {
	tb.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, body); err != nil {
		tb.Fatalf("%q: %v", body, err)
	}
	return out.String()
}
