// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"fmt"

	"github.com/resilienced/resilienced/statestore"
)

// Compared is a family as both stores have it.
type Compared struct {
	Family
	Source, Target Digest
}

// Equal reports whether both say the same.
func (c Compared) Equal() bool { return c.Source == c.Target }

// Verify reads both stores through and compares them family by family. It
// returns ErrDiffers, with what was read, if they differ. Two stores of which
// one is served differ all the time.
func Verify(ctx context.Context, from, to Source, codec *statestore.Codec, tell func(Progress)) ([]Compared, error) {
	here, there := source(from), target(to)
	ours, ourCounts, err := families(ctx, here, codec)
	if err != nil {
		return nil, err
	}
	theirs, theirCounts, err := families(ctx, there, codec)
	if err != nil {
		return nil, err
	}
	m := newMeter(tell, PhaseVerify, total(ourCounts)+total(theirCounts))
	var all []Compared
	var differ error
	for _, f := range sorted(ours, theirs) {
		c := Compared{Family: f}
		if c.Source, err = digest(ctx, here, f, codec, m); err != nil {
			return nil, err
		}
		if c.Target, err = digest(ctx, there, f, codec, m); err != nil {
			return nil, err
		}
		if !c.Equal() && differ == nil {
			differ = fmt.Errorf("%w: kind %s of namespace %q has %d records in the source and %d in the target%s",
				ErrDiffers, f.Kind, f.Namespace, c.Source.Records, c.Target.Records, sums(c))
		}
		all = append(all, c)
	}
	return all, differ
}

// sums explains a difference that the numbers do not show.
func sums(c Compared) string {
	if c.Source.Records == c.Target.Records {
		return ", with different checksums"
	}
	return ""
}

func digest(ctx context.Context, s Source, f Family, codec *statestore.Codec, m *meter) (Digest, error) {
	d := newDigester(codec)
	err := walk(ctx, s, f, func(rows []statestore.Row) error {
		m.add(len(rows))
		return d.add(rows)
	}, nil)
	return d.digest(), err
}
