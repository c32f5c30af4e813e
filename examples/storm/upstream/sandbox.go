// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"encoding/binary"
	"hash/fnv"
	"net/http"
	"strings"
	"time"
)

// execute runs a piece of code for an agent, or pretends to.
func (s *Server) execute(w http.ResponseWriter, r *http.Request) {
	var q struct{ Task, Step int }
	if !read(w, r, &q) || !s.admitSandbox(w) {
		return
	}
	s.mu.Lock()
	t := s.task(q.Task)
	t.runs[q.Step]++
	again := t.runs[q.Step]
	s.bill(q.Task, ExecutionPrice)
	s.mu.Unlock()
	luck := s.draw(q.Task, q.Step, 1000+again)
	if int(luck%100) < s.cfg.Flake {
		take(r, 400*time.Millisecond)
		fail(w, http.StatusGatewayTimeout, "timeout", "execution_timeout", "The execution timed out")
		return
	}
	take(r, 150*time.Millisecond+time.Duration(luck%200)*time.Millisecond)
	send(w, http.StatusOK, map[string]string{"output": strings.Repeat("a line of output\n", 40)})
}

// admitSandbox answers what is refused, and reports whether the call goes on.
func (s *Server) admitSandbox(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	out := s.cfg.Hiccup.At(now.Sub(s.began))
	if !s.sandbox.arrive(now, out) {
		s.sandbox.limited(w.Header(), now)
		fail(w, http.StatusTooManyRequests, "requests", "rate_limit_exceeded", "Too many executions")
		return false
	}
	if out {
		fail(w, http.StatusServiceUnavailable, "unavailable", "unavailable", "No sandbox is free")
		return false
	}
	return true
}

// draw is a number that depends on the seed and its arguments alone.
func (s *Server) draw(parts ...int) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], s.cfg.Seed)
	_, _ = h.Write(b[:])
	for _, p := range parts {
		binary.LittleEndian.PutUint64(b[:], uint64(p))
		_, _ = h.Write(b[:])
	}
	x := h.Sum64() // finished as splitmix64 does: FNV's low bits are poor
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
