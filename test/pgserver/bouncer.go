// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
)

// Bouncer is a PgBouncer in transaction mode, else with its default settings.
type Bouncer struct {
	home   *home
	daemon *daemon
	server *Server
	port   int
	close  func() error
}

// StartBouncer starts a PgBouncer before a server and returns when it takes
// connections. The context bounds the start only. The caller calls Close.
func StartBouncer(ctx context.Context, s *Server) (*Bouncer, error) {
	program, err := bouncer()
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	h, err := newHome(ctx)
	if err != nil {
		return nil, err
	}
	b := &Bouncer{home: h, daemon: &daemon{home: h, log: "log"}, server: s, port: port}
	b.close = sync.OnceValue(b.end)
	if err := b.start(ctx, program); err != nil {
		return nil, errors.Join(fmt.Errorf("start PgBouncer: %w", err), b.Close())
	}
	return b, nil
}

func (b *Bouncer) start(ctx context.Context, program string) error {
	users := fmt.Sprintf("%q %q\n%q %q\n", admin, b.server.password, role, b.server.password)
	if err := b.home.write("users", users); err != nil {
		return err
	}
	err := b.home.write("pgbouncer.ini", fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
pool_mode = transaction
listen_addr = %s
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
`, loopback, b.server.port, loopback, b.port, filepath.Join(b.home.dir, "users")))
	if err != nil {
		return err
	}
	// The process outlives the context, which bounds the start.
	cmd := b.home.command(context.WithoutCancel(ctx), program, filepath.Join(b.home.dir, "pgbouncer.ini"))
	if err := b.daemon.start(cmd); err != nil {
		return err
	}
	return b.daemon.until(ctx, func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.Addr())
		return err == nil && conn.Close() == nil
	})
}

// Addr returns the host and port that PgBouncer listens on.
func (b *Bouncer) Addr() string { return net.JoinHostPort(loopback, strconv.Itoa(b.port)) }

// DSN returns the address of a database behind PgBouncer.
func (b *Bouncer) DSN(database string) string {
	return dsn(role, b.server.password, b.Addr(), database)
}

// Log returns the last 64 KiB of PgBouncer's log.
func (b *Bouncer) Log() string { return b.daemon.tail() }

func (b *Bouncer) end() error { return errors.Join(b.daemon.end(), b.home.close()) }

// Close ends PgBouncer. A second call does nothing.
func (b *Bouncer) Close() error { return b.close() }
