// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	crypto "crypto/rand"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policy = "version: 1\n"

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin starts a cluster that is closed with the test.
func begin(t *testing.T, config Config) *Cluster {
	t.Helper()
	config.Dir, config.Policy = t.TempDir(), policy
	var err error
	config.Binary, err = Build(t.Context(), Source{Dir: config.Dir})
	do(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := Start(ctx, config)
	do(t, err)
	t.Cleanup(func() {
		for _, fault := range c.Faulty() {
			t.Error(fault)
		}
		do(t, c.Close())
	})
	return c
}

// load has two callers for each replica start runs, which is durable, until the
// test ends. It returns how many were started so far.
func load(t *testing.T, c *Cluster) *atomic.Int64 {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var started atomic.Int64
	t.Cleanup(func() {
		stop()
		callers.Wait()
	})
	for _, r := range c.Replicas() {
		conn, err := grpc.NewClient("passthrough:///"+r.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}, MinConnectTimeout: time.Second}))
		do(t, err)
		t.Cleanup(func() { conn.Close() }) //nolint:errcheck // nothing is lost with it
		for range 2 {
			callers.Go(func() {
				for ctx.Err() == nil {
					call, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
					if _, err := pb.NewRunServiceClient(conn).StartRun(call, &pb.StartRunRequest{RequestId: crypto.Text()}); err == nil {
						started.Add(1)
					}
					cancel()
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	return &started
}

// Every kind of fault takes effect, and the cluster is whole and serves again
// when it has ended.
func everyFault(t *testing.T, c *Cluster) {
	started := load(t, c)
	for i, kind := range c.Catalogue("resilienced") {
		t.Run(kind.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			f := kind.Make(rand.New(rand.NewPCG(1, uint64(i))))
			if f.Kind() != kind.Name {
				t.Errorf("the kind %q makes %q", kind.Name, f.Kind())
			}
			beginning := f.Begin(ctx, c)
			if beginning == nil {
				time.Sleep(400 * time.Millisecond) // the fault's length
			}
			do(t, errors.Join(beginning, f.End(ctx, c)))
			what, err := f.Proof()
			if err != nil {
				t.Errorf("%s: %v", f.About(), err)
			}
			ended := time.Now()
			do(t, c.AwaitWhole(ctx))
			before := started.Load()
			do(t, until(ctx, "runs are started again", func() (bool, error) { return started.Load() >= before+10, nil }))
			t.Logf("%s: %s; whole after %v", f.About(), what, time.Since(ended).Round(time.Millisecond))
		})
	}
}

func TestEveryFaultOfOneReplica(t *testing.T) { everyFault(t, begin(t, Config{Store: SQLite})) }

func TestEveryFaultOfAFleet(t *testing.T) { everyFault(t, begin(t, Config{Faketime: true})) }

// What does nothing proves nothing.
func TestFaultsWithoutEffect(t *testing.T) {
	c := begin(t, Config{Store: SQLite})
	ctx := t.Context()
	for _, f := range []Fault{
		Partition(Link{}, Both), BlackHole(Link{}, ToServer), Delay(Link{}, Both, time.Second), Throttle(Link{}, Both, 1),
		ResetAfter(Link{}, Both, 1), HalfClose(Link{}, ToClient), Drop(Link{}), SkewReplica(0, time.Hour),
	} {
		do(t, f.Begin(ctx, c))
		do(t, f.End(ctx, c))
		if what, err := f.Proof(); !errors.Is(err, errNoEffect) {
			t.Errorf("%s of nothing: %q, %v", f.Kind(), what, err)
		}
	}
	for _, f := range []Fault{Failover(false), PauseStandby(), HoldLock("x"), TerminateBackends(), KillReplica(0)} {
		if what, err := f.Proof(); !errors.Is(err, errNoEffect) {
			t.Errorf("%s that never began: %q, %v", f.Kind(), what, err)
		}
	}
}

func TestAReplicaThatEndsByItselfIsFaulty(t *testing.T) {
	c := begin(t, Config{Store: Memory})
	r := c.Replicas()[0]
	p := r.life()
	do(t, p.cmd.Process.Kill())
	<-p.ended
	if found := c.Faulty(); len(found) != 1 || !strings.Contains(found[0], "life 1: signal: killed") {
		t.Errorf("faulty: %q", found)
	}
	p.asked = true // for the end of the test
	do(t, r.Start(t.Context()))
	if r.Lives() != 2 {
		t.Errorf("%d lives, want 2", r.Lives())
	}
	if n, err := r.Metric(t.Context(), "go_goroutines"); err != nil || n < 1 {
		t.Errorf("%v goroutines (%v)", n, err)
	}
}

func TestTheClockOfABinaryIsMovable(t *testing.T) {
	dir := t.TempDir()
	do(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(`package main

import "time"

func main() { println(time.Now().Unix()); time.Sleep(time.Until(time.Now().Add(time.Millisecond))) }
`), 0o600))
	overlay, err := Source{Dir: dir, Skewable: true}.overlay(t.Context(), dir)
	do(t, err)
	binary := filepath.Join(dir, "clock")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", binary, filepath.Join(dir, "main.go"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for text, by := range map[string]time.Duration{"-3600": -time.Hour, "86400": 24 * time.Hour, "0": 0, "": 0} {
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(os.Environ(), skewVar+"="+text)
		out, err := cmd.CombinedOutput()
		do(t, err)
		at, err := time.ParseDuration(strings.TrimSpace(string(out)) + "s")
		do(t, err)
		if got := at - time.Duration(time.Now().Unix())*time.Second; (got - by).Abs() > time.Minute {
			t.Errorf("%q moves the clock by %v, want %v", text, got, by)
		}
	}
}
