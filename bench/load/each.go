// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"time"
)

// Each does something so many times, one time after the other, and counts the
// time that each says it took. An error ends it.
func Each(ctx context.Context, times int, do func(context.Context) (time.Duration, error)) (*Result, error) {
	r := &Result{Latency: NewLatency()}
	begun := time.Now()
	for range times {
		took, err := do(ctx)
		if err != nil {
			return nil, err
		}
		r.Ops++
		r.Calls++
		// Clamped to what the histogram takes, so it cannot fail.
		_ = r.Latency.RecordValue(min(max(int64(took), shortest), longest))
	}
	r.Window = time.Since(begun)
	return r, nil
}
