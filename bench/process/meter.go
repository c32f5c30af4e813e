// SPDX-License-Identifier: Apache-2.0

package process

import (
	"math/bits"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/resilienced/resilienced/server"
)

// meter counts calls and their durations as a metrics library does, so that
// the metrics interceptor has its work to do.
type meter struct{}

func newMeter() server.Meter { return meter{} }

// Method returns a handle of its own.
func (meter) Method(string) server.MethodMeter { return &methodMeter{} }

type methodMeter struct {
	codes   [codes.Unauthenticated + 1]atomic.Uint64
	sum     atomic.Int64
	buckets [64]atomic.Uint64 // by powers of two, in nanoseconds
}

// Done counts one call.
func (m *methodMeter) Done(code codes.Code, took time.Duration) {
	m.codes[min(code, codes.Unauthenticated)].Add(1)
	m.sum.Add(int64(took))
	m.buckets[bits.Len64(uint64(max(took, 0)))&63].Add(1)
}
