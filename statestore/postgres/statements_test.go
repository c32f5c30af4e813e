// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// transactionTime finds what tells the start of a transaction or statement,
// which may be long before the lock was given.
var transactionTime = regexp.MustCompile(`(?i)\b(now\s*\(|current_timestamp|current_time|current_date|localtime|localtimestamp|` +
	`transaction_timestamp|statement_timestamp|timeofday)|'(now|today|tomorrow|yesterday)'`)

// TestTimeIsReadByClockTimestampOnly reads every text in the package, and every
// migration: each string of a Go file may become SQL.
func TestTimeIsReadByClockTimestampOnly(t *testing.T) {
	texts := 0
	look := func(where, text string) {
		texts++
		if found := transactionTime.FindString(text); found != "" {
			t.Errorf("%s has %q in %q; use clock_timestamp()", where, found, text)
		}
	}
	files, err := filepath.Glob("*.go")
	noError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		noError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				noError(t, err)
				look(set.Position(lit.Pos()).String(), text)
			}
			return true
		})
	}
	noError(t, fs.WalkDir(os.DirFS("migrations"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join("migrations", path))
		look(path, string(text))
		return err
	}))
	if texts < 50 {
		t.Errorf("only %d texts were read", texts)
	}
	for _, bad := range []string{"SELECT now()", "now ( )", "DEFAULT CURRENT_TIMESTAMP", "'now'::timestamptz", "transaction_timestamp()"} {
		if !transactionTime.MatchString(bad) {
			t.Errorf("%q is not found", bad)
		}
	}
	if transactionTime.MatchString("SELECT clock_timestamp(), known()") {
		t.Error("clock_timestamp is found")
	}
}
