// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// Codec turns records into bytes and back, for stores that keep bytes. Records
// are CBOR maps keyed by their json tags, so that a field may be added at any
// time and is absent in older rows.
type Codec struct {
	kinds map[Kind]func() Record
	types map[Kind]reflect.Type
	enc   cbor.EncMode
	sum   cbor.EncMode // the same for the same record
	dec   cbor.DecMode
}

// NewCodec returns a codec for the given kinds; each function makes an empty
// record. A field that a record's type lacks is passed over, as a newer version
// may have written it beside this one.
func NewCodec(kinds map[Kind]func() Record) (*Codec, error) {
	return buildCodec(kinds, cbor.ExtraDecErrorNone)
}

// NewStrictCodec is NewCodec for whoever must not lose anything: Decode returns
// ErrNewerSchema for a record with a field that its type lacks.
func NewStrictCodec(kinds map[Kind]func() Record) (*Codec, error) {
	return buildCodec(kinds, cbor.ExtraDecErrorUnknownField)
}

func buildCodec(kinds map[Kind]func() Record, refuse cbor.ExtraDecErrorCond) (*Codec, error) {
	enc, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		return nil, fmt.Errorf("statestore: encoder: %w", err)
	}
	sum, err := cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	if err != nil {
		return nil, fmt.Errorf("statestore: encoder: %w", err)
	}
	// Whatever Encode takes must be readable again, so the reader's limits are
	// off: the bytes are the store's own.
	dec, err := cbor.DecOptions{
		MaxArrayElements:  math.MaxInt32,
		MaxMapPairs:       math.MaxInt32,
		MaxNestedLevels:   math.MaxUint16,
		UTF8:              cbor.UTF8DecodeInvalid,
		ExtraReturnErrors: refuse,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("statestore: decoder: %w", err)
	}
	types := make(map[Kind]reflect.Type, len(kinds))
	for kind, empty := range kinds {
		types[kind] = reflect.TypeOf(empty())
	}
	return &Codec{kinds: kinds, types: types, enc: enc, sum: sum, dec: dec}, nil
}

// Fits reports whether Decode of the kind returns records of r's type. A store
// that keeps bytes refuses any other record, since it could not read it again.
func (c *Codec) Fits(kind Kind, r Record) bool {
	t, known := c.types[kind]
	return known && t == reflect.TypeOf(r)
}

// Encode returns the bytes of a record.
func (c *Codec) Encode(r Record) ([]byte, error) {
	b, err := c.enc.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %T: %w", ErrRejected, r, err)
	}
	return b, nil
}

// Canonical returns bytes that are the same for records that say the same,
// whichever store they come from. Encode's may differ from call to call, since
// a map has no order. Decode reads both.
func (c *Codec) Canonical(r Record) ([]byte, error) {
	b, err := c.sum.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %T: %w", ErrRejected, r, err)
	}
	return b, nil
}

// Knows reports whether the codec has the kind.
func (c *Codec) Knows(kind Kind) bool { return c.kinds[kind] != nil }

// New returns an empty record of the kind, or ErrNewerSchema for a kind that
// the codec does not know.
func (c *Codec) New(kind Kind) (Record, error) {
	empty, ok := c.kinds[kind]
	if !ok {
		return nil, fmt.Errorf("%w: unknown kind %d", ErrNewerSchema, kind)
	}
	return empty(), nil
}

// Decode returns a fresh record of the kind.
func (c *Codec) Decode(kind Kind, b []byte) (Record, error) {
	r, err := c.New(kind)
	if err != nil {
		return nil, err
	}
	err = c.dec.Unmarshal(b, r)
	if _, unknown := errors.AsType[*cbor.UnknownFieldError](err); unknown {
		return nil, fmt.Errorf("%w: it has a field that this version does not know", ErrNewerSchema)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: decode kind %d: %w", ErrNotADatabase, kind, err)
	}
	return r, nil
}

// Kinds returns the kinds that the codec knows, in order.
func (c *Codec) Kinds() []Kind { return slices.Sorted(maps.Keys(c.kinds)) }
