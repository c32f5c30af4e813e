// SPDX-License-Identifier: Apache-2.0

package direct_test

import (
	"context"
	"testing"

	"github.com/resilienced/resilienced/bench/direct"
)

func BenchmarkPair(b *testing.B) {
	stores := map[string]func() (*direct.Engine, error){
		"memory": func() (*direct.Engine, error) { return direct.OpenMemory(b.Context()) },
		"sqlite": func() (*direct.Engine, error) { return direct.OpenSQLite(b.Context(), b.TempDir()) },
	}
	for store, open := range stores {
		for name, run := range map[string]string{"uncounted": "", "capped": "hot"} {
			b.Run("store="+store+"/run="+name, func(b *testing.B) {
				e := started(b, open)
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

func started(tb testing.TB, open func() (*direct.Engine, error)) *direct.Engine {
	tb.Helper()
	e, err := open()
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
