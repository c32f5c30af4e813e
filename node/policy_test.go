// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

const (
	openPolicy   = "version: 1\ntargets: [{match: x, preset: llm}]\n"
	closedPolicy = "version: 1\nunknown_targets: deny\n"
	badPolicy    = "version: 1\ntargets: [{match: x, preset: llm}]\nretries: 3\n"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count is how often the log says something.
func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// reloading is a node that serves with a policy file, in a bubble.
type reloading struct {
	*served
	file string
	log  *logged
}

// withPolicyFile runs a test with a node whose policy file, openPolicy, can be
// changed.
func withPolicyFile(t *testing.T, body func(t *testing.T, r *reloading)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	synctest.Test(t, func(t *testing.T) {
		r := &reloading{file: file, log: &logged{}}
		r.write(t, openPolicy)
		r.served = serve(t, Config{Store: "memory", PolicyFile: file, Logger: slog.New(slog.NewTextHandler(r.log, nil))})
		body(t, r)
		if err := r.end(t); err != nil {
			t.Error(err)
		}
	})
}

func (r *reloading) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// decided asks for a target and returns the decision.
func (r *reloading) decided(ctx context.Context, t *testing.T) pb.Decision {
	t.Helper()
	resp, err := pb.NewPermitServiceClient(r.conn).Acquire(ctx, &pb.AcquireRequest{Target: "x"})
	if err != nil {
		t.Error(err)
	}
	return resp.GetDecision()
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// a change is looked into after at most two rounds, with the time to settle.
const soon = 2*pollEvery + (settleTries+1)*settleFor

func TestPolicyFileIsWatched(t *testing.T) {
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		at := r.node.PolicyStatus()
		if at.Epoch != 1 || at.File != r.file || !at.LastSuccess || at.LoadedAt.IsZero() || !at.LastReload.IsZero() {
			t.Errorf("at the start: %+v", at)
		}
		time.Sleep(time.Hour)
		if got := r.node.PolicyStatus(); got != at {
			t.Errorf("after an hour without a change: %+v", got)
		}
		r.write(t, closedPolicy)
		time.Sleep(soon)
		if d := r.decided(t.Context(), t); d != pb.Decision_DECISION_DENIED {
			t.Errorf("after the change: %v", d)
		}
		if got := r.node.PolicyStatus(); got.Epoch != 2 || !got.LoadedAt.After(at.LoadedAt) || got.LoadedAt != got.LastReload || !got.LastSuccess {
			t.Errorf("after the change: %+v", got)
		}
		if n := r.log.count("the policy file was applied"); n != 1 {
			t.Errorf("the log tells of %d changes", n)
		}
	})
}

// TestBadPolicyFile: a file with a fault changes nothing but the status; the
// log says so once for each fault, and once that it is over.
func TestBadPolicyFile(t *testing.T) {
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		for _, bad := range []struct{ text, says string }{
			{badPolicy, "policy.yaml:3:1"},
			{"version: 1\ntargets: [{match: x, cooldown: soon}]\n", "policy.yaml:2:"},
			{"\x00\xff{", "policy.yaml:1:"},
			{strings.Repeat("# long\n", 1<<18), "policy.yaml:1:1: the policy has"},
			{"", "policy.yaml:1:1"},
		} {
			r.write(t, bad.text)
			time.Sleep(time.Minute)
			got := r.node.PolicyStatus()
			if got.LastSuccess || got.Epoch != 1 || !strings.Contains(got.LastError, bad.says) || !got.LoadedAt.Before(got.LastReload) {
				t.Errorf("%.30q: %+v; want a fault at %s", bad.text, got, bad.says)
			}
			if d := r.decided(t.Context(), t); d != pb.Decision_DECISION_GRANTED {
				t.Errorf("%.30q: %v; want the last good policy", bad.text, d)
			}
		}
		if n := r.log.count("cannot be applied"); n != 5 {
			t.Errorf("5 faults were logged %d times", n)
		}
		r.write(t, openPolicy)
		time.Sleep(time.Minute)
		if got := r.node.PolicyStatus(); !got.LastSuccess || got.LastError != "" || got.Epoch != 1 {
			t.Errorf("after the file is as before: %+v", got)
		}
		if n := r.log.count("recovered=true"); n != 1 {
			t.Errorf("the end of the fault was logged %d times", n)
		}
	})
}

// TestPolicyFileGoesAway: without its file a node goes on, says so, and takes
// the file when it is back, whatever stood there meanwhile.
func TestPolicyFileGoesAway(t *testing.T) {
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		if err := os.Remove(r.file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := r.node.PolicyStatus(); got.LastSuccess || got.Epoch != 1 || !strings.Contains(got.LastError, r.file) {
			t.Errorf("without the file: %+v", got)
		}
		if err := os.Mkdir(r.file, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := r.node.PolicyStatus(); !strings.Contains(got.LastError, ErrNotAFile.Error()) {
			t.Errorf("with a folder in its place: %+v", got)
		}
		if err := os.Remove(r.file); err != nil {
			t.Fatal(err)
		}
		r.write(t, closedPolicy)
		time.Sleep(soon)
		if got := r.node.PolicyStatus(); !got.LastSuccess || got.Epoch != 2 {
			t.Errorf("when it is back: %+v", got)
		}
		if n := r.log.count("cannot be applied"); n != 2 {
			t.Errorf("2 faults were logged %d times", n)
		}
	})
}

// Files that are swapped below a link, as config maps are, and ones that are
// renamed into place, as editors do, are noticed at once and never missing.
func TestPolicyFileIsSwapped(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a right there that users do not have")
	}
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		dir := filepath.Dir(r.file)
		for i, text := range []string{closedPolicy, openPolicy, closedPolicy} {
			fresh, link := filepath.Join(dir, fmt.Sprint("data", i)), filepath.Join(dir, "next")
			if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if i < 2 {
				if err := os.Symlink(fresh, link); err != nil {
					t.Fatal(err)
				}
				fresh = link
			}
			if err := os.Rename(fresh, r.file); err != nil {
				t.Fatal(err)
			}
			time.Sleep(soon)
			if got := r.node.PolicyStatus(); got.Epoch != uint64(i)+2 || !got.LastSuccess {
				t.Errorf("swap %d: %+v", i, got)
			}
		}
		if n := r.log.count("cannot be applied"); n != 0 {
			t.Errorf("a swap was logged as a fault: %s", &r.log.text)
		}
	})
}

// TestPolicyUnderLoad: while callers ask, the file is written in halves of
// which the first is a policy that refuses all, edited to garbage, emptied,
// removed and mended. No caller sees an error or a refusal, until a policy
// that refuses is written whole.
func TestPolicyUnderLoad(t *testing.T) {
	const half = "version: 1\nunknown_targets: deny\n"
	whole := half + "targets: [{match: x, preset: llm}]\n"
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		done := make(chan struct{})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for !closed(done) {
					if d := r.decided(t.Context(), t); d != pb.Decision_DECISION_GRANTED {
						t.Errorf("a caller got %v", d)
						return
					}
					time.Sleep(151 * time.Millisecond)
				}
			})
		}
		for i := range 25 {
			switch i % 5 {
			case 0: // in halves, anywhere in a round of the watch
				r.write(t, half)
				time.Sleep(settleFor * 3 / 4)
				r.write(t, fmt.Sprint(whole, "# ", i, "\n"))
			case 1:
				r.write(t, badPolicy)
			case 2:
				r.write(t, "")
				time.Sleep(settleFor)
				r.write(t, fmt.Sprint(openPolicy, "# ", i, "\n"))
			case 3:
				r.write(t, fmt.Sprint(whole, "\x00", i))
			case 4:
				if err := os.Remove(r.file); err != nil {
					t.Error(err)
				}
				time.Sleep(settleFor)
				r.write(t, fmt.Sprint(openPolicy, "# ", i, "\n"))
			}
			time.Sleep(pollEvery + time.Duration(i)*97*time.Millisecond)
		}
		close(done)
		wg.Wait()
		r.write(t, half)
		time.Sleep(soon)
		if d := r.decided(t.Context(), t); d != pb.Decision_DECISION_DENIED {
			t.Errorf("after a policy that refuses: %v", d)
		}
		if got := r.node.PolicyStatus(); got.Epoch < 15 || !got.LastSuccess {
			t.Errorf("in the end: %+v", got)
		}
	})
}

func TestReload(t *testing.T) {
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		if err := r.node.Reload(t.Context()); err != nil || r.node.PolicyStatus().Epoch != 1 {
			t.Errorf("an unchanged file: %v, %+v", err, r.node.PolicyStatus())
		}
		r.write(t, closedPolicy)
		began := time.Now()
		if err := r.node.Reload(t.Context()); err != nil || r.node.PolicyStatus().Epoch != 2 || time.Since(began) >= pollEvery {
			t.Errorf("a changed file: %v, %+v after %v", err, r.node.PolicyStatus(), time.Since(began))
		}
		r.write(t, badPolicy)
		err := r.node.Reload(t.Context())
		if bad, ok := errors.AsType[*PolicyError](err); !ok || !strings.Contains(bad.Error(), "policy.yaml:3:1") {
			t.Errorf("a bad file: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := r.node.PolicyStatus()
		if err := r.node.Reload(ctx); !errors.Is(err, context.Canceled) || r.node.PolicyStatus() != before {
			t.Errorf("a caller that is gone: %v", err)
		}
	})
}

// Somebody who writes all the time is told to stop, and the policy stays.
func TestUnsettledFile(t *testing.T) {
	withPolicyFile(t, func(t *testing.T, r *reloading) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				r.write(t, fmt.Sprint(closedPolicy, "# ", i, "\n"))
				time.Sleep(settleFor / 2)
			}
		})
		time.Sleep(settleFor / 4)
		if err := r.node.Reload(t.Context()); !errors.Is(err, ErrUnsettled) || r.node.PolicyStatus().Epoch != 1 {
			t.Errorf("reload: %v, %+v", err, r.node.PolicyStatus())
		}
		stop()
		wg.Wait()
		time.Sleep(soon)
		if got := r.node.PolicyStatus(); got.Epoch != 2 || !got.LastSuccess {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

func TestReloadWithoutFile(t *testing.T) {
	s := serve(t, Config{Store: "memory"})
	if err := s.node.Reload(t.Context()); !errors.Is(err, ErrNoPolicyFile) {
		t.Errorf("reload: %v", err)
	}
	if got := s.node.PolicyStatus(); got != (PolicyStatus{LastSuccess: true}) {
		t.Errorf("status: %+v", got)
	}
	if err := s.end(t); err != nil {
		t.Error(err)
	}
}

// What an operator applied over the file survives a restart with the file as
// it was, and gives way to a changed one.
func TestOperatorOverFile(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Store: "sqlite", DataDir: dir, PolicyFile: filepath.Join(dir, "policy.yaml")}
	node := func(text string) *served {
		t.Helper()
		if err := os.WriteFile(cfg.PolicyFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return serve(t, cfg)
	}
	team := metadata.AppendToOutgoingContext(t.Context(), "resilience-namespace", "team")
	s := node(openPolicy)
	if _, err := pb.NewPolicyServiceClient(s.conn).ApplyPolicy(team, &pb.ApplyPolicyRequest{RequestId: "q", Yaml: closedPolicy, Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{openPolicy, openPolicy, openPolicy + "# changed\n"} {
		if err := s.end(t); err != nil {
			t.Fatal(err)
		}
		s = node(text)
		want := uint64(2)
		if i == 2 {
			want = 3
		}
		if got := s.node.PolicyStatus().Epoch; got != want {
			t.Errorf("restart %d: epoch %d, want %d", i, got, want)
		}
		for ctx, want := range map[context.Context]pb.Decision{t.Context(): pb.Decision_DECISION_GRANTED, team: pb.Decision_DECISION_DENIED} {
			resp, err := pb.NewPermitServiceClient(s.conn).Acquire(ctx, &pb.AcquireRequest{Target: "x"})
			if err != nil || resp.GetDecision() != want {
				t.Errorf("restart %d: %v, %v; want %v", i, resp, err, want)
			}
		}
	}
	if err := s.end(t); err != nil {
		t.Fatal(err)
	}
}

// A policy that a newer version stored and this one cannot read leaves the node
// serving by the last good one, and PolicyStatus says that it is behind.
func TestNodeThatIsBehind(t *testing.T) {
	s := serve(t, Config{Store: "memory"})
	meta := func(name string) *statestore.Entry {
		return &statestore.Entry{Key: statestore.Key{Kind: statestore.KindMeta, Name: name}, Mode: statestore.Write}
	}
	epoch, index := meta("policy-epoch"), meta("policy-index")
	document := &statestore.Entry{Key: statestore.Key{Kind: statestore.KindPolicy, Namespace: "default", Name: "policy"}, Mode: statestore.Write}
	err := s.node.Store().Update(t.Context(), []*statestore.Entry{epoch, index, document}, func(rules.Instant) (statestore.Durability, error) {
		epoch.Put(&engine.Meta{Epoch: 1})
		index.Put(&engine.Meta{Changed: map[string]uint64{"default": 1}})
		document.Put(&engine.Document{Text: []byte("version: 1\nfrom_the_future: 1\n"), File: "p.yaml", Epoch: 1})
		return statestore.Durable, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "x"})
	if err != nil || resp.GetDecision() != pb.Decision_DECISION_GRANTED {
		t.Errorf("%v, %v; want the last good policy", resp, err)
	}
	if got := s.node.PolicyStatus(); got.Epoch != 1 || !strings.Contains(got.Behind, `namespace "default"`) || !strings.Contains(got.Behind, "p.yaml:2:1") {
		t.Errorf("status: %+v", got)
	}
	if err := s.end(t); err != nil {
		t.Error(err)
	}
}
