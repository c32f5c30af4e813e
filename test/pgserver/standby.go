// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Standby makes a streaming standby of the server and returns when it streams.
// A synchronous one joins synchronous_standby_names: from then on a commit of
// the server waits for one of its synchronous standbys, and for ever if there
// is none. The caller closes the standby on its own.
func (s *Server) Standby(ctx context.Context, synchronous bool) (*Server, error) {
	standby, err := prepare(ctx, s.options)
	if err != nil {
		return nil, err
	}
	standby.password = s.password
	if err := s.copyTo(ctx, standby, synchronous); err != nil {
		return nil, errors.Join(fmt.Errorf("start a standby: %w", err), standby.Close())
	}
	return standby, nil
}

func (s *Server) copyTo(ctx context.Context, standby *Server, synchronous bool) error {
	name := fmt.Sprintf("standby%d", s.names.Add(1))
	err := standby.home.run(standby.home.command(ctx, filepath.Join(s.bin, "pg_basebackup"),
		"--pgdata", standby.data, "--write-recovery-conf", "--checkpoint", "fast", "--no-sync",
		"--dbname", s.AdminDSN("postgres")+"&application_name="+name))
	if err != nil {
		return err
	}
	if err := standby.configure(standby.options.Settings); err != nil {
		return err
	}
	// What the server got by ALTER SYSTEM is copied too. Once promoted, the
	// standby must not wait for itself.
	if err := standby.appendTo("postgresql.auto.conf", "synchronous_standby_names = ''\n"); err != nil {
		return err
	}
	if err := standby.Restart(ctx); err != nil {
		return err
	}
	state := "async"
	if synchronous {
		state = "sync"
		if err := s.addSynchronous(ctx, name); err != nil {
			return err
		}
	}
	return s.awaitStandby(ctx, name, state)
}

func (s *Server) addSynchronous(ctx context.Context, name string) error {
	names, err := s.Exec(ctx, "postgres", "SHOW synchronous_standby_names")
	if err != nil {
		return err
	}
	if inner, ok := strings.CutPrefix(names, "ANY 1 ("); ok {
		name = strings.TrimSuffix(inner, ")") + ", " + name
	}
	_, err = s.Exec(ctx, "postgres", fmt.Sprintf(
		"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (%s)';\nSELECT pg_reload_conf();", name))
	return err
}

// awaitStandby waits until a standby streams, synchronously if that is the
// state to wait for.
func (s *Server) awaitStandby(ctx context.Context, name, state string) error {
	query := fmt.Sprintf("SELECT 1 FROM pg_stat_replication WHERE application_name = '%s' AND state = 'streaming'", name)
	if state == "sync" {
		query += " AND sync_state IN ('sync', 'quorum')"
	}
	for {
		found, err := s.Exec(ctx, "postgres", query)
		if err != nil || found == "1" {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until the standby streams: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Promote makes a primary of a standby and returns when it takes writes. The
// old primary is not touched.
func (s *Server) Promote(ctx context.Context) error {
	return s.home.run(s.home.command(ctx, filepath.Join(s.bin, "pg_ctl"), "promote", "--pgdata", s.data, "--wait"))
}
