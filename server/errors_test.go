// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resilienced/resilienced/engine"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/statestore"
)

func TestPublicErrors(t *testing.T) {
	s := New(Deps{})
	cases := []struct {
		err    error
		code   codes.Code
		reason string
		field  string
		retry  time.Duration
	}{
		{&requestError{[]violation{{"a", "is required"}, {"b", "is required"}}}, codes.InvalidArgument, "INVALID_REQUEST", "a", 0},
		{&engine.InvalidError{Field: "pin_level", Why: "the chain has no such level"}, codes.InvalidArgument, "INVALID_REQUEST", "pin_level", 0},
		{&engine.InvalidError{Field: "chain", Why: "there is none"}, codes.InvalidArgument, "CHAIN_UNKNOWN", "chain", 0},
		{&engine.InvalidError{Field: "page_token", Why: "it is not one"}, codes.InvalidArgument, "PAGE_TOKEN_INVALID", "page_token", 0},
		{&engine.OverloadedError{Delay: 250 * time.Millisecond}, codes.ResourceExhausted, "OVERLOADED", "", 250 * time.Millisecond},
		{&engine.DelayedError{Err: fmt.Errorf("%w: slow", engine.ErrUnavailable), Delay: 130 * time.Millisecond}, codes.Unavailable, "STORE_UNAVAILABLE", "", 130 * time.Millisecond},
		{&engine.DelayedError{Err: fmt.Errorf("%w: slow", engine.ErrOutcomeUnknown), Delay: 0}, codes.Unavailable, "OUTCOME_UNKNOWN", "", time.Millisecond},
		{&engine.OverloadedError{}, codes.ResourceExhausted, "OVERLOADED", "", time.Millisecond},
		{&engine.MismatchError{Field: "request_id", Recorded: "GRANTED"}, codes.AlreadyExists, "IDEMPOTENCY_MISMATCH", "", 0},
		{&policy.ParseError{Problems: []policy.Problem{{File: "p", Line: 3, Column: 1, Path: "targets[0].retry", Text: "x"}}, More: true}, codes.InvalidArgument, "POLICY_INVALID", "yaml.targets[0].retry", 0},
		{engine.ErrRunUnknown, codes.NotFound, "RUN_UNKNOWN", "", 0},
		{engine.ErrChainUnknown, codes.InvalidArgument, "CHAIN_UNKNOWN", "chain", 0},
		{engine.ErrNotFound, codes.NotFound, "NOT_FOUND", "", 0},
		{engine.ErrPermitForged, codes.InvalidArgument, "PERMIT_INVALID", "permit_id", 0},
		{engine.ErrLeaseLost, codes.FailedPrecondition, "LEASE_LOST", "", 0},
		{engine.ErrMismatch, codes.AlreadyExists, "IDEMPOTENCY_MISMATCH", "", 0},
		{engine.ErrRunFinal, codes.FailedPrecondition, "RUN_FINAL", "", 0},
		{fmt.Errorf("%w: it is 4 now", engine.ErrEpoch), codes.Aborted, "EPOCH_CHANGED", "expected_epoch", 0},
		{engine.ErrNotDrill, codes.FailedPrecondition, "NOT_A_DRILL", "", 0},
		{engine.ErrDrillsOff, codes.FailedPrecondition, "DRILLS_OFF", "", 0},
		{engine.ErrQuota, codes.ResourceExhausted, "QUOTA", "", 0},
		{engine.ErrUnavailable, codes.Unavailable, "STORE_UNAVAILABLE", "", time.Second},
		{fmt.Errorf("%w: %w", engine.ErrUnavailable, statestore.ErrFull), codes.Unavailable, "STORE_FULL", "", 5 * time.Second},
		{fmt.Errorf("%w: %w", engine.ErrUnavailable, statestore.ErrNotADatabase), codes.DataLoss, "STORE_DAMAGED", "", 0},
		{fmt.Errorf("%w: %w", engine.ErrOutcomeUnknown, statestore.ErrUnknownOutcome), codes.Unavailable, "OUTCOME_UNKNOWN", "", 200 * time.Millisecond},
		{statestore.ErrBadCursor, codes.InvalidArgument, "PAGE_TOKEN_INVALID", "page_token", 0},
		{errDraining, codes.Unavailable, "SHUTTING_DOWN", "", 500 * time.Millisecond},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE", "", 0},
		{context.Canceled, codes.Canceled, "CANCELLED", "", 0},
		{engine.ErrInternal, codes.Internal, "INTERNAL", "", 0},
		{errors.New("s3cret"), codes.Internal, "INTERNAL", "", 0},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%T %v", c.err, c.err), func(t *testing.T) {
			err := s.public(fmt.Errorf("wrapped: %w", c.err))
			wantError(t, err, c.code, c.reason, c.field)
			if !errors.Is(err, c.err) {
				t.Error("the cause is lost for the log")
			}
			if got := retryIn(err); got != c.retry {
				t.Errorf("RetryInfo says %v, want %v", got, c.retry)
			}
			if strings.Contains(status.Convert(err).Proto().String(), "s3cret") {
				t.Error("an inner text is sent")
			}
		})
	}
}

func retryIn(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// Every sentinel and every error type that the layers below declare has its
// row, or its case, in errors.go. A type that wraps an error has that one's.
func TestEverySentinelIsMapped(t *testing.T) {
	table := parsed(t, ".", "errors.go")
	for _, pkg := range []string{"engine", "statestore", "policy"} {
		for _, file := range parsed(t, "../"+pkg, "") {
			for _, name := range errorNames(file) {
				if !wraps(file, name) && !mentions(table, pkg, name) {
					t.Errorf("%s.%s is not mapped in errors.go", pkg, name)
				}
			}
		}
	}
}

func parsed(t *testing.T, dir, only string) []*ast.File {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), dir, func(f fs.FileInfo) bool { //nolint:staticcheck // files are all that is needed
		return !strings.HasSuffix(f.Name(), "_test.go") && (only == "" || f.Name() == only)
	}, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, p := range packages {
		for _, f := range p.Files {
			files = append(files, f)
		}
	}
	return files
}

// errorNames are the exported Err… variables and …Error types of a file.
func errorNames(file *ast.File) []string {
	var names []string
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range decl.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if decl.Tok == token.VAR && strings.HasPrefix(n.Name, "Err") {
						names = append(names, n.Name)
					}
				}
			case *ast.TypeSpec:
				if s.Name.IsExported() && strings.HasSuffix(s.Name.Name, "Error") {
					names = append(names, s.Name.Name)
				}
			}
		}
	}
	return names
}

// wraps reports whether a type of the file has a method Unwrap.
func wraps(file *ast.File, name string) bool {
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != "Unwrap" {
			return false
		}
		recv, ok := f.Recv.List[0].Type.(*ast.StarExpr)
		return ok && recv.X.(*ast.Ident).Name == name
	})
}

func mentions(files []*ast.File, pkg, name string) bool {
	found := false
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				x, ok := sel.X.(*ast.Ident)
				found = found || ok && x.Name == pkg && sel.Sel.Name == name
			}
			return !found
		})
	}
	return found
}

// Every row says what to do, under a published reason.
func TestAnswersSayWhatToDo(t *testing.T) {
	seen := map[error]bool{}
	for _, a := range answers() {
		if a.reason == pb.ErrorReason_ERROR_REASON_UNSPECIFIED || a.code == codes.OK || a.code == codes.Unknown {
			t.Errorf("%v has the code %v and the reason %v", a.sentinel, a.code, a.reason)
		}
		if !strings.ContainsAny(a.text, ";:") || len(a.text) < 30 {
			t.Errorf("%v: %q says what is wrong and not what to do", a.sentinel, a.text)
		}
		if (a.code == codes.Unavailable) != (a.retry > 0) {
			t.Errorf("%v: UNAVAILABLE and a wait go together; the wait is %v", a.sentinel, a.retry)
		}
		if seen[a.sentinel] {
			t.Errorf("%v is in the table twice", a.sentinel)
		}
		seen[a.sentinel] = true
	}
}

func TestMismatchTellsWhatIsRecorded(t *testing.T) {
	err := New(Deps{}).public(&engine.MismatchError{Field: "request_id", Recorded: "GRANTED \xff"})
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetMetadata()["recorded"] == "GRANTED \uFFFD" {
			return
		}
	}
	t.Errorf("%v does not say what is recorded", err)
}
