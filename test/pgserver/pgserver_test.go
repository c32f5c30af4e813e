// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// doomed makes the test binary start a server, say where, and wait.
const doomed = "PGSERVER_DOOMED"

func TestMain(m *testing.M) {
	if os.Getenv(doomed) != "" {
		s, err := Start(context.Background(), Options{})
		if err != nil {
			panic(err)
		}
		fmt.Println(s.home.dir)
		select {}
	}
	goleak.VerifyTestMain(m)
}

// start starts a server that ends with the test.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ends(t, s)
	return s
}

// ends closes a server at the end of the test and looks for what it left.
func ends(t *testing.T, s *Server) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		gone(t, s.home.dir)
	})
}

func gone(t *testing.T, dir string) {
	t.Helper()
	if pids, err := processes(dir); err != nil || len(pids) > 0 {
		t.Errorf("processes %v still work in %s (%v)", pids, dir, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
}

// do fails the test on an error.
func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// query returns the one value that a statement gives.
func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	out, err := s.Exec(t.Context(), "postgres", sql)
	do(t, err)
	return out
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	do(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) }) //nolint:errcheck // the server may be gone
	return conn
}

func TestAnOrdinaryRoleOwnsItsDatabases(t *testing.T) {
	s := start(t, Options{Settings: map[string]string{"max_connections": "17"}})
	dsn, err := s.NewDatabase(t.Context())
	do(t, err)
	conn := connect(t, dsn)
	var super bool
	var limit string
	do(t, conn.QueryRow(t.Context(), "SELECT rolsuper, current_setting('max_connections') FROM pg_roles WHERE rolname = current_user").Scan(&super, &limit))
	if super || limit != "17" {
		t.Errorf("superuser %v, max_connections %s; want false, 17", super, limit)
	}
	_, err = conn.Exec(t.Context(), "CREATE SCHEMA mine; CREATE TABLE mine.t (n int)")
	do(t, err)
	if _, err := s.Exec(t.Context(), "postgres", "SELECT 1/0"); err == nil || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("a failing statement gave %v", err)
	}
}

func TestAServerComesBackWithItsData(t *testing.T) {
	s := start(t, Options{})
	ctx := t.Context()
	query(t, s, "CREATE TABLE t (n int)")
	if err := s.Restart(ctx); err == nil {
		t.Error("a server that runs was started again")
	}
	ends := map[string]func() error{
		"fast":      func() error { return s.Stop(ctx, "fast") },
		"immediate": func() error { return s.Stop(ctx, "immediate") },
		"kill":      func() error { return s.Kill(ctx) },
		"paused and killed": func() error {
			return errors.Join(s.Pause(), s.Kill(ctx))
		},
	}
	rows := 0
	for name, end := range ends {
		query(t, s, "INSERT INTO t VALUES (1)")
		rows++
		do(t, end())
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr()); err == nil {
			conn.Close() //nolint:errcheck // it should not be
			t.Errorf("%s: it still listens", name)
		}
		do(t, s.Restart(ctx))
		if got := query(t, s, "SELECT count(*) FROM t"); got != strconv.Itoa(rows) {
			t.Errorf("%s: %s rows, want %d; log:\n%s", name, got, rows, s.Log())
		}
	}
}

func TestAPausedServerAnswersNothing(t *testing.T) {
	s := start(t, Options{})
	conn := connect(t, s.DSN("postgres"))
	do(t, s.Pause())
	answer := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT 1")
		answer <- err
	}()
	select {
	case err := <-answer:
		t.Errorf("a paused server answered (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	do(t, s.Resume())
	do(t, <-answer)
}

func TestAStandbyHasWhatWasAcknowledged(t *testing.T) {
	s := start(t, Options{Sync: true})
	ctx := t.Context()
	standby, err := s.Standby(ctx, true)
	do(t, err)
	ends(t, standby)
	query(t, s, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
	do(t, s.Kill(ctx))
	if got := query(t, standby, "SELECT pg_is_in_recovery()"); got != "t" {
		t.Errorf("the standby is in recovery: %s, want t", got)
	}
	do(t, standby.Promote(ctx))
	if got := query(t, standby, "INSERT INTO t VALUES (0) RETURNING (SELECT count(*) FROM t)"); got != "1000" {
		t.Errorf("the standby had %s rows, want 1000", got)
	}
}

func TestTheServersClockIsMoved(t *testing.T) {
	s := start(t, Options{Faketime: "-1h"})
	shift := func() time.Duration {
		n, err := strconv.ParseFloat(query(t, s, "SELECT extract(epoch FROM clock_timestamp())"), 64)
		do(t, err)
		return time.Until(time.UnixMilli(int64(n * 1000))).Round(time.Minute)
	}
	if got := shift(); got != -time.Hour {
		t.Errorf("the clock is off by %v, want -1h", got)
	}
	conn := connect(t, s.DSN("postgres"))
	do(t, s.SetFaketime("+2h"))
	var at time.Time
	do(t, conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&at))
	if got := time.Until(at).Round(time.Minute); got != 2*time.Hour {
		t.Errorf("an open connection's clock is off by %v, want 2h", got)
	}
	// Waiting goes by the time that really passes.
	query(t, s, "SET statement_timeout = '5s';\nSELECT pg_sleep(0.01)")
}

func TestPgBouncerIsInTransactionMode(t *testing.T) {
	s := start(t, Options{})
	b, err := StartBouncer(t.Context(), s)
	do(t, err)
	t.Cleanup(func() {
		do(t, b.Close())
		gone(t, b.home.dir)
	})
	dsn, err := s.NewDatabase(t.Context())
	do(t, err)
	if !strings.HasSuffix(dsn, "/test1?sslmode=disable") {
		t.Fatalf("DSN %s", dsn)
	}
	// Two clients share one connection to the server: what one prepares there
	// outside a transaction, the other one meets.
	one, two := connect(t, b.DSN("test1")), connect(t, b.DSN("test1"))
	var first, second int
	do(t, one.QueryRow(t.Context(), "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&first))
	do(t, two.QueryRow(t.Context(), "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&second))
	if first != second {
		t.Errorf("two clients got backends %d and %d, want one; log:\n%s", first, second, b.Log())
	}
}

// A test process that is killed leaves no server behind.
func TestAServerEndsWithItsProcess(t *testing.T) {
	self, err := os.Executable()
	do(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), doomed+"=1")
	out, err := cmd.StdoutPipe()
	do(t, err)
	do(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	do(t, err)
	dir := strings.TrimSpace(line)
	if pids, err := processes(dir); err != nil || len(pids) < 2 {
		t.Errorf("processes %v work in %q (%v), want a server's", pids, dir, err)
	}
	do(t, cmd.Process.Kill())
	cmd.Wait() //nolint:errcheck // it was killed
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	gone(t, dir)
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	err := missing("PgBouncer", "pgbouncer")
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), ".ci/postgres") {
		t.Errorf("%v", err)
	}
}
