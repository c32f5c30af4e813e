// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// What a server bears from its clients. The numbers that clients have to know
// are in the comments.
const (
	// maxStreams is how many calls one connection may have under way: room for
	// a process with hundreds of workers, and a bound on what one peer can
	// start (rapid reset).
	maxStreams = 1024
	// MaxReceive is the largest request in bytes, on every port: the largest
	// legal Report is about 620 KiB.
	MaxReceive = 1 << 20
	maxSend    = 8 << 20
	// MaxHeaderList bounds all metadata of a call, in bytes.
	MaxHeaderList = 16 << 10
	// handshakeTime is what a new connection has to become usable.
	handshakeTime = 10 * time.Second
	// idleTime closes connections without a call.
	idleTime = 15 * time.Minute
	// connectionAge ends connections now and then, so that clients spread anew
	// over the replicas; gRPC spreads the moment itself.
	connectionAge   = 30 * time.Minute
	connectionGrace = 70 * time.Second // the longest call and a little more
	// pingEvery finds clients that are gone.
	pingEvery   = 30 * time.Second
	pingTimeout = 10 * time.Second
	// minPing is the shortest keepalive interval that a client may have.
	minPing = 10 * time.Second
)

// workers is how many goroutines stand ready for calls. A call waits while its
// batch is committed, so many more than processors; a call that finds none
// free gets a goroutine of its own, whose stack has to grow first.
const workers = 256

// Hardening are the options that bound what peers can do to a server.
func Hardening() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(MaxReceive),
		grpc.MaxSendMsgSize(maxSend),
		grpc.MaxHeaderListSize(MaxHeaderList),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle:     idleTime,
			MaxConnectionAge:      connectionAge,
			MaxConnectionAgeGrace: connectionGrace,
			Time:                  pingEvery,
			Timeout:               pingTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
}

// Fast are the options that make a call cheaper: handlers on standing
// goroutines, and generated marshalling. That connections share their write
// buffers is gRPC's own default.
func Fast() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(workers),
		grpc.ForceServerCodecV2(newCodec()),
	}
}

// Options are everything that a gRPC server of this service is made with:
// hardened, fast, and with the interceptors.
func (s *Server) Options() []grpc.ServerOption {
	return append(append(Hardening(), Fast()...), s.Interceptors()...)
}
