// SPDX-License-Identifier: Apache-2.0

package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/statestore/sqlite"
	"github.com/resilienced/resilienced/statestore/transfer"
)

// A service is stopped, its store moved, and another service started on the
// copy: a permit of before is reported there, a cap goes on where it was, and
// the two stores were proven equal.
func TestStoreCopyMovesAService(t *testing.T) {
	old, moved := filepath.Join(t.TempDir(), "old.db"), filepath.Join(t.TempDir(), "moved.db")
	s := start(t, "--store", "sqlite:"+old)
	s.must(t, "policy", "apply", write(t, "p.yaml", onePolicy), "--reason", "r")
	s.must(t, "runs", "start", "capped", "--calls", "2")
	s.must(t, "targets", "open", "t", "--reason", "r")
	granted, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "other", RunId: "capped"})
	if err != nil || granted.GetPermit().GetPermitId() == "" {
		t.Fatalf("%v, %v", granted, err)
	}
	if code, _, errs := run(t, "store", "check", "sqlite:"+old); code != exitUnavailable || !strings.Contains(errs, "end it first") || !strings.Contains(errs, "VACUUM INTO") {
		t.Errorf("check beside a service: exit %d, %s", code, errs)
	}
	s.end(t)

	code, out, errs := run(t, "store", "copy", "sqlite:"+old, "sqlite:"+moved)
	if code != exitOK || errs != "" || !strings.Contains(out, "verified  both say the same") {
		t.Fatalf("copy: exit %d\n%s%s", code, out, errs)
	}
	if a, b := families(t, old), families(t, moved); a != b || !strings.Contains(a, `"kind":"run"`) || !strings.Contains(a, `"namespace":"","kind":"meta"`) {
		t.Errorf("the stores hold\n%s\nand\n%s", a, b)
	}

	again := start(t, "--store", "sqlite:"+moved)
	defer again.end(t)
	reported, err := pb.NewPermitServiceClient(again.conn).Report(t.Context(), &pb.ReportRequest{
		PermitId: granted.GetPermit().GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS,
	})
	if err != nil || !reported.GetCounted() {
		t.Errorf("the report of a permit from before: %v, %v", reported, err)
	}
	for i, want := range []int{exitOK, exitDenied} {
		if code, out, errs := again.op(t, "acquire", "other", "--run", "capped"); code != want {
			t.Errorf("call %d of a run with one left: exit %d\n%s%s", i, code, out, errs)
		}
	}
	if out := again.must(t, "targets", "get", "t"); !strings.Contains(out, "FORCED_OPEN") {
		t.Errorf("the forced breaker is\n%s", out)
	}
}

// families is what check says of a store's records.
func families(t *testing.T, path string) string {
	t.Helper()
	code, out, errs := run(t, "store", "check", "sqlite:"+path, "-o", "json")
	var got struct{ Families json.RawMessage }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
		t.Fatalf("check: exit %d, %v\n%s%s", code, err, out, errs)
	}
	var dense strings.Builder
	for line := range strings.Lines(string(got.Families)) {
		dense.WriteString(strings.ReplaceAll(strings.TrimSpace(line), `": `, `":`))
	}
	return dense.String()
}

// bulk makes a store of so many runs and letters.
func bulk(t *testing.T, path string, n int) {
	t.Helper()
	codec, err := statestore.NewCodec(engine.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	for first := 0; first < n; first += 500 {
		var entries []*statestore.Entry
		for i := first; i < min(first+500, n); i++ {
			for _, kind := range []statestore.Kind{statestore.KindRun, statestore.KindLetter} {
				entries = append(entries, &statestore.Entry{Key: statestore.Key{Kind: kind, Namespace: "acme", Name: fmt.Sprintf("n%06d", i)}, Mode: statestore.Write})
			}
		}
		err := s.Update(t.Context(), entries, func(now rules.Instant) (statestore.Durability, error) {
			for i, e := range entries {
				if e.Key.Kind == statestore.KindRun {
					e.Put(&budget.Run{ID: e.Key.Name, Path: []string{e.Key.Name}, CreatedAt: now})
				} else {
					e.Put(&deadletter.Letter{Operation: e.Key.Name, LastDeadLettered: now.Add(time.Duration(-i) * time.Second)})
				}
			}
			return statestore.Rebuildable, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A copy is killed in its midst. Nobody serves what it left, the same command
// goes on with it, and another source is refused.
func TestStoreCopySurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
	bulk(t, from, 20_000)
	killDuringCopy(t, "sqlite:"+from, "sqlite:"+to, func() bool { return largerThan(to+"-wal", 1<<20) })
	code, out, _ := run(t, "store", "check", "sqlite:"+to)
	if code != exitFailed || !strings.Contains(out, "unfinished copy of sqlite:"+from) || !strings.Contains(out, "acme       run") {
		t.Errorf("check of what is left: exit %d\n%s", code, out)
	}
	if code, _, errs := run(t, "serve", "--store", "sqlite:"+to, "--listen", "127.0.0.1:0", "--http-listen", "off"); code != exitUnavailable || !strings.Contains(errs, "store copy") {
		t.Errorf("serving it: exit %d, %s", code, errs)
	}
	other := filepath.Join(dir, "other.db")
	bulk(t, other, 1)
	if code, _, errs := run(t, "store", "copy", "sqlite:"+other, "sqlite:"+to); code != exitFailed || !strings.Contains(errs, "not from sqlite:"+other) {
		t.Errorf("another source: exit %d, %s", code, errs)
	}
	code, out, errs := run(t, "store", "copy", "sqlite:"+from, "sqlite:"+to, "-o", "json")
	var got copiedStore
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if !got.Resumed || !got.Verified || got.Records != 40_000 || got.Equal == 0 || got.Written == 0 || got.Written+got.Equal != 40_000 {
		t.Errorf("%+v", got)
	}
	if a, b := families(t, from), families(t, to); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

func largerThan(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > size
}

// killDuringCopy starts a copy in a process of its own and kills it when the
// work has begun.
func killDuringCopy(t *testing.T, from, to string, begun func() bool) {
	t.Helper()
	if state, said := signalDuringCopy(t, from, to, begun, os.Kill); state.Exited() {
		t.Fatalf("it was not killed: %v\n%s", state, said)
	}
}

// signalDuringCopy starts a copy in a process of its own, sends it a signal when
// the work has begun, and says how it ended.
func signalDuringCopy(t *testing.T, from, to string, begun func() bool, signal os.Signal) (*os.ProcessState, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "store", "copy", from, to)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var said locked
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !begun() {
		select {
		case err := <-ended:
			t.Fatalf("it came to its end before the signal: %v\n%s", err, said.String())
		case <-time.After(time.Millisecond):
		}
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatalf("it came to its end in spite of the signal\n%s", said.String())
	}
	return cmd.ProcessState, said.String()
}

// Control-C ends a copy in order, says how to go on, and leaves the mark.
func TestStoreCopyIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
	bulk(t, from, 20_000)
	state, said := signalDuringCopy(t, "sqlite:"+from, "sqlite:"+to, func() bool { return largerThan(to+"-wal", 1<<20) }, os.Interrupt)
	if state.ExitCode() != exitTemporary || !strings.Contains(said, "goes on where it stopped") {
		t.Errorf("%v\n%s", state, said)
	}
	if code, out, errs := run(t, "store", "copy", "sqlite:"+from, "sqlite:"+to); code != exitOK || !strings.Contains(out, "were there from before") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestStoreCopyRefuses(t *testing.T) {
	dir := t.TempDir()
	at := func(name string, n int) string {
		t.Helper()
		bulk(t, filepath.Join(dir, name), n)
		return "sqlite:" + filepath.Join(dir, name)
	}
	full, other, changed := at("full.db", 3), at("other.db", 3), at("changed.db", 4)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a target with records", []string{"copy", full, other}, exitFailed, "--verify-only"},
		{"the same store", []string{"copy", full, full}, exitUsage, "the same store"},
		{"memory", []string{"copy", full, "memory"}, exitUsage, "in memory"},
		{"no such store", []string{"copy", "redis", full}, exitUsage, "sqlite:PATH"},
		{"one store", []string{"copy", full}, exitUsage, "store copy --help"},
		{"no file", []string{"copy", "sqlite:" + filepath.Join(dir, "none.db"), other}, exitUnavailable, "none.db"},
		{"stores that differ", []string{"copy", full, changed, "--verify-only"}, exitFailed, "has 3 records in the source and 4 in the target"},
		{"memory to check", []string{"check", "memory"}, exitUsage, "in memory"},
		{"garbage", []string{"check", "sqlite:" + write(t, "g.db", strings.Repeat("garbage ", 999))}, exitUnavailable, "g.db"},
	} {
		code, _, errs := run(t, append([]string{"store"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d, want %d, with %q in:\n%s", c.name, code, c.code, c.says, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a source that is not there was made")
	}
}

// spoil changes a database as no service would.
func spoil(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStoreCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	bulk(t, path, 400)
	spoil(t, path, "UPDATE records SET body=x'00' WHERE name IN ('n000123', 'n000399')")
	code, out, errs := run(t, "store", "check", "sqlite:"+path, "-o", "json")
	var got checkedStore
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	if len(got.Problems) != 4 || got.Records != 796 {
		t.Errorf("%d records, %q", got.Records, got.Problems)
	}
	if all := strings.Join(got.Problems, "\n"); !strings.Contains(all, `run "n000123" of namespace "acme"`) || !strings.Contains(all, `letter "n000399" of namespace "acme"`) {
		t.Errorf("%s", all)
	}
	if code, _, errs := run(t, "store", "copy", "sqlite:"+path, "sqlite:"+filepath.Join(t.TempDir(), "c.db")); code != exitUnavailable || !strings.Contains(errs, `source: `) || !strings.Contains(errs, `run "n000123"`) {
		t.Errorf("copy: exit %d, %s", code, errs)
	}
	spoil(t, path, "UPDATE counts SET records=records+1 WHERE kind=10")
	if _, out, _ := run(t, "store", "check", "sqlite:"+path); !strings.Contains(out, "400 records of kind run are listed where 401 are counted") {
		t.Errorf("a wrong number:\n%s", out)
	}
}

// On a terminal the line renews itself, elsewhere there is one now and then.
func TestStoreProgress(t *testing.T) {
	var out strings.Builder
	steps := []transfer.Progress{
		{Phase: transfer.PhaseCopy, Done: 0, Total: 400, Elapsed: 0},
		{Phase: transfer.PhaseCopy, Done: 100, Total: 400, Elapsed: 2 * time.Second},
		{Phase: transfer.PhaseWait, Elapsed: 3 * time.Second},
	}
	want := []string{"copy    0 of 400 records (0%)", "copy    100 of 400 records (25%), 50/s, 6s left", "waiting for the target's clock to pass the source's, for 3s"}
	k := &ticker{screen: terminal.Fake(&out, 100, false)}
	for _, p := range steps {
		k.tell(p)
	}
	k.end()
	wantText(t, "terminal", out.String(), "\r\x1b[K"+strings.Join(want, "\r\x1b[K")+"\r\x1b[K")
	out.Reset()
	k = &ticker{screen: terminal.New(&out, os.LookupEnv)}
	k.tell(steps[1])
	k.step, k.last = time.Hour, time.Now()
	k.tell(steps[2])
	k.end()
	wantText(t, "file", out.String(), want[1]+"\n")
}

func TestStoreMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	if code, out, _ := run(t, "store", "migrate", "--dry-run", "sqlite:"+path); code != exitOK || !strings.Contains(out, "has no schema and would be brought to schema 1") {
		t.Errorf("exit %d, %s", code, out)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a dry run made the file")
	}
	t.Setenv("RESILIENCED_STORE", "sqlite:"+path)
	if code, out, _ := run(t, "store", "migrate"); code != exitOK || !strings.Contains(out, path+" had no schema and is at schema 1 now") {
		t.Errorf("exit %d, %s", code, out)
	}
	if code, out, _ := run(t, "store", "migrate", "-o", "yaml"); code != exitOK || out != "store: sqlite:"+path+"\nfrom: 1\nto: 1\n" {
		t.Errorf("exit %d, %s", code, out)
	}
	if code, out, errs := run(t, "store", "check"); code != exitOK || !strings.Contains(out, "state    whole") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run(t, "store", "check"); code != exitFailed || !strings.Contains(out, "resilienced store migrate") {
		t.Errorf("an empty file: exit %d, %s", code, out)
	}
}
