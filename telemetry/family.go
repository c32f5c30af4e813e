// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
)

// family is a set of handles that only grows. Reading takes no lock: the map
// is replaced and never changed. The zero family is empty.
type family[K comparable, V any] struct {
	known atomic.Pointer[map[K]V]
	mu    sync.Mutex // one replacement at a time
}

// all returns the handles; the map must not be changed.
func (f *family[K, V]) all() map[K]V {
	if m := f.known.Load(); m != nil {
		return *m
	}
	return nil
}

// add returns the handle of a key, and makes it unless there are limit others.
// It reports false if the family is full.
func (f *family[K, V]) add(key K, limit int, fresh func() V) (V, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.all()
	if v, ok := old[key]; ok {
		return v, true
	}
	if len(old) >= limit {
		var none V
		return none, false
	}
	next := make(map[K]V, len(old)+1)
	maps.Copy(next, old)
	v := fresh()
	next[key] = v
	f.known.Store(&next)
	return v, true
}
