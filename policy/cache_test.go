// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestTargetDoesNotAllocateOnAHit(t *testing.T) {
	p := parse(t, "version: 1\ntargets: [{match: lit, preset: llm}, {match: 'glob/*', preset: tool}]")
	for _, name := range []string{"lit", "glob/x", "unnamed"} {
		p.Target(name)
		if n := testing.AllocsPerRun(100, func() {
			p.Target(name)
			p.Single(name)
			p.Named(name)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	p := Default()
	for i := range 50_000 {
		p.Target("t" + strconv.Itoa(i))
	}
	kept := 0
	for i := range p.cache.shards {
		kept += len(p.cache.shards[i].byName)
	}
	if kept == 0 || kept > 20_000 {
		t.Errorf("%d names are kept", kept)
	}
	long := strings.Repeat("x", cacheName+1)
	if first := p.Target(long); first == p.Target(long) {
		t.Error("a name that is too long is kept")
	}
}

func TestConcurrentUse(t *testing.T) {
	p := parse(t, "version: 1\ntargets: [{match: lit, preset: llm}, {match: 'glob/*', preset: tool}]")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 3_000 {
				name := "glob/" + strconv.Itoa(i)
				if c := p.Target(name); c.Name != name || c.Kind != "tool" || !p.Named(name) || p.Named("other") {
					t.Errorf("Target(%q) = %+v", name, c)
				}
				p.Explain("lit")
			}
		})
	}
	wg.Wait()
}

func BenchmarkTarget(b *testing.B) {
	p, err := Parse("", []byte("version: 1\ntargets: [{match: 'glob/*', preset: tool}]"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Target("glob/x")
		}
	})
}
