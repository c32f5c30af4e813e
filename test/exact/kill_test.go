// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKill kills the service again and again under load, and asks after every
// restart whether all that was acknowledged is there, and nothing happened
// twice. RESILIENCED_KILLS says how often.
func TestKill(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 5
	}
	kills = number(t, "RESILIENCED_KILLS", kills)
	l := newLoop(t, build(t, ""), seed(t))
	for n := 0; n < kills && l.whole(); n++ {
		// A test that runs into its end leaves the service running.
		if end, ok := t.Deadline(); ok && time.Until(end) < 2*roundTime {
			t.Fatalf("no time left after %d kills: raise -timeout or lower RESILIENCED_KILLS", l.kills)
		}
		l.round(t.Context(), n, true)
	}
	if l.whole() {
		l.round(t.Context(), kills, false)
	}
	t.Log(l)
	for _, b := range l.broken.found() {
		t.Error(b)
	}
	if why := l.void(); why != "" && kills >= 20 && !t.Failed() {
		t.Errorf("void: too little of what this test is about has happened: %s", why)
	}
}

// TestKillFindsAckBeforeCommit shows that the loop can fail: it must find a
// store that lets answers out before their commit, by what is missing.
func TestKillFindsAckBeforeCommit(t *testing.T) {
	const most = 10
	l := newLoop(t, build(t, "mutant_ack_before_commit"), seed(t))
	missing := regexp.MustCompile(`^(A2|B3|E1|E3|F1|G7):`)
	for n := range most {
		l.round(t.Context(), n, true)
		if i := slices.IndexFunc(l.broken.found(), missing.MatchString); i >= 0 {
			t.Logf("found after %d kills: %s", l.kills, l.broken.found()[i])
			return
		}
		l.broken.forget()
	}
	t.Log(l)
	t.Errorf("%d kills of a service that answers before the commit, and nothing was missing", l.kills)
}

// loop is a service that is killed and started again, and its callers.
type loop struct {
	binary, dir string
	seed        uint64
	broken      *broken
	process     *process
	kills       int

	crowd     *crowd
	money     *spender
	slots     *holder
	probes    *holder
	letters   *writer
	payer     *payer
	operator  *operator
	repeaters []*repeater
}

// The callers of each kind; the rest of them spend money.
const (
	slotCallers   = 12
	probeCallers  = 8
	letterCallers = 4
	payCallers    = 4
	repeatCallers = 4
)

func newLoop(t *testing.T, binary string, seed uint64) *loop {
	t.Helper()
	b := &broken{}
	l := &loop{binary: binary, dir: t.TempDir(), seed: seed, broken: b}
	l.crowd = &crowd{
		books: newPurses(b), seed: seed, recent: &log[*entry]{}, gone: func() bool { return l.process.killed.Load() },
		lease: func(r *rand.Rand) time.Duration { return time.Duration(1+r.IntN(5)) * time.Second },
		hold:  func(r *rand.Rand) time.Duration { return time.Duration(r.IntN(10)) * time.Millisecond },
	}
	l.money = &spender{l.crowd, dice(seed, -1)}
	l.slots = &holder{books: newPermits(b, "tool/slots", "D1", 5), marks: newGenerations(b, "tool/slots")}
	l.probes = &holder{books: newPermits(b, "tool/probe", "B1", 1), marks: newGenerations(b, "tool/probe"), probe: true}
	l.letters, l.payer = &writer{random: dice(seed, -2)}, &payer{}
	l.operator = &operator{crowd: l.crowd, marks: newGenerations(b, forced)}
	for n := range repeatCallers {
		l.repeaters = append(l.repeaters, &repeater{operation: "again-" + strconv.Itoa(n)})
	}
	t.Cleanup(l.kill)
	return l
}

// kill ends the service that runs, if one does.
func (l *loop) kill() {
	if l.process != nil {
		l.process.kill()
	}
}

// roundTime is long enough for any round; a service that hangs is found by it.
const roundTime = 30 * time.Second

// whole reports whether nothing is broken so far.
func (l *loop) whole() bool { return len(l.broken.found()) == 0 }

// round is one life of the service: it starts, everything is settled, callers
// press it, and it is killed.
func (l *loop) round(ctx context.Context, n int, press bool) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	random := dice(l.seed, n)
	if n%8 == 7 { // killed while it starts
		if _, err := launch(ctx, l.binary, l.dir, time.Duration(random.IntN(80))*time.Millisecond); err != nil {
			l.broken.add("E", "the service does not start: %v", err)
		}
		l.kills++
	}
	p, err := launch(ctx, l.binary, l.dir, -1)
	if l.process = p; err != nil {
		l.broken.add("F1", "the service does not start after %d kills: %v", l.kills, err)
		l.kill()
		return
	}
	s := newService(l.broken, p)
	l.crowd.system = newRemote(p.conn)
	if n == 0 {
		if err := l.start(ctx); err != nil {
			l.broken.add("E", "StartRun failed: %v", err)
		}
	}
	l.settle(ctx, s)
	if press && l.whole() {
		l.press(ctx, s, n, time.Duration(20+random.IntN(400))*time.Millisecond)
	}
	p.kill()
	l.kills++
	if len(p.faults) > 0 {
		l.broken.add("E", "the service logged %s", p.faults[0])
	}
}

func (l *loop) start(ctx context.Context) error {
	l.crowd.books.add("root", "", 2*runLimit)
	return l.crowd.system.start(ctx, "root", "", 2*runLimit)
}

// settle lets every actor ask again, side by side but for the operator.
func (l *loop) settle(ctx context.Context, s *service) {
	l.operator.settle(ctx, s)
	var all sync.WaitGroup
	for _, a := range l.actors() {
		all.Go(func() { a.settle(ctx, s) })
	}
	all.Wait()
}

func (l *loop) actors() []actor {
	all := []actor{l.money, l.slots, l.probes, l.letters, l.payer}
	for _, r := range l.repeaters {
		all = append(all, r)
	}
	return all
}

// press lets the callers work for a while and then kills the service.
func (l *loop) press(ctx context.Context, s *service, round int, long time.Duration) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	caller := 0
	work := func(a actor, callers int) {
		for range callers {
			random, id := dice(l.seed, round, caller), caller
			caller++
			all.Go(func() {
				for n := 0; !s.process.killed.Load(); n++ {
					a.work(ctx, s, random, fmt.Sprintf("%d-%d-%d", round, id, n))
				}
			})
		}
	}
	work(l.slots, slotCallers)
	work(l.probes, probeCallers)
	work(l.letters, letterCallers)
	work(l.payer, payCallers)
	work(l.operator, 1)
	for _, r := range l.repeaters {
		work(r, 1)
	}
	work(l.money, callers-caller)
	timer := time.NewTimer(long)
	defer timer.Stop()
	<-timer.C
	s.process.kill()
	stop()
	all.Wait()
	l.crowd.cancels.Wait()
}

// void says what has hardly happened that this test is about.
func (l *loop) void() string {
	var missing []string
	for what, n := range map[string]int{
		"grants of money": l.crowd.books.seen.granted / 10, "refusals": l.crowd.books.seen.overBudget,
		"lost answers": l.crowd.books.seen.unknown / 10, "slots": l.slots.books.granted, "probes": l.probes.books.granted * 10,
		"openings": len(l.probes.marks.opened) * 20, "fences": l.repeaters[0].granted, "letters": len(l.letters.kept),
	} {
		if n < l.kills {
			missing = append(missing, what)
		}
	}
	if l.slots.books.most < l.slots.books.limit {
		missing = append(missing, "slots taken at once")
	}
	return strings.Join(missing, ", ")
}

// String sums up what happened.
func (l *loop) String() string {
	return fmt.Sprintf("%d kills; money %+v; slots: %d, at most %d at once; %d probes, %d openings; %d letters; %d fences of one operation",
		l.kills, l.crowd.books.seen, l.slots.books.granted, l.slots.books.most, l.probes.books.granted, len(l.probes.marks.opened),
		len(l.letters.kept), l.repeaters[0].granted)
}

// spender is the crowd as an actor.
type spender struct {
	*crowd
	random *rand.Rand
}

func (s *spender) work(ctx context.Context, _ *service, random *rand.Rand, name string) {
	s.call(ctx, random, name)
}

// samples is how many answered requests are asked again after a restart.
const samples = 100

// settle asks again for what was not answered, and for some of what was; then
// all balances must be what the books say.
func (s *spender) settle(ctx context.Context, _ *service) {
	s.resolve(ctx)
	recent := s.recent.take()
	for range min(samples, len(recent)) {
		e := recent[s.random.IntN(len(recent))]
		if e.tell.use != unused { // what was given back is decided anew
			s.acquire(ctx, e)
		}
		if e.told {
			s.report(ctx, e, e.tell)
		}
	}
	for _, run := range append([]string{"root"}, s.leaves...) {
		s.books.compare(run, s.balance(ctx, run), true)
	}
}
