// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Number is an int64 that a row may leave out. The zero Number is left out.
type Number struct {
	N   int64
	Set bool
}

// Columns are what a store that keeps rows writes of a record, besides its
// key.
type Columns struct {
	// Ord is what lists sort by; left out for a record that is not Ordered.
	Ord Number
	// Due is when the record has something due; left out for never.
	Due Number
	// Body is the encoded record and, behind it, a checksum over the whole row.
	Body []byte
}

// DamageError says that a row is not as it was written. The RecordError around
// it names the record.
type DamageError struct{ Key Key }

// Error says how that was found.
func (e *DamageError) Error() string { return "the checksum of its row is wrong" }

// Unwrap returns ErrNotADatabase.
func (e *DamageError) Unwrap() error { return ErrNotADatabase }

// SortColumns returns what lists and Due need to know of a record.
func SortColumns(r Record) (ord, due Number) {
	if o, ok := r.(Ordered); ok {
		ord = Number{o.OrderBy(), true}
	}
	if d, ok := r.(Dated); ok && d.DueAt() != 0 {
		due = Number{int64(d.DueAt()), true}
	}
	return ord, due
}

// Columns returns the row of a record, or ErrRejected for a record that could
// not be read again under that key.
func (c *Codec) Columns(key Key, r Record) (Columns, error) {
	if !c.Fits(key.Kind, r) {
		return Columns{}, fmt.Errorf("%w: %T does not belong under %+v", ErrRejected, r, key)
	}
	body, err := c.Encode(r)
	if err != nil {
		return Columns{}, err
	}
	ord, due := SortColumns(r)
	return Columns{Ord: ord, Due: due, Body: binary.BigEndian.AppendUint32(body, rowSum(key, ord, due, body))}, nil
}

// Record returns a fresh record from its row, or a RecordError: of a DamageError
// if the row is not as it was written, or of what Decode says.
func (c *Codec) Record(key Key, row Columns) (Record, error) {
	n := len(row.Body) - crc32.Size
	var r Record
	var err error = &DamageError{Key: key}
	if n >= 0 && binary.BigEndian.Uint32(row.Body[n:]) == rowSum(key, row.Ord, row.Due, row.Body[:n]) {
		r, err = c.Decode(key.Kind, row.Body[:n])
	}
	if err != nil {
		return nil, &RecordError{Key: key, At: Position{Order: row.Ord.N, Name: key.Name}, Err: err}
	}
	return r, nil
}

// rowSum is a checksum over everything that a row says.
func rowSum(key Key, ord, due Number, body []byte) uint32 {
	var scratch [128]byte
	head := append(scratch[:0], byte(key.Kind))
	head = binary.AppendUvarint(head, uint64(len(key.Namespace)))
	head = append(head, key.Namespace...)
	head = binary.AppendUvarint(head, uint64(len(key.Name)))
	head = append(head, key.Name...)
	for _, v := range [...]Number{ord, due} {
		if !v.Set {
			head = append(head, 0)
			continue
		}
		head = binary.AppendVarint(append(head, 1), v.N)
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}
