// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/test/distant"
)

// replica is one of several nodes over one store: its engine and its policy
// file.
type replica struct {
	engine *engine.Engine
	store  *distant.Store
	file   *policyFile
	stop   func()
}

// policyOf is a valid policy that differs by its text.
func policyOf(name string) string { return "version: 1\n# " + name + "\n" }

func startReplica(t *testing.T, net *distant.Net, path string) *replica {
	t.Helper()
	r := &replica{store: net.Connect()}
	var err error
	if r.engine, err = engine.New(t.Context(), engine.Config{Store: r.store}); err != nil {
		t.Fatal(err)
	}
	r.file = newPolicyFile(path, r.engine, slog.New(slog.DiscardHandler))
	if _, err := r.file.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { r.file.watch(ctx) })
	r.stop = func() {
		cancel()
		watching.Wait()
		if err := errors.Join(r.engine.Close(context.Background()), r.store.Close()); err != nil {
			t.Error(err)
		}
	}
	return r
}

// TestThreeReplicasWithThreeFiles: each file is applied when it changes, and
// when a replica with it starts after another file was applied; in between
// nothing moves, and all replicas decide by the same policy.
func TestThreeReplicasWithThreeFiles(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		net := distant.New(distant.Config{Lanes: 2, Latency: 2 * time.Millisecond})
		paths := make([]string, 3)
		write := func(i int, name string) {
			t.Helper()
			if err := os.WriteFile(paths[i], []byte(policyOf(name)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		all := make([]*replica, 3)
		expect := func(when string, epoch uint64, name string) {
			t.Helper()
			time.Sleep(soon)
			for i, r := range all {
				if r == nil {
					continue
				}
				v, err := r.engine.GetPolicy(t.Context(), "")
				if err != nil || v.Epoch != epoch || string(v.Text) != policyOf(name) {
					t.Errorf("%s replica %d is at epoch %d with %q, want %d with %q: %v", when, i, v.Epoch, v.Text, epoch, policyOf(name), err)
				}
			}
		}
		for i := range all {
			paths[i] = filepath.Join(dir, fmt.Sprint(i, ".yaml"))
			write(i, fmt.Sprint("file ", i))
			all[i] = startReplica(t, net, paths[i])
		}
		expect("after the starts", 3, "file 2")
		time.Sleep(time.Hour)
		expect("an hour later", 3, "file 2")
		write(0, "file 0, changed")
		expect("after a change of the first file", 4, "file 0, changed")
		// A roll-out of one file reaches the others one after the other.
		write(1, "file 0, changed")
		write(2, "file 0, changed")
		expect("after the others got the same file", 4, "file 0, changed")
		all[1].stop()
		all[1] = startReplica(t, net, paths[1])
		expect("after a restart with the same file", 4, "file 0, changed")
		// One that comes back with an older file applies it: it is not the one
		// applied last. The others do not answer with theirs.
		all[2].stop()
		write(2, "file 2")
		all[2] = startReplica(t, net, paths[2])
		expect("after a restart with another file", 5, "file 2")
		time.Sleep(time.Hour)
		expect("an hour after that", 5, "file 2")
		// What an operator applies stays until a file changes.
		req := &engine.ApplyPolicyRequest{Text: []byte(policyOf("operator")), Actor: "me"}
		if _, err := all[0].engine.ApplyPolicy(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		expect("after an operator's change", 6, "operator")
		all[2].stop()
		all[2] = startReplica(t, net, paths[2])
		expect("after a restart with the file applied last", 6, "operator")
		// Three changes at once are three epochs, in any order, and then quiet.
		for i := range all {
			write(i, fmt.Sprint("at once ", i))
		}
		time.Sleep(soon)
		v, err := all[0].engine.GetPolicy(t.Context(), "")
		if err != nil || v.Epoch != 9 {
			t.Fatalf("after three changes at once: epoch %d, %v", v.Epoch, err)
		}
		time.Sleep(time.Hour)
		for i, r := range all {
			again, err := r.engine.GetPolicy(t.Context(), "")
			if err != nil || again.Epoch != 9 || string(again.Text) != string(v.Text) {
				t.Errorf("replica %d went on to epoch %d, %v", i, again.Epoch, err)
			}
			r.stop()
		}
	})
}
