// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/test/pgserver"
)

// familiesIn is what check says of a store's records.
func familiesIn(t *testing.T, store string) string {
	t.Helper()
	code, out, errs := run(t, "store", "check", store, "-o", "json")
	var got struct{ Families json.RawMessage }
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
		t.Fatalf("check: exit %d, %v\n%s%s", code, err, out, errs)
	}
	return string(got.Families)
}

// The records of a SQLite file move to PostgreSQL, with a kill in the midst,
// and back into another file, with another kill: all three say the same.
func TestStoreCopyToPostgresAndBack(t *testing.T) {
	_, dsn := startDatabase(t, pgserver.Options{})
	dir := t.TempDir()
	from, back := "sqlite:"+filepath.Join(dir, "from.db"), "sqlite:"+filepath.Join(dir, "back.db")
	bulk(t, filepath.Join(dir, "from.db"), 10_000)

	for _, way := range []struct{ from, to string }{{from, dsn}, {dsn, back}} {
		killDuringCopy(t, way.from, way.to, func() bool { return begun(t, way.to) })
		if code, out, errs := run(t, "store", "check", way.to); code != exitFailed || !strings.Contains(out, "unfinished copy of "+strings.SplitN(way.from, ":", 2)[0]) {
			t.Errorf("check of what is left: exit %d\n%s%s", code, out, errs)
		}
		code, out, errs := run(t, "store", "copy", way.from, way.to, "-o", "json")
		var got copiedStore
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK {
			t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
		}
		if !got.Resumed || !got.Verified || got.Equal == 0 || got.Written == 0 || got.Written+got.Equal != 20_000 {
			t.Errorf("%s to %s: resumed %v, verified %v, %d written, %d equal", way.from, way.to, got.Resumed, got.Verified, got.Written, got.Equal)
		}
		if strings.Contains(out+errs, password(t, dsn)) {
			t.Errorf("the answer names the password:\n%s", out)
		}
	}
	want := familiesIn(t, from)
	for _, store := range []string{dsn, back} {
		if got := familiesIn(t, store); got != want {
			t.Errorf("%s holds\n%s\nwant\n%s", store, got, want)
		}
	}
	for _, pair := range [][2]string{{from, dsn}, {dsn, back}, {back, from}} {
		if code, out, errs := run(t, "store", "copy", pair[0], pair[1], "--verify-only"); code != exitOK || strings.Contains(out, "differs") {
			t.Errorf("%v: exit %d\n%s%s", pair, code, out, errs)
		}
	}
	if code, _, errs := run(t, "store", "copy", from, dsn); code != exitFailed || !strings.Contains(errs, "not empty") {
		t.Errorf("a second copy: exit %d, %s", code, errs)
	}
	if code, out, errs := run(t, "store", "copy", dsn, dsn, "--to-schema", "other"); code != exitOK || !strings.Contains(out, "schema other") {
		t.Errorf("into another schema: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs := run(t, "store", "copy", dsn, dsn); code != exitUsage || !strings.Contains(errs, "same store") {
		t.Errorf("onto itself: exit %d, %s", code, errs)
	}
}

// begun reports whether a copy into a store has written some records.
func begun(t *testing.T, store string) bool {
	t.Helper()
	if path, file := strings.CutPrefix(store, "sqlite:"); file {
		return largerThan(path+"-wal", 1<<20)
	}
	code, out, _ := run(t, "store", "check", store, "-o", "json")
	var got checkedStore
	return code == exitFailed && json.Unmarshal([]byte(out), &got) == nil && got.Records > 1000
}

// A record that is damaged in the database is named, and the others are read.
func TestStoreCheckFindsDamageInPostgres(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{})
	from := filepath.Join(t.TempDir(), "from.db")
	bulk(t, from, 300)
	if code, out, errs := run(t, "store", "copy", "sqlite:"+from, dsn); code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query(t, server, strings.TrimPrefix(u.Path, "/"), `UPDATE resilienced.records SET body = '\x00' WHERE name = 'n000123'`)
	code, out, errs := run(t, "store", "check", dsn, "-o", "json")
	var got checkedStore
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	all := strings.Join(got.Problems, "\n")
	if got.Records != 598 || !strings.Contains(all, `run "n000123" of namespace "acme"`) || !strings.Contains(all, `letter "n000123"`) || !strings.Contains(all, "restore a backup") {
		t.Errorf("%d records, %s", got.Records, all)
	}
}

func TestStoreMigratePostgres(t *testing.T) {
	_, dsn := startDatabase(t, pgserver.Options{})
	if code, out, errs := run(t, "store", "check", dsn); code != exitFailed || !strings.Contains(out, "resilienced store migrate") {
		t.Errorf("check of nothing: exit %d\n%s%s", code, out, errs)
	}
	for _, step := range []struct{ flag, says string }{
		{"--dry-run", "has no schema and would be brought to schema"},
		{"--dry-run", "has no schema and would be brought to schema"},
		{"--dry-run=false", "had no schema and is at schema"},
		{"--dry-run", "already, nothing is to be done"},
	} {
		if code, out, errs := run(t, "store", "migrate", dsn, "--schema", "Odd \"name", step.flag); code != exitOK || !strings.Contains(out, step.says) {
			t.Errorf("exit %d, want %q\n%s%s", code, step.says, out, errs)
		}
	}
	if code, out, errs := run(t, "store", "check", dsn, "--schema", "Odd \"name"); code != exitOK || !strings.Contains(out, "state    whole") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// Time does not go back over a move: a copy to a server whose clock is far
// behind is refused, and to one a little behind it waits.
func TestStoreCopyToASlowClock(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{Faketime: "-60s"})
	from := filepath.Join(t.TempDir(), "from.db")
	bulk(t, from, 3)
	if code, _, errs := run(t, "store", "copy", "sqlite:"+from, dsn); code != exitFailed || !strings.Contains(errs, "the target's clock is behind") || !strings.Contains(errs, "NTP") {
		t.Errorf("a minute: exit %d, %s", code, errs)
	}
	if err := server.SetFaketime("-4s"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if code, out, errs := run(t, "store", "copy", "sqlite:"+from, dsn); code != exitOK {
		t.Fatalf("four seconds: exit %d\n%s%s", code, out, errs)
	}
	var source, target checkedStore
	for store, into := range map[string]*checkedStore{"sqlite:" + from: &source, dsn: &target} {
		_, out, _ := run(t, "store", "check", store, "-o", "json")
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatal(err)
		}
	}
	before, err := time.Parse(time.RFC3339Nano, source.Time)
	if err != nil {
		t.Fatal(err)
	}
	after, err := time.Parse(time.RFC3339Nano, target.Time)
	if err != nil || after.Before(before) || time.Since(begun) < 3*time.Second {
		t.Errorf("the source's time is %s, the target's %s, after %v", source.Time, target.Time, time.Since(begun))
	}
}
