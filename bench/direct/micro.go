// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"testing"
)

// Benchmark measures an Acquire and its Report for one caller, one after the
// other, on a run or on none. An operation of the benchmark is both calls.
func (d *Engine) Benchmark(ctx context.Context, run string) func(*testing.B) {
	return func(b *testing.B) {
		b.Helper()
		p := d.Pair(Ask{Run: run, Target: Target})
		b.ReportAllocs()
		for b.Loop() {
			permit, err := p.Acquire(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if err := p.Report(ctx, permit); err != nil {
				b.Fatal(err)
			}
		}
	}
}
