// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/pgserver"
)

// program finds one of PostgreSQL's client programs.
func program(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; let root run .ci/postgres", err)
	}
	return path
}

func execute(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
}

// A backup of a SQLite file is made while the service writes; the service goes
// on, and what is restored is whole and is served.
func TestBackupOfSQLiteWhileItIsServed(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "r.db"), filepath.Join(dir, "backup.db")
	bulk(t, path, 2000)
	s := start(t, "--store", "sqlite:"+path)
	s.must(t, "runs", "start", "before", "--calls", "5")
	spoil(t, path, "VACUUM INTO '"+backup+"'") // what the sqlite3 program does, by the same library
	s.must(t, "runs", "start", "after", "--calls", "5")
	s.end(t)
	if code, out, errs := run(t, "store", "check", "sqlite:"+backup); code != exitOK || !strings.Contains(out, "state    whole") {
		t.Fatalf("the backup: exit %d\n%s%s", code, out, errs)
	}
	restored := start(t, "--store", "sqlite:"+backup)
	restored.must(t, "runs", "get", "before")
	if code, _, _ := restored.op(t, "runs", "get", "after"); code != exitNotFound {
		t.Errorf("a run of after the backup: exit %d", code)
	}
	restored.end(t)
}

// A file that is copied after a stop is the store.
func TestBackupOfSQLiteByStopAndCopy(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "r.db"), filepath.Join(dir, "copy.db")
	bulk(t, path, 500)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(backup, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, b := families(t, path), families(t, backup); a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

// A restored backup knows nothing of what came after it: money that was spent
// since can be spent again, and a permit of since is reported to nobody. The
// manual says so, and this is the proof.
func TestWhatAnOlderBackupForgets(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "r.db"), filepath.Join(dir, "backup.db")
	s := start(t, "--store", "sqlite:"+path)
	s.must(t, "runs", "start", "capped", "--calls", "1")
	spoil(t, path, "VACUUM INTO '"+backup+"'")
	granted, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "t", RunId: "capped"})
	if err != nil || granted.GetPermit().GetPermitId() == "" {
		t.Fatalf("%v, %v", granted, err)
	}
	s.end(t)
	restored := start(t, "--store", "sqlite:"+backup)
	defer restored.end(t)
	late, err := pb.NewPermitServiceClient(restored.conn).Report(t.Context(), &pb.ReportRequest{
		PermitId: granted.GetPermit().GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS,
	})
	if err != nil || late.GetCounted() || late.GetNotCountedBecause() != pb.NotCountedBecause_NOT_COUNTED_BECAUSE_PERMIT_GONE {
		t.Errorf("the report of a permit of after the backup: %v, %v", late, err)
	}
	restored.must(t, "acquire", "t", "--run", "capped")
}

// A dump of the schema, restored into another database, says the same.
func TestBackupOfPostgres(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{})
	from := filepath.Join(t.TempDir(), "from.db")
	bulk(t, from, 1000)
	if code, out, errs := run(t, "store", "copy", "sqlite:"+from, dsn); code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	dump := filepath.Join(t.TempDir(), "agents.dump")
	execute(t, program(t, "pg_dump"), "--format=custom", "--schema=resilienced", "--file="+dump, dsn)
	again, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute(t, program(t, "pg_restore"), "--exit-on-error", "--single-transaction", "--no-owner", "--dbname="+again, dump)
	want := familiesIn(t, "sqlite:"+from)
	for _, store := range []string{dsn, again} {
		if got := familiesIn(t, store); got != want {
			t.Errorf("%s\n%s", got, want)
		}
	}
	if code, out, errs := run(t, "store", "copy", dsn, again, "--verify-only"); code != exitOK {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}
