// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
	"github.com/resilienced/resilienced/test/pgserver"
)

// BenchmarkLayout is what docs/adr/0011 chose the layout of the tables by:
//
//	go test ./statestore/postgres -run '^$' -bench Layout -benchtime 4000x
//
// Besides the time it tells the share of updates that touched no index
// (hot-runs, hot-ops), the log written and the server's CPU time, each for one
// transaction. The CPU time and the shares do not depend on what else the
// machine does.
func BenchmarkLayout(b *testing.B) {
	const plain = "ALTER TABLE {records} RENAME TO parts; CREATE TABLE {records} (LIKE {schema}.parts INCLUDING ALL); DROP TABLE {schema}.parts CASCADE; " +
		"ALTER TABLE {records} SET (fillfactor = %d)"
	parts := func(hot, operations int) string {
		return fmt.Sprintf("ALTER TABLE {schema}.records_hot SET (fillfactor = %d); ALTER TABLE {schema}.records_operations SET (fillfactor = %d)", hot, operations)
	}
	server, err := pgserver.Start(b.Context(), pgserver.Options{Sync: true})
	noError(b, err)
	defer func() { noError(b, server.Close()) }()
	for _, c := range []struct{ name, sql string }{
		{"one-table", fmt.Sprintf(plain, 50)},
		{"parts-100-100", parts(100, 100)},
		{"parts-50-75", parts(50, 75)},
		{"parts-50-50", parts(50, 50)},
		{"parts-50-75-exact-due", parts(50, 75) + "; DROP INDEX {schema}.records_due; CREATE INDEX records_due ON {records} (due) WHERE due IS NOT NULL"},
	} {
		for _, batch := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("%s/%d", c.name, batch), func(b *testing.B) { benchLayout(b, server, c.sql, batch) })
		}
	}
}

func benchLayout(b *testing.B, server *pgserver.Server, layout string, batch int) {
	b.Helper()
	dsn, err := server.NewDatabase(b.Context())
	noError(b, err)
	cfg := Config{DSN: dsn, Codec: testCodec(b)}
	noError(b, Migrate(b.Context(), cfg))
	owner := "SET ROLE resilienced; "
	execute(b, server, dsn, owner+strings.NewReplacer("{schema}", quote(DefaultSchema), "{records}", inSchema(DefaultSchema, "records")).Replace(layout))
	s, err := Open(b.Context(), cfg)
	noError(b, err)
	execute(b, server, dsn, "CHECKPOINT")
	logBefore := number64(b, execute(b, server, dsn, "SELECT pg_current_wal_insert_lsn() - '0/0'"))
	cpuBefore := serverCPU(b, server, dsn)
	turn := 0
	for b.Loop() {
		agents(b, s, turn, batch)
		turn++
	}
	noError(b, s.Close())
	eventually(b, 10*time.Second, "the connections end", func() bool {
		return execute(b, server, dsn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'resilienced'") == "0"
	})
	n := float64(turn)
	written := number64(b, execute(b, server, dsn, "SELECT pg_current_wal_insert_lsn() - '0/0'")) - logBefore
	b.ReportMetric((serverCPU(b, server, dsn)-cpuBefore)/n*1e6, "cpu-µs/txn")
	b.ReportMetric(written/n, "log-B/txn")
	for name, table := range map[string]string{"hot-runs": "records_hot", "hot-ops": "records_operations"} {
		if strings.Contains(layout, "RENAME TO parts") {
			table = "records"
		}
		b.ReportMetric(number64(b, execute(b, server, dsn,
			"SELECT coalesce(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0) FROM pg_stat_user_tables WHERE relname = '"+table+"'")), name+"-%")
	}
}

// agents is one batch of calls: each makes an operation and reports another,
// and an old one goes; all book on a few runs.
func agents(b *testing.B, s *Store, turn, batch int) {
	b.Helper()
	agentsOf(b, s, "", turn, batch)
}

// agentsOf is agents with names of one's own.
func agentsOf(b *testing.B, s *Store, who string, turn, batch int) {
	b.Helper()
	var entries []*statestore.Entry
	add := func(kind statestore.Kind, name string) {
		entries = append(entries, &statestore.Entry{Key: statestore.Key{Kind: kind, Namespace: "acme", Name: name}, Mode: statestore.Write})
	}
	runs := min(batch, 8)
	for i := range runs {
		add(statestore.KindRun, fmt.Sprint(who, "run", (turn*runs+i)%64))
	}
	op := func(turn, i int) string {
		return who + fmt.Sprintf("op-%016x", uint64(turn*batch+i+1)*0x9e3779b97f4a7c15)
	}
	for i := range batch {
		for age := range 3 {
			if turn >= age*8 {
				add(statestore.KindOperation, op(turn-age*8, i))
			}
		}
	}
	text := strings.Repeat("agent ", 60)
	noError(b, s.Update(b.Context(), entries, func(now rules.Instant) (statestore.Durability, error) {
		for i, e := range entries {
			switch old, _ := e.Record().(*note); {
			case i < runs:
				e.Put(&note{N: int64(turn), Text: text, Due: now.Add(time.Minute)})
			case old == nil:
				e.Put(&note{N: 1, Text: text, Due: now.Add(30 * time.Second)})
			case old.N == 1:
				e.Put(&note{N: 2, Due: now.Add(time.Minute)})
			default:
				e.Put(nil)
			}
		}
		return statestore.Durable, nil
	}))
}

// BenchmarkLanes is what the default of Config.Lanes was chosen by: so many
// transactions in flight, none of which shares a key with another.
//
//	go test ./statestore/postgres -run '^$' -bench Lanes -benchtime 600x
func BenchmarkLanes(b *testing.B) {
	server, err := pgserver.Start(b.Context(), pgserver.Options{Sync: true})
	noError(b, err)
	defer func() { noError(b, server.Close()) }()
	for _, batch := range []int{1, 16, 128} {
		for _, lanes := range []int{1, 2, 3, 4, 8} {
			b.Run(fmt.Sprintf("%d/batch-%d", lanes, batch), func(b *testing.B) {
				dsn, err := server.NewDatabase(b.Context())
				noError(b, err)
				s := openStore(b, Config{DSN: dsn, Codec: testCodec(b), Lanes: lanes})
				var group sync.WaitGroup
				begun := time.Now()
				for lane := range lanes {
					group.Go(func() {
						for turn := range b.N {
							agentsOf(b, s, fmt.Sprint("lane", lane, "-"), turn, batch)
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(lanes*b.N*batch)/time.Since(begun).Seconds(), "calls/s")
			})
		}
	}
}

func number64(tb testing.TB, text string) float64 {
	tb.Helper()
	n, err := strconv.ParseFloat(text, 64)
	noError(tb, err)
	return n
}

// serverCPU is the CPU time in seconds of the server and of its processes that
// have ended.
func serverCPU(tb testing.TB, server *pgserver.Server, dsn string) float64 {
	tb.Helper()
	pid := execute(tb, server, dsn, "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	noError(tb, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	ticks := 0.0
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		ticks += number64(tb, f)
	}
	return ticks / 100
}
