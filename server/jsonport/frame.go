// SPDX-License-Identifier: Apache-2.0

package jsonport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/resilienced/resilienced/server"
)

// maxDepth is how deep a JSON body may nest. The deepest request needs six.
const maxDepth = 32

// frame is a message on its way through connect-go, which is generic over Go
// types that the method's description does not give. Inbound it has the bytes
// until the method has made a message to fill; outbound it has the message.
type frame struct {
	data  []byte
	codec codec
	msg   proto.Message
}

// decode fills the message that the method made.
func (f *frame) decode(into any) error {
	m, ok := into.(proto.Message)
	if !ok {
		return fmt.Errorf("jsonport: %T is no message: %w", into, errNoMessage)
	}
	if f.codec == nil {
		return nil // a stream's message of no bytes, of which connect-go says nothing
	}
	return f.codec.decode(f.data, m)
}

var errNoMessage = errors.New("not a protobuf message")

// codec is one form of a message's bytes.
type codec interface {
	connect.Codec
	decode(data []byte, m proto.Message) error
}

// codecs are all forms. Connect asks for the charset under a name of its own.
func codecs() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
		connect.WithCodec(protoCodec{}),
	}
}

// keep is the first half of decoding; the buffer is connect's.
func keep(data []byte, v any, c codec) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("jsonport: %T is no frame: %w", v, errNoMessage)
	}
	f.data, f.codec = slices.Clone(data), c
	return nil
}

// message is what there is to encode: a frame's, or one of gRPC-Web's own.
func message(v any) (proto.Message, error) {
	switch v := v.(type) {
	case *frame:
		return v.msg, nil
	case proto.Message:
		return v, nil
	default:
		return nil, fmt.Errorf("jsonport: %T is no message: %w", v, errNoMessage)
	}
}

// jsonCodec is JSON as the package's comment says.
type jsonCodec struct{ name string }

func (c jsonCodec) Name() string { return c.name }

// Marshal leaves out the spaces that protojson puts in at random, so that the
// same answer is the same text.
func (jsonCodec) Marshal(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	spaced, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	compact := bytes.NewBuffer(spaced[:0])
	if err := json.Compact(compact, spaced); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

func (c jsonCodec) Unmarshal(data []byte, v any) error { return keep(data, v, c) }

func (jsonCodec) decode(data []byte, m proto.Message) error {
	err := protojson.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(data, m)
	if err == nil {
		return nil
	}
	return server.Malformed(explain(data, m.ProtoReflect().Descriptor(), err))
}

// protoCodec is protobuf's binary form.
type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (protoCodec) Marshal(v any) ([]byte, error) {
	m, err := message(v)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

func (c protoCodec) Unmarshal(data []byte, v any) error { return keep(data, v, c) }

func (protoCodec) decode(data []byte, m proto.Message) error {
	if err := proto.Unmarshal(data, m); err != nil {
		return server.Malformed("", "the body is not a "+string(m.ProtoReflect().Descriptor().FullName())+
			" in protobuf's binary form, with text in UTF-8; build it from the .proto files, or send JSON with content-type application/json")
	}
	return nil
}
