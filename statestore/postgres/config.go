// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// DefaultSchema is the schema that a store keeps its tables in.
const DefaultSchema = "resilienced"

// Config says where the database is and how long the store waits for it. Zero
// durations and numbers stand for the defaults.
type Config struct {
	// DSN is a connection string of libpq: postgres://user@host:5432/database
	// with its parameters. Several hosts may be named; the one that takes
	// writes is used.
	DSN string
	// Schema is made if it does not exist; nothing outside it is touched.
	// Empty: DefaultSchema.
	Schema string
	// Codec knows every kind of record that is put.
	Codec *statestore.Codec
	// Application is how the connections show in pg_stat_activity, if the DSN
	// does not say. Empty: as those of a service on this schema.
	Application string
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger

	// ListenDSN is where the store listens for messages of other processes;
	// empty: at DSN. Behind PgBouncer in transaction mode nothing can be heard,
	// so name the database itself here.
	ListenDSN string

	// Lanes is how many transactions are worth having in flight. Default 3.
	Lanes int
	// WriteConns is how many connections transactions may take; at least Lanes.
	// Default Lanes + 3.
	WriteConns int
	// ReadConns is how many connections Get, List and Due may take, so that
	// they cannot keep transactions waiting. Default 3.
	ReadConns int

	// LockTimeout bounds the wait for one lock. Default 1 s.
	LockTimeout time.Duration
	// StatementTimeout bounds one statement. Default 2 s.
	StatementTimeout time.Duration
	// IdleTimeout bounds how long a process that stands still may keep others
	// from what it has locked. Default 1 s.
	IdleTimeout time.Duration
	// TripTimeout bounds the wait for the answer to one message, or for a
	// connection. Default 3 s.
	TripTimeout time.Duration
	// UpdateTimeout bounds how long one Update goes on trying. Default 5 s.
	UpdateTimeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Schema = cmp.Or(c.Schema, DefaultSchema)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Lanes = cmp.Or(max(c.Lanes, 0), 3)
	c.WriteConns = max(cmp.Or(c.WriteConns, c.Lanes+3), c.Lanes)
	c.ReadConns = max(cmp.Or(c.ReadConns, 3), 1)
	for at, standard := range map[*time.Duration]time.Duration{
		&c.LockTimeout: time.Second, &c.StatementTimeout: 2 * time.Second, &c.IdleTimeout: time.Second,
		&c.TripTimeout: 3 * time.Second, &c.UpdateTimeout: 5 * time.Second,
	} {
		if *at <= 0 {
			*at = standard
		}
	}
	return c
}
