// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/resilienced/resilienced/statestore"
)

// value returns a number as the driver takes it: nil if it is left out.
func value(n statestore.Number) driver.Value {
	if !n.Set {
		return nil
	}
	return n.N
}

// asNumber reads a column that may be NULL.
func asNumber(v driver.Value) statestore.Number {
	n, set := v.(int64)
	return statestore.Number{N: n, Set: set}
}

// decodeRow returns the record of a row, or errDamaged if the row is not as it
// was written: SQLite itself keeps no checksum.
func decodeRow(codec *statestore.Codec, key statestore.Key, ord, due, body driver.Value) (statestore.Record, error) {
	b, _ := body.([]byte)
	r, err := codec.Record(key, statestore.Columns{Ord: asNumber(ord), Due: asNumber(due), Body: b})
	if _, damaged := errors.AsType[*statestore.DamageError](err); damaged {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return r, err
}
