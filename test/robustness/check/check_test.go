// SPDX-License-Identifier: Apache-2.0

package check

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

const ms = time.Millisecond

// tape is a history in the making.
type tape struct{ h *history.History }

func newTape() *tape {
	return &tape{&history.History{Setup: history.Setup{
		Replicas: 1, Slots: map[string]int{"slots": 2}, Probes: map[string]int{"probe": 1},
		Cooldown: time.Second, ProbeLease: time.Second, CallTime: time.Second, TripTime: 100 * ms,
	}}}
}

func (t *tape) add(e history.Event, from, to int) *tape {
	e.Call, e.Return = time.Duration(from)*ms, time.Duration(to)*ms
	t.h.Events = append(t.h.Events, e)
	return t
}

// tree starts a root with a cap of 1000 and a run below it with one of 600.
func (t *tape) tree() *tape {
	t.add(history.Event{RPC: history.StartRun, Runs: []string{"root"}, Amount: 1000, Outcome: history.OK}, 0, 0)
	return t.add(history.Event{RPC: history.StartRun, Runs: []string{"run", "root"}, Amount: 600, Outcome: history.OK}, 0, 0)
}

// jump makes the store's time jump while faults are there, up to 900.
func (t *tape) jump(from int) *tape {
	t.h.Setup.ClockJumps = true
	return t.add(history.Event{RPC: history.Phase, Name: history.Storm}, from, 900)
}

// crash takes the database away, from its beginning until it is back.
func (t *tape) crash(begins, gone, back int) *tape {
	return t.add(history.Event{RPC: history.Fault, Name: "failover", Crashed: time.Duration(begins) * ms, Replica: -1}, gone, back)
}

func spend(request string, amount int64) history.Event {
	return history.Event{
		RPC: history.Acquire, Request: request, Target: "money", Runs: []string{"run", "root"}, Amount: amount,
		Lease: 300 * ms, Operation: "o-" + request,
	}
}

func ok(e history.Event) history.Event {
	e.Outcome, e.Permit, e.Fence = history.OK, "p-"+e.Request, 7
	return e
}

func denied(e history.Event, reason string) history.Event {
	e.Outcome, e.Reason = history.Denied, reason
	return e
}

func unknown(e history.Event) history.Event {
	e.Outcome = history.Unknown
	return e
}

func hold(request, target string) history.Event {
	return history.Event{RPC: history.Acquire, Request: request, Operation: "o-" + request, Target: target, Lease: 300 * ms}
}

func tell(e history.Event, use history.Use, cost int64) history.Event {
	e.RPC, e.Use, e.Cost, e.Outcome, e.Gist = history.Report, use, cost, history.OK, "fine"
	return e
}

func reading(run string, s history.Sums) history.Event {
	return history.Event{RPC: history.GetRun, Runs: []string{run}, Outcome: history.OK, Sums: &s}
}

// probing is a call of the target with a breaker.
func probing(request string, generation uint64, probe bool) history.Event {
	e := ok(hold(request, "probe"))
	e.Generation, e.Probe = generation, probe
	return e
}

func voted(request string, granted, generation uint64, state string, opened, counted bool) history.Event {
	e := tell(hold(request, "probe"), history.Broken, 0)
	e.Granted, e.Generation, e.State, e.Opened, e.Counted = granted, generation, state, opened, counted
	return e
}

// cases are histories with what each check must find: the beginnings of its
// violations. What is not named must find nothing.
var cases = []struct {
	name string
	make func(t *tape)
	want map[string]string
}{
	{"money as it should be", func(t *tape) {
		t.tree().add(ok(spend("a", 400)), 10, 20).add(denied(spend("b", 300), "RUN_BUDGET"), 30, 40)
		t.add(tell(spend("a", 400), history.Priced, 100), 50, 60).add(ok(spend("c", 500)), 70, 80)
		t.add(reading("run", history.Sums{Spent: 100, Assumed: 500, Calls: 2}), 900, 901)
		t.add(reading("root", history.Sums{Spent: 100, Assumed: 500, Calls: 2}), 900, 901)
	}, nil},
	{"a grant past the cap", func(t *tape) {
		t.tree().add(ok(spend("a", 400)), 10, 20).add(ok(spend("b", 300)), 30, 40)
	}, map[string]string{"caps": "A1"}},
	{"a refusal of what fits", func(t *tape) {
		t.tree().add(ok(spend("a", 200)), 10, 20).add(denied(spend("b", 300), "RUN_BUDGET"), 30, 40)
	}, map[string]string{"caps": "A1", "liveness": ""}},
	{"a refusal for another reason", func(t *tape) {
		t.tree().add(ok(spend("a", 400)), 10, 20).add(denied(spend("b", 300), "COOLDOWN"), 30, 40)
	}, map[string]string{"caps": "A1"}},
	{"a refusal while one that fills the run is under way", func(t *tape) {
		t.tree().add(denied(spend("b", 300), "RUN_BUDGET"), 30, 40).add(ok(spend("a", 400)), 10, 90)
	}, nil},
	{"a refusal because of a call without an answer", func(t *tape) {
		t.tree().add(unknown(spend("a", 400)), 10, 20).add(denied(spend("b", 300), "RUN_BUDGET"), 30, 40)
		t.add(denied(spend("a", 400), "RUN_BUDGET"), 50, 60).add(ok(spend("c", 600)), 70, 80)
	}, nil},
	{"money of a lost permit that was granted again", func(t *tape) {
		t.tree().add(ok(spend("a", 400)), 10, 20).add(ok(spend("b", 400)), 5000, 5010)
	}, map[string]string{"caps": "A1"}},
	{"a report booked twice", func(t *tape) {
		t.tree().add(ok(spend("a", 400)), 10, 20).add(tell(spend("a", 400), history.Priced, 100), 50, 60)
		t.add(reading("run", history.Sums{Spent: 200, Calls: 1}), 900, 901)
	}, map[string]string{"balances": "A2"}},
	{"a reservation without an end", func(t *tape) {
		t.tree().add(ok(spend("a", 400)), 10, 20).add(reading("run", history.Sums{Reserved: 400, Calls: 1}), 900, 901)
	}, map[string]string{"balances": "A2"}},
	{"an answer that never came", func(t *tape) {
		t.tree().add(unknown(spend("a", 400)), 10, 20).add(reading("run", history.Sums{}), 900, 901)
	}, map[string]string{"balances": "E"}},
	{"a third holder", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20).add(ok(hold("c", "slots")), 30, 40)
	}, map[string]string{"slots": "D1"}},
	{"a third holder after a report", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20)
		t.add(tell(hold("a", "slots"), history.Priced, 0), 30, 90).add(ok(hold("c", "slots")), 31, 40)
	}, nil},
	{"a third holder after a lease", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20).add(ok(hold("c", "slots")), 300, 320)
	}, nil},
	{"a third holder while another renews its lease", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 100, 120)
		beat := hold("a", "slots")
		beat.RPC, beat.Outcome = history.Heartbeat, history.OK
		t.add(beat, 200, 210).add(ok(hold("c", "slots")), 350, 360)
	}, map[string]string{"slots": "D1"}},
	{"a third holder when the clock has jumped over a lease", func(t *tape) {
		t.jump(100).add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20).add(ok(hold("c", "slots")), 130, 140)
	}, nil},
	{"a third holder before the clock jumps", func(t *tape) {
		t.jump(100).add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20).add(ok(hold("c", "slots")), 30, 40)
	}, map[string]string{"slots": "D1"}},
	{"a refusal with a free slot", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(denied(hold("c", "slots"), "CONCURRENCY"), 30, 40)
	}, map[string]string{"slots": "D2"}},
	{"a slot that does not come back", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20).add(denied(hold("c", "slots"), "CONCURRENCY"), 1400, 1410)
	}, map[string]string{"slots": "D2"}},
	{"a slot of a lease that is over for less than a second", func(t *tape) {
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 10, 20).add(denied(hold("c", "slots"), "CONCURRENCY"), 1200, 1210)
	}, nil},
	{"a slot that is left to nobody while the service stands still", func(t *tape) {
		t.h.Setup.Ghost = 100 * ms
		left := unknown(hold("a", "slots"))
		left.Lease = 20 * time.Second
		t.add(left, 1000, 1150).add(ok(hold("b", "slots")), 4900, 4910).add(denied(hold("c", "slots"), "CONCURRENCY"), 5000, 5010)
		t.add(history.Event{RPC: history.Fault, Name: "replica stopped"}, 900, 2000)
	}, map[string]string{"slots": "D2"}},
	{"a slot that is left to nobody at any other time", func(t *tape) {
		t.h.Setup.Ghost = 100 * ms
		left := unknown(hold("a", "slots"))
		left.Lease = 20 * time.Second
		t.add(left, 1000, 1150).add(ok(hold("b", "slots")), 4900, 4910).add(denied(hold("c", "slots"), "CONCURRENCY"), 5000, 5010)
		t.add(history.Event{RPC: history.Fault, Name: "replica stopped", Replica: 1}, 900, 2000)
	}, nil},
	{"a limit that was lowered", func(t *tape) {
		t.add(history.Event{RPC: history.ApplyPolicy, Target: "slots", Limit: 1, Outcome: history.OK}, 1, 5)
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 30, 40)
	}, map[string]string{"slots": "D1"}},
	{"a limit that is being lowered", func(t *tape) {
		t.add(history.Event{RPC: history.ApplyPolicy, Target: "slots", Limit: 1, Outcome: history.Unknown}, 1, 5)
		t.add(ok(hold("a", "slots")), 10, 20).add(ok(hold("b", "slots")), 30, 40).add(denied(hold("c", "slots"), "CONCURRENCY"), 50, 60)
	}, nil},
	{"a second probe", func(t *tape) {
		t.add(probing("a", 5, true), 10, 20).add(probing("b", 5, true), 30, 40)
	}, map[string]string{"probes": "B1"}},
	{"a second probe when the clock has jumped over the lease of the first", func(t *tape) {
		t.jump(100).add(probing("a", 5, true), 10, 20).add(probing("b", 5, true), 130, 140)
	}, nil},
	{"a second probe before the clock jumps", func(t *tape) {
		t.jump(100).add(probing("a", 5, true), 10, 20).add(probing("b", 5, true), 30, 40)
	}, map[string]string{"probes": "B1"}},
	{"a second probe after the clock has jumped", func(t *tape) {
		t.jump(100).add(probing("a", 5, true), 910, 920).add(probing("b", 5, true), 930, 940)
	}, map[string]string{"probes": "B1"}},
	{"a probe of the next phase", func(t *tape) {
		t.add(probing("a", 5, true), 10, 20).add(probing("b", 7, true), 30, 40)
	}, nil},
	{"a probe that never comes back", func(t *tape) {
		t.add(probing("a", 5, true), 10, 20).add(denied(hold("b", "probe"), "PROBE_IN_FLIGHT"), 30, 40)
		t.add(denied(hold("c", "probe"), "PROBE_IN_FLIGHT"), 1500, 1510).add(probing("d", 9, false), 1600, 1610)
		t.add(probing("e", 9, false), 1600, 1610).add(probing("f", 9, false), 1600, 1610)
	}, map[string]string{"probes": "D2"}},
	{"a generation that goes back", func(t *tape) {
		t.add(probing("a", 7, false), 10, 20).add(probing("b", 5, false), 30, 40)
	}, map[string]string{"generations": "B3"}},
	{"a generation of two states", func(t *tape) {
		t.add(probing("a", 5, false), 1, 2).add(probing("b", 5, false), 1, 2)
		t.add(voted("a", 5, 6, "CLOSED", false, false), 10, 20).add(voted("b", 5, 6, "OPEN", true, false), 10, 20)
	}, map[string]string{"generations": "B3"}},
	{"a grant while open", func(t *tape) {
		t.add(probing("a", 5, false), 1, 2).add(voted("a", 5, 6, "OPEN", true, true), 10, 20).add(probing("b", 6, false), 30, 40)
	}, map[string]string{"generations": "B2"}},
	{"a vote of an older generation", func(t *tape) {
		t.add(probing("a", 5, false), 1, 2).add(probing("b", 5, false), 1, 2)
		t.add(voted("a", 5, 6, "OPEN", true, true), 10, 20).add(voted("b", 5, 6, "OPEN", false, true), 30, 40)
	}, map[string]string{"generations": "B3"}},
	{"a trip that one replica never learns of", func(t *tape) {
		t.add(history.Event{RPC: history.Watch, Target: "probe", Generation: 5}, 1, 1)
		t.add(probing("a", 5, false), 1, 2).add(voted("a", 5, 6, "OPEN", true, true), 10, 20)
		t.add(history.Event{RPC: history.Phase, Name: history.Calm}, 1, 9000)
	}, map[string]string{"trips": "B2"}},
	{"a trip that is seen at once", func(t *tape) {
		t.add(probing("a", 5, false), 1, 2).add(voted("a", 5, 6, "OPEN", true, true), 10, 20)
		t.add(history.Event{RPC: history.Watch, Target: "probe", Generation: 6}, 25, 25)
	}, nil},
	{"trips that are seen too late", func(t *tape) {
		for n := range 30 {
			at, generation := 1000*n, uint64(2*n+2)
			name := strconv.Itoa(n)
			t.add(probing(name, generation-1, false), at, at+1).add(voted(name, generation-1, generation, "OPEN", true, true), at+10, at+20)
			t.add(history.Event{RPC: history.Watch, Target: "probe", Generation: generation}, at+200, at+200)
		}
	}, map[string]string{"trips": "B2"}},
	{"a second permit for one request", func(t *tape) {
		other := ok(hold("a", "plain"))
		other.Permit, other.Fence = "q", 8
		t.add(ok(hold("a", "plain")), 10, 20).add(other, 30, 40)
	}, map[string]string{"repeats": "E3"}},
	{"a repeat refused", func(t *tape) {
		t.add(ok(hold("a", "plain")), 10, 20).add(denied(hold("a", "plain"), "OPERATION_IN_FLIGHT"), 30, 40)
	}, map[string]string{"repeats": "E3"}},
	{"a second permit after the first was given back", func(t *tape) {
		other := ok(hold("a", "plain"))
		other.Permit, other.Fence = "q", 8
		t.add(ok(hold("a", "plain")), 10, 20).add(tell(hold("a", "plain"), history.Unused, 0), 22, 25).add(other, 30, 40)
	}, nil},
	{"another answer to one report", func(t *tape) {
		other := tell(hold("a", "plain"), history.Priced, 1)
		other.Gist = "not at all"
		t.add(ok(hold("a", "plain")), 10, 20).add(tell(hold("a", "plain"), history.Priced, 1), 22, 25).add(other, 30, 40)
	}, map[string]string{"repeats": "E1"}},
	{"a payment made twice", func(t *tape) {
		first, second := ok(hold("a", "pay")), ok(hold("b", "pay"))
		first.Actor, second.Actor, second.Operation, second.Fence = history.Payer, history.Payer, first.Operation, 8
		t.add(first, 10, 20).add(second, 30, 40)
	}, map[string]string{"payments": "E3"}},
	{"a payment forgotten", func(t *tape) {
		first, again := ok(hold("a", "pay")), denied(hold("b", "pay"), "OPERATION_IN_FLIGHT")
		first.Actor, again.Actor, again.Operation = history.Payer, history.Payer, first.Operation
		paid := tell(first, history.Priced, 0)
		paid.Result = "r"
		t.add(first, 10, 20).add(paid, 22, 25).add(again, 30, 40)
	}, map[string]string{"payments": "F1"}},
	{"a letter lost", func(t *tape) {
		letter := tell(hold("a", "letter"), history.Broken, 0)
		letter.Digest, letter.Letter = "d", "l"
		t.add(ok(hold("a", "letter")), 10, 20).add(letter, 22, 25)
		t.add(history.Event{RPC: history.GetLetter, Letter: "l", Outcome: history.Denied}, 90, 91)
		t.add(history.Event{RPC: history.Phase, Name: history.Quiet}, 80, 100)
	}, map[string]string{"letters": "F1"}},
	{"a letter changed", func(t *tape) {
		letter := tell(hold("a", "letter"), history.Broken, 0)
		letter.Digest, letter.Letter = "d", "l"
		t.add(ok(hold("a", "letter")), 10, 20).add(letter, 22, 25)
		t.add(history.Event{RPC: history.GetLetter, Letter: "l", Digest: "e", Outcome: history.OK}, 90, 91)
	}, map[string]string{"letters": "F2"}},
	{"a lease revived", func(t *tape) {
		beat := hold("a", "plain")
		beat.RPC, beat.Outcome = history.Heartbeat, history.OK
		t.add(ok(hold("a", "plain")), 10, 20).add(beat, 1500, 1510)
	}, map[string]string{"leases": "D4"}},
	{"a lease lost early", func(t *tape) {
		beat := hold("a", "plain")
		beat.RPC, beat.Outcome = history.Heartbeat, history.Denied
		t.add(ok(hold("a", "plain")), 10, 20).add(beat, 100, 110)
	}, map[string]string{"leases": "D4"}},
	{"a lease that the clock has jumped over", func(t *tape) {
		beat := hold("a", "plain")
		beat.RPC, beat.Outcome = history.Heartbeat, history.Denied
		t.jump(90).add(ok(hold("a", "plain")), 10, 20).add(beat, 100, 110)
	}, nil},
	{"a lease lost before the clock jumps", func(t *tape) {
		beat := hold("a", "plain")
		beat.RPC, beat.Outcome = history.Heartbeat, history.Denied
		t.jump(200).add(ok(hold("a", "plain")), 10, 20).add(beat, 100, 110)
	}, map[string]string{"leases": "D4"}},
	{"a lease that a crash forgot", func(t *tape) {
		beat := hold("a", "plain")
		beat.RPC, beat.Outcome = history.Heartbeat, history.Denied
		t.crash(500, 600, 900).add(ok(hold("a", "plain")), 410, 420).add(beat, 650, 660)
	}, nil},
	{"a lease of before the last second", func(t *tape) {
		beat := hold("a", "plain")
		beat.RPC, beat.Outcome, beat.Lease = history.Heartbeat, history.Denied, 3*time.Second
		long := ok(hold("a", "plain"))
		long.Lease = 3 * time.Second
		t.crash(1500, 1600, 1900).add(long, 410, 420).add(beat, 1650, 1660)
	}, map[string]string{"leases": "D4"}},
	{"a slot that a crash forgot", func(t *tape) {
		beat := hold("a", "slots")
		beat.RPC, beat.Outcome = history.Heartbeat, history.Denied
		t.crash(500, 600, 900).add(ok(hold("a", "slots")), 410, 420).add(beat, 650, 660)
	}, map[string]string{"leases": "D4"}},
	{"a grant that a crash forgot, asked for again", func(t *tape) {
		other := ok(hold("a", "plain"))
		other.Permit, other.Fence = "q", 8
		t.crash(500, 600, 900).add(ok(hold("a", "plain")), 410, 420).add(other, 650, 660)
	}, nil},
	{"a grant after a crash, asked for again", func(t *tape) {
		other := ok(hold("a", "plain"))
		other.Permit, other.Fence = "q", 8
		t.crash(500, 600, 900).add(ok(hold("a", "plain")), 610, 620).add(other, 650, 660)
	}, map[string]string{"repeats": "E3"}},
	{"nothing but refusals", func(t *tape) {
		t.add(denied(hold("a", "plain"), "BREAKER_OPEN"), 10, 20)
	}, map[string]string{"liveness": "B4"}},
	{"a replica that does not come back", func(t *tape) {
		t.add(ok(hold("a", "plain")), 10, 20).add(history.Event{RPC: history.Fault, Name: "kill"}, 30, 40)
		t.add(history.Event{RPC: history.Phase, Name: history.Storm}, 20, 9000)
	}, map[string]string{"liveness": "I1"}},
	{"a breaker that stays open", func(t *tape) {
		t.add(ok(hold("a", "plain")), 10, 20).add(history.Event{RPC: history.Phase, Name: history.Quiet}, 30, 20000)
	}, map[string]string{"liveness": "B4"}},
	{"an internal error", func(t *tape) {
		broken := hold("a", "plain")
		broken.Outcome, broken.Reason = history.Failed, "INTERNAL"
		t.add(broken, 10, 20)
	}, map[string]string{"errors": "J6"}},
}

// TestChecks shows for each check that it finds what it is for, and nothing
// where there is nothing.
func TestChecks(t *testing.T) {
	caught := map[string]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tape := newTape()
			c.make(tape)
			for _, r := range All(tape.h) {
				want := c.want[r.Check]
				if found := strings.Join(r.Violations, "\n"); (found != "") != (want != "") || !strings.HasPrefix(found, want) {
					t.Errorf("%s found %q, want %q", r.Check, found, want)
				}
				if r.Undecided != "" {
					t.Errorf("%s: %s", r.Check, r.Undecided)
				}
				caught[r.Check] = caught[r.Check] || want != ""
			}
		})
	}
	for _, c := range Checks() {
		if !caught[c.Name] {
			t.Errorf("no case shows that %s can fail", c.Name)
		}
	}
}
