// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/resilienced/resilienced/bench/page"
)

// The tables of docs/SCALING.md that are written by a run.
const (
	TableSitting  = "sitting"
	TableCarries  = "carries"
	TableExample  = "example"
	TableStorage  = "storage"
	TableMonth    = "month"
	TableCosts    = "costs"
	TableModel    = "model"
	TableDistance = "distance"
)

// Tables are the names of all of them.
func Tables() []string {
	return []string{TableSitting, TableCarries, TableExample, TableStorage, TableMonth, TableCosts, TableModel, TableDistance}
}

// Scaling is what docs/SCALING.md gets from a run: tables by the names of their
// marks, and pictures by the names of their files. It is whole after a run of
// all parts of Shared.
type Scaling struct {
	Tables   map[string]*page.Table
	Pictures map[string]*page.Plot
}

// Scaling returns nil for the page of one replica.
func (s *Suite) Scaling() *Scaling { return s.scaling }

// scale puts together what the page gets.
func (s *Suite) scale(ctx context.Context) *Scaling {
	tables := maps.Clone(s.shared.tables)
	tables[TableSitting] = &page.Table{Head: []string{"", ""}, Rows: append(s.where(ctx), s.shared.about().facts...)}
	tables[TableCarries] = s.carries()
	tables[TableStorage], tables[TableMonth] = s.storageTables()
	return &Scaling{Tables: tables, Pictures: s.pictures()}
}

// carries is what one PostgreSQL carries, by workload.
func (s *Suite) carries() *page.Table {
	t := &page.Table{Head: []string{"workload", "callers", "commands/s, 1 replica", "commands/s, 3 replicas", "commands a commit, 1", "commands a commit, 3", "p50 / p99, 1", "p50 / p99, 3"}}
	for _, w := range s.workloads(1) {
		for _, callers := range s.cfg.Size.Callers {
			one, there := s.shared.points[at{1, w.name, callers}]
			if !there {
				continue
			}
			cells := []string{w.name, strconv.Itoa(callers), page.Count(one.rate), "–", page.Plain(one.batch), "–", page.Time(one.p50) + " / " + page.Time(one.p99), "–"}
			if more, there := s.shared.points[at{replicated, w.name, callers}]; there {
				cells[3], cells[5], cells[7] = page.Count(more.rate), page.Plain(more.batch), page.Time(more.p50)+" / "+page.Time(more.p99)
			}
			t.Add(cells...)
		}
	}
	return t
}

// kept is how many records of a kind there are at the worked example's rate.
type kept struct {
	what  string // of the specimen
	words string // how many, and why
	many  float64
}

// The parts of its calls that the worked example assumes.
const (
	perDay       = 86_400
	exampleRate  = float64(exampleAgents * exampleCalls)
	nonIdemPart  = 0.05
	failedPart   = 0.01
	letterPart   = 0.001
	questionPart = 0.0001
	runMinutes   = 10
	runsKeptDays = 30
	exampleGoals = 50 // targets
)

// keeps is what the worked example has in the store once it has run for a
// month.
func keeps() []kept {
	const letterDays, observations, recorded = 30, 12 * 24 * 7, 1_000_000
	runs := float64(exampleAgents) * perDay / (runMinutes * 60) * runsKeptDays
	return []kept{
		{"run", fmt.Sprintf("a new one for each agent every %d minutes, deleted after %d days", runMinutes, runsKeptDays), runs},
		{"target, control", fmt.Sprintf("%d targets", exampleGoals), exampleGoals},
		{"target, tally of one replica", fmt.Sprintf("%d targets, 3 replicas", exampleGoals), exampleGoals * replicated},
		{"operation, idempotent and done (tombstone)", "94 % of the calls, for 60 s", (1 - nonIdemPart - failedPart) * exampleRate * 60},
		{"operation, not idempotent and done", "5 % of the calls, for 24 h", nonIdemPart * exampleRate * perDay},
		{"operation, to be tried again", "1 % of the calls, for 24 h", failedPart * exampleRate * perDay},
		{"dead letter with a payload of 1 KiB", "0.1 % of the calls, for 30 d", letterPart * exampleRate * perDay * letterDays},
		{"escalation", "0.01 % of the calls, for 30 d", questionPart * exampleRate * perDay * letterDays},
		{"decision", "the refused and failed 1 %, sampled to 2/s, for 24 h", 2 * perDay},
		{"observation of a target, 5 minutes", fmt.Sprintf("%d targets, for 7 d", exampleGoals), exampleGoals * observations},
		{"recorded calls", "at most 1,000,000 a namespace", recorded},
	}
}

// storageTables are what a record takes, and what the worked example does.
func (s *Suite) storageTables() (each, month *page.Table) {
	each = &page.Table{Head: []string{"record", "encoded", "PostgreSQL", "SQLite"}}
	month = &page.Table{Head: []string{"record", "how many", "number", "GB in PostgreSQL", "GB in SQLite"}}
	const gb = 1e9
	var sumPG, sumLite float64
	for _, r := range s.shared.storage {
		holds := float64(max(r.Holds, 1))
		each.Add(r.What, bytesText(float64(r.body)/holds), bytesText(r.postgres/holds), bytesText(r.sqlite/holds))
		i := slices.IndexFunc(keeps(), func(k kept) bool { return k.what == r.What })
		if i < 0 {
			continue
		}
		k := keeps()[i]
		pg, lite := k.many*r.postgres/holds/gb, k.many*r.sqlite/holds/gb
		sumPG, sumLite = sumPG+pg, sumLite+lite
		month.Add(k.what, k.words, page.Count(k.many), page.Ratio(pg), page.Ratio(lite))
	}
	month.Add("together", "", "", page.Ratio(sumPG), page.Ratio(sumLite))
	for _, a := range s.shared.asked {
		if a.replicas != 1 || a.r.Ops == 0 {
			continue
		}
		perCall := a.wal / float64(a.r.Ops)
		month.Add("write-ahead log, written in a month", bytesText(perCall)+" a call, a capped run for each agent", page.Count(exampleRate*perDay*30), page.Count(perCall*exampleRate*perDay*30/gb), "–")
		break
	}
	return each, month
}

// pictures are the curves, measured and simulated, of the hot capped run.
func (s *Suite) pictures() map[string]*page.Plot {
	rate := &page.Plot{Title: "One hot capped run: commands a second", X: "callers", Y: "commands/s", Write: page.Count}
	batch := &page.Plot{Title: "One hot capped run: commands a commit", X: "callers", Y: "commands"}
	latency := &page.Plot{Title: "One hot capped run: p50 of a command", X: "callers", Y: "p50", Write: page.Time}
	w := hotCapped()
	for i, replicas := range []int{1, replicated} {
		word := "1 replica"
		if replicas > 1 {
			word = fmt.Sprintf("%d replicas", replicas)
		}
		for _, from := range []struct {
			name   string
			dashed bool
			points map[at]point
		}{{"measured", false, s.shared.points}, {"simulated", true, s.simulatedOf(w.name)}} {
			var x, y, z, l []float64
			for _, callers := range s.cfg.Size.Callers {
				if p, there := from.points[at{replicas, w.name, callers}]; there {
					x, y, z, l = append(x, float64(callers)), append(y, p.rate), append(z, p.batch), append(l, p.p50)
				}
			}
			if len(x) == 0 {
				continue
			}
			name := word + ", " + from.name
			rate.Lines = append(rate.Lines, page.Line{Name: name, X: x, Y: y, Dashed: from.dashed, Color: i})
			batch.Lines = append(batch.Lines, page.Line{Name: name, X: x, Y: z, Dashed: from.dashed, Color: i})
			latency.Lines = append(latency.Lines, page.Line{Name: name, X: x, Y: l, Dashed: from.dashed, Color: i})
		}
	}
	return map[string]*page.Plot{"scaling-throughput.svg": rate, "scaling-batch.svg": batch, "scaling-latency.svg": latency}
}

// simulatedOf is what the model says of a workload.
func (s *Suite) simulatedOf(name string) map[at]point {
	for _, m := range s.shared.simulated {
		if m.name == name {
			return m.points
		}
	}
	return nil
}
