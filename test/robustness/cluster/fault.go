// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Fault is one thing that is broken for a while. It is for one use, by one
// goroutine: Begin, End, Proof.
type Fault interface {
	// Kind names the sort of fault, as in the catalogue.
	Kind() string
	// About says where and how much: "replica 1, 50ms".
	About() string
	// Begin breaks it and returns when it is broken.
	Begin(ctx context.Context, c *Cluster) error
	// End mends it, and starts again what was ended. Whether the service has
	// recovered is for AwaitWhole to say. It may be called after a Begin that
	// failed, to mend what that did.
	End(ctx context.Context, c *Cluster) error
	// Proof says what the fault did, from End on. An error: it took no effect,
	// and a run that relies on it is void.
	Proof() (string, error)
}

// fault is a Fault made of its parts.
type fault struct {
	kind, about string
	begin, end  func(ctx context.Context, c *Cluster) error
	proof       func() (string, error)
}

func (f *fault) Kind() string                                { return f.kind }
func (f *fault) About() string                               { return f.about }
func (f *fault) Begin(ctx context.Context, c *Cluster) error { return f.begin(ctx, c) }
func (f *fault) End(ctx context.Context, c *Cluster) error   { return f.end(ctx, c) }
func (f *fault) Proof() (string, error)                      { return f.proof() }

// errNoEffect is the error of a proof.
var errNoEffect = errors.New("the fault took no effect")

// counted is a proof by a number that must not be 0.
func counted(n int, what string) (string, error) {
	if n == 0 {
		return "", fmt.Errorf("%w: no %s", errNoEffect, what)
	}
	return fmt.Sprintf("%d %s", n, what), nil
}

// watch keeps what it sees in the database while a fault is there.
type watch struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	most    int // the highest number
	total   int // of all numbers
	err     error
}

// noWatch is a watch that was not started.
func noWatch() *watch { return &watch{stop: func() {}} }

// watchPrimary runs a query on the primary, whose only value is a number, again
// and again until the watch is ended. Its connection goes by no proxy.
func watchPrimary(ctx context.Context, c *Cluster, query string) (*watch, error) {
	conn, err := pgx.Connect(ctx, c.Primary().AdminDSN(c.Database()))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &watch{stop: stop}
	w.running.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
		for ctx.Err() == nil {
			var n int
			if err := conn.QueryRow(ctx, query).Scan(&n); err != nil {
				if ctx.Err() == nil {
					w.err = err
				}
				return
			}
			w.most = max(w.most, n)
			w.total += n
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return w, nil
}

// end ends the watch and returns its error. What it saw may be read then.
func (w *watch) end() error {
	w.stop()
	w.running.Wait()
	return w.err
}

// until looks again and again until the answer is yes.
func until(ctx context.Context, what string, yes func() (bool, error)) error {
	for {
		ok, err := yes()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
