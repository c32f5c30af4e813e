// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/test/pgserver"
)

// sharedKind is the store that replicas share.
const (
	sharedKind = direct.Postgres
	sharedNode = process.Postgres
)

// shared is a PostgreSQL server, and what is learned about replicas on it.
type shared struct {
	server  *pgserver.Server
	version string
	bestHot int    // number of callers at which bare updates of one row are fastest
	points  points // measured, to hold the model against
	service []serviceFigure
	storage []stored // bytes
	asked   []*asking
	// simulated is what the model says.
	simulated []*simulated
	tables    map[string]*page.Table
}

// settings are those of PostgreSQL that the page names; the rest is as
// PostgreSQL comes, and commits wait for the disk.
func settings() map[string]string {
	return map[string]string{
		"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "max_connections": "200",
	}
}

// Shared is the page of replicas that share a PostgreSQL server on this
// machine. It returns pgserver.ErrNotInstalled if there is none.
func Shared(ctx context.Context, cfg Config) (*Suite, error) {
	server, err := pgserver.Start(ctx, pgserver.Options{Sync: !cfg.Size.Unsafe, Settings: settings()})
	if err != nil {
		return nil, err
	}
	s, err := begin(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	s.shared = &shared{server: server, points: points{}, tables: map[string]*page.Table{}}
	s.parts = []part{
		{"pg-limits", s.limits},
		{"pg-engine", s.sharedEngine},
		{"pg-service", s.sharedService},
		{"pg-replicas", s.replicas},
		{"pg-trip", s.trip},
		{"pg-growth", s.growth},
		{"pg-storage", s.storage},
		{"pg-model", s.model},
		{"pg-example", s.example},
		{"pg-profile", s.sharedProfile},
	}
	if s.shared.version, err = server.Exec(ctx, "postgres", "SHOW server_version"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (h *shared) close() error { return h.server.Close() }

func (h *shared) about() about {
	var words []string
	own := settings()
	for _, name := range slices.Sorted(maps.Keys(own)) {
		words = append(words, name+"="+own[name])
	}
	return about{
		title: "Performance on PostgreSQL", command: "go run ./bench -page postgresql",
		lead: []string{
			"PostgreSQL runs on the same machine as everything else: it takes its share of the processors, and the way to it is short. Its commits wait for the disk (fsync and synchronous_commit are on). " +
				"[SCALING.md](SCALING.md) says what follows from the figures.",
		},
		facts: [][]string{{"PostgreSQL", h.version + " with " + strings.Join(words, ", ") + "; else as it comes"}},
	}
}

// place is a fresh place for records.
func (s *Suite) place(ctx context.Context, kind direct.Kind) (direct.Place, error) {
	p := direct.Place{Kind: kind}
	var err error
	switch kind {
	case direct.SQLite:
		p.Folder, err = os.MkdirTemp(s.cfg.Folder, "place-")
	case direct.Postgres:
		p.DSN, err = s.shared.server.NewDatabase(ctx)
	default:
	}
	return p, err
}

// fresh opens an engine at a fresh place.
func (s *Suite) fresh(ctx context.Context, kind direct.Kind) (*direct.Engine, error) {
	p, err := s.place(ctx, kind)
	if err != nil {
		return nil, err
	}
	e, err := direct.Open(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open an engine on %s: %w", kind, err)
	}
	return e, nil
}

// rows makes a table for bare updates in a fresh database.
func (s *Suite) rows(ctx context.Context, callers int) (*direct.Rows, error) {
	dsn, err := s.shared.server.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	return direct.OpenRows(ctx, dsn, "bare", callers)
}
