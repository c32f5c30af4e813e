// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/statestore"
)

// stored is what a record of a kind takes, with its share of the indexes.
type stored struct {
	direct.Specimen
	body             int
	postgres, sqlite float64 // bytes
}

// storage measures what a record of each kind takes.
func (s *Suite) storage(ctx context.Context) error {
	all, err := direct.Specimens(ctx)
	if err != nil {
		return err
	}
	codec, err := statestore.NewCodec(engine.Kinds())
	if err != nil {
		return err
	}
	t := &page.Table{Head: []string{"record", "encoded", "PostgreSQL", "SQLite"}}
	for _, one := range all {
		row := one.Copy(0)
		columns, err := codec.Columns(row.Key, row.Record)
		if err != nil {
			return err
		}
		rec := stored{Specimen: one, body: len(columns.Body)}
		for kind, into := range map[direct.Kind]*float64{direct.Postgres: &rec.postgres, direct.SQLite: &rec.sqlite} {
			err := s.steady(ctx, "storage", func(ctx context.Context) (err error) {
				*into, err = s.bytesOf(ctx, kind, one, rec.body)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s on %s: %w", one.What, kind, err)
			}
		}
		what := one.What
		if one.Holds > 1 {
			what += fmt.Sprintf(", %d in a record", one.Holds)
		}
		t.Add(what, bytesText(float64(rec.body)), bytesText(rec.postgres), bytesText(rec.sqlite))
		s.shared.storage = append(s.shared.storage, rec)
	}
	s.say("storage: %d kinds of record", len(all))
	s.sections = append(s.sections, page.Section{Title: "(m) What a record takes on the disk", Parts: []page.Part{
		{Text: page.Count(float64(s.cfg.Size.Records)) + " copies of a record that the engine made, written through the store in transactions of a thousand; the growth of the store's files divided by their number, indexes and free room on the pages included. Records that are updated often leave dead rows until they are vacuumed, which comes on top."},
		{Table: t},
	}})
	return nil
}

// bytesText writes a number of bytes.
func bytesText(n float64) string { return page.Count(n) + " B" }

// large is a record of which fewer copies are enough.
const large = 4 << 10

// bytesOf is what a record takes in a store.
func (s *Suite) bytesOf(ctx context.Context, kind direct.Kind, one direct.Specimen, body int) (each float64, err error) {
	p, err := s.place(ctx, kind)
	if err != nil {
		return 0, err
	}
	n := s.cfg.Size.Records
	if body > large {
		n = max(n/10, 1)
	}
	empty, err := s.filled(ctx, p, 0, one)
	if err != nil {
		return 0, err
	}
	full, err := s.filled(ctx, p, n, one)
	return (full - empty) / float64(n), err
}

// filled opens a store, writes copies, closes it, and says how large it is.
func (s *Suite) filled(ctx context.Context, p direct.Place, n int, one direct.Specimen) (float64, error) {
	store, err := p.Store(ctx)
	if err != nil {
		return 0, err
	}
	err = direct.Fill(ctx, store, n, one.Copy, func(int) {})
	if err = errors.Join(err, store.Close()); err != nil {
		return 0, err
	}
	return s.bytesAt(ctx, p)
}

// bytesAt is how large a store is, with its indexes.
func (s *Suite) bytesAt(ctx context.Context, p direct.Place) (float64, error) {
	if p.Kind == direct.Postgres {
		text, err := s.shared.server.Exec(ctx, p.Database(), "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c "+
			"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '"+direct.Schema+"' AND c.relkind = 'r'")
		if err != nil {
			return 0, err
		}
		return strconv.ParseFloat(text, 64)
	}
	total := int64(0)
	err := filepath.WalkDir(p.Folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return float64(total), err
}
