// SPDX-License-Identifier: Apache-2.0

package statestore

import (
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
	dec   cbor.DecMode
}

// NewCodec returns a codec for the given kinds; each function makes an empty
// record.
func NewCodec(kinds map[Kind]func() Record) (*Codec, error) {
	enc, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		return nil, fmt.Errorf("statestore: encoder: %w", err)
	}
	// Whatever Encode takes must be readable again, so the reader's limits are
	// off: the bytes are the store's own.
	dec, err := cbor.DecOptions{
		MaxArrayElements: math.MaxInt32,
		MaxMapPairs:      math.MaxInt32,
		MaxNestedLevels:  math.MaxUint16,
		UTF8:             cbor.UTF8DecodeInvalid,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("statestore: decoder: %w", err)
	}
	types := make(map[Kind]reflect.Type, len(kinds))
	for kind, empty := range kinds {
		types[kind] = reflect.TypeOf(empty())
	}
	return &Codec{kinds: kinds, types: types, enc: enc, dec: dec}, nil
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
	if err := c.dec.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: decode kind %d: %w", ErrNotADatabase, kind, err)
	}
	return r, nil
}

// Kinds returns the kinds that the codec knows, in order.
func (c *Codec) Kinds() []Kind { return slices.Sorted(maps.Keys(c.kinds)) }
