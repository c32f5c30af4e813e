// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// codec is gRPC's proto codec with the generated marshalling of vtprotobuf,
// which takes about half the time. Messages that have none, such as those of
// the health service, go through gRPC's own codec.
//
// The generated code does not check that strings are UTF-8; the checks of this
// package do.
type codec struct{ other encoding.CodecV2 }

func newCodec() codec { return codec{other: encoding.GetCodecV2(proto.Name)} }

// message is what vtprotobuf generates for a message.
type message interface {
	protoreflect.ProtoMessage
	SizeVT() int
	MarshalToSizedBufferVT(buf []byte) (int, error)
	UnmarshalVT(data []byte) error
}

// Marshal encodes a message, large ones into a pooled buffer.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(message)
	if !ok {
		return c.other.Marshal(v)
	}
	size := m.SizeVT()
	if mem.IsBelowBufferPoolingThreshold(size) {
		buf := make([]byte, size)
		if _, err := m.MarshalToSizedBufferVT(buf); err != nil {
			return nil, fmt.Errorf("server: encode %T: %w", v, err)
		}
		return mem.BufferSlice{mem.SliceBuffer(buf)}, nil
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	if _, err := m.MarshalToSizedBufferVT((*buf)[:size]); err != nil {
		pool.Put(buf)
		return nil, fmt.Errorf("server: encode %T: %w", v, err)
	}
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// Unmarshal decodes a message; nothing of it points into data afterwards.
//
// gRPC calls bytes that are no message an INTERNAL error of the server, and
// sends that off for a stream before anybody is asked. So this codec takes them
// and leaves a mark, and [undecodable] tells the layer above.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(message)
	if !ok {
		return c.other.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	if err := m.UnmarshalVT(buf.ReadOnlyData()); err != nil {
		m.ProtoReflect().SetUnknown(protoreflect.RawFields{noTag})
	}
	return nil
}

// noTag is the mark: no encoding has a field with the number 0, so no bytes
// that can be decoded leave it behind.
const noTag = 0

// undecodable reports whether the codec could not make a message of the bytes.
func undecodable(v any) bool {
	m, ok := v.(protoreflect.ProtoMessage)
	if !ok {
		return false
	}
	unknown := m.ProtoReflect().GetUnknown()
	return len(unknown) == 1 && unknown[0] == noTag
}

// Name is the content-subtype that clients ask for.
func (codec) Name() string { return proto.Name }
