// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/resilienced/resilienced/server"
)

// call is one call as the methods of a gRPC server expect it: it takes the
// metadata of the answer, and says who called. It belongs to one goroutine.
type call struct {
	method          string
	header, trailer metadata.MD
}

// Method implements grpc.ServerTransportStream.
func (c *call) Method() string { return c.method }

// SetHeader implements grpc.ServerTransportStream.
func (c *call) SetHeader(md metadata.MD) error {
	c.header = metadata.Join(c.header, md)
	return nil
}

// SendHeader implements grpc.ServerTransportStream. Headers leave with the
// answer.
func (c *call) SendHeader(md metadata.MD) error { return c.SetHeader(md) }

// SetTrailer implements grpc.ServerTransportStream.
func (c *call) SetTrailer(md metadata.MD) error {
	c.trailer = metadata.Join(c.trailer, md)
	return nil
}

// context is the context of the call's method.
func (c *call) context(ctx context.Context, from string, header http.Header) context.Context {
	ctx = grpc.NewContextWithServerTransportStream(ctx, c)
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: address(from)})
	return metadata.NewIncomingContext(ctx, incoming(header))
}

// ours is how the headers begin that say for whom a call is made.
const ours = "Resilience-"

// incoming are the headers that become metadata: the product's own, and those
// that traces travel in. The rest is HTTP's, and cookies are nobody's business.
func incoming(header http.Header) metadata.MD {
	md := make(metadata.MD, 4)
	for name, values := range header {
		switch {
		case strings.HasPrefix(name, ours):
		case name == "Traceparent", name == "Tracestate", name == "Baggage", name == "User-Agent":
		default:
			continue
		}
		md[strings.ToLower(name)] = values
	}
	return md
}

// address is a client's address in net/http's form.
type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }

// failed turns what the chain returned into Connect's error.
func (c *call) failed(err error) error {
	st := server.StatusOf(err)
	out := connect.NewError(connect.Code(st.Code()), errors.New(st.Message()))
	for _, packed := range st.Proto().GetDetails() {
		if detail, err := connect.NewErrorDetail(packed); err == nil {
			out.AddDetail(detail)
		}
		retry := &errdetails.RetryInfo{}
		if packed.UnmarshalTo(retry) == nil {
			out.Meta().Set("Retry-After", seconds(retry.GetRetryDelay().AsDuration()))
		}
	}
	add(out.Meta(), c.header)
	add(out.Meta(), c.trailer)
	return out
}

// seconds rounds up: who comes early comes twice.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(int64((d+time.Second-1)/time.Second), 1), 10)
}

func add(header http.Header, md metadata.MD) {
	for name, values := range md {
		for _, v := range values {
			header.Add(name, v)
		}
	}
}

// stream is a call whose answer is a stream, as the methods of a gRPC server
// expect it.
type stream struct {
	call
	ctx     context.Context //nolint:containedctx // a stream is a context's carrier
	request *frame          // nil once it was read
	out     *connect.ServerStream[frame]
}

// Context implements grpc.ServerStream.
func (s *stream) Context() context.Context { return s.ctx }

// SendHeader implements grpc.ServerStream. Headers leave with the first message.
func (s *stream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }

// SetTrailer implements grpc.ServerStream.
func (s *stream) SetTrailer(md metadata.MD) { s.trailer = metadata.Join(s.trailer, md) }

// SendMsg implements grpc.ServerStream.
func (s *stream) SendMsg(m any) error {
	msg, err := message(m)
	if err != nil {
		return err
	}
	if len(s.header) > 0 {
		add(s.out.ResponseHeader(), s.header)
		s.header = nil
	}
	return s.out.Send(&frame{msg: msg})
}

// RecvMsg implements grpc.ServerStream. There is one request.
func (s *stream) RecvMsg(m any) error {
	if s.request == nil {
		return io.EOF
	}
	f := s.request
	s.request = nil
	return f.decode(m)
}
