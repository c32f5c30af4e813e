// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
)

// outcome is what a call came to, on either port.
type outcome struct {
	code    string
	text    string
	details []*anypb.Any
	answer  proto.Message
}

// overGRPC calls a method by gRPC.
func (h *harness) overGRPC(t *testing.T, m protoreflect.MethodDescriptor, request proto.Message) outcome {
	t.Helper()
	answer := messageOf(t, m.Output())
	err := h.grpc.Invoke(t.Context(), pathOf(m), request, answer)
	if err == nil {
		return outcome{answer: answer}
	}
	st := status.Convert(err)
	// Connect writes the codes of gRPC in small letters.
	return outcome{code: snake(st.Code().String()), text: st.Message(), details: st.Proto().GetDetails()}
}

// overJSON calls it by JSON, under the fields' names in the .proto file or in
// camel case.
func (h *harness) overJSON(t *testing.T, m protoreflect.MethodDescriptor, request proto.Message, protoNames bool) outcome {
	t.Helper()
	body, err := protojson.MarshalOptions{UseProtoNames: protoNames}.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	got := h.post(t, pathOf(m), string(body))
	if got.status == http.StatusOK {
		answer := messageOf(t, m.Output())
		if err := protojson.Unmarshal(got.body, answer); err != nil {
			t.Fatalf("%s: %v: %s", m.FullName(), err, got.body)
		}
		return outcome{answer: answer}
	}
	f := got.failure(t)
	o := outcome{code: f.Code, text: f.Message}
	for _, d := range f.Details {
		var raw []byte
		if err := json.Unmarshal([]byte(`"`+d.Value+strings.Repeat("=", (4-len(d.Value)%4)%4)+`"`), &raw); err != nil {
			t.Fatal(err)
		}
		o.details = append(o.details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: raw})
	}
	return o
}

func pathOf(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// snake is "FailedPrecondition" as "failed_precondition".
func snake(name string) string {
	var b bytes.Buffer
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func messageOf(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	typ, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return typ.New().Interface()
}

// unaryMethods are all of the API, and of health.
func unaryMethods(t *testing.T, h *harness) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	for name := range h.port.methods.names {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Fatal(err)
		}
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			if m := methods.Get(i); !m.IsStreamingServer() && !m.IsStreamingClient() {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return all
}

// minted are the fields that the server makes up anew for each call, whoever
// asks: ids of what has none of its own yet, and waits, which are spread.
var minted = map[string]bool{
	"decision_id": true, "permit_id": true, "operation_id": true, "fence": true, "namespace": true,
	"delay": true, "ready_at": true,
}

// same compares two outcomes but for what is minted.
func same(t *testing.T, what string, a, b outcome) {
	t.Helper()
	if a.code != b.code || a.text != b.text {
		t.Errorf("%s: gRPC says %s %q, JSON %s %q", what, a.code, a.text, b.code, b.text)
		return
	}
	if diff := cmp.Diff(a.details, b.details, protocmp.Transform()); diff != "" {
		t.Errorf("%s: the details differ: %s", what, diff)
	}
	if (a.answer == nil) != (b.answer == nil) {
		t.Errorf("%s: one has an answer and one has not", what)
		return
	}
	if diff := cmp.Diff(a.answer, b.answer, protocmp.Transform(), cmp.FilterPath(isMinted, cmp.Ignore())); diff != "" {
		t.Errorf("%s: the answers differ: %s", what, diff)
	}
}

func isMinted(p cmp.Path) bool {
	step, ok := p.Last().(cmp.MapIndex)
	return ok && minted[fmt.Sprint(step.Key())]
}

// The same requests get the same answers on both ports. Every unary method is
// asked with nothing, and with requests drawn at random from few values, so
// that some of them meet what others made. Time stands still in the bubble.
func TestDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Each port has a server of its own, so that each sees the same past.
		h, other := newHarness(t, nil), newHarness(t, nil)
		draw := rand.New(rand.NewPCG(3, 5))
		answered := map[protoreflect.FullName]int{}
		for round := range 60 {
			for _, m := range unaryMethods(t, h) {
				request := messageOf(t, m.Input())
				if round > 0 {
					fill(draw, request.ProtoReflect(), 0)
				}
				a := h.overGRPC(t, m, request)
				b := other.overJSON(t, m, request, round%2 == 0)
				same(t, fmt.Sprintf("%s %v", m.FullName(), request), a, b)
				if t.Failed() {
					return
				}
				if a.answer != nil {
					answered[m.FullName()]++
				}
				time.Sleep(time.Millisecond)
			}
		}
		if len(answered) < 15 {
			t.Errorf("only %v were answered: this compares too little", answered)
		}
	})
}

// fill draws a request. Values are few and mostly legal, so that requests meet
// one another.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		required := fd.Name() == "request_id" || fd.Name() == "target" || fd.Name() == "reason" || fd.Name() == "run_id" && depth == 0
		switch {
		case !required && r.IntN(4) > 0:
		case fd.IsMap():
			m.Mutable(fd).Map().Set(protoreflect.ValueOfString("k").MapKey(), protoreflect.ValueOfString("v"))
		case fd.IsList():
			list := m.Mutable(fd).List()
			if fd.Message() != nil {
				fill(r, list.AppendMutable().Message(), depth+1)
			} else {
				list.Append(value(r, fd))
			}
		case fd.Message() != nil:
			if depth < 4 {
				fill(r, m.Mutable(fd).Message(), depth+1)
			}
		default:
			m.Set(fd, value(r, fd))
		}
	}
	// A duration or an instant of random parts may have no JSON.
	for _, name := range []protoreflect.Name{"seconds", "nanos"} {
		if fd := fields.ByName(name); fd != nil && fd.Parent().ParentFile().Package() == "google.protobuf" {
			m.Clear(fd)
			if name == "seconds" {
				m.Set(fd, protoreflect.ValueOfInt64(r.Int64N(100)))
			}
		}
	}
}

func value(r *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"a", "b", "a", "é\u2028<b>", "version: 1\n"}[r.IntN(5)])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0xff, 0, byte(r.IntN(3))})
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(r.Int32N(4) - 1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(r.Int32N(3)))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64([]int64{0, 1, 1 << 60, 10, -1}[r.IntN(5)])
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64([]uint64{0, 1, 1 << 63}[r.IntN(3)])
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(0.5)
	default:
		panic("no value for " + fd.Kind().String())
	}
}
