// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"sync"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// The caps of a tree: now the one and now the other is in the way.
const (
	rootCap = 9000
	teamCap = 5000
	leafCap = 2700
	trees   = 3
	// spentAfter is how many refusals in a row end a tree's use.
	spentAfter = 15
	// mostAsks bounds a tree's history, which the check of caps searches.
	mostAsks = 1500
)

// forest is the trees of capped runs in use. One that is spent is replaced.
type forest struct {
	traffic *Traffic

	mu    sync.Mutex
	trees []*tree
	grown int
}

// tree is a root, two teams, and two runs in each.
type tree struct {
	paths [][]string // of the leaves: the run first, the root last
	asks  int
	no    int // refusals in a row
}

func newForest(t *Traffic) *forest { return &forest{traffic: t} }

// grow plants the first trees.
func (f *forest) grow(ctx context.Context, c *caller) error {
	for range trees {
		t, err := f.plant(ctx, c)
		if err != nil {
			return err
		}
		f.trees = append(f.trees, t)
	}
	return nil
}

// plant starts the runs of a tree.
func (f *forest) plant(ctx context.Context, c *caller) (*tree, error) {
	f.mu.Lock()
	n := f.grown
	f.grown++
	f.mu.Unlock()
	root := f.traffic.unique("root", n)
	t := &tree{}
	if err := c.start(ctx, []string{root}, rootCap); err != nil {
		return nil, err
	}
	for team := range 2 {
		name := fmt.Sprintf("%s-team%d", root, team)
		if err := c.start(ctx, []string{name, root}, teamCap); err != nil {
			return nil, err
		}
		for leaf := range 2 {
			path := []string{fmt.Sprintf("%s-run%d", name, leaf), name, root}
			if err := c.start(ctx, path, leafCap); err != nil {
				return nil, err
			}
			t.paths = append(t.paths, path)
		}
	}
	return t, nil
}

// start starts a run.
func (c *caller) start(ctx context.Context, path []string, limit int64) error {
	want := history.Event{RPC: history.StartRun, Actor: "starter", Request: "start-" + path[0], Runs: path, Amount: limit}
	req := &pb.StartRunRequest{RequestId: want.Request, RunId: path[0], Caps: &pb.Caps{CostMicros: &limit}}
	if len(path) > 1 {
		req.ParentRunId = path[1]
	}
	got, _ := c.repeated(ctx, want, func(ctx context.Context, w *wire, _ *history.Event) error {
		_, err := w.runs.StartRun(ctx, req)
		return err
	})
	if got.Outcome != history.OK {
		return fmt.Errorf("StartRun of %s: %s %s", path[0], got.Reason, got.Text)
	}
	return nil
}

// choose returns one of the trees and the path of one of its leaves.
func (f *forest) choose(c *caller) (*tree, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trees[c.random.IntN(len(f.trees))]
	t.asks++
	return t, t.paths[c.random.IntN(len(t.paths))]
}

// answered notes the answer to an Acquire on a tree, and replaces a tree that
// is spent.
func (f *forest) answered(ctx context.Context, c *caller, t *tree, o history.Outcome) {
	f.mu.Lock()
	switch o {
	case history.OK:
		t.no = 0
	case history.Denied:
		t.no++
	default:
	}
	spent := t.no == spentAfter || t.asks >= mostAsks
	if spent {
		t.no, t.asks = spentAfter+1, 0 // only one caller sees it so
	}
	f.mu.Unlock()
	if !spent {
		return
	}
	next, err := f.plant(ctx, c)
	if err != nil {
		return // it is tried again when the tree was asked as often once more
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.trees {
		if f.trees[i] == t {
			f.trees[i] = next
		}
	}
}
