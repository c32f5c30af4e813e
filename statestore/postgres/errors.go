// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/statestore"
)

// The codes of PostgreSQL (SQLSTATE) that are told apart.
const (
	codeWarning          = "01000"
	codeInvalidAuth      = "28000"
	codeWrongPassword    = "28P01"
	codeNoDatabase       = "3D000"
	codeUniqueViolation  = "23505"
	codeCheckViolation   = "23514"
	codeReadOnly         = "25006"
	codeIdleInTxn        = "25P03"
	codeSerialization    = "40001"
	codeDeadlock         = "40P01"
	codeNoRight          = "42501"
	codeUndefinedColumn  = "42703"
	codeUndefinedTable   = "42P01"
	codeDiskFull         = "53100"
	codeOutOfMemory      = "53200"
	codeTooManyConns     = "53300"
	codeTooLarge         = "54000"
	codeLockNotAvailable = "55P03"
	codeQueryCanceled    = "57014"
	codeAdminShutdown    = "57P01"
	codeCrashShutdown    = "57P02"
	codeCannotConnect    = "57P03"
	codeDivision         = "22012"
)

// badDSN is an error of the connection string.
type badDSN struct{ error }

// connectError is an error of making a connection.
type connectError struct{ error }

func (e connectError) Unwrap() error { return e.error }

// codeOf returns the SQLSTATE of an error, or "".
func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

func isCode(err error, code string) bool { return err != nil && codeOf(err) == code }

// again reports whether a transaction that failed with err was certainly not
// committed and may go well when it is repeated at once.
func again(err error) bool {
	if errors.As(err, new(commitError)) {
		return false
	}
	switch codeOf(err) {
	case codeUniqueViolation, codeSerialization, codeDeadlock, codeLockNotAvailable, codeQueryCanceled,
		codeIdleInTxn, codeAdminShutdown, codeCrashShutdown, codeDivision:
		return true
	case "":
	default:
		return false
	}
	if errors.Is(err, errConflict) || errors.Is(err, errLeap) {
		return true
	}
	return isLost(err)
}

// isLost reports whether err is one of the connection, or of the wait for it.
func isLost(err error) bool {
	return err != nil && codeOf(err) == "" && !isSentinel(err) && !errors.Is(err, context.Canceled)
}

// translate turns an error of the driver into one of statestore's, with what
// the operator should do.
func (s *Store) translate(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.As(err, new(commitError)) {
		return fmt.Errorf("%w: %s: %w", statestore.ErrUnknownOutcome, doing, err)
	}
	if isSentinel(err) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", statestore.ErrUnavailable, doing, err)
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
