// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/test/robustness/check"
	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
)

// write writes the report.
func (s *session) write(path string) error {
	p := &page.Page{
		Title: "Reliability",
		Lead: []string{
			"Written by `make robustness`; change nothing by hand.",
			"Clients that follow the protocol press a few hot keys, and things break around the service: replicas, connections, the database, clocks. " +
				"Every call is taken down with what its caller was told. Afterwards checks that know the promises and not the code look for an order " +
				"of events that explains all answers, and at the end every balance is worked out again from the clients' own books. " +
				"Then the same is done to faulty builds of the service, mutants, which the checks must find: a check that cannot fail says nothing.",
		},
	}
	p.Sections = []page.Section{
		{Title: "What was run", Parts: []page.Part{{Table: s.facts()}}},
		{Title: "Trials", Parts: []page.Part{{Text: trialsText()}, {Table: s.trialTable()}}},
		{Title: "Promises", Parts: []page.Part{{Text: promisesText}, {Table: s.promiseTable()}}},
		{Title: "Mutants", Parts: []page.Part{{Text: mutantsText}, {Table: s.mutantTable()}, {Text: matrixText}, {Table: s.matrix()}}},
		{Title: "What this does not show", Parts: []page.Part{{Text: limitsText}}},
		{Title: "Again", Parts: []page.Part{{Text: againText}}},
	}
	if len(s.failed) > 0 {
		list := strings.Join(s.failed[:min(len(s.failed), 20)], "\n")
		p.Sections = slices.Insert(p.Sections, 1, page.Section{Title: "Violations", Parts: []page.Part{{Code: list}}})
	}
	return os.WriteFile(path, []byte(p.String()), 0o644) //nolint:gosec // a document for everybody
}

// facts say what was run, where and how much of it.
func (s *session) facts() *page.Table {
	var all figures
	kinds, faults, void := 0, 0, 0
	for _, t := range s.service {
		all.add(&t.figures)
		faults += t.proofs
		void += t.void
		if t.figures.Trials > 0 {
			kinds++
		}
	}
	t := &page.Table{Head: []string{"", ""}}
	t.Add("date", time.Now().UTC().Format(time.DateOnly))
	t.Add("commit", s.commit)
	t.Add("machine", fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH))
	t.Add("software", runtime.Version()+", grpc-go "+grpc.Version)
	t.Add("service", storeWords(s.options.store))
	t.Add("seed", strconv.FormatUint(s.options.seed, 10))
	t.Add("took", time.Since(s.began).Round(time.Second).String())
	t.Add("trials", fmt.Sprintf("%d of %d kinds, and %d void", all.Trials, kinds, void))
	t.Add("faults that took effect", strconv.Itoa(faults))
	t.Add("under load", all.Whole.Round(time.Second).String())
	t.Add("calls answered", strconv.Itoa(all.Calls[history.OK]+all.Calls[history.Denied]))
	t.Add("calls refused without effect", strconv.Itoa(all.Calls[history.Refused]))
	t.Add("calls whose outcome nobody knew", strconv.Itoa(all.Calls[history.Unknown]))
	t.Add("decisions, of them grants", fmt.Sprintf("%d, %d", all.Decided, all.Granted))
	t.Add("violations", strconv.Itoa(len(s.failed)))
	return t
}

func storeWords(store string) string {
	if store == cluster.Postgres {
		return "three replicas on one PostgreSQL with a synchronous standby, every connection through a proxy"
	}
	return "one replica on " + store
}

// commit names what was run.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "describe", "--always", "--abbrev=12", "--dirty=, with changes", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(head))
}

func trialsText() string {
	return fmt.Sprintf("Each trial has calm, a fault or several one after the other, load after them, and a quiet end in which everything that is open "+
		"is asked again and read. It is void if fewer than %d calls a second were answered before the first fault, or if a fault does not prove "+
		"that it took effect. The rate is that of the calm part; refused calls are those of which the service says that they changed nothing.", leastRate)
}

func (s *session) trialTable() *page.Table {
	t := &page.Table{Head: []string{"kind", "trials", "void", "faults", "calls/s", "ok", "denied", "refused", "unknown", "violations", "the newest proof"}}
	for _, kind := range s.order {
		one := s.service[kind]
		f := &one.figures
		bad := 0
		for _, c := range one.checks {
			bad += c.violations
		}
		t.Add(kind, strconv.Itoa(f.Trials), strconv.Itoa(one.void), strconv.Itoa(one.proofs), fmt.Sprintf("%.0f", f.rate()),
			strconv.Itoa(f.Calls[history.OK]), strconv.Itoa(f.Calls[history.Denied]), strconv.Itoa(f.Calls[history.Refused]),
			strconv.Itoa(f.Calls[history.Unknown]), strconv.Itoa(bad), cmp.Or(one.proof, "–"))
	}
	return t
}

func (s *session) promiseTable() *page.Table {
	t := &page.Table{Head: []string{"check", "promise", "looked at", "violations"}}
	for _, c := range check.Checks() {
		checked, bad := 0, 0
		for _, one := range s.service {
			if n := one.checks[c.Name]; n != nil {
				checked += n.checked
				bad += n.violations
			}
		}
		t.Add(c.Name, c.Promise, strconv.Itoa(checked), strconv.Itoa(bad))
	}
	if one := s.service[noFault]; one != nil && one.checks["trips"] != nil {
		t.Add("", one.checks["trips"].note, "", "")
	}
	return t
}

func (s *session) mutantTable() *page.Table {
	t := &page.Table{Head: []string{"mutant", "what is wrong", "runs on", "while", "found after", "by"}}
	for _, f := range s.zoo {
		after := "**not found**"
		switch {
		case f.failed != "":
			after = "the suite failed: " + f.failed
		case f.ok() && len(f.by) > 0:
			after = fmt.Sprintf("%v, %d of %d trials", f.took.Round(100*time.Millisecond), f.trials, mutantTrials)
		case f.mutant.Excused != "":
			after = "not found: " + f.mutant.Excused
		}
		on := "one replica, SQLite"
		if f.mutant.Postgres {
			on = "three replicas, PostgreSQL"
		}
		t.Add(f.mutant.Name, f.mutant.Breaks, on, f.fault, after, strings.Join(f.by, ", "))
	}
	return t
}

// matrix shows which check found which mutant.
func (s *session) matrix() *page.Table {
	t := &page.Table{Head: []string{"mutant"}}
	for _, c := range check.Checks() {
		t.Head = append(t.Head, c.Name)
	}
	for _, f := range s.zoo {
		cells := []string{f.mutant.Name}
		for _, c := range check.Checks() {
			found, expected := slices.Contains(f.by, c.Name), slices.Contains(f.mutant.Checks, c.Name)
			switch {
			case found && expected:
				cells = append(cells, "**found**")
			case found:
				cells = append(cells, "found")
			case expected:
				cells = append(cells, "–")
			default:
				cells = append(cells, "")
			}
		}
		t.Add(cells...)
	}
	return t
}
