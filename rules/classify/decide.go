// SPDX-License-Identifier: Apache-2.0

package classify

import "time"

// DefaultHardWait is how long a target is held whose 429 names no wait.
const DefaultHardWait = 60 * time.Second

// QuotaWait is how long a target is held whose quota is gone and that names no
// reset.
const QuotaWait = 15 * time.Minute

// Classify says what a signal means. The operator's rules come first, in their
// order, then the table; the package comment has the whole order. Rules that
// are not valid never match, see [Rule.Validate].
//
// Classify never panics, keeps nothing, changes none of its arguments and may
// be called from many goroutines.
func Classify(s Signal, c Context, custom []Rule) Verdict {
	if s.Outcome == OutcomeReleased {
		return released()
	}
	wire := readStatus(&s)
	w := readWait(&s, &c, wire)
	if r := firstMatch(&s, &c, custom); r != nil {
		v := r.verdict()
		v.applyWait(&s, &c, &w, r.Cooldown)
		return v
	}
	id, by := judge(&s, &c, wire, w.ok)
	v := id.verdict()
	v.InProgress = id == r19 && saysInProgress(s.BodyCode)
	v.MayRetry = by == byStatus && w.should == shouldRetry && !v.retriedAnyway()
	v.applyWait(&s, &c, &w, 0)
	v.applyHint(s.ClassHint, c.TrustHints)
	return v
}

// source is the part of a signal that decided.
type source uint8

const (
	byOutcome source = iota
	byQuality
	byCode
	byStatus
	byException
)

// judge finds the row of a signal. It is the order of the package comment from
// the cancelled outcome on.
func judge(s *Signal, c *Context, wire status, waits bool) (rowID, source) {
	if s.Outcome == OutcomeCancelled {
		return r27, byOutcome
	}
	kind := kindOf(s.Exception)
	if s.Quality != QualityNone && answered(wire, kind) {
		return qualityRow(s.Quality, c.RefusalIsPolicy), byQuality
	}
	if id, ok := codeRow(s, c, wire, waits); ok {
		return id, byCode
	}
	if wire == bad {
		return statusRow(s, c, waits), byStatus
	}
	vouched := wire == good && s.Outcome == OutcomeSuccess
	if kind != kindNone && !vouched {
		return exceptionRow(kind, phaseOf(s, wire)), byException
	}
	if s.Outcome == OutcomeSuccess || wire == good && s.Outcome != OutcomeFailure {
		if c.SlowFailsAfter > 0 && s.Duration >= c.SlowFailsAfter {
			return r02, byStatus
		}
		return r01, byStatus
	}
	return r42, byOutcome
}

// answered tells whether an answer came that can be good or bad. Without a
// status a verdict is proof enough, unless the transport says that none came.
func answered(wire status, kind kind) bool {
	switch wire {
	case good:
		return true
	case bad:
		return false
	case none:
	}
	switch kind {
	case kindNone, kindOther, kindLocal, kindMalformed:
		return true
	case kindTimeout, kindConnect, kindTransport, kindReset, kindStream,
		kindRefused, kindCertificate, kindCancelled:
		return false
	}
	return false
}

// phaseOf is the phase of an exception: a status is the beginning of an answer.
func phaseOf(s *Signal, wire status) Phase {
	if wire == good {
		return FirstByte
	}
	return s.Phase
}

// qualityRow maps a verdict on an answer. A verdict of a newer client is not
// known, and so the answer is not known to be good.
func qualityRow(q QualityVerdict, refusalIsPolicy bool) rowID {
	switch q {
	case SchemaViolation:
		return r32
	case HallucinatedTool, BadToolArgs:
		return r33
	case Refusal:
		if refusalIsPolicy {
			return r22
		}
		return r34
	case Empty:
		return r35
	case Truncated:
		return r35Truncated
	case SemanticFail:
		return r35Semantic
	case LowConfidence:
		return r36
	case NeedsInfo:
		return r36Info
	case NeedsAuthority:
		return r36Authority
	case AmbiguousTask:
		return r36Task
	case CostCommitment:
		return r36Cost
	case QualityNone:
	}
	return r42
}

// retriedAnyway tells whether the verdict is retried, or needs no retry,
// without the target's word for it.
func (v *Verdict) retriedAnyway() bool {
	switch v.Class {
	case OK, Transient, Aborted:
		return true
	case Pressure:
		return v.Reason != ReasonQuotaExhausted
	case ClassUnspecified, Persistent, Quality, Partial, Unrecoverable, Deterministic, Unknown:
	}
	return false
}

// applyWait adds what the target said about coming back. The hold is what a
// rule sets when the target named no wait.
func (v *Verdict) applyWait(s *Signal, c *Context, w *wait, hold time.Duration) {
	v.RawRetryAfter, v.RetryAfterSource = w.raw, w.source
	v.ParseErrors = w.errors
	v.NoRetry = w.should == shouldNotRetry
	if w.ok && !ignoresWait(v, s) {
		v.RetryAfter, v.HasRetryAfter, v.Clamped = w.d, true, w.clamped
		v.Cooldown = w.d
	}
	if v.Cooldown > 0 {
		return
	}
	switch {
	case hold > 0:
		v.Cooldown = hold
	case v.Reason == ReasonQuotaExhausted:
		v.Cooldown = QuotaWait
	case v.Reason == ReasonRateLimitedHard && c.HardWait > 0:
		v.Cooldown = c.HardWait
	case v.Reason == ReasonRateLimitedHard:
		v.Cooldown = DefaultHardWait
	}
}

// ignoresWait tells whether a wait beside this verdict asks for nothing.
func ignoresWait(v *Verdict, s *Signal) bool {
	if v.Class == Pressure {
		return false
	}
	h := s.HTTPStatus
	switch {
	case v.Class == OK:
		return h == 201 || h == 202 || h >= 300 && h < 400
	case h >= 400 && h < 500:
		return h != 408 && h != 425 && h != 429
	case h == 0 && (s.GRPCCode != "" || s.MCPCode != 0):
		return v.Class == Deterministic || v.Class == Persistent
	}
	return false
}
