// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// Kind is what an error means for the one who typed the command.
type Kind int

// The kinds.
const (
	Failed      Kind = iota // the server refused, and repeating changes nothing
	Usage                   // the request is wrong
	NotFound                // there is no such thing
	Denied                  // the caller may not
	Unavailable             // the server, or its store, cannot be reached
	Software                // a fault of the server
	Temporary               // the same a little later may go through
	Invalid                 // the policy has faults
)

// Error is a call that failed.
type Error struct {
	Kind   Kind
	Reason pb.ErrorReason // UNSPECIFIED: the error is not one of the service's own
	Text   string         // what is wrong and what to do, for people; may have several lines
	err    error
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Unwrap returns gRPC's error.
func (e *Error) Unwrap() error { return e.err }

// Down tells whether the service did not do its part, so that the caller may
// decide alone. A request that is wrong is none of these.
func (e *Error) Down() bool {
	return e.Kind == Unavailable || e.Kind == Temporary || e.Kind == Software
}

func isEnd(err error) bool { return err == nil || errors.Is(err, io.EOF) }

// explain makes an Error of what a call returned; nil stays nil.
func explain(err error, addr, method string) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return &Error{Kind: Software, Text: err.Error(), err: err}
	}
	e := &Error{Text: s.Message(), err: err}
	var violations []*errdetails.BadRequest_FieldViolation
	var wait time.Duration
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = pb.ErrorReason(pb.ErrorReason_value["ERROR_REASON_"+d.GetReason()])
		case *errdetails.BadRequest:
			violations = d.GetFieldViolations()
		case *errdetails.RetryInfo:
			wait = d.GetRetryDelay().AsDuration()
		}
	}
	e.Kind = kind(s.Code(), e.Reason)
	if e.Reason == pb.ErrorReason_ERROR_REASON_UNSPECIFIED {
		e.Text = strange(s, addr, method)
	}
	if len(violations) > 0 {
		e.Text = listed(violations)
	}
	if wait > 0 {
		e.Text += fmt.Sprintf(" (after %s)", wait)
	}
	return e
}

// kind sorts by code; a few reasons say more than theirs.
func kind(code codes.Code, reason pb.ErrorReason) Kind {
	switch reason { //nolint:exhaustive // the code decides for all others
	case pb.ErrorReason_ERROR_REASON_POLICY_INVALID:
		return Invalid
	case pb.ErrorReason_ERROR_REASON_OVERLOADED, pb.ErrorReason_ERROR_REASON_SHUTTING_DOWN, pb.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN:
		return Temporary
	}
	switch code {
	case codes.InvalidArgument, codes.OutOfRange:
		return Usage
	case codes.NotFound:
		return NotFound
	case codes.PermissionDenied, codes.Unauthenticated:
		return Denied
	case codes.Unavailable, codes.DeadlineExceeded, codes.Unimplemented:
		return Unavailable
	case codes.Internal, codes.DataLoss, codes.Unknown:
		return Software
	default:
		return Failed
	}
}

// strange explains an error that the service did not make itself.
func strange(s *status.Status, addr, method string) string {
	switch s.Code() {
	case codes.Unavailable:
		if strings.Contains(s.Message(), "error reading server preface") || strings.Contains(s.Message(), "http2") {
			return fmt.Sprintf("what answers at %s does not speak gRPC; name the gRPC port of resilienced (%s by default) with --addr or RESILIENCED_ADDR: %s", addr, DefaultAddr, s.Message())
		}
		return fmt.Sprintf("nobody answers at %s; is resilienced running? start it with: resilienced serve\n"+
			"(or name another address with --addr or RESILIENCED_ADDR): %s", addr, cause(s.Message()))
	case codes.DeadlineExceeded:
		return addr + " did not answer in time; look at its load, or allow more with --rpc-timeout"
	case codes.Unimplemented:
		return fmt.Sprintf("the server at %s does not know %s: it is older than this command; run the same version on both sides (resilienced version --server)", addr, path.Base(method))
	case codes.Canceled:
		return "interrupted"
	default:
		return fmt.Sprintf("%s answered %s: %s", addr, s.Code(), s.Message())
	}
}

// cause is what the system said, without what gRPC put around it.
func cause(message string) string {
	_, after, found := strings.Cut(message, "Error while dialing: ")
	if !found {
		return message
	}
	return strings.TrimSuffix(after, `"`)
}

// listed is one line for each field that is wrong.
func listed(violations []*errdetails.BadRequest_FieldViolation) string {
	if len(violations) == 1 {
		return line(violations[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d things are wrong:", len(violations))
	for _, v := range violations {
		b.WriteString("\n  " + line(v))
	}
	return b.String()
}

func line(v *errdetails.BadRequest_FieldViolation) string {
	if v.GetField() == "" {
		return v.GetDescription()
	}
	return v.GetField() + ": " + v.GetDescription()
}
