// SPDX-License-Identifier: Apache-2.0

package classify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule is an operator's own row. The first rule that matches decides, before
// the table. What a rule leaves open is taken from the table's first row with
// the same class and reason; if there is none, from the class:
//
//	class          reason          certainty  effect   unprocessed
//	OK             OK              PROCESSED  SUCCESS  –
//	TRANSIENT      SERVER_ERROR    AMBIGUOUS  FAILURE  DEAD_LETTER
//	PERSISTENT     UNAVAILABLE     REJECTED   NEUTRAL  MANUAL
//	QUALITY        SEMANTIC        PROCESSED  FAILURE  STOP
//	UNRECOVERABLE  NEEDS_INFO      PROCESSED  SUCCESS  STOP
//	PRESSURE       OVERLOADED      REJECTED   FAILURE  DEAD_LETTER
//	DETERMINISTIC  BAD_REQUEST     REJECTED   NEUTRAL  STOP
//	ABORTED        CANCELLED       AMBIGUOUS  NEUTRAL  STOP
//	UNKNOWN        UNKNOWN         AMBIGUOUS  FAILURE  MANUAL
//
// A rule that gives another certainty than the row takes the disposition of
// the class: the row's was for a call of which less, or more, is known.
// A failure of class QUALITY counts towards the quality streak, the reasons
// AUTH and FORBIDDEN towards the auth streak.
type Rule struct {
	// ID is returned as the verdict's rule.
	ID    string
	Match Match
	Class Class
	// Reason is upper snake case: one of the table or the operator's own.
	Reason    Reason
	Certainty Certainty
	// Effect and Unprocessed are nil where the default will do.
	Effect      *Effect
	Unprocessed *Disposition
	// Cooldown is how long to hold the target when it names no wait. Zero
	// leaves it to the reason: RATE_LIMITED_HARD and QUOTA_EXHAUSTED hold.
	Cooldown time.Duration
}

// Match says which signals a rule is about. All conditions that are given must
// hold; of a list, one entry must. A Match without a condition on the signal
// never matches.
type Match struct {
	HTTP []StatusRange
	// GRPC holds names of codes.
	GRPC []string
	MCP  []int
	// Exceptions holds kinds, compared by letters and digits, with or without
	// their package.
	Exceptions []string
	// BodyCodes are compared exactly.
	BodyCodes []string
	// Headers must all be there with that very value. Names are lower case.
	Headers map[string]string
	Quality []QualityVerdict
	// MessageContains looks into the free text, without regard to letter case.
	// Wording is no contract: prefer any other condition.
	MessageContains []string
	// Kinds narrows the rule to kinds of targets. It is no condition by itself.
	Kinds []string
}

// StatusRange is a range of HTTP statuses. Its ends belong to it.
type StatusRange struct{ From, To int }

// firstMatch is the first rule that is valid enough to decide and matches.
func firstMatch(s *Signal, c *Context, rules []Rule) *Rule {
	for i := range rules {
		r := &rules[i]
		if r.Match.matches(s, c) && r.usable() {
			return r
		}
	}
	return nil
}

// usable is what Classify itself relies on; Validate says more.
func (r *Rule) usable() bool {
	return r.ID != "" && ruleClass(r.Class) && (r.Reason == "" || upperSnake(string(r.Reason)))
}

// ruleClass tells whether a rule may give this class. PARTIAL is a batch's.
func ruleClass(c Class) bool {
	return c > ClassUnspecified && c <= Unknown && c != Partial
}

// matches tells whether every condition that is given holds.
func (m *Match) matches(s *Signal, c *Context) bool {
	if m.empty() || len(m.Kinds) > 0 && !slices.Contains(m.Kinds, c.Kind) {
		return false
	}
	return m.matchesStatus(s) && m.matchesText(s) &&
		holds(m.Quality, func(q QualityVerdict) bool { return q == s.Quality })
}

func (m *Match) matchesStatus(s *Signal) bool {
	return holds(m.HTTP, func(r StatusRange) bool {
		return s.HTTPStatus != 0 && s.HTTPStatus >= r.From && s.HTTPStatus <= r.To
	}) && holds(m.GRPC, func(code string) bool {
		return s.GRPCCode != "" && grpcName(code) == grpcName(s.GRPCCode)
	}) && holds(m.MCP, func(code int) bool { return code != 0 && code == s.MCPCode })
}

func (m *Match) matchesText(s *Signal) bool {
	for name, value := range m.Headers {
		if got, ok := s.Headers[name]; !ok || got != value {
			return false
		}
	}
	return holds(m.Exceptions, func(word string) bool { return sameKind(word, s.Exception) }) &&
		holds(m.BodyCodes, func(code string) bool { return code != "" && code == s.BodyCode }) &&
		holds(m.MessageContains, func(text string) bool {
			return text != "" && strings.Contains(strings.ToLower(s.Message), strings.ToLower(text))
		})
}

// holds tells whether a condition is not given or one of its entries is met.
func holds[T any](entries []T, met func(T) bool) bool {
	return len(entries) == 0 || slices.ContainsFunc(entries, met)
}

// empty tells whether the match has no condition on the signal.
func (m *Match) empty() bool {
	return len(m.HTTP)+len(m.GRPC)+len(m.MCP)+len(m.Exceptions)+len(m.BodyCodes)+
		len(m.Headers)+len(m.Quality)+len(m.MessageContains) == 0
}

// verdict is what the rule says, with defaults for what it leaves open.
func (r *Rule) verdict() Verdict {
	d := rowFor(r.Class, r.Reason)
	v := Verdict{
		Rule:        r.ID,
		Class:       r.Class,
		Reason:      r.Reason,
		Certainty:   r.Certainty,
		Effect:      d.Effect,
		Unprocessed: d.Unprocessed,
	}
	if v.Reason == "" {
		v.Reason = d.Reason
	}
	switch {
	case v.Certainty == CertaintyUnspecified:
		v.Certainty = d.Certainty
	case v.Certainty != d.Certainty:
		v.Unprocessed = defaultsOf(r.Class).Unprocessed
	}
	if r.Effect != nil {
		v.Effect = *r.Effect
	}
	if r.Unprocessed != nil {
		v.Unprocessed = *r.Unprocessed
	}
	v.QualityFailure = v.Class == Quality && v.Effect == Failure
	v.AuthFailure = v.Reason == ReasonAuth || v.Reason == ReasonForbidden
	v.Slow = v.Reason == ReasonSlow
	return v
}

// rowFor is the table's row for a class and reason, else the class's defaults.
func rowFor(c Class, reason Reason) Row {
	for i := range table {
		if table[i].Class == c && table[i].Reason == reason {
			return table[i]
		}
	}
	return defaultsOf(c)
}

// Validate says what is wrong with a rule, all of it at once, or nil. Rules
// that fail it do not belong into a policy.
func (r *Rule) Validate() error {
	var errs []error
	if r.ID == "" {
		errs = append(errs, errors.New("id is missing"))
	} else if r.ID == RuleReleased || slices.ContainsFunc(table[:], func(row Row) bool { return row.ID == r.ID }) {
		errs = append(errs, fmt.Errorf("id %q is taken by the built-in table", r.ID))
	}
	if !ruleClass(r.Class) {
		errs = append(errs, fmt.Errorf("class %s cannot be given by a rule", r.Class))
	}
	if r.Reason != "" && !upperSnake(string(r.Reason)) {
		errs = append(errs, fmt.Errorf("reason %q is not upper snake case", r.Reason))
	}
	if r.Certainty > Processed {
		errs = append(errs, fmt.Errorf("certainty %s is not known", r.Certainty))
	}
	if r.Effect != nil && *r.Effect > Failure {
		errs = append(errs, fmt.Errorf("effect %s is not known", *r.Effect))
	}
	if r.Unprocessed != nil && *r.Unprocessed > DispositionRetryOnce {
		errs = append(errs, fmt.Errorf("disposition %s is not known", *r.Unprocessed))
	}
	if r.Cooldown < 0 {
		errs = append(errs, errors.New("cooldown is negative"))
	}
	return errors.Join(append(errs, r.Match.problems()...)...)
}

// problems are the conditions that can never hold.
func (m *Match) problems() []error {
	var errs []error
	if m.empty() {
		errs = append(errs, errors.New("match has no condition on the signal"))
	}
	for _, r := range m.HTTP {
		if r.From < 100 || r.To > 599 || r.From > r.To {
			errs = append(errs, fmt.Errorf("HTTP statuses %d-%d are no range within 100-599", r.From, r.To))
		}
	}
	for _, code := range m.GRPC {
		if !knownGRPC(code) {
			errs = append(errs, fmt.Errorf("gRPC code %q is not known", code))
		}
	}
	for name := range m.Headers {
		if name == "" || name != strings.ToLower(name) {
			errs = append(errs, fmt.Errorf("header %q is not in lower case", name))
		}
	}
	texts := slices.Concat(m.BodyCodes, m.MessageContains)
	if slices.Contains(texts, "") || slices.ContainsFunc(m.Exceptions, func(w string) bool { return bare(w) == "" }) {
		errs = append(errs, errors.New("match has an empty text"))
	}
	for _, q := range m.Quality {
		if q == QualityNone || q > CostCommitment {
			errs = append(errs, fmt.Errorf("quality verdict %s is not known", q))
		}
	}
	return errs
}

// upperSnake tells whether a name is upper snake case: words of A-Z and 0-9,
// the first letter an A-Z, with one underscore between words.
func upperSnake(name string) bool {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
		case c >= '0' && c <= '9', c == '_':
			if i == 0 || c == '_' && (name[i-1] == '_' || i == len(name)-1) {
				return false
			}
		default:
			return false
		}
	}
	return name != ""
}
