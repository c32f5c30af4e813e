// SPDX-License-Identifier: Apache-2.0

package classify

// Retryability orders classes by how readily a call is made again. The more
// readily, the greater:
//
//	7  TRANSIENT, PRESSURE  on the same target, after a wait
//	6  QUALITY              on another provider, here only if the policy allows
//	5  PERSISTENT           on another provider only
//	4  UNKNOWN              kept, and a person is told
//	3  UNRECOVERABLE        a person decides
//	2  DETERMINISTIC        not at all; the caller must change the call
//	1  ABORTED              not at all; nobody wants it any more
//	0  OK, PARTIAL          nothing to make again; items have their own class
func (c Class) Retryability() int {
	switch c {
	case Transient, Pressure:
		return 7
	case Quality:
		return 6
	case Persistent:
		return 5
	case Unknown:
		return 4
	case Unrecoverable:
		return 3
	case Deterministic:
		return 2
	case Aborted:
		return 1
	case OK, Partial, ClassUnspecified:
	}
	return 0
}

// Retryability is that of the class, but for a quota that is gone: it leads to
// another provider only, as PERSISTENT does.
func (v Verdict) Retryability() int {
	if v.Reason == ReasonQuotaExhausted {
		return Persistent.Retryability()
	}
	return v.Class.Retryability()
}

// applyHint lets the caller's hint replace class, reason and disposition. A
// hint that changes nothing, that is no class of one call, or that is more
// retryable than the verdict without trust, is dropped.
func (v *Verdict) applyHint(hint Class, trusted bool) {
	rank := hint.Retryability()
	if rank == 0 || hint == v.Class || v.Class == OK {
		return
	}
	if !trusted && rank >= v.Retryability() {
		return
	}
	d := defaultsOf(hint)
	less := rank < v.Retryability()
	v.Class, v.Reason, v.Hinted = hint, d.Reason, true
	v.InProgress = false
	v.MayRetry = v.MayRetry && !less
	if less {
		v.Unprocessed = stricter(v.Unprocessed, d.Unprocessed)
	} else {
		v.Unprocessed = d.Unprocessed
	}
}

// stricter is the disposition that lets less happen by itself.
func stricter(a, b Disposition) Disposition {
	if strictness(a) > strictness(b) {
		return a
	}
	return b
}

func strictness(d Disposition) int {
	switch d {
	case DispositionRetryOnce:
		return 0
	case DispositionDeadLetter:
		return 1
	case DispositionManual:
		return 2
	case DispositionStop:
	}
	return 3
}

// defaultsOf is what a class means when nothing but the class is known.
func defaultsOf(c Class) Row {
	switch c {
	case OK:
		return Row{Reason: ReasonOK, Certainty: Processed, Effect: Success}
	case Transient:
		return Row{Reason: ReasonServerError, Certainty: Ambiguous, Effect: Failure}
	case Persistent:
		return Row{Reason: ReasonUnavailable, Certainty: Rejected, Effect: Neutral, Unprocessed: DispositionManual}
	case Quality:
		return Row{Reason: ReasonSemantic, Certainty: Processed, Effect: Failure, Unprocessed: DispositionStop}
	case Unrecoverable:
		return Row{Reason: ReasonNeedsInfo, Certainty: Processed, Effect: Success, Unprocessed: DispositionStop}
	case Pressure:
		return Row{Reason: ReasonOverloaded, Certainty: Rejected, Effect: Failure}
	case Deterministic:
		return Row{Reason: ReasonBadRequest, Certainty: Rejected, Effect: Neutral, Unprocessed: DispositionStop}
	case Aborted:
		return Row{Reason: ReasonCancelled, Certainty: Ambiguous, Effect: Neutral, Unprocessed: DispositionStop}
	case Unknown, Partial, ClassUnspecified:
	}
	return Row{Reason: ReasonUnknown, Certainty: Ambiguous, Effect: Failure, Unprocessed: DispositionManual}
}
