// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/resilienced/resilienced/statestore"
)

// columns are what a record's row holds besides its key. Each is nil, an
// int64, or for body a []byte.
type columns struct {
	ord, due driver.Value
	body     []byte
}

// sortColumns returns a record's ord and due.
func sortColumns(r statestore.Record) (ord, due driver.Value) {
	if o, ok := r.(statestore.Ordered); ok {
		ord = o.OrderBy()
	}
	if d, ok := r.(statestore.Dated); ok && d.DueAt() != 0 {
		due = int64(d.DueAt())
	}
	return ord, due
}

// encodeRow returns a record's columns, or ErrRejected for a record that could
// not be read again.
func encodeRow(codec *statestore.Codec, key statestore.Key, r statestore.Record) (columns, error) {
	if !codec.Fits(key.Kind, r) {
		return columns{}, fmt.Errorf("%w: %T does not belong under %+v", statestore.ErrRejected, r, key)
	}
	body, err := codec.Encode(r)
	if err != nil {
		return columns{}, err
	}
	c := columns{}
	c.ord, c.due = sortColumns(r)
	c.body = binary.BigEndian.AppendUint32(body, rowSum(key, c.ord, c.due, body))
	return c, nil
}

// decodeRow returns the record of a row. If the row is not as it was written,
// or says what this version does not know, the error is a
// *statestore.RecordError.
func decodeRow(codec *statestore.Codec, key statestore.Key, ord, due, body driver.Value) (statestore.Record, error) {
	b, _ := body.([]byte)
	n := len(b) - crc32.Size
	var r statestore.Record
	err := fmt.Errorf("%w: the checksum is wrong", errDamaged)
	if n >= 0 && binary.BigEndian.Uint32(b[n:]) == rowSum(key, ord, due, b[:n]) {
		r, err = codec.Decode(key.Kind, b[:n])
	}
	if err != nil {
		at, _ := ord.(int64)
		return nil, &statestore.RecordError{Key: key, At: statestore.Position{Order: at, Name: key.Name}, Err: err}
	}
	return r, nil
}

// rowSum is a checksum over everything that a row says. SQLite itself keeps
// none.
func rowSum(key statestore.Key, ord, due driver.Value, body []byte) uint32 {
	var scratch [128]byte
	head := append(scratch[:0], byte(key.Kind))
	head = binary.AppendUvarint(head, uint64(len(key.Namespace)))
	head = append(head, key.Namespace...)
	head = binary.AppendUvarint(head, uint64(len(key.Name)))
	head = append(head, key.Name...)
	for _, v := range []driver.Value{ord, due} {
		n, set := v.(int64)
		if !set {
			head = append(head, 0)
			continue
		}
		head = binary.AppendVarint(append(head, 1), n)
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}
