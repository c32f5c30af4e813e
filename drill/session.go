// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// namespaceKey is the metadata key that names a call's namespace.
const namespaceKey = "resilience-namespace"

// session is one scenario under way: its namespace and what its names stand
// for. It is used by one goroutine.
type session struct {
	conn *channel

	requests  map[string]string // request ids by name
	permits   map[string]permit // by name
	named     map[string]string // the name first bound to a permit, by its id
	letters   map[string]string // names of dead letters by id
	raised    map[string]string // names of escalations by id
	escalated map[string]string // ids of escalations by name
	events    []event           // of the current step
}

// permit is what an acquire bound a name to.
type permit struct {
	id, operation string
	fence         uint64
}

// event is the answer about one call, also one made inside a burst.
type event struct {
	verb, operation string
	answer          answer
}

func newSession(conn grpc.ClientConnInterface, timeout time.Duration) *session {
	return &session{
		conn:      &channel{ClientConnInterface: conn, timeout: timeout},
		requests:  make(map[string]string),
		permits:   make(map[string]permit),
		named:     make(map[string]string),
		letters:   make(map[string]string),
		raised:    make(map[string]string),
		escalated: make(map[string]string),
	}
}

// requestID returns the UUID that a name stands for in this drill, and a fresh
// one for no name.
func (s *session) requestID(name string) string {
	if name == "" {
		return uuid.NewString()
	}
	if s.requests[name] == "" {
		s.requests[name] = uuid.NewString()
	}
	return s.requests[name]
}

// bind gives a permit its name. A permit that has one keeps it.
func (s *session) bind(name string, p permit) {
	if name == "" || s.named[p.id] != "" {
		return
	}
	s.named[p.id] = name
	s.permits[name] = p
}

// letter returns the name of the dead letter that an operation was answered.
func (s *session) letter(id, operation string) string {
	if id == "" {
		return ""
	}
	if s.letters[id] == "" {
		s.letters[id] = letterPrefix + operation
	}
	return s.letters[id]
}

// escalation returns the name of the escalation that an operation was
// answered: its dedupe key, so that one which folded into an earlier one has
// the earlier one's name. The operation's own name leads to it too.
func (s *session) escalation(ctx context.Context, id, operation string) (string, error) {
	if id == "" {
		return "", nil
	}
	s.escalated[escalationPrefix+operation] = id
	if s.raised[id] != "" {
		return s.raised[id], nil
	}
	resp, err := pb.NewEscalationServiceClient(s.conn).GetEscalation(ctx, &pb.GetEscalationRequest{
		Key: &pb.GetEscalationRequest_EscalationId{EscalationId: id},
	})
	if err != nil {
		return "", fmt.Errorf("read the escalation %q that the answer names: %w", id, err)
	}
	s.raised[id] = resp.GetEscalation().GetDedupeKey()
	return s.raised[id], nil
}

// channel sends every call into the drill's namespace and ends one that takes
// too long. It does so without a gRPC deadline, which is none of the
// scenario's.
type channel struct {
	grpc.ClientConnInterface
	namespace string
	timeout   time.Duration
}

// errTimeout is the cause of ending a call that took too long.
var errTimeout = errors.New("no answer in time")

// Invoke makes one call. Its error names the RPC.
func (c *channel) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.timeout, func() { cancel(errTimeout) })
	defer timer.Stop()
	if c.namespace != "" {
		md, _ := metadata.FromOutgoingContext(ctx)
		md = metadata.Join(md)
		md.Set(namespaceKey, c.namespace) // in the place of the caller's own
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	err := c.ClientConnInterface.Invoke(ctx, method, in, out, opts...)
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		err = status.Errorf(codes.DeadlineExceeded, "no answer in %s", c.timeout)
	}
	return &callError{rpc: rpcName(method), status: status.Convert(err)}
}

// rpcName turns /resilience.v1.RunService/GetRun into RunService.GetRun.
func rpcName(method string) string {
	service, name := path.Split(method)
	service = strings.Trim(service, "/")
	return service[strings.LastIndexByte(service, '.')+1:] + "." + name
}

// callError is an RPC that failed.
type callError struct {
	rpc    string
	status *status.Status
}

// Error names the RPC, the code, the reason, the message and the fields at
// fault.
func (e *callError) Error() string {
	var b strings.Builder
	b.WriteString(e.rpc + ": " + rpccode.Code(e.status.Code()).String())
	if reason := e.reason(); reason != "" {
		b.WriteString("/" + reason)
	}
	if e.status.Message() != "" {
		b.WriteString(": " + e.status.Message())
	}
	for _, detail := range e.status.Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range request.GetFieldViolations() {
				b.WriteString("; " + v.GetField() + ": " + v.GetDescription())
			}
		}
	}
	return b.String()
}

// reason is the reason of the error's ErrorInfo; empty if it has none.
func (e *callError) reason() string {
	for _, detail := range e.status.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
