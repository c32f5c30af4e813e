// SPDX-License-Identifier: Apache-2.0

package statestore

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/resilienced/resilienced/rules"
)

// placed is a record with an order and a due time.
type placed struct {
	N    int64         `json:"n"`
	Rank int64         `json:"rank,omitempty"`
	Due  rules.Instant `json:"due,omitempty"`
}

func (p *placed) OrderBy() int64       { return p.Rank }
func (p *placed) DueAt() rules.Instant { return p.Due }

func TestARowIsReadAsItWasWrittenOrNotAtAll(t *testing.T) {
	codec, err := NewCodec(map[Kind]func() Record{KindLetter: func() Record { return new(placed) }})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		key := Key{Kind: KindLetter, Namespace: rapid.String().Draw(t, "namespace"), Name: rapid.String().Draw(t, "name")}
		want := &placed{
			N: rapid.Int64().Draw(t, "n"), Rank: rapid.Int64().Draw(t, "rank"),
			Due: rules.Instant(rapid.Int64Range(0, 3).Draw(t, "due")),
		}
		row, err := codec.Columns(key, want)
		if err != nil {
			t.Fatal(err)
		}
		if row.Ord != (Number{want.Rank, true}) || row.Due != (Number{int64(want.Due), want.Due != 0}) {
			t.Fatalf("Columns = %+v of %+v", row, want)
		}
		if got, err := codec.Record(key, row); err != nil || !reflect.DeepEqual(got, Record(want)) {
			t.Fatalf("Record = %+v, %v, want %+v", got, err, want)
		}
		switch rapid.IntRange(0, 6).Draw(t, "damage") {
		case 0:
			row.Body[rapid.IntRange(0, len(row.Body)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			row.Body = row.Body[:rapid.IntRange(0, len(row.Body)-1).Draw(t, "length")]
		case 2:
			row.Ord.N++
		case 3:
			row.Due = Number{row.Due.N + 1, true}
		case 4:
			row.Ord = Number{}
		case 5: // a namespace that is as long
			key.Namespace += "x"
			if row, err = codec.Columns(key, want); err != nil {
				t.Fatal(err)
			}
			key.Namespace = key.Namespace[:len(key.Namespace)-1] + "y"
		default:
			key.Name += "x"
		}
		_, err = codec.Record(key, row)
		if _, damaged := errors.AsType[*DamageError](err); !damaged {
			t.Fatalf("a damaged row is read: %v", err)
		}
	})
}

func TestColumnsRefuseAForeignRecord(t *testing.T) {
	codec := newCodec(t)
	if _, err := codec.Columns(Key{Kind: KindRun}, &placed{}); !errors.Is(err, ErrRejected) {
		t.Fatalf("Columns = %v, want ErrRejected", err)
	}
}
