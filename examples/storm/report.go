// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/resilienced/resilienced/examples/storm/upstream"
)

// row is a line of the table: a name, and a figure of each arm.
type row struct {
	name string
	of   func(outcome) string // nil: a heading
}

func count(of func(outcome) int) func(outcome) string {
	return func(o outcome) string { return strconv.Itoa(of(o)) }
}

func accountRows(of func(outcome) upstream.Account, trouble string) []row {
	return []row{
		{"  calls", count(func(o outcome) int { return of(o).Calls })},
		{"    refused with 429", count(func(o outcome) int { return of(o).Limited })},
		{"    earlier than a Retry-After allowed", count(func(o outcome) int { return of(o).Early })},
		{"    the same, but already on the way", count(func(o outcome) int { return of(o).OnTheWay })},
		{"    " + trouble, count(func(o outcome) int { return of(o).Trouble })},
	}
}

func rows(sc scenario) []row {
	model := func(o outcome) upstream.Account { return o.Model }
	sandbox := func(o outcome) upstream.Account { return o.Sandbox }
	all := []row{{"the model", nil}}
	all = append(all, accountRows(model, fmt.Sprintf("in its outage of %g s", sc.upstream.Outage.For.Seconds()))...)
	all = append(all, row{"the sandbox", nil})
	all = append(all, accountRows(sandbox, fmt.Sprintf("in its hiccup of %g s", sc.upstream.Hiccup.For.Seconds()))...)
	return append(all,
		row{"the work", nil},
		row{"  tokens billed, in", func(o outcome) string { return strconv.FormatInt(o.InputTokens, 10) }},
		row{"  tokens billed, out", func(o outcome) string { return strconv.FormatInt(o.OutputTokens, 10) }},
		row{"  money", func(o outcome) string { return dollars(o.CostMicros) }},
		row{"  tasks over their cap of " + dollars(sc.upstream.Cap), count(func(o outcome) int { return o.OverCap })},
		row{fmt.Sprintf("  tasks done, of %d", sc.tasks), count(func(o outcome) int { return o.Done })},
		row{"  tasks given up", count(func(o outcome) int { return o.Tasks - o.Done })},
		row{"  the last one was done after", func(o outcome) string { return fmt.Sprintf("%.1f s", o.LastDone.Seconds()) }},
	)
}

// printTable prints what the upstreams counted, side by side.
func printTable(out io.Writer, sc scenario, outcomes []outcome) error {
	var b strings.Builder
	line := func(name string, cells []string) {
		if len(cells) > 0 {
			name = fmt.Sprintf("%-42s", name)
		}
		b.WriteString(name)
		for _, cell := range cells {
			fmt.Fprintf(&b, " %10s", cell)
		}
		b.WriteByte('\n')
	}
	var names []string
	for _, o := range outcomes {
		names = append(names, o.Arm)
	}
	line(fmt.Sprintf("%d agents, %d requests/s, seed %d", sc.agents, sc.upstream.Rate, sc.upstream.Seed), names)
	for _, r := range rows(sc) {
		var cells []string
		for _, o := range outcomes {
			if r.of != nil {
				cells = append(cells, r.of(o))
			}
		}
		line(r.name, cells)
	}
	for _, o := range outcomes {
		for _, why := range o.GaveUp {
			fmt.Fprintf(&b, "%s gave up %s\n", o.Arm, why)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// printJSON prints the same for programs.
func printJSON(out io.Writer, sc scenario, outcomes []outcome) error {
	text, err := json.MarshalIndent(struct {
		Agents int       `json:"agents"`
		Rate   int       `json:"rate_per_second"`
		Seed   uint64    `json:"seed"`
		Arms   []outcome `json:"arms"`
	}{sc.agents, sc.upstream.Rate, sc.upstream.Seed, outcomes}, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

func dollars(micros int64) string {
	return fmt.Sprintf("$%d.%04d", micros/1_000_000, micros%1_000_000/100)
}
