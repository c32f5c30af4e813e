// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// The errors of this package, besides those of the stores.
var (
	// ErrUnfinished: the store is a copy that did not come to its end.
	ErrUnfinished = errors.New("the store is an unfinished copy")
	// ErrNotEmpty: the target has records that no copy of ours put there.
	ErrNotEmpty = errors.New("the target is not empty")
	// ErrOtherSource: the target is an unfinished copy of another store.
	ErrOtherSource = errors.New("the target is an unfinished copy of another store")
	// ErrDiffers: the two stores do not say the same.
	ErrDiffers = errors.New("source and target differ")
	// ErrClockBehind: the target's clock is behind what the records tell.
	ErrClockBehind = errors.New("the target's clock is behind the source's records")
	// ErrUnknownKind: the source has records that this version does not know.
	ErrUnknownKind = errors.New("the store has records of kinds that this version does not know")
)

// Mark says that a store is an unfinished copy. It is the only record of
// KindTransfer and goes when the copy is verified.
type Mark struct {
	// From is the source, in the words of whoever began the copy.
	From string `json:"f"`
	// At is the target's time when the copy began.
	At rules.Instant `json:"t"`
}

// Kinds returns the kinds of this package's records, for the codecs of stores.
func Kinds() map[statestore.Kind]func() statestore.Record {
	return map[statestore.Kind]func() statestore.Record{
		statestore.KindTransfer: func() statestore.Record { return &Mark{} },
	}
}

func markKey() statestore.Key {
	return statestore.Key{Kind: statestore.KindTransfer, Name: "unfinished"}
}

// markOf returns the mark of a store, or nil.
func markOf(ctx context.Context, s Source) (*Mark, error) {
	r, _, err := s.Get(ctx, markKey())
	if err != nil {
		return nil, err
	}
	m, _ := r.(*Mark)
	return m, nil
}

// Unfinished returns ErrUnfinished if the store is a copy that did not come to
// its end. Such a store lacks records and must not be served: a run whose
// record is missing would have no cap.
func Unfinished(ctx context.Context, s Source) error {
	m, err := markOf(ctx, s)
	if err != nil || m == nil {
		return err
	}
	return fmt.Errorf("%w of %s, begun at %s; run the same copy again, it goes on where it stopped: resilienced store copy",
		ErrUnfinished, m.From, m.At.Time().UTC().Format("2006-01-02T15:04:05Z"))
}

// change puts the mark or, with nil, takes it away. It waits for the disk, and
// with it everything that was written before is there.
func change(ctx context.Context, to statestore.Store, next func(now rules.Instant) *Mark) error {
	e := &statestore.Entry{Key: markKey(), Mode: statestore.Write}
	return to.Update(ctx, []*statestore.Entry{e}, func(now rules.Instant) (statestore.Durability, error) {
		if m := next(now); m != nil {
			e.Put(m)
		} else {
			e.Put(nil)
		}
		return statestore.Durable, nil
	})
}
