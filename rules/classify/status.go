// SPDX-License-Identifier: Apache-2.0

package classify

import "strings"

// status is what HTTP, gRPC and MCP say together.
type status uint8

const (
	none status = iota // nothing
	good
	bad
)

// readStatus sums up the status fields. gRPC and MCP errors travel over an
// HTTP 200, so one bad status makes all bad.
func readStatus(s *Signal) status {
	sum := none
	if s.HTTPStatus != 0 {
		if s.HTTPStatus < 200 || s.HTTPStatus > 399 {
			return bad
		}
		sum = good
	}
	if s.GRPCCode != "" {
		if grpcName(s.GRPCCode) != "OK" {
			return bad
		}
		sum = good
	}
	if s.MCPCode != 0 {
		return bad
	}
	return sum
}

// statusRow maps a bad status. HTTP comes first: behind a proxy the gRPC code
// is the client library's guess from it.
func statusRow(s *Signal, c *Context, waits bool) rowID {
	if s.HTTPStatus != 0 && (s.HTTPStatus < 200 || s.HTTPStatus > 399) {
		return httpRow(s, c, waits)
	}
	if s.GRPCCode != "" {
		if name := grpcName(s.GRPCCode); name != "OK" {
			return grpcRow(name, s, c, waits)
		}
	}
	return mcpRow(s.MCPCode)
}

func httpRow(s *Signal, c *Context, waits bool) rowID {
	switch s.HTTPStatus {
	case 408:
		if s.Phase >= BodySent {
			return r03Sent
		}
		return r03
	case 421, 425:
		return r04
	case 500:
		return r05
	case 502, 504, 520, 521, 522, 523, 524:
		return r06
	case 503:
		return unavailableRow(c, waits)
	case 529:
		return r09
	case 525, 526:
		return r10
	case 501, 505:
		return r11
	case 429:
		return pick(waits, r12, r13)
	case 402:
		return r14
	case 401:
		return r15
	case 403:
		return forbiddenRow(c)
	case 400, 405, 406, 411, 414, 415, 416, 417, 422, 428, 431:
		return r17
	case 404, 410:
		return r18
	case 409:
		return r19
	case 413:
		return r21
	case 499: // a proxy's word for "the caller hung up"
		return r27
	}
	return r42
}

func grpcRow(name string, s *Signal, c *Context, waits bool) rowID {
	// The codes that a client library makes up itself when it gets no
	// connection prove nothing was sent, if the caller knows the phase.
	unsent := s.Phase == BeforeSend || s.Phase == Connecting
	switch name {
	case "UNIMPLEMENTED":
		return r11
	case "UNAUTHENTICATED":
		return r15
	case "PERMISSION_DENIED":
		return forbiddenRow(c)
	case "INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION":
		return r17
	case "NOT_FOUND":
		return r18
	case "ALREADY_EXISTS":
		return r19
	case "ABORTED":
		return r20
	case "UNAVAILABLE":
		return pick(unsent, r28, r23)
	case "RESOURCE_EXHAUSTED":
		return pick(waits, r24, r24Hard)
	case "DEADLINE_EXCEEDED":
		return pick(unsent, r28, r25)
	case "INTERNAL":
		return r26
	case "UNKNOWN": // with a detail that no row names it is anything else
		return pick(s.BodyCode == "", r26, r42)
	case "DATA_LOSS":
		return r26DataLoss
	case "CANCELLED":
		return r27
	}
	return r42
}

func mcpRow(code int) rowID {
	switch code {
	case -32001: // request timeout
		return r25
	case -32000: // connection closed
		return r29
	case -32602, -32601, -32600, -32700: // bad params, method, request, JSON
		return r17
	case -32603: // internal error
		return r26
	}
	return r42
}

// grpcName brings a code's name into its form on the wire. It takes what
// libraries print: "Unavailable", "DeadlineExceeded", "StatusCode.ABORTED".
func grpcName(code string) string {
	code = strings.TrimSpace(code)
	if i := strings.LastIndexByte(code, '.'); i >= 0 {
		code = code[i+1:]
	}
	if code == "CANCELED" || code == "Canceled" { // Go's spelling
		return "CANCELLED"
	}
	if code == strings.ToUpper(code) {
		return code
	}
	var b strings.Builder
	for i, r := range code {
		if i > 0 && r >= 'A' && r <= 'Z' && code[i-1] >= 'a' && code[i-1] <= 'z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// knownGRPC tells whether a name is one of gRPC's 17 codes.
func knownGRPC(code string) bool {
	switch grpcName(code) {
	case "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
		"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
		"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED":
		return true
	}
	return false
}

// unavailableRow is an HTTP 503.
func unavailableRow(c *Context, waits bool) rowID {
	switch {
	case waits:
		return r08
	case c.Rejected503:
		return r07Rejected
	}
	return r07
}

// forbiddenRow is a refused right: another provider may grant it for a model;
// a tool will not change its mind.
func forbiddenRow(c *Context) rowID { return pick(c.Kind == "llm", r16, r16Other) }

// pick is yes if that holds and no otherwise.
func pick(that bool, yes, no rowID) rowID {
	if that {
		return yes
	}
	return no
}
