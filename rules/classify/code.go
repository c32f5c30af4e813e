// SPDX-License-Identifier: Apache-2.0

package classify

import "strings"

// HeaderQuotaID is where a client puts the quota ids of a QuotaFailure,
// separated by commas.
const HeaderQuotaID = "quotaid"

// codeRow maps the code of an error body. Letter case does not matter.
func codeRow(s *Signal, c *Context, wire status, waits bool) (rowID, bool) {
	code := fold(s.BodyCode)
	if id, ok := exactRow(code); ok {
		return id, true
	}
	if (saysQuota(code) || saysDaily(s.Headers[HeaderQuotaID])) && quotaStatus(s, wire) {
		return r14, true
	}
	if saysTooLarge(code) && wire == bad && grpcName(s.GRPCCode) == "RESOURCE_EXHAUSTED" {
		return r17, true
	}
	if wire == bad {
		return 0, false
	}
	return typeRow(code, c, waits)
}

// exactRow maps the codes that say more than any status does.
func exactRow(code string) (rowID, bool) {
	switch code {
	case "overloaded_error", "slow_down", "server_is_overloaded":
		return r09, true
	case "insufficient_quota", "billing_hard_limit_reached", "credit_balance_exhausted",
		"organization_spend_limit_exceeded", "project_spend_limit_exceeded",
		"organization_usage_limit_exceeded", "usage_limit_reached",
		"terminal_quota_exhausted", "enforced_spend_limit_reached", "billing_error":
		return r14, true
	case "context_length_exceeded", "context_window_exceeded", "request_too_large",
		"prompt_too_long", "input_too_long", "tokens_limit_reached":
		return r21, true
	case "content_policy_violation", "content_filter", "content_filtered",
		"responsibleaipolicyviolation", "safety", "image_safety", "prohibited_content",
		"blocklist", "recitation", "spii", "moderation_blocked":
		return r22, true
	}
	return 0, false
}

// typeRow maps the codes that name a kind of error. A bad status says the same
// and says it better; without one they are all there is, as in a stream that
// fails after its 200.
func typeRow(code string, c *Context, waits bool) (rowID, bool) {
	switch code {
	case "rate_limit_error", "rate_limit_exceeded":
		return pick(waits, r12, r13), true
	case "authentication_error", "invalid_api_key":
		return r15, true
	case "permission_error":
		return forbiddenRow(c), true
	case "invalid_request_error", "is_error": // is_error: a result that an MCP tool marked
		return r17, true
	case "not_found_error", "model_not_found":
		return r18, true
	case "conflict_error":
		return r19, true
	case "timeout_error":
		return r25, true
	case "api_error", "server_error":
		return r05, true
	}
	return 0, false
}

// quotaStatus tells whether the status leaves room for a quota that is gone: it
// says so, or there is none and the call failed.
func quotaStatus(s *Signal, wire status) bool {
	switch s.HTTPStatus {
	case 402, 403, 429:
		return true
	}
	if wire != bad {
		return s.Outcome == OutcomeFailure
	}
	return grpcName(s.GRPCCode) == "RESOURCE_EXHAUSTED"
}

// saysQuota reads the families of quota codes.
func saysQuota(code string) bool {
	return strings.HasSuffix(code, "_spend_limit_exceeded") ||
		strings.HasSuffix(code, "_usage_limit_exceeded") || saysDaily(code)
}

// saysDaily reads the ids of quotas that come back only the next day, such as
// GenerateRequestsPerDayPerProjectPerModel.
func saysDaily(id string) bool {
	if id == "" {
		return false
	}
	id = fold(id)
	return strings.Contains(id, "perday") || strings.Contains(id, "per_day")
}

// saysTooLarge reads the codes of a gRPC message beyond the size limit.
func saysTooLarge(code string) bool {
	switch code {
	case "message_too_large", "message_size_exceeded", "max_message_size_exceeded":
		return true
	}
	return false
}

// saysInProgress tells whether a conflict is with the same call, still running.
func saysInProgress(code string) bool {
	code = fold(code)
	return strings.HasSuffix(code, "in_progress") || code == "idempotency_key_in_use"
}

// fold makes codes comparable.
func fold(code string) string { return strings.ToLower(strings.TrimSpace(code)) }
