// SPDX-License-Identifier: Apache-2.0

// Package distant makes a memory store behave like one that several processes
// share over a network: its transactions take time, may stall or fail, and
// its messages wake the other processes. Made inside a testing/synctest bubble
// it keeps the bubble's time.
package distant

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/memory"
)

// Config says how far away the store is. The zero Config is one lane and no
// distance.
type Config struct {
	// Lanes is how many transactions of one process run side by side.
	Lanes int
	// Latency is how long a transaction takes; a read takes half of it.
	Latency time.Duration
	// PerRecord is how much longer it takes for each record that it changes.
	PerRecord time.Duration
	// Locks holds the records that a transaction writes until it is over, so
	// that others wait for them. Without, only their order counts.
	Locks bool
}

// Net is one store and the processes that are connected to it. New makes one.
type Net struct {
	cfg   Config
	store *memory.Store

	mu      sync.Mutex
	members []*Store
	depths  map[statestore.Key]uint8 // at which each record was locked
	locks   map[statestore.Key]chan struct{}
}

// New returns a store that nobody is connected to.
func New(cfg Config) *Net {
	return &Net{cfg: cfg, store: memory.New(memory.Config{Lanes: cfg.Lanes}), depths: map[statestore.Key]uint8{}, locks: map[statestore.Key]chan struct{}{}}
}

// Connect returns the store as one process sees it.
func (n *Net) Connect() *Store {
	s := &Store{Store: n.store, net: n, messages: make(chan string, maxMessages), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members = append(n.members, s)
	return s
}

// maxMessages is how many messages wait for a process; further ones are lost.
const maxMessages = 256

// Store is the store as one process sees it. It is a statestore.Store and a
// statestore.Notifier.
type Store struct {
	statestore.Store
	net      *Net
	messages chan string
	closed   chan struct{}

	mu       sync.Mutex
	gate     chan struct{} // what begins waits for it, if it is there
	late     chan struct{} // what was committed is answered after it
	fail     error
	mute     bool
	shift    time.Duration
	told     int
	inFlight int
	most     int
	begun    int
	reads    int
}

var (
	_ statestore.Store    = (*Store)(nil)
	_ statestore.Notifier = (*Store)(nil)
)

// Stall holds up everything that begins from now on, until the returned
// function is called. A read gives up with its context.
func (s *Store) Stall() (resume func()) { return s.hold(&s.gate) }

// Delay holds up the answers of what is committed from now on, until the
// returned function is called.
func (s *Store) Delay() (resume func()) { return s.hold(&s.late) }

func (s *Store) hold(at *chan struct{}) func() {
	gate := make(chan struct{})
	s.mu.Lock()
	*at = gate
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		if *at == gate {
			*at = nil
		}
		s.mu.Unlock()
		close(gate)
	})
}

// Fail makes everything fail with an error before it changes anything, also
// what a stall holds up; nil ends that.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// Shift moves the clock that this process's transactions see, as after a
// failover to a server whose clock is another.
func (s *Store) Shift(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shift = by
}

// Mute loses all messages to this process.
func (s *Store) Mute() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = true
}

// Told is how many messages this process has sent.
func (s *Store) Told() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// Reads are how often this process has asked for a list.
func (s *Store) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Transactions are how many this process has begun, and how many of them ran
// side by side at most.
func (s *Store) Transactions() (begun, sideBySide int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun, s.most
}

// Update implements statestore.Store.
func (s *Store) Update(ctx context.Context, entries []*statestore.Entry, fn statestore.Func) error {
	s.net.order(entries)
	s.mu.Lock()
	s.begun++
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inFlight--
		s.mu.Unlock()
	}()
	if err := s.travel(ctx, s.net.cfg.Latency/2); err != nil {
		return err
	}
	defer s.net.lock(entries)()
	s.mu.Lock()
	shift := s.shift
	s.mu.Unlock()
	err := s.Store.Update(ctx, entries, func(now rules.Instant) (statestore.Durability, error) { return fn(now.Add(shift)) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	if late != nil {
		<-late
	}
	changed := 0
	for _, e := range entries {
		if e.Changed() {
			changed++
		}
	}
	time.Sleep(s.net.cfg.Latency/2 + time.Duration(changed)*s.net.cfg.PerRecord)
	return nil
}

// order panics if a record is locked at another depth than before: then two
// processes could wait for each other in a circle.
func (n *Net) order(entries []*statestore.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range entries {
		if e.Mode != statestore.Write {
			continue
		}
		if before, seen := n.depths[e.Key]; seen && before != e.Depth {
			panic(fmt.Sprintf("distant: %+v is locked at depth %d and was at depth %d", e.Key, e.Depth, before))
		}
		n.depths[e.Key] = e.Depth
	}
}

// lock takes the records that are written, in the order of all, and returns what
// lets go of them.
func (n *Net) lock(entries []*statestore.Entry) (unlock func()) {
	if !n.cfg.Locks {
		return func() {}
	}
	sorted := slices.Clone(entries)
	statestore.Sort(sorted)
	var taken []chan struct{}
	for _, e := range sorted {
		if e.Mode != statestore.Write {
			continue
		}
		n.mu.Lock()
		lock := n.locks[e.Key]
		if lock == nil {
			lock = make(chan struct{}, 1)
			n.locks[e.Key] = lock
		}
		n.mu.Unlock()
		lock <- struct{}{}
		taken = append(taken, lock)
	}
	return func() {
		for _, lock := range taken {
			<-lock
		}
	}
}

// travel is the way to the store.
func (s *Store) travel(ctx context.Context, latency time.Duration) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		return fmt.Errorf("distant: %w", fail)
	}
	if latency > 0 {
		time.Sleep(latency)
	}
	return nil
}

// Get implements statestore.Store.
func (s *Store) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	if err := s.travel(ctx, s.net.cfg.Latency/2); err != nil {
		return nil, 0, err
	}
	return s.Store.Get(ctx, key)
}

// List implements statestore.Store.
func (s *Store) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	s.mu.Lock()
	s.reads++
	s.mu.Unlock()
	if err := s.travel(ctx, s.net.cfg.Latency/2); err != nil {
		return statestore.Page{}, err
	}
	return s.Store.List(ctx, q)
}

// Due implements statestore.Store.
func (s *Store) Due(ctx context.Context, q statestore.DueQuery) ([]statestore.DueKey, error) {
	if err := s.travel(ctx, s.net.cfg.Latency/2); err != nil {
		return nil, err
	}
	return s.Store.Due(ctx, q)
}

// Count implements statestore.Store.
func (s *Store) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	if err := s.travel(ctx, s.net.cfg.Latency/2); err != nil {
		return 0, err
	}
	return s.Store.Count(ctx, kind, namespace)
}

// Now implements statestore.Store.
func (s *Store) Now(ctx context.Context) (rules.Instant, error) {
	if err := s.travel(ctx, 0); err != nil {
		return 0, err
	}
	return s.Store.Now(ctx)
}

// Notify implements statestore.Notifier.
func (s *Store) Notify(message string) {
	s.mu.Lock()
	s.told++
	s.mu.Unlock()
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	for _, other := range s.net.members {
		if other != s {
			other.hear(message)
		}
	}
}

// Lose tells this process that messages were lost.
func (s *Store) Lose() { s.hear("") }

func (s *Store) hear(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mute {
		return
	}
	select {
	case <-s.closed:
		return
	default:
	}
	select {
	case s.messages <- message:
	default:
	}
}

// Notifications implements statestore.Notifier.
func (s *Store) Notifications() <-chan string { return s.messages }

// Close ends this process's connection. The records stay.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
		close(s.messages)
	}
	return nil
}
