// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/resilienced/resilienced/bench/direct"
	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/test/pgserver"
)

// How much of what PostgreSQL does is shown.
const (
	statementsShown = 8
	statementLength = 90
)

// sharedProfile shows what our process and PostgreSQL do under load, one
// replica and three, if a goal was missed.
func (s *Suite) sharedProfile(ctx context.Context) error {
	missed := slices.ContainsFunc(s.goals, func(g page.Goal) bool { return !g.Met() })
	if !missed && len(s.cfg.Only) == 0 {
		return nil
	}
	// Some installations have no pg_stat_statements.
	counts := true
	server, err := pgserver.Start(ctx, pgserver.Options{Sync: !s.cfg.Size.Unsafe, Settings: withStatements()})
	if err != nil {
		counts = false
		if server, err = pgserver.Start(ctx, pgserver.Options{Sync: !s.cfg.Size.Unsafe, Settings: settings()}); err != nil {
			return err
		}
	}
	section := page.Section{Title: "What stands in the way", Parts: []page.Part{{Text: "" +
		"On a PostgreSQL of its own that counts statements (pg_stat_statements) where it has that, which costs a little. Its sessions were looked at every 2 ms: a line says how many of them were seen at a thing on average. The processor time is of our process, engines and callers together."}}}
	for _, c := range []struct {
		w        workload
		replicas int
	}{{hotCapped(), 1}, {hotCapped(), replicated}, {s.spreadRuns(cappedAt), 1}} {
		var parts []page.Part
		err := s.steady(ctx, "profile", func(ctx context.Context) (err error) {
			parts, err = s.looked(ctx, server, counts, c.w, c.replicas)
			return err
		})
		if err != nil {
			return errors.Join(err, server.Close())
		}
		s.say("profile: %s, %d replicas", c.w.name, c.replicas)
		section.Parts = append(section.Parts, parts...)
	}
	s.sections = append(s.sections, section)
	return server.Close()
}

// withStatements are settings of a server that counts statements.
func withStatements() map[string]string {
	own := settings()
	own["shared_preload_libraries"] = "pg_stat_statements"
	return own
}

// sight is what was seen of a load.
type sight struct {
	callers  int
	database string
	r        *load.Result
	waits    *direct.Waits
	profile  []byte
}

// looked puts a load on engines and tells what they and the server do.
func (s *Suite) looked(ctx context.Context, server *pgserver.Server, counts bool, w workload, replicas int) ([]page.Part, error) {
	seen, err := s.look(ctx, server, w, replicas)
	if err != nil {
		return nil, err
	}
	word := "1 replica"
	if replicas > 1 {
		word = fmt.Sprintf("%d replicas", replicas)
	}
	parts := []page.Part{{Text: fmt.Sprintf("%s, %s, %d callers: %s commands/s, %s commands a commit.",
		capital(w.name), word, seen.callers, page.Count(commands(seen.r)), page.Plain(callsPerCommit(seen.r)))}, {Table: waitTable(seen.waits)}}
	if counts {
		statements, err := direct.Statements(ctx, server.AdminDSN("postgres"), seen.database, statementsShown)
		if err != nil {
			return nil, err
		}
		parts = append(parts, page.Part{Table: statementTable(statements, seen.r)})
	}
	rows, err := rowTable(ctx, server, seen.database)
	if err != nil {
		return nil, err
	}
	parts = append(parts, page.Part{Table: rows})
	file := filepath.Join(s.cfg.profiles(), fmt.Sprintf("cpu-pg-%d-%s.pprof", replicas, strings.ReplaceAll(w.name, " ", "-")))
	if err := os.WriteFile(file, seen.profile, 0o600); err != nil || s.cfg.Size.Profile == 0 {
		return parts, err
	}
	ours, err := top(ctx, file, "-cum", "-show=resilienced/|pgx", "-focus=resilienced/|pgx")
	return append(parts, page.Part{Code: ours}), err
}

// look puts a load on engines while the server's sessions are looked at.
func (s *Suite) look(ctx context.Context, server *pgserver.Server, w workload, replicas int) (seen *sight, err error) {
	var open benches
	defer func() { err = errors.Join(err, open.end(ctx)) }()
	dsn, err := server.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	p := direct.Place{Kind: direct.Postgres, DSN: dsn}
	all, err := groupAt(ctx, &open, p, replicas)
	if err != nil {
		return nil, err
	}
	if err := all[0].CappedRuns(ctx, w.runs); err != nil {
		return nil, err
	}
	seen = &sight{callers: min(cappedAt, 4*s.cfg.Size.Runs), database: p.Database()}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		var err error
		seen.waits, err = direct.WatchWaits(looking, server.AdminDSN("postgres"), seen.database)
		failed <- err
	}()
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return nil, err
	}
	closed := load.Closed{Callers: seen.callers, Warm: s.cfg.Size.Settle, For: s.cfg.Size.Waits}
	seen.r, err = closed.Run(ctx, all.pairs(w.asks), all.Read)
	pprof.StopCPUProfile()
	seen.profile = profile.Bytes()
	stop()
	return seen, errors.Join(err, <-failed)
}

func waitTable(w *direct.Waits) *page.Table {
	t := &page.Table{Head: []string{"sessions seen at", "on average"}}
	names := slices.SortedFunc(maps.Keys(w.Seen), func(a, b string) int {
		return cmp.Or(cmp.Compare(w.Seen[b], w.Seen[a]), strings.Compare(a, b))
	})
	for _, name := range names {
		t.Add(name, page.Ratio(float64(w.Seen[name])/float64(max(w.Looks, 1))))
	}
	return t
}

func statementTable(all []direct.Statement, r *load.Result) *page.Table {
	t := &page.Table{Head: []string{"statement", "of the time, seconds a second", "times", "mean", "WAL each"}}
	for _, one := range all {
		text := strings.Join(strings.Fields(one.Text), " ")
		if len(text) > statementLength {
			text = strings.ToValidUTF8(text[:statementLength], "") + "…"
		}
		t.Add("`"+strings.ReplaceAll(text, "`", "'")+"`", page.Ratio(one.Total/r.Window.Seconds()), page.Count(float64(one.Calls)),
			took(one.Mean), bytesText(one.WAL/float64(max(one.Calls, 1))))
	}
	return t
}

// rowTable says what became of rows, and how many updates touched no index.
func rowTable(ctx context.Context, server *pgserver.Server, database string) (*page.Table, error) {
	text, err := server.Exec(ctx, database, "SELECT pg_stat_force_next_flush();\nSELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup "+
		"FROM pg_stat_user_tables WHERE n_tup_ins + n_tup_upd > 0 ORDER BY relname")
	if err != nil {
		return nil, err
	}
	t := &page.Table{Head: []string{"table", "inserted", "updated", "of them touching no index", "deleted", "dead rows"}}
	for line := range strings.Lines(text) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) == len(t.Head) {
			t.Add(cells...)
		}
	}
	return t, nil
}
