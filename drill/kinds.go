// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"slices"
)

// kind is one of the six kinds of failure that an agent meets.
type kind string

const (
	transient     kind = "transient"
	persistent    kind = "persistent"
	quality       kind = "quality"
	partial       kind = "partial"
	unrecoverable kind = "unrecoverable"
	rateOrCost    kind = "rate/cost"
)

// sightings are the patterns that fired, by what happened and not by the names
// of scenarios. A pattern counts if the answer showed it and the step expected
// the field that shows it.
type sightings struct {
	fired   map[kind][]Pattern
	retried map[string]bool // operations that were told to retry
}

func newSightings() *sightings {
	return &sightings{fired: make(map[kind][]Pattern), retried: make(map[string]bool)}
}

// kinds returns the six kinds in their order.
func (s *sightings) kinds() []KindReport {
	var all []KindReport
	for _, k := range []kind{transient, persistent, quality, partial, unrecoverable, rateOrCost} {
		all = append(all, KindReport{string(k), s.fired[k]})
	}
	return all
}

// add takes over what was seen in a scenario that passed.
func (s *sightings) add(id string, from *sightings) {
	for k, patterns := range from.fired {
		for _, p := range patterns {
			at := s.pattern(k, p.Name)
			at.Drills = append(at.Drills, id)
		}
	}
}

// pattern returns the entry of a pattern, a new one if it was not there.
func (s *sightings) pattern(k kind, name string) *Pattern {
	i := slices.IndexFunc(s.fired[k], func(p Pattern) bool { return p.Name == name })
	if i < 0 {
		i = len(s.fired[k])
		s.fired[k] = append(s.fired[k], Pattern{Name: name})
	}
	return &s.fired[k][i]
}

// note looks at the answers of one step that went as expected.
func (s *sightings) note(st step, events []event) {
	expected := func(field string) bool { return expects(st, field) }
	if st.verb == "burst" {
		expected = func(field string) bool {
			if field == "decision" {
				return expects(st, "granted")
			}
			return expects(st, "actions") && (field == "action" || field == "reason")
		}
	}
	for _, e := range events {
		switch e.verb {
		case "report":
			s.noteReport(e, expected)
		case "acquire":
			s.noteAcquire(e, expected)
		case "breaker", "set_breaker":
			s.noteBreaker(e, expected)
		case "batch_report":
			s.noteBatch(e, expected)
		case "esc_wait", "esc_decide":
			s.noteEscalation(e, expected)
		}
	}
}

func (s *sightings) noteReport(e event, expected func(string) bool) {
	class, action := e.answer.text("class"), e.answer.text("action")
	if e.answer.flag("opened") && expected("opened") {
		s.pattern(opened(class == "QUALITY"), "breaker opened")
	}
	if class == "OK" && s.retried[e.operation] && (expected("action") || expected("class")) {
		s.pattern(transient, "RETRY with backoff, then success")
	}
	if !expected("action") {
		return
	}
	switch {
	case action == "ESCALATE":
		s.pattern(unrecoverable, "ESCALATE to a person")
	case class == "TRANSIENT" && action == "RETRY" && e.answer.number("delay_ms") > 0:
		s.pattern(transient, "RETRY with backoff")
		s.retried[e.operation] = true
	case (class == "TRANSIENT" || class == "PERSISTENT") && action == "FALLBACK":
		s.pattern(persistent, "FALLBACK to another target")
	case class == "PERSISTENT" && action == "DEAD_LETTER", class == "TRANSIENT" && action == "DEAD_LETTER" && e.answer.text("retry_denied") != "":
		s.pattern(persistent, "DEAD_LETTER when no retry is left")
	case class == "QUALITY" && action == "FALLBACK":
		s.pattern(quality, "FALLBACK to another target")
	case class == "PRESSURE" && action == "FALLBACK":
		s.pattern(rateOrCost, "FALLBACK to another level")
	case class == "PRESSURE" && action == "RETRY":
		s.pattern(rateOrCost, "RETRY after the wait that was asked for")
	}
}

// opened is the kind of failure that an open breaker answers.
func opened(forQuality bool) kind {
	if forQuality {
		return quality
	}
	return persistent
}

func (s *sightings) noteAcquire(e event, expected func(string) bool) {
	if !expected("reason") {
		return
	}
	decision, reason := e.answer.text("decision"), e.answer.text("reason")
	switch {
	case reason == "BREAKER_OPEN" && decision != "GRANTED":
		s.pattern(persistent, "refused at once with BREAKER_OPEN")
	case reason == "COOLDOWN" && decision == "WAIT":
		s.pattern(rateOrCost, "the fleet waits (COOLDOWN)")
	case reason == "RUN_BUDGET" && decision == "DENIED":
		s.pattern(rateOrCost, "no grant above the cap (RUN_BUDGET)")
	case reason == "RUN_EXHAUSTED" && decision == "DENIED":
		s.pattern(rateOrCost, "hard stop (RUN_EXHAUSTED)")
	case reason == "COST_PRESSURE" && decision == "GRANTED":
		s.pattern(rateOrCost, "a cheaper level (COST_PRESSURE)")
	}
}

func (s *sightings) noteBreaker(e event, expected func(string) bool) {
	if e.answer.text("state") == "OPEN" && (expected("state") || expected("cause")) {
		s.pattern(opened(e.answer.text("cause") == "QUALITY"), "breaker opened")
	}
}

func (s *sightings) noteBatch(e event, expected func(string) bool) {
	for _, p := range []struct{ field, name string }{
		{"committed", "successes committed"},
		{"retry", "only the failed slice retried"},
		{"dead_lettered", "fatal items dead-lettered"},
	} {
		if !absent(e.answer[p.field]) && expected(p.field) {
			s.pattern(partial, p.name)
		}
	}
}

func (s *sightings) noteEscalation(e event, expected func(string) bool) {
	switch state := e.answer.text("state"); {
	case !expected("state") && !expected("decision"):
	case state == "DEFAULTED":
		s.pattern(unrecoverable, "the default at the deadline")
	case state == "DECIDED":
		s.pattern(unrecoverable, "a person's decision")
	}
}
