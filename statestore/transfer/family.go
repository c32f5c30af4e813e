// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Source is what is read of a store. Every statestore.Store is one.
type Source interface {
	Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error)
	List(ctx context.Context, q statestore.Query) (statestore.Page, error)
	Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error)
	Namespaces(ctx context.Context) ([]string, error)
	Now(ctx context.Context) (rules.Instant, error)
}

// side is a store that says in its errors which of the two it is.
type side struct {
	Source
	name string
}

func (s side) err(err error) error {
	if err == nil || s.name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", s.name, err)
}

func (s side) Get(ctx context.Context, key statestore.Key) (statestore.Record, rules.Instant, error) {
	r, now, err := s.Source.Get(ctx, key)
	return r, now, s.err(err)
}

func (s side) List(ctx context.Context, q statestore.Query) (statestore.Page, error) {
	page, err := s.Source.List(ctx, q)
	return page, s.err(err)
}

func (s side) Count(ctx context.Context, kind statestore.Kind, namespace string) (int, error) {
	n, err := s.Source.Count(ctx, kind, namespace)
	return n, s.err(err)
}

func (s side) Namespaces(ctx context.Context) ([]string, error) {
	names, err := s.Source.Namespaces(ctx)
	return names, s.err(err)
}

func (s side) Now(ctx context.Context) (rules.Instant, error) {
	now, err := s.Source.Now(ctx)
	return now, s.err(err)
}

// The sides of a copy.
func source(s Source) side { return side{s, "source"} }
func target(s Source) side { return side{s, "target"} }

// Family is the records of one kind in one namespace.
type Family struct {
	Kind      statestore.Kind
	Namespace string
}

// Digest is what a family holds, in short.
type Digest struct {
	Records int
	// Sum is the checksum as hexadecimal digits; empty for no records.
	Sum string
}

// pageSize is how many records are read at once.
const pageSize = 256

// census is implemented by a source that counts all its records at once, also
// those of kinds that its codec does not know.
type census interface {
	Families(ctx context.Context, yield func(kind statestore.Kind, namespace string, records int)) error
}

// families returns the families of a store that have records, by namespace and
// kind, with how many; the mark of a copy is left out. A kind that the codec
// lacks is ErrUnknownKind: its records could only be lost.
func families(ctx context.Context, s side, codec *statestore.Codec) ([]Family, map[Family]int, error) {
	var all []Family
	var unknown error
	counts := make(map[Family]int)
	err := s.each(ctx, func(kind statestore.Kind, ns string, n int) {
		switch f := (Family{kind, ns}); {
		case n == 0 || kind == statestore.KindTransfer:
		case !codec.Knows(kind):
			unknown = errors.Join(unknown, fmt.Errorf("%w: %s, %d of namespace %q; use the version that wrote it", ErrUnknownKind, kind, n, ns))
		default:
			all, counts[f] = append(all, f), n
		}
	})
	if err != nil {
		return nil, nil, s.err(err)
	}
	return sorted(all), counts, s.err(unknown)
}

// each gives yield the number of records of every kind, known or not, in every
// namespace.
func (s side) each(ctx context.Context, yield func(kind statestore.Kind, ns string, records int)) error {
	if c, ok := s.Source.(census); ok {
		return c.Families(ctx, yield)
	}
	namespaces, err := s.Source.Namespaces(ctx)
	if err != nil {
		return err
	}
	for _, ns := range namespaces {
		for kind := range statestore.Kind(math.MaxUint8) {
			n, err := s.Source.Count(ctx, kind, ns)
			if err != nil {
				return err
			}
			yield(kind, ns, n)
		}
	}
	return nil
}

// total is the sum of the counts.
func total(counts map[Family]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// walk gives yield every page of a family, in order. It gives broken, if that
// is not nil, each record that cannot be read, and goes on behind it.
func walk(ctx context.Context, s Source, f Family, yield func(rows []statestore.Row) error, broken func(*statestore.RecordError)) error {
	q := statestore.Query{Kind: f.Kind, Namespace: f.Namespace, Limit: pageSize}
	var last *statestore.RecordError
	for {
		page, err := s.List(ctx, q)
		if record, ok := errors.AsType[*statestore.RecordError](err); ok && broken != nil {
			if q.Limit > 1 { // what stands before it on the page is read row by row
				q.Limit = 1
				continue
			}
			if last != nil && !behind(record.At, last.At) {
				return err // its place is damaged too: there is no way past it
			}
			broken(record)
			last = record
			q.After, q.Limit = q.CursorAt(record.At), pageSize
			continue
		}
		if err != nil {
			return err
		}
		if err := yield(page.Rows); err != nil {
			return err
		}
		if q.After = page.Cursor; q.After == "" {
			return nil
		}
	}
}

// behind reports whether a list has a behind b.
func behind(a, b statestore.Position) bool {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name)) > 0
}

// digester makes a Digest.
type digester struct {
	codec   *statestore.Codec
	hash    hash.Hash
	records int
	scratch []byte
}

func newDigester(codec *statestore.Codec) *digester {
	return &digester{codec: codec, hash: sha256.New()}
}

func (d *digester) add(rows []statestore.Row) error {
	for _, row := range rows {
		body, err := d.codec.Canonical(row.Record)
		if err != nil {
			return err
		}
		// The lengths keep two neighbours from being taken for one another.
		d.scratch = binary.AppendUvarint(d.scratch[:0], uint64(len(row.Name)))
		d.scratch = append(d.scratch, row.Name...)
		d.scratch = binary.AppendUvarint(d.scratch, uint64(len(body)))
		d.scratch = append(d.scratch, body...)
		d.hash.Write(d.scratch)
		d.records++
	}
	return nil
}

func (d *digester) digest() Digest {
	if d.records == 0 {
		return Digest{}
	}
	return Digest{Records: d.records, Sum: hex.EncodeToString(d.hash.Sum(nil))}
}

// sorted are the families of several stores, by namespace and kind, each once.
func sorted(lists ...[]Family) []Family {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b Family) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind))
	})
	return slices.Compact(all)
}
