// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/statestore"
)

// domain goes with every reason.
const domain = "resilienced"

// keyPushback is the trailer by which gRPC clients hold their own retries.
const keyPushback = "grpc-retry-pushback-ms"

// The errors of this package itself.
var (
	errMalformed = errors.New("server: the bytes are not the message of the method")
	errPanic     = errors.New("server: panic")
	errDraining  = errors.New("server: draining")
)

// answer is what callers are told about one kind of error. The text is fixed:
// what a cause says may be about others' records or the store's inside, so it
// is logged and never sent.
type answer struct {
	sentinel error
	code     codes.Code
	reason   pb.ErrorReason
	text     string        // what is wrong, and what to do
	field    string        // the field at fault, if there is one
	retry    time.Duration // when a repeat may help; 0: not by waiting
}

// answers is the whole table. The first sentinel that an error wraps counts.
func answers() []answer {
	const (
		damaged = "the database is damaged or newer than this server; nothing was changed: look at the server's log, and restore a backup or run the newer version"
		noStore = "the store cannot be reached; nothing was changed: ask again after the delay"
	)
	return []answer{
		{engine.ErrOutcomeUnknown, codes.Unavailable, pb.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, "nobody knows whether the request was carried out; repeat it with the same request_id to learn that", "", 200 * time.Millisecond},
		{statestore.ErrUnknownOutcome, codes.Unavailable, pb.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, "nobody knows whether the request was carried out; repeat it with the same request_id to learn that", "", 200 * time.Millisecond},
		{errDraining, codes.Unavailable, pb.ErrorReason_ERROR_REASON_SHUTTING_DOWN, "this server is shutting down; ask again, on a new connection", "", 500 * time.Millisecond},
		{statestore.ErrFull, codes.Unavailable, pb.ErrorReason_ERROR_REASON_STORE_FULL, "the server's disk is full; nothing was changed: free room there, reads still work", "", 5 * time.Second},
		{statestore.ErrReadOnly, codes.Unavailable, pb.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, "the server's database cannot be written; nothing was changed: make the file and its folder writable for the server, or connect it to the primary", "", 5 * time.Second},
		{statestore.ErrInUse, codes.Unavailable, pb.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, "another process has the server's database open; nothing was changed: stop one of the two", "", 5 * time.Second},
		{statestore.ErrNotADatabase, codes.DataLoss, pb.ErrorReason_ERROR_REASON_STORE_DAMAGED, damaged, "", 0},
		{statestore.ErrNewerSchema, codes.DataLoss, pb.ErrorReason_ERROR_REASON_STORE_DAMAGED, damaged, "", 0},
		{statestore.ErrBadCursor, codes.InvalidArgument, pb.ErrorReason_ERROR_REASON_PAGE_TOKEN_INVALID, "the page token is not one of this list's; start again without one", "page_token", 0},
		{statestore.ErrNotHeld, codes.Internal, pb.ErrorReason_ERROR_REASON_INTERNAL, internalText, "", 0},
		{statestore.ErrRejected, codes.Internal, pb.ErrorReason_ERROR_REASON_INTERNAL, internalText, "", 0},
		{engine.ErrRunUnknown, codes.NotFound, pb.ErrorReason_ERROR_REASON_RUN_UNKNOWN, "there is no such run in this namespace; make it with StartRun", "", 0},
		{engine.ErrChainUnknown, codes.InvalidArgument, pb.ErrorReason_ERROR_REASON_CHAIN_UNKNOWN, "the policy has no chain of this name; GetPolicy shows those it has", "chain", 0},
		{engine.ErrNotFound, codes.NotFound, pb.ErrorReason_ERROR_REASON_NOT_FOUND, "there is no such object in this namespace, or its retention is over; the list method shows those there are", "", 0},
		{engine.ErrPermitForged, codes.InvalidArgument, pb.ErrorReason_ERROR_REASON_PERMIT_INVALID, "this service made no such permit id for this namespace; send the id and fence of Acquire's answer unchanged, with the same namespace", "permit_id", 0},
		{engine.ErrLeaseLost, codes.FailedPrecondition, pb.ErrorReason_ERROR_REASON_LEASE_LOST, "the permit's lease is over, or it was reported; end the call, report what happened, and ask with Acquire before the next attempt", "", 0},
		{engine.ErrMismatch, codes.AlreadyExists, pb.ErrorReason_ERROR_REASON_IDEMPOTENCY_MISMATCH, "the id was used before with other content; use a new id for a new request", "", 0},
		{engine.ErrRunFinal, codes.FailedPrecondition, pb.ErrorReason_ERROR_REASON_RUN_FINAL, "the run has ended and does not change any more; start another one", "", 0},
		{engine.ErrEpoch, codes.Aborted, pb.ErrorReason_ERROR_REASON_EPOCH_CHANGED, "somebody else changed the policy; read it with GetPolicy and apply again with its epoch", "expected_epoch", 0},
		{engine.ErrNotDrill, codes.FailedPrecondition, pb.ErrorReason_ERROR_REASON_NOT_A_DRILL, "this namespace is not a drill's; make one with StartDrill and send its name as resilience-namespace", "", 0},
		{engine.ErrDrillsOff, codes.FailedPrecondition, pb.ErrorReason_ERROR_REASON_DRILLS_OFF, "this server was started without drills; start one with: resilienced serve --allow-drills", "", 0},
		{engine.ErrQuota, codes.ResourceExhausted, pb.ErrorReason_ERROR_REASON_QUOTA, "the namespace has too many records of this kind; finish or delete some, or raise the quota in its policy", "", 0},
		{engine.ErrUnavailable, codes.Unavailable, pb.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, noStore, "", time.Second},
		{statestore.ErrUnavailable, codes.Unavailable, pb.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE, noStore, "", time.Second},
		{engine.ErrInternal, codes.Internal, pb.ErrorReason_ERROR_REASON_INTERNAL, internalText, "", 0},
		{errPanic, codes.Internal, pb.ErrorReason_ERROR_REASON_INTERNAL, internalText, "", 0},
		{errMalformed, codes.InvalidArgument, pb.ErrorReason_ERROR_REASON_MALFORMED, "the request cannot be decoded; build it from the .proto files of this service, with text in UTF-8", "", 0},
		{context.DeadlineExceeded, codes.DeadlineExceeded, pb.ErrorReason_ERROR_REASON_DEADLINE, "the time for the call was over; give it more, or ask for less, and repeat with the same request_id", "", 0},
		{context.Canceled, codes.Canceled, pb.ErrorReason_ERROR_REASON_CANCELLED, "the caller cancelled the call; repeat it with the same request_id if its answer is still wanted", "", 0},
	}
}

const internalText = "the server failed and changed nothing; it has logged the cause: report it with the time of the call"

// publicError is an error as callers see it. What caused it goes to the log.
type publicError struct {
	status *status.Status
	retry  time.Duration
	cause  error
}

// Error returns what callers are told.
func (e *publicError) Error() string { return e.status.Message() }

// Unwrap returns what callers are not told.
func (e *publicError) Unwrap() error { return e.cause }

// GRPCStatus is what gRPC sends.
func (e *publicError) GRPCStatus() *status.Status { return e.status }

// public turns an error of the engine or of this package into the one that is
// sent. An error that gRPC itself made stays as it is.
func (s *Server) public(err error) error {
	if _, isStatus := status.FromError(err); isStatus {
		return err
	}
	if a, details, ok := typed(err); ok {
		return a.public(err, details)
	}
	for i := range s.answers {
		if a := s.answers[i]; errors.Is(err, a.sentinel) {
			if d, ok := errors.AsType[*engine.DelayedError](err); ok {
				a.retry = max(d.Delay, time.Millisecond)
			}
			return a.public(err, nil)
		}
	}
	a := answer{code: codes.Internal, reason: pb.ErrorReason_ERROR_REASON_INTERNAL, text: internalText}
	return a.public(err, nil)
}

// more is what an error of a type of its own says beyond the table.
type more struct {
	metadata   map[string]string
	violations []violation
}

// typed answers the errors that carry more than that they happened.
func typed(err error) (answer, *more, bool) {
	if e, ok := errors.AsType[*requestError](err); ok {
		return invalid(pb.ErrorReason_ERROR_REASON_INVALID_REQUEST, e.violations), &more{violations: e.violations}, true
	}
	if e, ok := errors.AsType[*engine.InvalidError](err); ok {
		v := []violation{{e.Field, e.Why}}
		return invalid(reasonOf(e.Field), v), &more{violations: v}, true
	}
	if e, ok := errors.AsType[*policy.ParseError](err); ok {
		v := problems(e)
		return invalid(pb.ErrorReason_ERROR_REASON_POLICY_INVALID, v), &more{violations: v}, true
	}
	if e, ok := errors.AsType[*engine.OverloadedError](err); ok {
		return answer{
			code: codes.ResourceExhausted, reason: pb.ErrorReason_ERROR_REASON_OVERLOADED,
			text: "too many requests wait here; ask again after the delay", retry: max(e.Delay, time.Millisecond),
		}, nil, true
	}
	if e, ok := errors.AsType[*engine.MismatchError](err); ok {
		return answer{
			code: codes.AlreadyExists, reason: pb.ErrorReason_ERROR_REASON_IDEMPOTENCY_MISMATCH,
			text: e.Field + " was used before with other content; use a new one for a new request. Recorded: " + e.Recorded,
		}, &more{metadata: map[string]string{"field": e.Field, "recorded": e.Recorded}}, true
	}
	return answer{}, nil, false
}

// reasonOf is the reason of a fault that the engine found, by its field.
func reasonOf(field string) pb.ErrorReason {
	switch field {
	case "page_token":
		return pb.ErrorReason_ERROR_REASON_PAGE_TOKEN_INVALID
	case "chain":
		return pb.ErrorReason_ERROR_REASON_CHAIN_UNKNOWN
	default:
		return pb.ErrorReason_ERROR_REASON_INVALID_REQUEST
	}
}

// problems lists a policy's faults as violations of the field that held it.
func problems(e *policy.ParseError) []violation {
	list := make([]violation, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		list = append(list, violation{strings.TrimSuffix("yaml."+p.Path, "."), p.String()})
	}
	if e.More {
		list = append(list, violation{"yaml", "there are more faults; mend these first"})
	}
	return list
}

// invalid says in one line what the violations say one by one.
func invalid(reason pb.ErrorReason, list []violation) answer {
	text := "the request is wrong"
	if len(list) > 0 {
		text = strings.TrimPrefix(list[0].field+": "+list[0].why, ": ")
	}
	if len(list) > 1 {
		text += " (and " + strconv.Itoa(len(list)-1) + " more, see the details)"
	}
	return answer{code: codes.InvalidArgument, reason: reason, text: text}
}

// public makes the error that is sent.
func (a answer) public(cause error, m *more) error {
	if m == nil {
		m = &more{}
	}
	if a.field != "" {
		m.violations = append(m.violations, violation{a.field, a.text})
	}
	reason := strings.TrimPrefix(a.reason.String(), "ERROR_REASON_")
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: printable(m.metadata)}}
	if len(m.violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range m.violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: utf8Text(v.field), Description: utf8Text(v.why),
			})
		}
		details = append(details, bad)
	}
	if a.retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(a.retry)})
	}
	st := status.New(a.code, utf8Text(a.text))
	if full, err := st.WithDetails(details...); err == nil {
		st = full
	}
	return &publicError{status: st, retry: a.retry, cause: cause}
}

// utf8Text keeps what a request brought from breaking the status about it.
func utf8Text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func printable(m map[string]string) map[string]string {
	clean := make(map[string]string, len(m))
	for k, v := range m {
		clean[k] = utf8Text(v)
	}
	return clean
}

// pushback puts the wait of an error into the trailer that gRPC clients read
// before they retry by themselves.
func pushback(ctx context.Context, err error) {
	e, ok := errors.AsType[*publicError](err)
	if !ok || e.retry <= 0 {
		return
	}
	ms := strconv.FormatInt(max(e.retry.Milliseconds(), 1), 10)
	// It fails only when the answer has left, which is no place for a trailer.
	_ = grpc.SetTrailer(ctx, metadata.Pairs(keyPushback, ms))
}

// codeOf is the status code of an error that is sent.
func codeOf(err error) codes.Code { return status.Code(err) }

// StatusOf is what callers are told about an error that left the chain of
// interceptors, for ports that do not speak gRPC.
func StatusOf(err error) *status.Status { return status.Convert(err) }

// Malformed is the error of bytes that are not the message of the method, made
// by who decodes another form than gRPC's. Field is the path of what is at
// fault, as the caller wrote it; empty: the whole.
func Malformed(field, why string) error {
	list := []violation{{field, why}}
	a := invalid(pb.ErrorReason_ERROR_REASON_MALFORMED, list)
	if field == "" {
		return a.public(errMalformed, nil)
	}
	return a.public(errMalformed, &more{violations: list})
}
