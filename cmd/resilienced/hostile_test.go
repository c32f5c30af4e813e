// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// hostile is what a server that checks nothing might pass on.
const hostile = "a\x1b[31m\x1b]0;owned\x07\u202e\u2066\u009b2J\r\nb\u200b"

// poison puts hostile text into every text of a message, and something into
// every other field, so that every part of it is shown.
func poison(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Name() == "next_page_token":
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString(hostile).MapKey(), protoreflect.ValueOfString(hostile))
		case f.IsList() && f.Message() != nil && depth > 0:
			poison(m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.IsList() && f.Message() == nil:
			m.Mutable(f).List().Append(poisoned(f))
		case f.Message() != nil && !f.IsList() && depth > 0:
			poison(m.Mutable(f).Message(), depth-1)
		case f.Message() == nil && !f.IsList():
			m.Set(f, poisoned(f))
		}
	}
}

func poisoned(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(hostile)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0x1b})
	default:
		return protoreflect.ValueOfInt64(1)
	}
}

// answerOf is the empty answer of a method.
func answerOf(method string) proto.Message {
	for _, services := range []protoreflect.ServiceDescriptors{
		pb.File_resilience_v1_target_service_proto.Services(), pb.File_resilience_v1_run_service_proto.Services(), pb.File_resilience_v1_policy_service_proto.Services(),
		pb.File_resilience_v1_decision_service_proto.Services(), pb.File_resilience_v1_permit_service_proto.Services(),
	} {
		for i := range services.Len() {
			if m := services.Get(i).Methods().ByName(protoreflect.Name(method)); m != nil {
				found, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
				if err != nil {
					return nil
				}
				return found.New().Interface()
			}
		}
	}
	return nil
}

// Every text of every answer of every command, in every form: nothing that a
// terminal would act upon gets out.
func TestHostileAnswers(t *testing.T) {
	var fault error
	addr := serveFake(t, func(_ context.Context, method string, _ any) (any, error) {
		m := answerOf(method)
		switch {
		case m == nil: // health
			return nil, nil
		case fault != nil:
			return nil, fault
		}
		poison(m.ProtoReflect(), 4)
		return m, nil
	})
	commands := [][]string{
		{"targets", "list"},
		{"targets", "get", "t"},
		{"targets", "history", "t"},
		{"targets", "open", "t", "--reason", "r"},
		{"targets", "auto", "t", "--reason", "r"},
		{"runs", "list"},
		{"runs", "get", "r"},
		{"runs", "top"},
		{"runs", "start", "r"},
		{"runs", "adjust", "r", "--cost", "1", "--reason", "r"},
		{"runs", "stop", "r", "--reason", "r"},
		{"runs", "finish", "r"},
		{"acquire", "t"},
		{"report", "p", "--outcome", "success"},
		{"report"},
		{"explain", "d"},
		{"decisions"},
		{"enforce", "t"},
		{"observe", "--all"},
		{"enforcement"},
		{"pass"},
		{"pass", "--end"},
		{"policy", "explain", "t"},
		{"policy", "apply", "/dev/null", "--reason", "r"},
		{"doctor"},
	}
	withNames := map[string]bool{"targets list": true, "runs list": true, "runs get": false, "acquire t": true, "decisions": true, "runs top": true}
	for _, f := range []error{nil, status.Error(codes.Internal, hostile), status.Error(codes.Aborted, hostile)} {
		fault = f
		for _, args := range commands {
			forms := []string{formTable, formJSON, formYAML}
			if withNames[strings.Join(args[:min(2, len(args))], " ")] {
				forms = append(forms, formName)
			}
			for _, form := range forms {
				code, out, errs := runAt(t, addr, append(args, "-o", form)...)
				if code == exitUsage || fault == nil && out == "" {
					t.Errorf("%q -o %s: exit %d\n%s%s", args, form, code, out, errs)
				}
				for _, r := range out + errs {
					if !unicode.IsPrint(r) && r != '\n' {
						t.Errorf("%q -o %s lets %q out:\n%q\n%q", args, form, r, out, errs)
						break
					}
				}
			}
		}
	}
	code, _, errs := runAt(t, addr, "exec", "--target", "t", "--", "true")
	if strings.ContainsAny(errs, "\x1b\u202e\u009b") {
		t.Errorf("exec: exit %d, %q", code, errs)
	}
}
