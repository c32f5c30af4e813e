// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/statestore"
)

// ErrDSN says that the connection string cannot be read.
var ErrDSN = errors.New("the DSN cannot be read")

// class is what an error means for the transaction and for the operator.
type class struct {
	kind  error // of statestore's
	again bool  // nothing was committed, and it may go well at once
	cure  string
}

// The codes of PostgreSQL (SQLSTATE) that are told apart in code. The classes
// below know the others.
const (
	codeWarning         = "01000"
	codeReadOnly        = "25006"
	codeUndefinedColumn = "42703"
	codeTooManyConns    = "53300"
	codeAdminShutdown   = "57P01"
	codeCannotConnect   = "57P03"
)

// classes is the one table of what PostgreSQL answers: by code, or by the
// first two characters for a whole family.
func classes() map[string]class {
	unavailable, rejected := statestore.ErrUnavailable, statestore.ErrRejected
	const (
		report  = "this is a fault of the service: please report it"
		waits   = "another transaction holds what this one needs: look in pg_stat_activity for one that stands still"
		busy    = "the server is slow: look in pg_stat_activity and at its disk"
		comes   = "the server stops or starts: it is looked for"
		account = "check the user and password in the DSN, PGPASSWORD or the password file, and pg_hba.conf"
		room    = "make room on the database server's disk"
		damage  = "look for a failing disk on the database server, and restore a backup"
	)
	return map[string]class{
		"08":    {unavailable, false, "check the network, and the pooler if there is one: it must let the DSN's parameters pass"},
		"0A":    {unavailable, true, "the schema changes under way: try again"},
		"22":    {rejected, false, report},
		"22012": {unavailable, true, "a locked row is gone: something else writes to the schema; let only the service do so"},
		"23":    {rejected, false, report},
		"23505": {unavailable, true, waits},
		"25006": {statestore.ErrReadOnly, false, "name the primary in the DSN, or all hosts: the one that takes writes is used"},
		"25P02": {unavailable, true, report},
		"25P03": {unavailable, true, "this process stood still inside a transaction: give it more CPU"},
		"26":    {unavailable, true, "a pooler has come between: start the service again"},
		"28":    {unavailable, false, account},
		"3D000": {unavailable, false, "make the database, or name another in the DSN"},
		"3F000": {unavailable, false, "the schema is gone: start the service again, or restore a backup"},
		"40":    {unavailable, true, waits},
		"42":    {unavailable, false, "the schema is not as the service made it: start the service again, or restore a backup"},
		"42501": {unavailable, false, "GRANT the rights to the service's user"},
		"53":    {unavailable, false, "the database server is short of memory or of something else: look in its log"},
		"53100": {statestore.ErrFull, false, room},
		"53300": {unavailable, true, "raise max_connections, or put PgBouncer between, or run fewer replicas"},
		"54":    {rejected, false, report},
		"55P03": {unavailable, true, waits},
		"57014": {unavailable, true, busy},
		"57P01": {unavailable, true, comes},
		"57P02": {unavailable, true, comes},
		"57P03": {unavailable, false, comes},
		"57":    {unavailable, false, comes},
		"58":    {unavailable, false, damage},
		"58P01": {unavailable, false, damage},
		"XX":    {unavailable, false, "look in the database server's log"},
		"XX001": {statestore.ErrNotADatabase, false, damage},
		"XX002": {statestore.ErrNotADatabase, false, damage},
	}
}

// classify says what an error means.
func classify(err error) class {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classOf(e.Code)
	}
	if isDamage(err) {
		return class{statestore.ErrNotADatabase, false, "look for a failing disk on the database server, and restore a backup"}
	}
	switch {
	case errors.Is(err, errConflict):
		return class{statestore.ErrUnavailable, true, "many processes make the same record: try again"}
	case errors.Is(err, errLeap), errors.Is(err, errFenced):
		return class{statestore.ErrUnavailable, true, "check which server takes writes, and its clock"}
	case errors.Is(err, errSilent):
		return class{statestore.ErrUnavailable, false, "the server or the network stands still: it is looked for"}
	case errors.Is(err, errStuck):
		return class{statestore.ErrUnavailable, false, "start the synchronous standby, or take it out of synchronous_standby_names"}
	default:
		return class{statestore.ErrUnavailable, isConnection(err), cureOfConnection(err)}
	}
}

func isDamage(err error) bool {
	_, damaged := errors.AsType[*statestore.DamageError](err)
	return damaged
}

func classOf(code string) class {
	all := classes()
	for _, key := range []string{code, code[:min(len(code), 2)]} {
		if c, known := all[key]; known {
			return c
		}
	}
	return class{statestore.ErrUnavailable, false, "look in the database server's log"}
}

// isConnection reports whether an error is one of the connection and not of
// what was asked.
func isConnection(err error) bool {
	_, network := errors.AsType[net.Error](err)
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	return network || connect || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// cureOfConnection says what to do about a server that cannot be reached or
// trusted.
func cureOfConnection(err error) string {
	_, host := errors.AsType[*net.DNSError](err)
	_, unknownCA := errors.AsType[x509.UnknownAuthorityError](err)
	_, wrongName := errors.AsType[x509.HostnameError](err)
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	switch {
	case host:
		return "check the host in the DSN: the name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start the database server, or check host and port in the DSN and its listen_addresses"
	case unknownCA:
		return "name the certificate authority in the DSN: sslrootcert=FILE"
	case wrongName:
		return "use a host name in the DSN that is in the server's certificate, or sslmode=verify-ca"
	case verify:
		return "renew the server's certificate, or name its authority in the DSN: sslrootcert=FILE"
	case record, alert, refusesTLS(err):
		return "turn TLS on in the server (ssl = on), or use sslmode=disable where the network is trusted; a server that wants a certificate gets it by sslcert=FILE and sslkey=FILE"
	default:
		return "check the DSN, the network and the server; it is looked for"
	}
}

// refusesTLS knows a refusal that the driver tells by text only.
func refusesTLS(err error) bool {
	return err != nil && strings.Contains(err.Error(), "server refused TLS connection")
}

// again reports whether a transaction that failed with err was certainly not
// committed and may go well when it is repeated.
func again(err error) bool {
	if errors.As(err, new(commitError)) || isSentinel(err) || isOfContext(err) {
		return false
	}
	return classify(err).again
}

// isOfContext: the caller has gone away.
func isOfContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// codeOf returns the SQLSTATE of an error, or "".
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func isCode(err error, code string) bool { return err != nil && codeOf(err) == code }

// translate turns an error of the driver into one of statestore's, with what
// the operator should do.
func (s *Store) translate(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(commitError)):
		return fmt.Errorf("%w: %s: %w", statestore.ErrUnknownOutcome, doing, err)
	case isSentinel(err) && !isDamage(err), isOfContext(err):
		return fmt.Errorf("%s: %w", doing, err)
	}
	c := classify(err)
	return fmt.Errorf("%w: %s: %w; %s", c.kind, doing, err, s.rights(err, c.cure))
}

// rights says which rights are missing.
func (s *Store) rights(err error, cure string) string {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != "42501" {
		return cure
	}
	user, schema := quote(s.conns.User), quote(s.cfg.Schema)
	if strings.Contains(e.Message, "for database") {
		return fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s, or make the schema: CREATE SCHEMA %s AUTHORIZATION %s",
			quote(s.conns.Database), user, schema, user)
	}
	return fmt.Sprintf("GRANT ALL ON SCHEMA %s TO %s and GRANT ALL ON ALL TABLES IN SCHEMA %s TO %s; to migrate it must own them",
		schema, user, schema, user)
}

// dsnError says what is wrong with a connection string, without any of it that
// may be a password.
func dsnError(err error) error {
	why := "it must look like postgres://user@host:5432/database; percent-encode special characters of a password, or leave it out and set PGPASSWORD"
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		why = fmt.Sprintf("%s %s: %v; check the files that it names", path.Op, path.Path, path.Err)
	} else if strings.Contains(err.Error(), "sslmode is invalid") {
		why = "sslmode must be disable, allow, prefer, require, verify-ca or verify-full"
	}
	return fmt.Errorf("%w: %w: %s", statestore.ErrUnavailable, ErrDSN, why)
}

func isSentinel(err error) bool {
	for _, s := range []error{
		statestore.ErrUnavailable, statestore.ErrUnknownOutcome, statestore.ErrNotHeld, statestore.ErrRejected,
		statestore.ErrFull, statestore.ErrReadOnly, statestore.ErrInUse, statestore.ErrNotADatabase,
		statestore.ErrNewerSchema, statestore.ErrBadCursor,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}
