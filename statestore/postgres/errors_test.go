// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/statestore"
)

func answer(code string) error {
	return fmt.Errorf("statement: %w", &pgconn.PgError{Code: code, Severity: "ERROR", SeverityUnlocalized: "ERROR", Message: "text"})
}

// TestEveryErrorHasAClass is the table of what errors mean: one of
// statestore's, whether the transaction is run again, and the cure.
func TestEveryErrorHasAClass(t *testing.T) {
	s := &Store{cfg: Config{Schema: "team a"}}
	var err error
	s.conns, err = parse("postgres://joe@localhost/db", 1)
	noError(t, err)
	for name, c := range map[string]struct {
		err   error
		kind  error
		again bool
		says  string
	}{
		"serialization failure": {answer("40001"), statestore.ErrUnavailable, true, "pg_stat_activity"},
		"deadlock":              {answer("40P01"), statestore.ErrUnavailable, true, "pg_stat_activity"},
		"lock timeout":          {answer("55P03"), statestore.ErrUnavailable, true, "holds what this one needs"},
		"statement timeout":     {answer("57014"), statestore.ErrUnavailable, true, "slow"},
		"idle in transaction":   {answer("25P03"), statestore.ErrUnavailable, true, "CPU"},
		"unique violation":      {answer("23505"), statestore.ErrUnavailable, true, ""},
		"check violation":       {answer("23514"), statestore.ErrRejected, false, "report"},
		"bad text":              {answer("22021"), statestore.ErrRejected, false, "report"},
		"a row is gone":         {answer("22012"), statestore.ErrUnavailable, true, "something else writes"},
		"key too long":          {answer("54000"), statestore.ErrRejected, false, "report"},
		"terminated":            {answer("57P01"), statestore.ErrUnavailable, true, "looked for"},
		"crashed":               {answer("57P02"), statestore.ErrUnavailable, true, "looked for"},
		"starting up":           {answer("57P03"), statestore.ErrUnavailable, false, "looked for"},
		"database dropped":      {answer("57P04"), statestore.ErrUnavailable, false, "looked for"},
		"read-only":             {answer("25006"), statestore.ErrReadOnly, false, "primary"},
		"wrong password":        {answer("28P01"), statestore.ErrUnavailable, false, "pg_hba.conf"},
		"no such user":          {answer("28000"), statestore.ErrUnavailable, false, "pg_hba.conf"},
		"no such database":      {answer("3D000"), statestore.ErrUnavailable, false, "make the database"},
		"schema dropped":        {answer("3F000"), statestore.ErrUnavailable, false, "restore a backup"},
		"table dropped":         {answer("42P01"), statestore.ErrUnavailable, false, "restore a backup"},
		"no right":              {answer("42501"), statestore.ErrUnavailable, false, `GRANT ALL ON SCHEMA "team a" TO "joe"`},
		"disk full":             {answer("53100"), statestore.ErrFull, false, "make room"},
		"too many connections":  {answer("53300"), statestore.ErrUnavailable, true, "max_connections"},
		"out of memory":         {answer("53200"), statestore.ErrUnavailable, false, "log"},
		"damaged":               {answer("XX001"), statestore.ErrNotADatabase, false, "restore a backup"},
		"protocol":              {answer("08P01"), statestore.ErrUnavailable, false, "pooler"},
		"statement unknown":     {answer("26000"), statestore.ErrUnavailable, true, "pooler"},
		"plan is out of date":   {answer("0A000"), statestore.ErrUnavailable, true, "schema changes"},
		"transaction aborted":   {answer("25P02"), statestore.ErrUnavailable, true, "report"},
		"settings full":         {answer("53400"), statestore.ErrUnavailable, false, "log"},
		"disk fails":            {answer("58030"), statestore.ErrUnavailable, false, "restore a backup"},
		"file is gone":          {answer("58P01"), statestore.ErrUnavailable, false, "restore a backup"},
		"fault of the server":   {answer("XX000"), statestore.ErrUnavailable, false, "log"},
		"index damaged":         {answer("XX002"), statestore.ErrNotADatabase, false, "restore a backup"},
		"something new":         {answer("ZZ999"), statestore.ErrUnavailable, false, "log"},

		"damaged row":      {&statestore.DamageError{}, statestore.ErrNotADatabase, false, "restore a backup"},
		"connection reset": {fmt.Errorf("read: %w", syscall.ECONNRESET), statestore.ErrUnavailable, true, ""},
		"broken off":       {fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), statestore.ErrUnavailable, true, ""},
		"closed":           {net.ErrClosed, statestore.ErrUnavailable, true, ""},
		"refused":          {fmt.Errorf("dial: %w", syscall.ECONNREFUSED), statestore.ErrUnavailable, true, "start the database server"},
		"unknown host":     {&net.DNSError{Err: "no such host", Name: "db"}, statestore.ErrUnavailable, true, "check the host"},
		"conflict":         {errConflict, statestore.ErrUnavailable, true, ""},
		"leap":             {errLeap, statestore.ErrUnavailable, true, "clock"},
		"fenced":           {errFenced, statestore.ErrUnavailable, true, "takes writes"},
		"stuck":            {errStuck, statestore.ErrUnavailable, false, "synchronous_standby_names"},
		"silent":           {errSilent, statestore.ErrUnavailable, false, "looked for"},
		"unknown commit":   {commitError{answer("57P01")}, statestore.ErrUnknownOutcome, false, ""},
		"silent commit":    {commitError{errSilent}, statestore.ErrUnknownOutcome, false, ""},
		"own":              {fmt.Errorf("%w: x", statestore.ErrNotHeld), statestore.ErrNotHeld, false, ""},
		"cancelled":        {context.Canceled, context.Canceled, false, ""},
		"late":             {context.DeadlineExceeded, context.DeadlineExceeded, false, ""},
	} {
		if got := s.translate("update", c.err); !errors.Is(got, c.kind) || !errors.Is(got, c.err) || !strings.Contains(got.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", name, got, c.kind, c.says)
		}
		if got := again(c.err); got != c.again {
			t.Errorf("%s: again = %v", name, got)
		}
	}
	if s.translate("update", nil) != nil || again(nil) {
		t.Error("no error is translated to one")
	}
}

func TestAnErrorAroundCommitIsUnknownUnlessTheServerSaysNo(t *testing.T) {
	fatal := &pgconn.PgError{Code: "57P01", Severity: "FATAL", SeverityUnlocalized: "FATAL"}
	for name, c := range map[string]struct {
		got     error
		unknown bool
	}{
		"a statement fails":                 {beforeCommit(answer("23505")), false},
		"terminated at a statement":         {beforeCommit(fatal), false},
		"broken off at a statement":         {beforeCommit(io.ErrUnexpectedEOF), true},
		"COMMIT fails":                      {atCommit(answer("40001")), false},
		"terminated at COMMIT":              {atCommit(fatal), true},
		"broken off at COMMIT":              {atCommit(io.ErrUnexpectedEOF), true},
		"out of time at COMMIT":             {atCommit(context.DeadlineExceeded), true},
		"out of time when it is to be sent": {beforeCommit(context.DeadlineExceeded), true},
	} {
		if errors.As(c.got, new(commitError)) != c.unknown {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}

// FuzzDSN: whatever is wrong with a DSN, the error does not tell the password.
func FuzzDSN(f *testing.F) {
	for _, password := range []string{"secret99", "se:cr/et9", "p%zzword99", "a b'c@d#e?f", "line\nbreak9", "x=y password=z99"} {
		for _, form := range []string{
			"postgres://joe:%s@localhost:notaport/db", "postgresql://joe:%s@[::1/db", "postgres://joe:%s@/db?sslmode=maybe",
			"host=localhost password=%s port=99999999", "host=localhost password='%s' sslmode=maybe", "joe:%s@localhost",
			"postgres://joe:%s@localhost/db?sslrootcert=/nowhere/ca.pem&sslmode=verify-full", "postgres://joe:%s@localhost/db",
		} {
			f.Add(form, password)
		}
	}
	f.Fuzz(func(t *testing.T, form, password string) {
		before, after, found := strings.Cut(form, "%s")
		if !found || len(password) < 6 {
			return
		}
		_, err := prepared(before + password + after)
		if err != nil && strings.Contains(err.Error(), password) && !strings.Contains(before+after, password) &&
			!strings.Contains(dsnError(errors.New("x")).Error(), password) {
			t.Fatalf("the error tells the password %q: %v", password, err)
		}
	})
}

// prepared reads a DSN as Open does.
func prepared(dsn string) (any, error) {
	cc, err := parse(dsn, 1)
	if err != nil {
		return nil, dsnError(err)
	}
	return cc, nil
}
