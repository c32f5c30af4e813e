// SPDX-License-Identifier: Apache-2.0

package server

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// everyField calls visit with a copy of base for each field below it, that
// field alone set to something else. Fields of messages are gone into.
func everyField(base proto.Message, visit func(path string, changed proto.Message)) {
	walkFields(base.ProtoReflect().Descriptor(), "", func(path []protoreflect.FieldDescriptor, name string) {
		changed := proto.Clone(base)
		m := changed.ProtoReflect()
		for _, f := range path[:len(path)-1] {
			m = m.Mutable(f).Message()
		}
		f := path[len(path)-1]
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString("v"))
		case f.Kind() == protoreflect.MessageKind:
			m.Mutable(f)
		default:
			m.Set(f, someValue(f))
		}
		visit(name, changed)
	})
}

func walkFields(d protoreflect.MessageDescriptor, prefix string, visit func([]protoreflect.FieldDescriptor, string)) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := prefix + string(f.Name())
		visit([]protoreflect.FieldDescriptor{f}, name)
		if f.Kind() == protoreflect.MessageKind && !f.IsMap() {
			walkFields(f.Message(), name+".", func(rest []protoreflect.FieldDescriptor, name string) {
				visit(append([]protoreflect.FieldDescriptor{f}, rest...), name)
			})
		}
	}
}

func someValue(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("x")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("x"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(7)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(7)
	default:
		panic("a kind that the requests do not have: " + f.Kind().String())
	}
}

// hashesEveryField checks that no field is forgotten: each one alone makes a
// sum of its own, but for the request id and for the empty messages named.
func hashesEveryField(t *testing.T, base proto.Message, sum func(proto.Message) uint64, emptyIsAbsent ...string) {
	t.Helper()
	seen := map[uint64]string{sum(base): "the request as it was"}
	everyField(base, func(path string, changed proto.Message) {
		v := sum(changed)
		first, again := seen[v]
		switch {
		case path == "request_id" || strings.Contains("|"+strings.Join(emptyIsAbsent, "|")+"|", "|"+path+"|"):
			if !again {
				t.Errorf("%s changes the sum and must not", path)
			}
		case again:
			t.Errorf("%s gives the same sum as %s", path, first)
		}
		seen[v] = path
	})
}

func TestHashesEveryField(t *testing.T) {
	hashesEveryField(t, &pb.AcquireRequest{}, func(m proto.Message) uint64 { return hashAcquire(m.(*pb.AcquireRequest)) })
	hashesEveryField(t, &pb.ReportRequest{}, func(m proto.Message) uint64 {
		r := m.(*pb.ReportRequest)
		return hashReport(r, safeHeaders(r.GetSignal().GetHeaders()))
	}, "quality", "dead_letter.checkpoint", "dead_letter.last_error")
}

// The sums are kept in stores, so they must not change from version to
// version. A new field may be added at the end if it is absent or empty in
// old requests and writes nothing then.
func TestHashIsStable(t *testing.T) {
	acquire := &pb.AcquireRequest{
		RunId: "r", TaskId: "t", OperationId: "o", Target: "openai/gpt-x", Idempotency: 1,
		Estimate: &pb.Estimate{CostMicros: proto.Int64(5)}, Labels: map[string]string{"a": "1", "b": "2"},
	}
	report := &pb.ReportRequest{PermitId: "p", Fence: 7, Outcome: 2, Signal: &pb.Signal{HttpStatus: proto.Int32(503)}}
	if got, want := hashAcquire(acquire), uint64(0x8df89fc0a42f86f9); got != want {
		t.Errorf("Acquire's sum is %#x, was %#x", got, want)
	}
	if got, want := hashReport(report, nil), uint64(0xaa8bd39fdecf0047); got != want {
		t.Errorf("Report's sum is %#x, was %#x", got, want)
	}
}

func TestHashKeepsPartsApart(t *testing.T) {
	a := hashAcquire(&pb.AcquireRequest{RunId: "ab", TaskId: "c"})
	b := hashAcquire(&pb.AcquireRequest{RunId: "a", TaskId: "bc"})
	if a == b {
		t.Error("two requests with the same letters have the same sum")
	}
	c := hashAcquire(&pb.AcquireRequest{Labels: map[string]string{"a": "1", "b": "2"}})
	d := hashAcquire(&pb.AcquireRequest{Labels: map[string]string{"a": "2", "b": "1"}})
	if c == d {
		t.Error("labels with exchanged values have the same sum")
	}
}

func TestSafeHeaders(t *testing.T) {
	plain := map[string]string{"retry-after": "5"}
	if got := safeHeaders(plain); len(got) != 1 || got["retry-after"] != "5" {
		t.Errorf("plain headers became %q", got)
	}
	got := safeHeaders(map[string]string{
		"Retry-After": "1", "retry-after": "2", "AUTHORIZATION": "Bearer s3cret", "Cookie": "s3cret", "set-cookie": "s3cret",
		"X-Api-Key": "s3cret", "Proxy-Authorization": "s3cret", "X-RateLimit-Remaining": "0",
	})
	if len(got) != 2 || got["retry-after"] != "2" || got["x-ratelimit-remaining"] != "0" {
		t.Errorf("headers became %q", got)
	}
}
