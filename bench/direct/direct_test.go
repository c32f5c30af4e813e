// SPDX-License-Identifier: Apache-2.0

package direct_test

import (
	"context"
	"testing"

	"github.com/resilienced/resilienced/bench/direct"
)

func BenchmarkPair(b *testing.B) {
	for _, store := range []direct.Kind{direct.Memory, direct.SQLite} {
		for name, run := range map[string]string{"uncounted": "", "capped": "hot"} {
			b.Run("store="+string(store)+"/run="+name, func(b *testing.B) {
				e := started(b, direct.Place{Kind: store, Folder: b.TempDir()})
				if run != "" {
					if err := e.CappedRun(b.Context(), run); err != nil {
						b.Fatal(err)
					}
				}
				e.Benchmark(b.Context(), run)(b)
			})
		}
	}
}

func started(tb testing.TB, p direct.Place) *direct.Engine {
	tb.Helper()
	e, err := direct.Open(tb.Context(), p)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
	return e
}
