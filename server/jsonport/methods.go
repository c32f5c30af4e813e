// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/resilienced/resilienced/server"
)

// compressFrom is the smallest answer that is compressed for who asks for it.
const compressFrom = 4 << 10

// method is one procedure of the port.
type method struct {
	handler http.Handler
	streams bool
}

// methods are the procedures by their path. They take the services that are
// registered, as a gRPC server does.
type methods struct {
	byPath map[string]method
	names  map[string][]string // of each service, for people
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

func newMethods(s *server.Server) *methods {
	m := &methods{byPath: map[string]method{}, names: map[string][]string{}}
	m.unary, m.stream = s.Chain()
	s.Register(m)
	return m
}

// RegisterService implements grpc.ServiceRegistrar. Methods whose requests
// stream are left out: HTTP/1.1 does not carry them.
func (m *methods) RegisterService(desc *grpc.ServiceDesc, impl any) {
	options := append(codecs(), gzipOption(),
		connect.WithReadMaxBytes(server.MaxReceive), connect.WithCompressMinBytes(compressFrom))
	name := desc.ServiceName
	for _, d := range desc.Methods {
		path := "/" + name + "/" + d.MethodName
		m.byPath[path] = method{handler: connect.NewUnaryHandler(path, m.unaryFunc(path, d.Handler, impl), options...)}
		m.names[name] = append(m.names[name], d.MethodName)
	}
	for _, d := range desc.Streams {
		if d.ClientStreams {
			continue
		}
		path := "/" + name + "/" + d.StreamName
		m.byPath[path] = method{handler: connect.NewServerStreamHandler(path, m.streamFunc(path, d.Handler, impl), options...), streams: true}
		m.names[name] = append(m.names[name], d.StreamName)
	}
}

type (
	request  = connect.Request[frame]
	response = connect.Response[frame]
)

func (m *methods) unaryFunc(path string, handler grpc.MethodHandler, impl any) func(context.Context, *request) (*response, error) {
	return func(ctx context.Context, r *request) (*response, error) {
		c := &call{method: path}
		answer, err := handler(impl, c.context(ctx, r.Peer().Addr, r.Header()), r.Msg.decode, m.unary)
		if err != nil {
			return nil, c.failed(err)
		}
		msg, ok := answer.(proto.Message)
		if !ok {
			return nil, errNoMessage
		}
		out := connect.NewResponse(&frame{msg: msg})
		add(out.Header(), c.header)
		add(out.Trailer(), c.trailer)
		return out, nil
	}
}

func (m *methods) streamFunc(path string, handler grpc.StreamHandler, impl any) func(context.Context, *request, *connect.ServerStream[frame]) error {
	info := &grpc.StreamServerInfo{FullMethod: path, IsServerStream: true}
	return func(ctx context.Context, r *request, out *connect.ServerStream[frame]) error {
		s := &stream{call: call{method: path}, request: r.Msg, out: out}
		s.ctx = s.context(ctx, r.Peer().Addr, r.Header())
		if err := m.stream(impl, s, info, handler); err != nil {
			return s.failed(err)
		}
		add(out.ResponseTrailer(), s.trailer)
		return nil
	}
}
