// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/resilienced/resilienced/test/pgserver"
)

// wantFinding ends a test unless a check of doctor came out so.
func wantFinding(t *testing.T, all map[string]finding, check string, v verdict, says string) {
	t.Helper()
	f, found := all[check]
	if text := f.Found + " → " + f.Cure; !found || f.Verdict != v || !regexp.MustCompile(says).MatchString(text) {
		t.Errorf("%s: %s %q, want %s and %q", check, f.Verdict, text, v, says)
	}
}

// Doctor looks at a database that is well, before and while it is served.
func TestDoctorOfPostgres(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{Sync: true})
	f, text := storeFindings(t, dsn)
	wantFinding(t, f, "store", good, `^postgres://127\.0\.0\.1:[0-9]+/\w+, schema resilienced answers: PostgreSQL [0-9]+.* as resilienced, 0\.0 MiB`)
	wantFinding(t, f, "store/schema", warn, "there is none yet → .*store migrate")
	wantFinding(t, f, "store/rights", good, "has what it needs")
	wantFinding(t, f, "store/durability", good, "synchronous_commit=on.*fsync=on, full_page_writes=on; without a synchronous standby")
	wantFinding(t, f, "store/connection", good, "directly, in clear text on this machine")
	wantFinding(t, f, "store/clock", good, "(ahead of|behind) this machine's")
	wantFinding(t, f, "store/connections", good, "[0-9]+ of 97 are free, a replica takes up to 11; 0 are the service's now")
	if l := f["store/latency"]; !strings.Contains(l.Found, "a round trip") {
		t.Errorf("%+v", l)
	}
	secretless(t, dsn, text)

	s := start(t, "--store", dsn)
	f, _ = storeFindings(t, dsn)
	wantFinding(t, f, "store/schema", good, "^version [0-9]+")
	wantFinding(t, f, "store/connections", good, "; [1-9][0-9]* are the service's now")
	s.end(t)

	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	query(t, server, "postgres", "ALTER ROLE resilienced CONNECTION LIMIT 5")
	f, _ = storeFindings(t, dsn)
	wantFinding(t, f, "store/connections", warn, " of 5 are free.*raise max_connections")
	query(t, server, "postgres", "ALTER ROLE resilienced CONNECTION LIMIT -1")
	query(t, server, name, "CREATE ROLE reader LOGIN PASSWORD '"+password(t, dsn)+"'; GRANT USAGE ON SCHEMA resilienced TO reader; "+
		"GRANT SELECT ON ALL TABLES IN SCHEMA resilienced TO reader")
	f, _ = storeFindings(t, with(t, dsn, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("reader", password(t, dsn)) }))
	wantFinding(t, f, "store/rights", bad, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "resilienced" TO "reader"`)

	bouncer, err := pgserver.StartBouncer(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := bouncer.Close(); err != nil {
			t.Error(err)
		}
	}()
	f, _ = storeFindings(t, bouncer.DSN(name))
	wantFinding(t, f, "store/connection", warn, "through a pooler in transaction mode.*--listen-dsn")
	if code, out, errs := run(t, "store", "check", bouncer.DSN(name)); code != exitOK {
		t.Errorf("check through a pooler: exit %d\n%s%s", code, out, errs)
	}
}

func TestDoctorOfACarelessPostgres(t *testing.T) {
	_, dsn := startDatabase(t, pgserver.Options{Faketime: "-30s"})
	f, _ := storeFindings(t, dsn)
	wantFinding(t, f, "store/clock", warn, `the database's is (29\.\d+|30(\.\d+)?)s behind this machine's → set both by NTP`)
	wantFinding(t, f, "store/durability", bad, "fsync=off.*→ set fsync and full_page_writes to on")
}

func TestDoctorOfSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	f, _ := storeFindings(t, "sqlite:"+path)
	wantFinding(t, f, "store", bad, "no such file")
	s := start(t, "--store", "sqlite:"+path)
	f, _ = storeFindings(t, "sqlite:"+path)
	wantFinding(t, f, "store", good, "a service has .*r.db open")
	s.end(t)
	f, _ = storeFindings(t, "sqlite:"+path)
	wantFinding(t, f, "store", good, "is not in use")
	wantFinding(t, f, "store/schema", good, "^version 1")
	f, _ = storeFindings(t, "memory")
	wantFinding(t, f, "store", good, "in the server's memory")
	if code, _, errs := runAt(t, nobody(t), "doctor", "--store", "redis"); code != exitUsage || !strings.Contains(errs, "sqlite:PATH") {
		t.Errorf("no store: exit %d, %s", code, errs)
	}
}
