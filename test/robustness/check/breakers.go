// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/resilienced/resilienced/test/robustness/history"
)

// sight is a generation of a breaker as an answer showed it.
type sight struct {
	history.Event
	generation uint64
	since      time.Duration // the moment that it shows is not before
	first      bool          // no other report of the permit went out before its answer
}

// sights are what answers showed of a target's breaker: reports by its state
// afterwards, grants by the permit's.
func (s *story) sights(target string) []sight {
	var all []sight
	for _, q := range s.requests {
		if q.first().Target != target {
			continue
		}
		if g, granted := q.grant(); granted {
			from, _ := q.began()
			all = append(all, sight{g, g.Generation, from, true})
		}
		for i, e := range q.reports {
			if e.Outcome == history.OK && e.State != "" {
				all = append(all, sight{e, e.Generation, e.Call, q.alone(i)})
			}
		}
	}
	return all
}

// alone reports whether a report's answer is its own, and not that to another
// one of the permit.
func (q *request) alone(i int) bool {
	for j, e := range q.reports {
		if j != i && e.Outcome != history.Refused && e.Call < q.reports[i].Return {
			return false
		}
	}
	return true
}

// checkGenerations holds what answers showed against each other (B2, B3).
func checkGenerations(s *story, r *Result) {
	opened := 0
	for target := range s.Setup.Probes {
		all := s.sights(target)
		r.Checked += len(all)
		states := map[uint64]string{}
		for _, v := range all {
			if v.RPC != history.Report {
				continue
			}
			if known := states[v.generation]; known != "" && known != v.State {
				r.violated("B3: %s: generation %d is %s and %s", target, v.generation, known, v.State)
			}
			states[v.generation] = v.State
			if v.Opened {
				opened++
			}
		}
		for _, v := range all {
			if v.RPC != history.Acquire {
				continue
			}
			switch state := states[v.generation]; {
			case state == "OPEN":
				r.violated("B2: %s: granted at %v in generation %d, which is open", target, v.Return, v.generation)
			case state == "HALF_OPEN" && !v.Probe:
				r.violated("B1: %s: granted at %v in half-open generation %d, and it is no probe", target, v.Return, v.generation)
			}
		}
		checkOrder(r, target, all)
	}
	r.Note = fmt.Sprintf("%d trips", opened)
}

// checkOrder looks for an answer that shows an older generation than one that
// was known before its call, or a vote of an older one.
func checkOrder(r *Result, target string, all []sight) {
	byReturn := slices.SortedFunc(slices.Values(all), func(a, b sight) int { return cmp.Compare(a.Return, b.Return) })
	byStart := slices.SortedFunc(slices.Values(all), func(a, b sight) int { return cmp.Compare(a.since, b.since) })
	newest, next := uint64(0), 0
	for _, v := range byStart {
		for next < len(byReturn) && byReturn[next].Return < v.since {
			newest = max(newest, byReturn[next].generation)
			next++
		}
		if v.generation < newest {
			r.violated("B3: %s: %s shows generation %d at %v, %d was known before", target, v.RPC, v.generation, v.Return, newest)
		}
		if v.RPC == history.Report && v.Counted && v.Use != history.Unused && v.Granted != 0 && v.Granted < newest && v.first {
			r.violated("B3: %s: a report of generation %d voted at %v, %d was known before", target, v.Granted, v.Return, newest)
		}
	}
}

// checkTrips measures how long it takes until a trip is seen by the watchers of
// each replica. A watcher that was cut off has until its next state.
func checkTrips(s *story, r *Result) {
	seen := map[string][]history.Event{} // by target
	watched := map[int]bool{}
	for _, e := range s.Of(history.Watch) {
		watched[e.Replica] = true
		seen[e.Target] = append(seen[e.Target], e)
	}
	var calm, storm []time.Duration
	from, to := s.Phase(history.Storm)
	for _, q := range s.requests {
		told, ok := q.told()
		if !ok || !told.Opened || s.Setup.Probes[told.Target] == 0 || q.reports[0].Call != told.Call {
			continue
		}
		inStorm := to > 0 && told.Return >= from && told.Call <= to+recovery
		for replica := range watched {
			r.Checked++
			after, ok := latency(seen[told.Target], replica, told)
			switch {
			case !ok && s.end-told.Return < tripSeen: // the trial ended
			case !ok:
				r.violated("B2: %s: the trip of generation %d at %v was never seen on replica %d", told.Target, told.Generation, told.Return, replica)
			case inStorm:
				storm = append(storm, after)
			case after > tripSeen:
				r.violated("B2: %s: the trip of generation %d at %v was seen on replica %d after %v", told.Target, told.Generation, told.Return, replica, after)
			default:
				calm = append(calm, after)
			}
		}
	}
	r.Note = fmt.Sprintf("trips seen on every replica: p50 %v, p99 %v, longest %v of %d; under faults p99 %v, longest %v of %d",
		quantile(calm, 50), quantile(calm, 99), quantile(calm, 100), len(calm), quantile(storm, 99), quantile(storm, 100), len(storm))
	if half := quantile(calm, 50); s.Setup.TripTime > 0 && len(calm) >= 10 && half > s.Setup.TripTime {
		r.violated("B2: half of the trips are seen on the other replicas after %v or more, promised is %v", half, s.Setup.TripTime)
	}
}

// tripSeen is when a trip must have been seen at the latest, without a fault:
// a replica looks by itself every 5 s for what no message told it.
const tripSeen = 6 * time.Second

// latency is how long after its answer a trip was seen on a replica.
func latency(seen []history.Event, replica int, trip history.Event) (time.Duration, bool) {
	for _, e := range seen {
		if e.Replica == replica && e.Generation >= trip.Generation {
			return max(e.Return-trip.Return, 0), true
		}
	}
	return 0, false
}

// quantile is the value that so many of a hundred do not exceed.
func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)*percent/100, len(all)-1)].Round(10 * time.Microsecond)
}
