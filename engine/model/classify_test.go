// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"time"
)

// verdict is the model's reading of one row of the table.
type verdict struct {
	row, class, reason string
	certainty          string // NOT_SENT, REJECTED, AMBIGUOUS, PROCESSED
	vote               byte   // F, S, N
	quality, auth      bool
	retryAfter         time.Duration // -1: none
	cooldown           time.Duration
	disposition        string // of a non-idempotent call that was not processed: AUTO, MANUAL, STOP, ONCE
	running            bool   // R19 with a code that says "in progress"
}

func (s signal) success() bool {
	return !s.Cancelled && (s.HTTP >= 200 && s.HTTP < 300 || s.HTTP == 0 && s.GRPC == "OK")
}

// read is the table of semantics §2.2 for the signals of drills.
func (s signal) read(kind string, slowFails, duration time.Duration) verdict {
	v := s.row(kind)
	if v.row == "R01" && duration >= slowFails {
		v = verdict{row: "R02", class: "OK", reason: "SLOW", certainty: "PROCESSED", vote: 'F'}
	}
	v.retryAfter = -1
	if s.RetryAfter != nil && s.obeyed(v) {
		v.retryAfter = *s.RetryAfter
		v.cooldown = *s.RetryAfter
	}
	if v.cooldown == 0 {
		switch v.reason {
		case "QUOTA_EXHAUSTED":
			v.cooldown = 15 * time.Minute
		case "RATE_LIMITED_HARD":
			v.cooldown = time.Minute
		}
	}
	return v
}

// obeyed: a Retry-After on a 4xx other than 429, 408 and 425 is ignored, but
// for what is PRESSURE anyway.
func (s signal) obeyed(v verdict) bool {
	client := s.HTTP >= 400 && s.HTTP < 500 && s.HTTP != 429 && s.HTTP != 408 && s.HTTP != 425
	return v.class == "PRESSURE" || !client
}

func (s signal) row(kind string) verdict {
	switch {
	case s.Cancelled:
		return verdict{row: "R27", class: "ABORTED", reason: "CANCELLED", certainty: "AMBIGUOUS", vote: 'N'}
	case s.Quality != "":
		return qualityRow(s.Quality)
	case s.Code != "":
		if v, ok := s.codeRow(); ok {
			return v
		}
	}
	switch {
	case s.HTTP != 0:
		return s.httpRow(kind)
	case s.GRPC != "":
		return s.grpcRow(kind)
	}
	switch s.Exc {
	case "timeout":
		return transient("R25", "TIMEOUT")
	case "connect", "dns":
		return verdict{row: "R28", class: "TRANSIENT", reason: "CONNECT", certainty: "NOT_SENT", vote: 'F', disposition: "AUTO"}
	case "reset":
		return transient("R29", "RESET")
	case "refused_stream":
		return verdict{row: "R30", class: "TRANSIENT", reason: "REFUSED", certainty: "NOT_SENT", vote: 'N', disposition: "ONCE"}
	}
	return verdict{row: "R42", class: "UNKNOWN", reason: "UNKNOWN", certainty: "AMBIGUOUS", vote: 'F'}
}

func transient(row, reason string) verdict {
	return verdict{row: row, class: "TRANSIENT", reason: reason, certainty: "AMBIGUOUS", vote: 'F'}
}

func wrong(row, reason string) verdict {
	return verdict{row: row, class: "DETERMINISTIC", reason: reason, certainty: "REJECTED", vote: 'N', disposition: "STOP"}
}

func qualityRow(q string) verdict {
	v := verdict{row: "R32", class: "QUALITY", certainty: "PROCESSED", vote: 'F', quality: true}
	switch q {
	case "SCHEMA_VIOLATION":
		v.reason = "SCHEMA"
	case "HALLUCINATED_TOOL", "BAD_TOOL_ARGS":
		v.row, v.reason = "R33", "TOOL_CALL"
	case "REFUSAL":
		v.row, v.reason = "R34", "REFUSAL"
	case "EMPTY":
		v.row, v.reason = "R35", "EMPTY"
	case "SEMANTIC_FAIL":
		v.row, v.reason = "R35", "SEMANTIC"
	case "TRUNCATED":
		v.row, v.reason, v.vote, v.quality = "R35", "TRUNCATED", 'N', false
	default: // R36: LOW_CONFIDENCE, NEEDS_INFO and so on
		return verdict{row: "R36", class: "UNRECOVERABLE", reason: q, certainty: "PROCESSED", vote: 'S'}
	}
	return v
}

func (s signal) codeRow() (verdict, bool) {
	switch s.Code {
	case "insufficient_quota":
		return verdict{row: "R14", class: "PRESSURE", reason: "QUOTA_EXHAUSTED", certainty: "REJECTED", vote: 'N', disposition: "MANUAL"}, true
	case "overloaded_error":
		return verdict{row: "R09", class: "PRESSURE", reason: "OVERLOADED", certainty: "REJECTED", vote: 'F', disposition: "AUTO"}, true
	case "context_length_exceeded":
		return wrong("R21", "CONTEXT_LIMIT"), true
	case "content_policy_violation":
		return wrong("R22", "CONTENT_POLICY"), true
	}
	return verdict{}, false
}

func (s signal) httpRow(kind string) verdict {
	switch h := s.HTTP; {
	case h >= 200 && h < 300:
		return verdict{row: "R01", class: "OK", reason: "OK", certainty: "PROCESSED", vote: 'S'}
	case h == 408:
		return verdict{row: "R03", class: "TRANSIENT", reason: "TIMEOUT_REQUEST", certainty: "REJECTED", vote: 'F', disposition: "STOP"}
	case h == 425 || h == 421:
		return verdict{row: "R04", class: "TRANSIENT", reason: "TOO_EARLY", certainty: "REJECTED", vote: 'N', disposition: "AUTO"}
	case h == 500:
		return transient("R05", "SERVER_ERROR")
	case h == 502 || h == 504 || h >= 520 && h <= 524:
		return transient("R06", "GATEWAY")
	case h == 503 && s.RetryAfter == nil:
		return transient("R07", "UNAVAILABLE")
	case h == 503:
		return verdict{row: "R08", class: "PRESSURE", reason: "OVERLOADED", certainty: "REJECTED", vote: 'F', disposition: "AUTO"}
	case h == 529:
		return verdict{row: "R09", class: "PRESSURE", reason: "OVERLOADED", certainty: "REJECTED", vote: 'F', disposition: "AUTO"}
	case h == 525 || h == 526:
		return verdict{row: "R10", class: "PERSISTENT", reason: "TLS_CONFIG", certainty: "NOT_SENT", vote: 'N', disposition: "AUTO"}
	case h == 501 || h == 505:
		return wrong("R11", "UNSUPPORTED")
	case h == 429:
		return limited(s.RetryAfter != nil, "R12", "R13")
	case h == 402:
		return verdict{row: "R14", class: "PRESSURE", reason: "QUOTA_EXHAUSTED", certainty: "REJECTED", vote: 'N', disposition: "MANUAL"}
	case h == 401:
		return unauthenticated()
	case h == 403:
		return forbidden(kind)
	case slices.Contains([]int{400, 405, 406, 411, 414, 415, 416, 417, 422, 428, 431}, h):
		return wrong("R17", "BAD_REQUEST")
	case h == 404 || h == 410:
		return wrong("R18", "NOT_FOUND")
	case h == 409:
		v := wrong("R19", "CONFLICT")
		v.running = s.Code == "request_in_progress"
		return v
	case h == 413:
		return wrong("R21", "CONTEXT_LIMIT")
	}
	return verdict{row: "R42", class: "UNKNOWN", reason: "UNKNOWN", certainty: "AMBIGUOUS", vote: 'F'}
}

func limited(waits bool, with, without string) verdict {
	v := verdict{row: with, class: "PRESSURE", reason: "RATE_LIMITED", certainty: "REJECTED", vote: 'N', disposition: "AUTO"}
	if !waits {
		v.row, v.reason = without, "RATE_LIMITED_HARD"
	}
	return v
}

func unauthenticated() verdict {
	return verdict{row: "R15", class: "PERSISTENT", reason: "AUTH", certainty: "REJECTED", vote: 'N', auth: true, disposition: "MANUAL"}
}

func forbidden(kind string) verdict {
	v := verdict{row: "R16", class: "PERSISTENT", reason: "FORBIDDEN", certainty: "REJECTED", vote: 'N', auth: true, disposition: "STOP"}
	if kind != "llm" {
		v.class = "DETERMINISTIC"
	}
	return v
}

func (s signal) grpcRow(kind string) verdict {
	switch s.GRPC {
	case "OK":
		return verdict{row: "R01", class: "OK", reason: "OK", certainty: "PROCESSED", vote: 'S'}
	case "UNIMPLEMENTED":
		return wrong("R11", "UNSUPPORTED")
	case "UNAUTHENTICATED":
		return unauthenticated()
	case "PERMISSION_DENIED":
		return forbidden(kind)
	case "INVALID_ARGUMENT":
		return wrong("R17", "BAD_REQUEST")
	case "NOT_FOUND":
		return wrong("R18", "NOT_FOUND")
	case "ALREADY_EXISTS":
		return wrong("R19", "CONFLICT")
	case "ABORTED":
		return verdict{row: "R20", class: "TRANSIENT", reason: "ABORTED", certainty: "REJECTED", vote: 'N', disposition: "STOP"}
	case "UNAVAILABLE":
		return transient("R23", "UNAVAILABLE")
	case "RESOURCE_EXHAUSTED":
		return limited(s.RetryAfter != nil, "R24", "R24")
	case "DEADLINE_EXCEEDED":
		return transient("R25", "TIMEOUT")
	case "INTERNAL", "UNKNOWN":
		return transient("R26", "SERVER_ERROR")
	case "CANCELLED":
		return verdict{row: "R27", class: "ABORTED", reason: "CANCELLED", certainty: "AMBIGUOUS", vote: 'N'}
	}
	return verdict{row: "R42", class: "UNKNOWN", reason: "UNKNOWN", certainty: "AMBIGUOUS", vote: 'F'}
}
