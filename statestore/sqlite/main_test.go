// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childTask); name != "" {
		fmt.Println(runChild(name, os.Getenv(childPath)))
		return
	}
	goleak.VerifyTestMain(m)
}

// The environment of a child: what it does, and with which file.
const (
	childTask = "RESILIENCED_SQLITE_CHILD"
	childPath = "RESILIENCED_SQLITE_PATH"
)

// child runs a task in a process of its own and returns what it prints.
func child(t *testing.T, task, path string, prepare ...func(*exec.Cmd)) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^$")
	cmd.Env = append(os.Environ(), childTask+"="+task, childPath+"="+path)
	for _, p := range prepare {
		p(cmd)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// runChild does one task and says how it ended: with the name of a sentinel
// and the text of the error, or with ok.
func runChild(task, path string) string {
	if task != "open" {
		return describe(diskTasks()[task](path))
	}
	s, err := Open(context.Background(), testConfig(path))
	if err == nil {
		err = s.Close()
	}
	return describe(err)
}

func describe(err error) string {
	for _, sentinel := range sentinels() {
		if errors.Is(err, sentinel) {
			return sentinel.Error() + "\n" + err.Error()
		}
	}
	if err == nil {
		return "ok"
	}
	return "another error\n" + err.Error()
}

// note is the record of these tests.
type note struct {
	N    int64         `json:"n"`
	Text string        `json:"text,omitempty"`
	Due  rules.Instant `json:"due,omitempty"`
}

func (n *note) DueAt() rules.Instant { return n.Due }

func testConfig(path string) Config {
	codec, err := statestore.NewCodec(map[statestore.Kind]func() statestore.Record{
		statestore.KindOperation: func() statestore.Record { return new(note) },
	})
	if err != nil {
		panic(err)
	}
	return Config{Path: path, Codec: codec}
}

func noteKey(name string) statestore.Key {
	return statestore.Key{Kind: statestore.KindOperation, Namespace: "acme", Name: name}
}

// newStore opens a store in a new file and closes it at the end of the test.
func newStore(t *testing.T, change ...func(*Config)) *Store {
	t.Helper()
	cfg := testConfig(filepath.Join(t.TempDir(), "records.db"))
	for _, c := range change {
		c(&cfg)
	}
	return openStore(t, cfg)
}

func openStore(t *testing.T, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// put writes a record, or deletes it if r is nil.
func put(s *Store, name string, r statestore.Record, d statestore.Durability) error {
	e := &statestore.Entry{Key: noteKey(name), Mode: statestore.Write}
	return s.Update(context.Background(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		e.Put(r)
		return d, nil
	})
}

// mustPut is put of a note with a number.
func mustPut(t *testing.T, s *Store, name string, n int64, d statestore.Durability) {
	t.Helper()
	if err := put(s, name, &note{N: n}, d); err != nil {
		t.Fatal(err)
	}
}

// number returns the number of a note, or -1 if there is none.
func number(t *testing.T, s *Store, name string) int64 {
	t.Helper()
	r, _, err := s.Get(t.Context(), noteKey(name))
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := r.(*note); ok {
		return n.N
	}
	return -1
}

// wantError ends the test unless err is the sentinel and says what to do.
func wantError(t *testing.T, err, sentinel error, advice string) {
	t.Helper()
	if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), advice) {
		t.Fatalf("error = %v, want %q with %q", err, sentinel, advice)
	}
}
