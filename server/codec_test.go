// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"
	"time"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// The fast codec and gRPC's own understand each other, for small messages, for
// large ones, which go through a pool, and for those of other packages.
func TestCodecIsGRPCsOwn(t *testing.T) {
	own, other := newCodec(), encoding.GetCodecV2(grpcproto.Name)
	messages := []proto.Message{
		&pb.AcquireRequest{},
		&pb.AcquireRequest{
			Target: "openai/gpt-x", MaxAttempts: proto.Int32(0), Labels: map[string]string{"a": "b"}, Deadline: durationpb.New(time.Minute),
		},
		&pb.ReportRequest{Signal: &pb.Signal{Message: long(8 << 10)}, DeadLetter: &pb.DeadLetterEnvelope{Payload: make([]byte, 200<<10)}},
		&healthpb.HealthCheckRequest{Service: "x"},
	}
	for _, m := range messages {
		for _, pair := range [][2]encoding.CodecV2{{own, other}, {other, own}, {own, own}} {
			data, err := pair[0].Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			back := m.ProtoReflect().New().Interface()
			if err := pair[1].Unmarshal(data, back); err != nil {
				t.Fatal(err)
			}
			data.Free()
			if !proto.Equal(m, back) {
				t.Errorf("%T comes back as another message", m)
			}
		}
	}
	if own.Name() != other.Name() {
		t.Errorf("the codec is called %q, gRPC's %q", own.Name(), other.Name())
	}
}

func TestCodecMarksGarbage(t *testing.T) {
	for _, garbage := range []string{"\xff", "\x0a\xff", "\x0a\x05ab", "\x00", "\x4a\x02\xff\xff"} {
		m := &pb.AcquireRequest{}
		if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(garbage)}, m); err != nil {
			t.Fatal(err)
		}
		if !undecodable(m) {
			t.Errorf("%q is taken for a request", garbage)
		}
	}
	m := &pb.AcquireRequest{} // a field of a newer client: number 1000, a varint
	if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer("\xc0\x3e\x00")}, m); err != nil || undecodable(m) {
		t.Errorf("an unknown field is taken for garbage: %v", err)
	}
}
