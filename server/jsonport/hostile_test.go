// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// connect opens a bare connection.
func (h *harness) connect(t *testing.T) net.Conn {
	t.Helper()
	conn, err := h.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// until returns what the server says before it closes the connection, and how
// long that took.
func until(t *testing.T, conn net.Conn) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	said, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	return string(said), time.Since(began)
}

// A client that sends slower than anybody would is let go.
func TestSlowClients(t *testing.T) {
	const head = "POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
	cases := []struct {
		name, first string
		drop        string // sent once a second
		within      time.Duration
		says        string
	}{
		{"says nothing", "", "", headerTime + time.Second, ""},
		{"drips headers", head, "X-A: b\r\n", headerTime + time.Second, ""},
		{"sends no body", head + "\r\n", "", readTime + time.Second, "408"},
		{"drips its body", head + "\r\n{", " ", readTime + time.Second, "408"},
		{"drips chunks", strings.Replace(head, "Content-Length: 100", "Transfer-Encoding: chunked", 1) + "\r\n", "1\r\n \r\n", readTime + time.Second, "408"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, nil)
				conn := h.connect(t)
				if _, err := io.WriteString(conn, c.first); err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				dripped := make(chan struct{})
				go func() {
					defer close(dripped)
					for c.drop != "" && ctx.Err() == nil {
						if _, err := io.WriteString(conn, c.drop); err != nil {
							return
						}
						select {
						case <-time.After(time.Second):
						case <-ctx.Done():
						}
					}
				}()
				said, took := until(t, conn)
				if took > c.within || !strings.Contains(said, c.says) {
					t.Errorf("after %v it said %q", took, said)
				}
				stop()
				_ = conn.Close()
				<-dripped
			})
		})
	}
}

// A client that does not read its answer does not hold a connection for ever.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		conn := h.connect(t)
		const body = `{"target": "x"}`
		request := "POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + body
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		time.Sleep(writeTime + time.Second)
		if said, _ := until(t, conn); said != "" {
			t.Errorf("the answer waited for its reader: %q", said)
		}
	})
}

// Headers beyond the bound, many of them, and lines that are no HTTP.
func TestHostileBytes(t *testing.T) {
	cases := map[string]struct{ bytes, says string }{
		"one large header": {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: " + strings.Repeat("a", 32<<10) + "\r\n\r\n", "431"},
		"many headers":     {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X-A: b\r\n", 8<<10) + "\r\n", "431"},
		"no host":          {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
		"two hosts":        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", "400"},
		"two lengths":      {"POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "400"},
		"two framings":     {"POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "408"},
		"HTTP/2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404"},
		"no HTTP":          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		"another's URL":    {"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "421"},
		"an asterisk":      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "404"},
		"bad chunks":       {"POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "400"},
		"the body ends":    {"POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, nil)
				conn := h.connect(t)
				go func() { _, _ = io.WriteString(conn, c.bytes) }()
				said, _ := until(t, conn)
				if !strings.Contains(said, c.says) {
					t.Errorf("it said %.200q, want %s", said, c.says)
				}
				if got := h.post(t, acquire, `{"target": "x"}`); got.status != 200 {
					t.Errorf("then: status %d: %s", got.status, got.body)
				}
			})
		})
	}
}

// A client that is gone holds nothing: a call that waits ends, and its handler
// with it.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		id := h.escalated(t)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/resilience.v1.EscalationService/WaitDecision",
			strings.NewReader(`{"escalation_id": "`+id+`", "timeout": "60s"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		done := make(chan error, 1)
		go func() {
			resp, err := h.client.Do(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			done <- err
		}()
		synctest.Wait()
		if h.port.Busy() != 1 {
			t.Fatalf("%d requests are under way", h.port.Busy())
		}
		began := time.Now()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the client got %v", err)
		}
		synctest.Wait()
		if h.port.Busy() != 0 || time.Since(began) != 0 {
			t.Errorf("%d requests are under way after %v", h.port.Busy(), time.Since(began))
		}
	})
}

// A grant whose caller is gone before the answer is given back, as over gRPC:
// the slots of a target with one slot are free for the next.
func TestGrantOfAClientThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newHeld()
		h := newHarnessOn(t, held, nil)
		apply := pb.NewPolicyServiceClient(h.grpc)
		_, err := apply.ApplyPolicy(t.Context(), &pb.ApplyPolicyRequest{
			RequestId: "p", Reason: "a test", Yaml: "version: 1\ntargets:\n- {match: one, preset: llm, limit: {concurrency: 1}}\n",
		})
		if err != nil {
			t.Fatal(err)
		}
		held.hold()
		conn := h.connect(t)
		const body = `{"target": "one"}`
		request := "POST " + acquire + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n" + body
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		held.release()
		synctest.Wait()
		if n := held.grants(); n != 1 {
			t.Errorf("%d transactions were held; want the one of the grant", n)
		}
		if got := h.post(t, acquire, body); !strings.Contains(string(got.body), "DECISION_GRANTED") {
			t.Errorf("the slot is not free: status %d: %s", got.status, got.body)
		}
	})
}

// Requests on one connection, one after the other, each with its own answer.
func TestPipeline(t *testing.T) {
	h := newHarness(t, nil)
	conn := h.connect(t)
	const request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
	go func() { _, _ = io.WriteString(conn, strings.Repeat(request, 3)) }()
	r := bufio.NewReader(conn)
	for range 3 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || strings.TrimSpace(string(body)) != `{"alive":true}` {
			t.Errorf("status %d: %q, %v", resp.StatusCode, body, err)
		}
		_ = resp.Body.Close()
	}
}
