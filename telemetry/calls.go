// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// Call counts the calls of one method of the API.
type Call struct {
	codes    [codes.Unauthenticated + 1]prometheus.Counter
	duration prometheus.Observer
	acquire  prometheus.Observer // nil unless it is Acquire
}

// Method returns the handle of a method, named as gRPC names it:
// "/resilience.v1.PermitService/Acquire".
func (m *Metrics) Method(full string) *Call {
	service, method, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
	kind := kindOf(service, method)
	c := &Call{duration: m.v.handling.WithLabelValues(kind, service, method)}
	for code := range c.codes {
		c.codes[code] = m.v.handled.WithLabelValues(kind, service, method, codes.Code(code).String())
	}
	if full == pb.PermitService_Acquire_FullMethodName {
		c.acquire = m.v.acquireDuration.WithLabelValues()
	}
	return c
}

// Done counts one call. It is safe for many goroutines.
func (c *Call) Done(code codes.Code, took time.Duration) {
	if code > codes.Unauthenticated {
		code = codes.Unknown
	}
	seconds := took.Seconds()
	c.codes[code].Inc()
	c.duration.Observe(seconds)
	if c.acquire != nil {
		c.acquire.Observe(seconds)
	}
}

// kindOf is gRPC's word for how a method's messages go.
func kindOf(service, method string) string {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + method))
	if d, ok := found.(protoreflect.MethodDescriptor); ok && err == nil {
		switch {
		case d.IsStreamingClient() && d.IsStreamingServer():
			return "bidi_stream"
		case d.IsStreamingClient():
			return "client_stream"
		case d.IsStreamingServer():
			return "server_stream"
		}
	}
	return "unary"
}
