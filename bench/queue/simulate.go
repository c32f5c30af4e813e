// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept from 1 µs to a minute with three significant digits.
const (
	shortest = int64(time.Microsecond)
	longest  = int64(time.Minute)
	digits   = 3
)

// sim is a model under way.
type sim struct {
	m          Model
	lanes      int
	clock      *clock
	processors *processors
	disk       *disk
	rows       *rows
	random     *rand.Rand
	from       time.Duration // counting begins
	result     *Result
	flight     time.Duration // of batches, together
	blocked    time.Duration
}

// Run simulates a model.
func (m Model) Run() (*Result, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	c := &clock{}
	s := &sim{
		m: m, lanes: max(m.Lanes, 1), clock: c, from: m.For / 10,
		processors: &processors{clock: c, free: m.Cores, all: m.Cores <= 0, from: m.For / 10},
		rows:       &rows{held: map[int][]func(){}},
		random:     rand.New(rand.NewPCG(m.Seed, 0)),
		result:     &Result{Window: m.For, Latency: hdrhistogram.New(shortest, longest, digits)},
	}
	s.disk = &disk{clock: c, took: func() time.Duration { return s.about(m.Costs.Flush) }}
	replicas := make([]*replica, m.Replicas)
	for i := range replicas {
		replicas[i] = &replica{sim: s, flying: map[int]bool{}}
	}
	// Callers begin one after the other within one uncontended command.
	one := m.alone()
	for i := range m.Callers {
		begin := time.Duration(s.random.Float64() * float64(one))
		c.after(begin, func() { s.call(replicas[i%m.Replicas], i) })
	}
	c.run(s.from + m.For)
	if m.Cores > 0 {
		s.result.Busy = float64(s.processors.used) / float64(m.Cores) / float64(m.For)
	}
	if s.flight > 0 {
		s.result.Blocked = float64(s.blocked) / float64(s.flight)
	}
	return s.result, nil
}

// alone is how long a command of a caller takes that nobody disturbs.
func (m Model) alone() time.Duration {
	c := m.Costs
	d := c.Caller + c.Ours.Of(1) + c.Database.Of(1) + 2*c.Trip
	if !m.Rebuildable {
		d += c.Flush
	}
	return d
}

// call is a caller's life: half of its own work comes before it hands its
// command over, the rest after the answer.
func (s *sim) call(r *replica, caller int) {
	begun := s.clock.now
	own := s.m.Costs.Caller
	s.processors.work(own/2, func() {
		r.submit(command{key: s.key(caller), answer: func() {
			s.processors.work(own-own/2, func() {
				s.answered(s.clock.now - begun)
				s.call(r, caller)
			})
		}})
	})
}

// key is what a caller's commands write.
func (s *sim) key(caller int) int {
	switch s.m.Keys {
	case Hot:
		return 0
	case Own:
		return caller
	default:
		return -1
	}
}

// half is one way of a trip.
func (s *sim) half(then func()) {
	if s.m.Costs.Trip == 0 {
		then()
		return
	}
	s.clock.after(s.about(s.m.Costs.Trip/2), then)
}

// about is a random time with this mean and the model's spread: a constant
// part, and an exponential one that makes up the spread.
func (s *sim) about(mean time.Duration) time.Duration {
	spread := s.m.Costs.Spread
	if spread == 0 {
		return mean
	}
	return time.Duration(math.Round(float64(mean) * (1 - spread + spread*s.random.ExpFloat64())))
}

// answered counts a command.
func (s *sim) answered(took time.Duration) {
	if s.clock.now <= s.from {
		return
	}
	s.result.Commands++
	// Clamped to what the histogram takes, so it cannot fail.
	_ = s.result.Latency.RecordValue(min(max(int64(took), shortest), longest))
}

// committed counts a batch.
func (s *sim) committed(flight, blocked time.Duration) {
	if s.clock.now <= s.from {
		return
	}
	s.result.Commits++
	s.flight += flight
	s.blocked += blocked
}
