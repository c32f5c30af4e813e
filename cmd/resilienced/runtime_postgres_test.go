// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/test/pgserver"
)

// readyz is the page of a running service.
func (s *service) readyz(t *testing.T) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.httpAddr(t)+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// until asks again and again until it is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
	}
	t.Fatalf("%s: not within 30 s", what)
}

// A running service whose disk fills up, whose server stops taking writes, or
// is gone: callers, /readyz, doctor and the log each say what to do, the log
// not for each call, and all is well again without a restart.
func TestAStoreThatFailsAtRunTime(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	s := start(t, "--store", dsn)
	defer s.end(t)
	begin := func() error {
		_, err := pb.NewRunServiceClient(s.conn).StartRun(t.Context(), &pb.StartRunRequest{RequestId: newRequestID(), RunId: newRequestID()})
		return err
	}
	refused := func(says string) func() bool {
		return func() bool {
			err := begin()
			return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), says)
		}
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	// A disk cannot be made full for one server without rights of root; its
	// answer can.
	query(t, server, name, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
	query(t, server, name, "CREATE TRIGGER full_disk BEFORE INSERT ON resilienced.records FOR EACH ROW EXECUTE FUNCTION full_disk()")
	until(t, "a full disk", refused("disk is full"))
	for range 20 {
		_ = begin()
	}
	if code, page := s.readyz(t); code != http.StatusOK || !strings.Contains(page, `{"name":"store_writes","ok":false,"advisory":true,"detail":"the database's disk is full: make room`) {
		t.Errorf("readyz: %d %s", code, page)
	}
	if _, out, _ := s.op(t, "doctor", "--http-addr", s.httpAddr(t)); !strings.Contains(out, "warn  ready/store_writes  the database's disk is full: make room") {
		t.Errorf("doctor:\n%s", out)
	}
	query(t, server, name, "DROP TRIGGER full_disk ON resilienced.records")
	until(t, "room", func() bool { return begin() == nil })
	if _, page := s.readyz(t); strings.Contains(page, "store_writes") {
		t.Errorf("readyz afterwards: %s", page)
	}
	if n := strings.Count(s.log.String(), "the store takes no changes"); n != 1 || !strings.Contains(s.log.String(), "the store takes changes again") {
		t.Errorf("%d lines about the full disk:\n%s", n, s.log)
	}

	query(t, server, "postgres", "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	query(t, server, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
	until(t, "a read-only database", refused(""))
	query(t, server, "postgres", "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	until(t, "writes again", func() bool { return begin() == nil })

	if err := server.Stop(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	until(t, "a server that is gone", refused("cannot be reached"))
	if code, page := s.readyz(t); code != http.StatusServiceUnavailable || !strings.Contains(page, "the store does not answer") {
		t.Errorf("readyz: %d %s", code, page)
	}
	for range 50 {
		_ = begin()
	}
	if n := strings.Count(s.log.String(), "the database cannot be reached"); n > 3 {
		t.Errorf("%d lines about a server that is gone:\n%s", n, s.log)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the server again", func() bool { return begin() == nil })
	secretless(t, dsn, s.log.String())
}

// A service moves from a file to PostgreSQL and goes on there; while it runs
// its store is not copied.
func TestAServiceMovesToPostgres(t *testing.T) {
	_, dsn := startDatabase(t, pgserver.Options{})
	old, back := "sqlite:"+filepath.Join(t.TempDir(), "old.db"), "sqlite:"+filepath.Join(t.TempDir(), "back.db")
	s := start(t, "--store", old)
	s.must(t, "policy", "apply", write(t, "p.yaml", onePolicy), "--reason", "r")
	s.must(t, "runs", "start", "capped", "--calls", "2")
	granted, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "other", RunId: "capped"})
	if err != nil || granted.GetPermit().GetPermitId() == "" {
		t.Fatalf("%v, %v", granted, err)
	}
	s.end(t)
	if code, out, errs := run(t, "store", "copy", old, dsn); code != exitOK {
		t.Fatalf("copy: exit %d\n%s%s", code, out, errs)
	}
	moved := start(t, "--store", dsn)
	reported, err := pb.NewPermitServiceClient(moved.conn).Report(t.Context(), &pb.ReportRequest{
		PermitId: granted.GetPermit().GetPermitId(), Outcome: pb.Outcome_OUTCOME_SUCCESS,
	})
	if err != nil || !reported.GetCounted() {
		t.Errorf("the report of a permit from before: %v, %v", reported, err)
	}
	for i, want := range []int{exitOK, exitDenied} {
		if code, out, errs := moved.op(t, "acquire", "other", "--run", "capped"); code != want {
			t.Errorf("call %d of a run with one left: exit %d\n%s%s", i, code, out, errs)
		}
	}
	if code, _, errs := run(t, "store", "copy", dsn, back); code != exitFailed || !strings.Contains(errs, "stop every replica") || !strings.Contains(errs, "--ignore-connections") {
		t.Errorf("a copy beside a service: exit %d, %s", code, errs)
	}
	if code, out, errs := run(t, "store", "check", dsn); code != exitOK || !strings.Contains(out, "in use") {
		t.Errorf("a check beside a service: exit %d\n%s%s", code, out, errs)
	}
	moved.end(t)
	until(t, "no connection", func() bool {
		code, _, _ := run(t, "store", "copy", dsn, back)
		return code == exitOK
	})
	again := start(t, "--store", back)
	again.must(t, "runs", "get", "capped")
	again.end(t)
}

// The rights that the manual names are enough to serve, and not to migrate.
func TestTheRightsOfTheManualAreEnough(t *testing.T) {
	server, dsn := startDatabase(t, pgserver.Options{Sync: true})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	query(t, server, name, "CREATE ROLE service LOGIN PASSWORD '"+password(t, dsn)+"'")
	service := with(t, dsn, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("service", password(t, dsn)) })
	if code, _, errs := run(t, "store", "migrate", service); code != exitUnavailable || !strings.Contains(errs, "GRANT CREATE ON DATABASE") {
		t.Errorf("without rights: exit %d, %s", code, errs)
	}
	if code, out, errs := run(t, "store", "migrate", dsn); code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	query(t, server, name, "GRANT USAGE ON SCHEMA resilienced TO service; "+
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA resilienced TO service")
	f, _ := storeFindings(t, service)
	wantFinding(t, f, "store/rights", good, "has what it needs")
	s := start(t, "--store", service)
	s.must(t, "runs", "start", "r", "--calls", "1")
	s.must(t, "acquire", "t", "--run", "r")
	s.end(t)
}
