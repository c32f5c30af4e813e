// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// defaultSlowCall is when a call is slow enough to be written about.
const defaultSlowCall = time.Second

// Deps is what a server needs. Engine is required.
type Deps struct {
	Engine *engine.Engine
	Logger *slog.Logger // nil: nothing is logged
	Meter  Meter        // nil: nothing is counted
	// TraceUnary and TraceStream make a span of each call; nil: there are none.
	TraceUnary  grpc.UnaryServerInterceptor
	TraceStream grpc.StreamServerInterceptor
	// SlowCall is from when on a call is logged although it went well; 0: 1 s.
	SlowCall time.Duration
	// NoReflection leaves out the reflection service, which grpcurl and its
	// like use to learn the methods.
	NoReflection bool
}

// Server implements the services of resilience.v1 over an engine. It is safe
// for many goroutines and owns none.
type Server struct {
	engine       *engine.Engine
	log          *slog.Logger
	meters       map[string]MethodMeter
	slowCall     time.Duration
	limits       map[string]time.Duration
	answers      []answer
	sampler      sampler
	health       *health.Server
	noReflection bool
	trace        link // zero: no traces

	drain    chan struct{}
	drainOne sync.Once
}

// New makes a server. It serves nothing until it is registered.
func New(d Deps) *Server {
	s := &Server{
		engine: d.Engine, log: d.Logger, slowCall: d.SlowCall, noReflection: d.NoReflection,
		meters: meters(d.Meter, services()), limits: callLimits(), answers: answers(),
		health: health.NewServer(), drain: make(chan struct{}), trace: link{"traces", d.TraceUnary, d.TraceStream},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.slowCall <= 0 {
		s.slowCall = defaultSlowCall
	}
	for _, desc := range services() {
		s.health.SetServingStatus(desc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	}
	return s
}

// services are the descriptions of the services that a server implements.
func services() []*grpc.ServiceDesc {
	return []*grpc.ServiceDesc{
		&pb.PermitService_ServiceDesc, &pb.RunService_ServiceDesc, &pb.TargetService_ServiceDesc,
		&pb.PolicyService_ServiceDesc, &pb.DeadLetterService_ServiceDesc, &pb.EscalationService_ServiceDesc,
		&pb.DecisionService_ServiceDesc, &pb.DrillService_ServiceDesc,
	}
}

// Register puts the services, health and, unless it was left out, reflection
// on a gRPC server that was made with Options, or on a port that runs every
// call through Chain.
func (s *Server) Register(to grpc.ServiceRegistrar) {
	r := strictRegistrar{to: to, decode: s.decode}
	pb.RegisterPermitServiceServer(r, &permitService{Server: s})
	pb.RegisterRunServiceServer(r, &runService{Server: s})
	pb.RegisterTargetServiceServer(r, &targetService{Server: s})
	pb.RegisterPolicyServiceServer(r, &policyService{Server: s})
	pb.RegisterDeadLetterServiceServer(r, &letterService{Server: s})
	pb.RegisterEscalationServiceServer(r, &escalationService{Server: s})
	pb.RegisterDecisionServiceServer(r, &decisionService{Server: s})
	pb.RegisterDrillServiceServer(r, &drillService{Server: s})
	healthpb.RegisterHealthServer(to, s.health)
	if full, ok := to.(reflection.GRPCServer); ok && !s.noReflection {
		reflection.Register(full)
	}
}

// NotServing makes the health service answer NOT_SERVING from now on, so that
// balancers send new calls elsewhere. Calls are served as before.
func (s *Server) NotServing() { s.health.Shutdown() }

// Serving reports whether neither NotServing nor Drain was called: what the
// health service answers.
func (s *Server) Serving(ctx context.Context) bool {
	resp, err := s.health.Check(ctx, &healthpb.HealthCheckRequest{})
	return err == nil && resp.GetStatus() == healthpb.HealthCheckResponse_SERVING
}

// Drain ends the calls that only wait, watches and WaitDecision, so that what
// is left ends by itself. It also does what NotServing does.
func (s *Server) Drain() {
	s.drainOne.Do(func() {
		s.health.Shutdown()
		close(s.drain)
	})
}

// untilDrain returns a context that ends with ctx or when the server drains.
// The caller must call cancel.
func (s *Server) untilDrain(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.drain:
			cancel(errDraining)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// strictRegistrar registers services whose methods answer bytes that cannot be
// decoded as a fault of the request.
type strictRegistrar struct {
	to     grpc.ServiceRegistrar
	decode func(any, error) error
}

// RegisterService registers a copy of the service.
func (r strictRegistrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	strict := *desc
	strict.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, m := range desc.Methods {
		strict.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName, Handler: r.method(m.Handler)}
	}
	r.to.RegisterService(&strict, impl)
}

// method wraps one method. Decoding comes before the interceptors, so its
// errors are turned here.
func (r strictRegistrar) method(handler grpc.MethodHandler) grpc.MethodHandler {
	return func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		strict := func(m any) error {
			return r.decode(m, dec(m))
		}
		return handler(srv, ctx, strict, i)
	}
}
