// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/statestore"
)

// refusing is a store whose Update says what a test wants.
type refusing struct {
	statestore.Store
	err error
}

func (r *refusing) Update(context.Context, []*statestore.Entry, statestore.Func) error { return r.err }

// shared is a refusing store that is a Notifier too.
type shared struct{ *refusing }

func (shared) Notify(string)                {}
func (shared) Notifications() <-chan string { return nil }

// Whatever lasts is told by /readyz and logged once, with the cure, and so is
// its end.
func TestAWatchedStoreTellsWhyItTakesNoChanges(t *testing.T) {
	var log bytes.Buffer
	inner := &refusing{}
	store, w := watchStore(inner, slog.New(slog.NewTextHandler(&log, nil)))
	if _, is := store.(statestore.Notifier); is {
		t.Error("it claims to be shared")
	}
	if both, _ := watchStore(shared{inner}, w.log); both == nil {
		t.Error("nothing")
	} else if _, is := both.(statestore.Notifier); !is {
		t.Error("it is not shared any more")
	}
	for _, step := range []struct {
		err   error
		says  string
		lines int
	}{
		{nil, "", 0},
		{statestore.ErrUnavailable, "", 0}, // the store itself says so, and looks for the server
		{fmt.Errorf("write: %w", statestore.ErrFull), "make room", 1},
		{fmt.Errorf("write: %w", statestore.ErrFull), "make room", 1},
		{statestore.ErrUnavailable, "make room", 1},
		{statestore.ErrReadOnly, "name the primary", 2},
		{nil, "", 3},
		{nil, "", 3},
		{statestore.ErrNotADatabase, "restore a backup", 4},
	} {
		inner.err = step.err
		if err := store.Update(t.Context(), nil, nil); err != step.err { //nolint:errorlint // it is the same one
			t.Errorf("%v became %v", step.err, err)
		}
		if got := w.trouble(); !strings.Contains(got, step.says) || (step.says == "") != (got == "") {
			t.Errorf("after %v: %q, want %q", step.err, got, step.says)
		}
		if n := strings.Count(log.String(), "\n"); n != step.lines {
			t.Errorf("after %v: %d lines, want %d\n%s", step.err, n, step.lines, &log)
		}
	}
}
