// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// Position is a place in a list: lists sort by Order, then by Name. Order is
// 0 for a record that is not Ordered.
type Position struct {
	Order int64
	Name  string
}

// PositionOf returns the place of a record in its list.
func PositionOf(name string, r Record) Position {
	p := Position{Name: name}
	if o, ok := r.(Ordered); ok {
		p.Order = o.OrderBy()
	}
	return p
}

// sumSize is the length of the checksum in front of a cursor.
const sumSize = 4

// CursorAt returns the page token that goes on behind p in the list that q
// asks for. The same token with another kind, namespace, prefix or direction
// is a bad one.
func (q Query) CursorAt(p Position) string {
	b := make([]byte, sumSize+8, sumSize+8+len(p.Name))
	binary.BigEndian.PutUint64(b[sumSize:], uint64(p.Order))
	b = append(b, p.Name...)
	binary.BigEndian.PutUint32(b, q.listSum(b[sumSize:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Start reads After. It returns false for the first page and ErrBadCursor for
// a token that CursorAt did not make for this list.
func (q Query) Start() (Position, bool, error) {
	if q.After == "" {
		return Position{}, false, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.After)
	if err != nil {
		return Position{}, false, fmt.Errorf("%w: %w", ErrBadCursor, err)
	}
	// The decoder passes over line breaks, wherever they stand.
	if strings.ContainsAny(q.After, "\r\n") {
		return Position{}, false, fmt.Errorf("%w: it has a line break", ErrBadCursor)
	}
	if len(b) < sumSize+8 || binary.BigEndian.Uint32(b) != q.listSum(b[sumSize:]) {
		return Position{}, false, fmt.Errorf("%w: it belongs to another list", ErrBadCursor)
	}
	p := Position{
		Order: int64(binary.BigEndian.Uint64(b[sumSize:])),
		Name:  string(b[sumSize+8:]),
	}
	return p, true, nil
}

// listSum is a checksum over what names the list and over the position. It
// finds mistakes; it is no secret and need not be one, since a token can only
// point into a list that its caller may read anyway.
func (q Query) listSum(position []byte) uint32 {
	direction := byte(0)
	if q.Descending {
		direction = 1
	}
	head := []byte{byte(q.Kind), direction}
	head = binary.AppendUvarint(head, uint64(len(q.Namespace)))
	head = append(head, q.Namespace...)
	head = binary.AppendUvarint(head, uint64(len(q.Prefix)))
	head = append(head, q.Prefix...)
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, position)
}

// PrefixEnd returns the smallest string that sorts after every string with the
// prefix. It returns false if there is none.
func PrefixEnd(prefix string) (string, bool) {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 0xff {
			b[i]++
			return string(b[:i+1]), true
		}
	}
	return "", false
}
