// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/statestore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a node that serves until stop, and a connection to it.
type served struct {
	node *Node
	conn *grpc.ClientConn
	stop context.CancelFunc
	err  chan error // Serve's answer
}

// serve starts a node on a listener in memory. The caller stops it with end.
func serve(t *testing.T, cfg Config) *served {
	t.Helper()
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 16)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &served{node: n, stop: stop, err: make(chan error, 1)}
	go func() { s.err <- n.ServeListener(ctx, listener) }()
	s.conn, err = grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// end drains the node and returns what Serve returned.
func (s *served) end(t *testing.T) error {
	t.Helper()
	s.stop()
	err := <-s.err
	if closing := s.conn.Close(); closing != nil {
		t.Error(closing)
	}
	return err
}

func TestServeAndDrain(t *testing.T) {
	for _, store := range []string{"memory", "sqlite"} {
		t.Run(store, func(t *testing.T) {
			s := serve(t, Config{Store: store, DataDir: t.TempDir()})
			resp, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "x"})
			if err != nil || resp.GetDecision() != pb.Decision_DECISION_GRANTED {
				t.Errorf("answer %v, %v", resp, err)
			}
			if err := s.end(t); err != nil {
				t.Error(err)
			}
			if err := s.node.Shutdown(t.Context()); err != nil {
				t.Errorf("a second shutdown: %v", err)
			}
		})
	}
}

// Under load, a drain answers every call that it took, and everything that was
// answered is there when the database is opened again.
func TestDrainLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, Config{Store: "sqlite", DataDir: dir})
	ctx := t.Context()
	if _, err := pb.NewRunServiceClient(s.conn).StartRun(ctx, &pb.StartRunRequest{RequestId: "q", RunId: "r"}); err != nil {
		t.Fatal(err)
	}
	const callers, before = 32, 200
	var mu sync.Mutex
	acked, unclear := 0, 0
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			client := pb.NewPermitServiceClient(s.conn)
			for {
				resp, err := client.Acquire(ctx, &pb.AcquireRequest{Target: "x", RunId: "r"})
				mu.Lock()
				switch {
				case err == nil && resp.GetDecision() == pb.Decision_DECISION_GRANTED:
					if acked++; acked == before {
						close(enough)
					}
				case status.Code(err) == codes.Unavailable:
					unclear++
					mu.Unlock()
					return
				default:
					t.Errorf("answer %v, %v", resp, err)
					mu.Unlock()
					return
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := s.end(t); err != nil {
		t.Error(err)
	}
	wg.Wait()
	again := serve(t, Config{Store: "sqlite", DataDir: dir})
	run, err := pb.NewRunServiceClient(again.conn).GetRun(ctx, &pb.GetRunRequest{RunId: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if got := int(run.GetRun().GetReserved().GetCalls()); got < acked || got > acked+unclear {
		t.Errorf("%d grants were answered and %d calls ended without an answer; the database has %d", acked, unclear, got)
	}
	if err := again.end(t); err != nil {
		t.Error(err)
	}
}

// A call that does not end is cut off when the time for shutting down is over,
// and Serve says so.
func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Config{Store: "memory", ShutdownTimeout: 5 * time.Second, DrainDelay: time.Second})
		// A request of which no byte comes keeps its handler waiting.
		stream, err := s.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, pb.PermitService_Acquire_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		s.stop()
		if err := <-s.err; !errors.Is(err, ErrCutOff) {
			t.Errorf("Serve returned %v, want %v", err, ErrCutOff)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v, want 5s", took)
		}
		if err := stream.RecvMsg(&pb.AcquireResponse{}); status.Code(err) != codes.Unavailable {
			t.Errorf("the call that was cut off got %v", err)
		}
		if err := s.conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Calls are served during the drain's delay and none is taken afterwards.
func TestDrainDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, Config{Store: "memory", DrainDelay: time.Second})
		client := pb.NewPermitServiceClient(s.conn)
		if _, err := client.Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); err != nil {
			t.Error(err)
		}
		s.stop()
		synctest.Wait()
		if _, err := client.Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); err != nil {
			t.Errorf("a call during the delay: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := client.Acquire(t.Context(), &pb.AcquireRequest{Target: "x"}); status.Code(err) != codes.Unavailable {
			t.Errorf("a call after the delay: %v", err)
		}
		if err := s.end(t); err != nil {
			t.Error(err)
		}
	})
}

func TestClearTextStaysOnThisMachine(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0"} {
		l, err := listen(t.Context(), endpoint{address, DefaultListen, "--listen"}, false)
		if address == "[::1]:0" && err != nil && !errors.Is(err, ErrClearText) {
			continue // a machine without IPv6
		}
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		if _, err := listen(t.Context(), endpoint{address, DefaultListen, "--listen"}, false); !errors.Is(err, ErrClearText) || !strings.Contains(err.Error(), "--insecure-listen-any") {
			t.Errorf("%s: %v, want a refusal that says what to do", address, err)
		}
	}
	l, err := listen(t.Context(), endpoint{"0.0.0.0:0", DefaultListen, "--listen"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"", "7070", "127.0.0.1:port", "no such host:1"} {
		if _, err := listen(t.Context(), endpoint{address, DefaultListen, "--listen"}, false); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}

func TestServeOnATakenPort(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing is written to it
	n, err := New(t.Context(), Config{Store: "memory", Listen: taken.Addr().String(), HTTPListen: Off})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("Serve returned %v", err)
	}
}

func TestPolicyFile(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		t.Helper()
		name := filepath.Join(dir, "policy.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	epoch := func(file string) uint64 {
		t.Helper()
		n, err := New(t.Context(), Config{Store: "sqlite", DataDir: dir, PolicyFile: file})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n.PolicyStatus().Epoch
	}
	none := epoch("")
	first := epoch(write("version: 1\n"))
	if first <= none || epoch(write("version: 1\n")) != first || epoch("") != first {
		t.Errorf("the epochs are %d, %d, %d and %d", none, first, epoch(write("version: 1\n")), epoch(""))
	}
	if second := epoch(write("version: 1\n# changed\n")); second <= first {
		t.Errorf("a changed file has the epoch %d after %d", second, first)
	}
	_, err := New(t.Context(), Config{Store: "memory", PolicyFile: write("version: 1\nretries: 3\n")})
	if bad, ok := errors.AsType[*PolicyError](err); !ok || !strings.Contains(bad.Error(), "policy.yaml:2") {
		t.Errorf("a wrong policy: %v", err)
	}
	if _, err := New(t.Context(), Config{Store: "memory", PolicyFile: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing policy: %v", err)
	}
}

func TestDatabases(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	n, err := New(t.Context(), Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}
	if _, err := New(t.Context(), Config{DataDir: dir}); !errors.Is(err, statestore.ErrInUse) {
		t.Errorf("a database that is open: %v", err)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Config{Store: "sqlite:" + garbage}); !errors.Is(err, statestore.ErrNotADatabase) {
		t.Errorf("garbage: %v", err)
	}
	if text, err := os.ReadFile(garbage); err != nil || !strings.HasPrefix(string(text), "no database") {
		t.Errorf("the file that is no database was changed: %v", err)
	}
	for _, name := range []string{"postgres", "memory:x", "sqlite2", " "} {
		if _, err := New(t.Context(), Config{Store: name, DataDir: dir}); !errors.Is(err, ErrNoSuchStore) {
			t.Errorf("store %q: %v", name, err)
		}
	}
}

func TestDataDir(t *testing.T) {
	root := func(parts ...string) string {
		return filepath.Join(append([]string{string(filepath.Separator)}, parts...)...)
	}
	cases := []struct {
		goos string
		env  map[string]string
		want string // empty: an error
	}{
		{"linux", map[string]string{"HOME": root("home", "a")}, root("home", "a", ".local", "share", "resilienced")},
		{"linux", map[string]string{"HOME": root("home", "a"), "XDG_DATA_HOME": root("data")}, root("data", "resilienced")},
		{"linux", map[string]string{"HOME": root("home", "a"), "XDG_DATA_HOME": "relative"}, root("home", "a", ".local", "share", "resilienced")},
		{"freebsd", map[string]string{"HOME": root("home", "a")}, root("home", "a", ".local", "share", "resilienced")},
		{"darwin", map[string]string{"HOME": root("Users", "a")}, root("Users", "a", "Library", "Application Support", "resilienced")},
		{"windows", map[string]string{"LocalAppData": root("AppData")}, root("AppData", "resilienced")},
		{"linux", nil, ""},
		{"darwin", nil, ""},
		{"windows", map[string]string{"HOME": root("home")}, ""},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %v", c.goos, c.env), func(t *testing.T) {
			got, err := dataDirOf(c.goos, func(name string) string { return c.env[name] })
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}
