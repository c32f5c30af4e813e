// SPDX-License-Identifier: Apache-2.0

package server

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// Meter counts calls. Method is asked once for each method when the server is
// made, so that a call looks nothing up but its handle.
type Meter interface {
	// Method returns the handle of a method, named as gRPC names it:
	// "/resilience.v1.PermitService/Acquire".
	Method(fullMethod string) MethodMeter
}

// MethodMeter counts the calls of one method, from many goroutines.
type MethodMeter interface {
	// Done is called once for each call, after its handler. It must be quick.
	Done(code codes.Code, took time.Duration)
}

// meters resolves a handle for every method of the services; nil without a
// meter.
func meters(m Meter, services []*grpc.ServiceDesc) map[string]MethodMeter {
	if m == nil {
		return nil
	}
	handles := make(map[string]MethodMeter)
	for _, desc := range services {
		for _, method := range desc.Methods {
			full := "/" + desc.ServiceName + "/" + method.MethodName
			handles[full] = m.Method(full)
		}
		for _, stream := range desc.Streams {
			full := "/" + desc.ServiceName + "/" + stream.StreamName
			handles[full] = m.Method(full)
		}
	}
	return handles
}
