// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// Config says where the service is and how hard it is pressed.
type Config struct {
	// Addresses of the replicas, as clients reach them.
	Addresses []string
	Recorder  *history.Recorder
	// Name keeps the trial's runs, targets and requests apart from all others
	// on the same store.
	Name string
	Seed uint64
	// Stories is how many are begun in a second at most; each is about two and
	// a half calls.
	Stories int
	// Callers is how many clients there are.
	Callers int
}

// Traffic is the clients of one trial.
type Traffic struct {
	cfg    Config
	wires  []*wire
	forest *forest
	moods  map[string]*mood // by target with a breaker
	// recent is what was answered, payments and letters what must last, open
	// what has to be asked again.
	open, recent, payments, letters book

	watching sync.WaitGroup
	stop     context.CancelFunc
}

// Clients that are no callers, by number.
const (
	starter = -1 - iota
	turner
	settler
	watcher
)

// New makes the clients. Close ends them.
func New(cfg Config) (*Traffic, error) {
	t := &Traffic{cfg: cfg, moods: map[string]*mood{}}
	for _, address := range cfg.Addresses {
		w, err := dial(address, "robustness-"+cfg.Name)
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.wires = append(t.wires, w)
	}
	for i, target := range []string{"tool/probe1", "tool/probe2"} {
		t.moods[t.name(target)] = newMood(cfg.Seed + uint64(i))
	}
	return t, nil
}

// Close ends what the clients have open.
func (t *Traffic) Close() error {
	if t.stop != nil {
		t.stop()
	}
	t.watching.Wait()
	var all error
	for _, w := range t.wires {
		all = errors.Join(all, w.conn.Close())
	}
	return all
}

// Describe fills in what checks must know of the clients.
func (t *Traffic) Describe(s *history.Setup) {
	s.Slots = map[string]int{t.name("tool/slots"): slotLimit, t.name("tool/dial"): firstDial, t.name("tool/left"): leftLimit}
	s.Probes = map[string]int{t.name("tool/probe1"): 1, t.name("tool/probe2"): 2}
	s.Cooldown, s.ProbeLease, s.CallTime, s.Seed = cooldown, probeLease, callTime, t.cfg.Seed
	s.Replicas = len(t.wires)
}

// name is a name of this trial.
func (t *Traffic) name(what string) string { return what + "-" + t.cfg.Name }

// unique is an id of this trial.
func (t *Traffic) unique(what string, n int) string {
	return fmt.Sprintf("%s-%s-%d", what, t.cfg.Name, n)
}

// Start puts the policy in force, starts the first runs and begins to watch
// every replica.
func (t *Traffic) Start(ctx context.Context) error {
	c := t.caller(starter)
	c.apply(ctx, t.unique("policy-first", 0), firstDial)
	t.forest = newForest(t)
	if err := t.forest.grow(ctx, c); err != nil {
		return err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop = stop
	for replica := range t.wires {
		t.watching.Go(func() { t.watch(watch, replica) })
	}
	return ctx.Err()
}

// actor is one kind of client.
type actor struct {
	share int // of a hundred stories
	play  func(c *caller, ctx context.Context, id string)
}

func actors() []actor {
	return []actor{
		{36, (*caller).spend},
		{15, (*caller).slot},
		{12, (*caller).turned},
		{22, (*caller).probe},
		{5, (*caller).pay},
		{5, (*caller).write},
		{5, (*caller).plain},
	}
}

// Load makes calls until ctx ends, and returns when the last one has ended.
// Work is the trial's own context: what was begun goes on until it ends.
func (t *Traffic) Load(ctx, work context.Context) {
	stories := make(chan int, t.cfg.Callers)
	var all sync.WaitGroup
	all.Go(func() {
		defer close(stories)
		t.pace(ctx, stories)
	})
	all.Go(func() { t.turn(ctx, work) })
	for n := range leavers {
		all.Go(func() { t.caller(-10-n).leaveOften(ctx, work) })
	}
	for id := range t.cfg.Callers {
		all.Go(func() {
			c := t.caller(id)
			for n := range stories {
				c.draw().play(c, work, fmt.Sprintf("%s-%d", t.cfg.Name, n))
			}
		})
	}
	all.Wait()
}

// draw chooses what to do next.
func (c *caller) draw() actor {
	all := actors()
	at := c.random.IntN(100)
	for _, a := range all {
		if at -= a.share; at < 0 {
			return a
		}
	}
	return all[0]
}

// pace hands out stories at a bounded rate. Those that nobody takes are not
// made up for.
func (t *Traffic) pace(ctx context.Context, stories chan<- int) {
	const slice = 5 * time.Millisecond
	tick := time.NewTicker(slice)
	defer tick.Stop()
	begin, made, n := time.Now(), 0, 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		due := int(time.Since(begin).Seconds() * float64(t.cfg.Stories))
		for ; made < due; made++ {
			select {
			case stories <- n:
				n++
			default:
			}
		}
	}
}

// mood is how a target with a breaker fares: well and ill in turn.
type mood struct {
	mu     sync.Mutex
	random *rand.Rand
	ill    bool
	until  time.Time
}

func newMood(seed uint64) *mood {
	return &mood{random: rand.New(rand.NewPCG(seed, 99))}
}

// well reports whether a call of the target succeeds now.
func (m *mood) well() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.After(m.until) {
		m.ill = !m.ill
		m.until = now.Add(300*time.Millisecond + time.Duration(m.random.IntN(700))*time.Millisecond)
	}
	return !m.ill
}
