// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// onHTTP is a node that serves both ports on loopback, until stop.
type onHTTP struct {
	node   *Node
	base   string
	client *http.Client
	stop   context.CancelFunc
	err    chan error // Serve's answer
}

func serveHTTP(t *testing.T, cfg Config) *onHTTP {
	t.Helper()
	cfg.Listen, cfg.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &onHTTP{node: n, client: &http.Client{Transport: &http.Transport{}}, stop: stop, err: make(chan error, 1)}
	go func() { s.err <- n.Serve(ctx) }()
	for n.HTTPAddr() == nil {
		select {
		case err := <-s.err:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	s.base = "http://" + n.HTTPAddr().String()
	return s
}

func (s *onHTTP) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func (s *onHTTP) end(t *testing.T) {
	t.Helper()
	s.client.CloseIdleConnections()
	s.stop()
	if err := <-s.err; err != nil {
		t.Error(err)
	}
}

const acquirePath = "/resilience.v1.PermitService/Acquire"

func TestServeBothPorts(t *testing.T) {
	s := serveHTTP(t, Config{Store: "sqlite", DataDir: t.TempDir()})
	if s.node.Addr() == nil || s.node.Addr().String() == s.node.HTTPAddr().String() {
		t.Errorf("the ports are %v and %v", s.node.Addr(), s.node.HTTPAddr())
	}
	for path, want := range map[string]string{
		"/healthz": `{"alive":true}`, "/version": `"go":"go`, "/": "curl",
		"/readyz": `{"ready":true,"checks":[{"name":"serving","ok":true},{"name":"store","ok":true},{"name":"policy","ok":true,"detail":"epoch 0"}]}`,
	} {
		if status, body := s.do(t, http.MethodGet, path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
	}
	if status, body := s.do(t, http.MethodPost, acquirePath, `{"target": "x"}`); status != 200 || !strings.Contains(body, "DECISION_GRANTED") {
		t.Errorf("status %d: %s", status, body)
	}
	s.end(t)
}

// A store that does not answer makes the node not ready, and keeps its cause
// from whoever asks.
func TestNotReadyWithoutItsStore(t *testing.T) {
	n, err := New(t.Context(), Config{Store: "memory"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	checks := n.ready(ctx)
	if len(checks) != 2 || checks[0].OK || checks[1].OK || !strings.Contains(checks[0].Detail, "log") {
		t.Errorf("checks %+v", checks)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHTTPPortThatIsTaken(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing is written to it
	n, err := New(t.Context(), Config{Store: "memory", Listen: "127.0.0.1:0", HTTPListen: taken.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "--http-listen") {
		t.Errorf("Serve returned %v", err)
	}
	n, err = New(t.Context(), Config{Store: "memory", Listen: "127.0.0.1:0", HTTPListen: "0.0.0.0:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Serve(t.Context()); !errors.Is(err, ErrClearText) {
		t.Errorf("Serve returned %v", err)
	}
}

// pair is a node on listeners in memory, and a way to its JSON port.
func pair(t *testing.T, cfg Config) (n *Node, http *bufconn.Listener, stop context.CancelFunc, ended chan error) {
	t.Helper()
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	on := Listeners{GRPC: bufconn.Listen(1 << 16)}
	http = bufconn.Listen(1 << 16)
	on.HTTP = http
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended = make(chan error, 1)
	go func() { ended <- n.ServeListeners(ctx, on) }()
	return n, http, stop, ended
}

// ask sends a request on a connection of its own, and returns all that comes.
func ask(t *testing.T, on *bufconn.Listener, method, path, body string) string {
	t.Helper()
	conn, err := on.DialContext(t.Context())
	if err != nil {
		return err.Error()
	}
	defer conn.Close() //nolint:errcheck // it is in memory
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		method, path, len(body), body)
	if err != nil {
		return err.Error()
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	return string(got)
}

// In the drain's delay /readyz says 503 and calls are answered; then the port
// is closed.
func TestDrainOfTheJSONPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, http, stop, ended := pair(t, Config{Store: "memory", DrainDelay: time.Second})
		if got := ask(t, http, "GET", "/readyz", ""); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("ready: %s", got)
		}
		stop()
		synctest.Wait()
		if got := ask(t, http, "GET", "/readyz", ""); !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, "shutting down") {
			t.Errorf("ready during the delay: %s", got)
		}
		if got := ask(t, http, "POST", acquirePath, `{"target": "x"}`); !strings.Contains(got, "DECISION_GRANTED") {
			t.Errorf("a call during the delay: %s", got)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := ask(t, http, "GET", "/healthz", ""); strings.Contains(got, "HTTP/1.1") {
			t.Errorf("after the drain: %s", got)
		}
	})
}

// A request that does not end is cut off with the time for shutting down, and
// a connection without one does not count as cut off.
func TestDrainOfTheJSONPortEnds(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		want  error
	}{
		"half a request": {"POST " + acquirePath + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", ErrCutOff},
		"no request":     {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, http, stop, ended := pair(t, Config{Store: "memory", ShutdownTimeout: 2 * time.Second})
				conn, err := http.DialContext(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(conn, c.bytes); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				began := time.Now()
				stop()
				if err := <-ended; !errors.Is(err, c.want) {
					t.Errorf("Serve returned %v, want %v", err, c.want)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if n.port.Busy() != 0 {
					t.Errorf("%d requests are still under way", n.port.Busy())
				}
				_ = conn.Close()
			})
		})
	}
}
