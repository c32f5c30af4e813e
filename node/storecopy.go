// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/resilienced/resilienced/statestore/transfer"
)

// StoreCopy is what CopyStore did.
type StoreCopy struct {
	// From and To are the stores, for people.
	From, To string
	*transfer.Result
}

// ErrServed is returned where a service is connected to a store that is to be
// copied.
var ErrServed = errors.New("a service is connected to the source")

// unused refuses a source that a service uses.
func (v *storeView) unused(ctx context.Context, cfg StoreConfig) error {
	if v.sessions == nil || cfg.AllowServed {
		return nil
	}
	n, err := v.sessions(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("%w: %d connections are open on %s, and what it writes from now on would not be in the copy; "+
			"stop every replica, or, if a pooler only keeps the connections, go on with --ignore-connections", ErrServed, n, v.where)
	}
	return nil
}

// ErrSameStore is returned where source and target are one store.
var ErrSameStore = errors.New("source and target are the same store; give two")

// sameFile reports whether the target is the file of the source.
func sameFile(source string, target StoreConfig) bool {
	path, err := target.file()
	if err != nil || path == "" {
		return false
	}
	a, errA := os.Stat(strings.TrimPrefix(source, storeSQLite+":"))
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// CopyStore copies every record of one store to another, which must be empty
// or an unfinished copy of the same, and proves that both say the same. No
// server may use either meanwhile. After an error the same call goes on.
func CopyStore(ctx context.Context, from, to StoreConfig, tell func(transfer.Progress)) (_ *StoreCopy, err error) {
	v, err := openSource(ctx, from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if err := v.unused(ctx, from); err != nil {
		return nil, err
	}
	if sameFile(v.where, to) {
		return nil, fmt.Errorf("%w: %s", ErrSameStore, v.where)
	}
	told, err := v.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	store, where, err := openTarget(ctx, to, told+1)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if where == v.where {
		return nil, fmt.Errorf("%w: %s", ErrSameStore, where)
	}
	c := &StoreCopy{From: v.where, To: where}
	c.Result, err = transfer.Copy(ctx, v.Source, store, transfer.Options{Codec: v.codec, From: v.where, ClockWait: clockWait, Progress: tell})
	return c, err
}

// CompareStores reads two stores and compares them. It returns
// transfer.ErrDiffers, with what was read, if they differ.
func CompareStores(ctx context.Context, from, to StoreConfig, tell func(transfer.Progress)) (_ *StoreCopy, err error) {
	v, err := openSource(ctx, from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if sameFile(v.where, to) {
		return nil, fmt.Errorf("%w: %s", ErrSameStore, v.where)
	}
	w, err := openView(ctx, to)
	if err == nil {
		defer func() { err = errors.Join(err, w.close()) }()
		err = w.current()
	}
	if err == nil && w.where == v.where {
		err = ErrSameStore
	}
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	c := &StoreCopy{From: v.where, To: w.where, Result: &transfer.Result{}}
	c.Families, err = transfer.Verify(ctx, v.Source, w.Source, v.codec, tell)
	return c, err
}

// openSource opens a store whose records can be read.
func openSource(ctx context.Context, cfg StoreConfig) (*storeView, error) {
	v, err := openView(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if err := v.current(); err != nil {
		return nil, errors.Join(fmt.Errorf("source: %w", err), v.close())
	}
	return v, nil
}
