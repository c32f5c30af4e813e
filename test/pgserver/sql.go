// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// NewDatabase makes an empty database, owned by the ordinary role, and returns
// its DSN.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test%d", s.names.Add(1))
	_, err := s.Exec(ctx, "postgres", fmt.Sprintf("CREATE DATABASE %s OWNER %s STRATEGY file_copy", name, role))
	if err != nil {
		return "", err
	}
	return s.DSN(name), nil
}

// Exec runs SQL as the superuser by `psql -qAt` and returns what it printed
// without the line break at the end. It stops at the first error. Statements on
// lines of their own are transactions of their own.
func (s *Server) Exec(ctx context.Context, database, sql string) (string, error) {
	cmd := s.home.command(ctx, filepath.Join(s.bin, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", s.AdminDSN(database))
	cmd.Stdin = strings.NewReader(sql + "\n;\n")
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, strings.TrimSpace(problem.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
