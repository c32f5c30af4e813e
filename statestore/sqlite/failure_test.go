// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func TestMaxBytes(t *testing.T) {
	s := newStore(t, func(c *Config) { c.MaxBytes = 400_000 })
	var acked int
	for {
		r := &note{N: int64(acked), Text: strings.Repeat("x", 4000)}
		err := put(s, fmt.Sprintf("n%d", acked), r, statestore.Durability(acked%2))
		if err == nil {
			if acked++; acked > 1000 {
				t.Fatal("MaxBytes is not kept")
			}
			continue
		}
		wantError(t, err, statestore.ErrFull, "MaxBytes")
		break
	}
	// Nothing was changed, and what is there can be read and replaced.
	if n, err := s.Count(t.Context(), statestore.KindOperation, "acme"); err != nil || n != acked {
		t.Fatalf("Count = %d, %v, want %d", n, err, acked)
	}
	if n := number(t, s, fmt.Sprintf("n%d", acked)); n != -1 {
		t.Fatalf("the refused record is %d", n)
	}
	mustPut(t, s, "n0", 77, statestore.Durable)
	// Room that is made is used.
	for i := range 20 {
		if err := put(s, fmt.Sprintf("n%d", i), nil, statestore.Durable); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, s, "later", 1, statestore.Durable)
	if n := number(t, s, "later"); n != 1 {
		t.Fatalf("later = %d", n)
	}
}

func TestForeignWriterEndsTheStore(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	script(t, s.path, "UPDATE meta SET value=value+1")
	err := put(s, "a", &note{N: 2}, statestore.Durable)
	wantError(t, err, statestore.ErrInUse, "end that program")
	err = put(s, "a", &note{N: 3}, statestore.Durable)
	wantError(t, err, statestore.ErrUnavailable, "another program has written")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := number(t, openStore(t, testConfig(s.path)), "a"); n != 1 {
		t.Fatalf("a = %d, want what was there before the foreign write", n)
	}
}

func TestForeignReaderIsWelcome(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	reader, err := openConn(t.Context(), s.path, "BEGIN", "SELECT count(*) FROM records")
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(20) {
		mustPut(t, s, "a", n, statestore.Durable)
		s.empty(t.Context())
	}
	backup := s.path + ".backup"
	if err := errors.Join(reader.exec("COMMIT"), reader.exec("VACUUM INTO '"+backup+"'"), reader.close()); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "a", 100, statestore.Durable)
	if n := number(t, openStore(t, testConfig(backup)), "a"); n != 19 {
		t.Fatalf("a = %d in the backup, want 19", n)
	}
}

func TestForeignLockIsAnErrorForOneCall(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Durable)
	holder, err := openConn(t.Context(), s.path, "BEGIN IMMEDIATE")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, put(s, "a", &note{N: 2}, statestore.Durable), statestore.ErrInUse, "end the other program")
	if err := errors.Join(holder.exec("ROLLBACK"), holder.close()); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "a", 3, statestore.Durable)
}

func TestWaitingForTheLaneEndsWithTheContext(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(t.Context(), nil, func(rules.Instant) (statestore.Durability, error) {
		waiting := make(chan error)
		go func() { waiting <- s.Update(ctx, nil, nil) }()
		cancel()
		return statestore.Durable, <-waiting
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error = %v", err)
	}
}

func TestRecordsThatDoNotFitAreRejected(t *testing.T) {
	s := newStore(t)
	good := &statestore.Entry{Key: noteKey("good"), Mode: statestore.Write}
	for name, bad := range map[string]statestore.Entry{
		"a type of another kind": {Key: noteKey("bad"), Mode: statestore.Write},
		"a kind without a type":  {Key: statestore.Key{Kind: statestore.KindFold, Name: "bad"}, Mode: statestore.Write},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Update(t.Context(), []*statestore.Entry{good, &bad}, func(rules.Instant) (statestore.Durability, error) {
				good.Put(&note{N: 1})
				bad.Put(&struct{ N int }{1})
				return statestore.Durable, nil
			})
			wantError(t, err, statestore.ErrRejected, "does not belong")
			if n := number(t, s, "good"); n != -1 {
				t.Fatalf("the batch was half written: %d", n)
			}
		})
	}
	mustPut(t, s, "good", 1, statestore.Durable)
}

func TestAfterClose(t *testing.T) {
	s := newStore(t)
	mustPut(t, s, "a", 1, statestore.Rebuildable)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, put(s, "a", &note{}, statestore.Durable), statestore.ErrUnavailable, "closed")
	_, err := s.Now(t.Context())
	wantError(t, err, statestore.ErrUnavailable, "closed")
	_, _, err = s.Get(t.Context(), noteKey("a"))
	wantError(t, err, statestore.ErrUnavailable, "closed")
	if err := s.Close(); err != nil {
		t.Fatalf("the second Close: %v", err)
	}
}
