// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/page"
)

// allocations counts what the engine allocates for a pair of calls.
func (s *Suite) allocations(ctx context.Context) error {
	if !s.cfg.Size.Allocations {
		return nil
	}
	t := &page.Table{Head: []string{"Acquire and Report by one caller", "allocations", "bytes", "time"}}
	folder, err := os.MkdirTemp(s.cfg.Folder, "allocations-")
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name, run string
		place     direct.Place
	}{
		{"memory, no run", "", direct.Place{Kind: direct.Memory}},
		{"memory, capped run", hotRun, direct.Place{Kind: direct.Memory}},
		{"SQLite, capped run", hotRun, direct.Place{Kind: direct.SQLite, Folder: folder}},
	} {
		r, err := s.benchmark(ctx, c.place, c.run)
		if err != nil {
			return err
		}
		s.say("allocations: %s: %d", c.name, r.AllocsPerOp())
		t.Add(c.name, page.Count(float64(r.AllocsPerOp())), page.Count(float64(r.AllocedBytesPerOp())), page.Time(float64(r.NsPerOp())))
	}
	s.sections = append(s.sections, page.Section{Title: "(f) Allocations of the engine", Parts: []page.Part{
		{Text: "Both calls together, without RPC. This is the figure that does not depend on what else the machine does."},
		{Table: t},
	}})
	return nil
}

func (s *Suite) benchmark(ctx context.Context, at direct.Place, run string) (r testing.BenchmarkResult, err error) {
	e, err := direct.Open(ctx, at)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	if run != "" {
		if err := e.CappedRun(ctx, run); err != nil {
			return r, err
		}
	}
	if r = testing.Benchmark(e.Benchmark(ctx, run)); r.N == 0 {
		return r, errors.New("the benchmark failed")
	}
	return r, nil
}
