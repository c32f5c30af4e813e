// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/resilienced/resilienced/bench/load"
	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/process"
	"github.com/resilienced/resilienced/bench/sitting"
)

// The subjects of the unary measurement, besides the echoes.
const (
	acquireName = "Acquire"
	plainName   = "plain echo"
)

// p50 and p99 are latencies in nanoseconds.
func p50(r *load.Result) float64 { return r.Quantile(50) }
func p99(r *load.Result) float64 { return r.Quantile(99) }

// unary holds Acquire on the memory store against the bare echo with the same
// server options, and against the plain echo with gRPC's default options.
func (s *Suite) unary(ctx context.Context) error {
	tuned := &page.Table{Head: []string{
		"callers", "throughput ÷ echo", "server CPU ÷ echo", "p50 ÷ echo", "p99 ÷ echo",
		"Acquire/s", "echo/s", "Acquire CPU", "echo CPU", "Acquire p50 / p99", "echo p50 / p99", "calls a commit", "control",
	}}
	plain := &page.Table{Head: []string{
		"callers", "throughput ÷ plain echo", "server CPU ÷ plain echo", "p99 ÷ plain echo", "plain echo/s", "plain echo CPU", "control",
	}}
	for _, callers := range s.cfg.Size.Callers {
		r, err := s.again(ctx, func(ctx context.Context) (*sitting.Result, error) { return s.unarySitting(ctx, callers) })
		if err != nil {
			return err
		}
		s.rates[acquireName+strconv.Itoa(callers)] = r.Figure(acquireName, (*load.Result).Rate).Median
		s.rates[echoA+strconv.Itoa(callers)] = r.Figure(echoA, (*load.Result).Rate).Median
		addTuned(tuned, r, callers)
		addPlain(plain, r, callers)
		s.unaryGoals(r, callers)
	}
	request, response := s.sizes()
	s.sections = append(s.sections, page.Section{Title: "(a) Acquire on the memory store, against a bare echo", Parts: []page.Part{
		{Text: fmt.Sprintf("The echo has the same service, messages (%d bytes there, %d bytes back), server options, codec and settings of Go's collector; it has no interceptors and returns a canned grant. Acquire has every interceptor, metrics included. No caller sets a deadline, so the server sets one, which the echo does not.", request, response)},
		{Table: tuned},
	}}, page.Section{Title: "(b) The same Acquire, against a plain echo", Parts: []page.Part{
		{Text: "The plain echo is the same without any server option, and with Go's own settings."},
		{Table: plain},
	}})
	return nil
}

func (s *Suite) unarySitting(ctx context.Context, callers int) (r *sitting.Result, err error) {
	var f fleet
	defer func() { err = errors.Join(err, f.close()) }()
	closed := s.closed(callers)
	subjects, err := s.echoSubjects(&f, closed, func(c *client) load.Callers { return c.acquires() })
	if err != nil {
		return nil, err
	}
	plain, err := f.add(reach(s.plain, callers))
	if err != nil {
		return nil, err
	}
	node, err := f.add(s.serve(ctx, process.Memory, callers))
	if err != nil {
		return nil, err
	}
	subjects = append(subjects,
		plain.subject(plainName, closed, plain.client.acquires()),
		node.subject(acquireName, closed, node.client.acquires()))
	if err := s.warm(ctx, subjects); err != nil {
		return nil, err
	}
	return sitting.Plan{
		Name: fmt.Sprintf("Acquire, %d callers", callers), Rounds: s.cfg.Size.Rounds,
		Subjects: subjects, Control: [2]string{echoA, echoB},
	}.Hold(ctx)
}

func addTuned(t *page.Table, r *sitting.Result, callers int) {
	t.Add(strconv.Itoa(callers),
		ratio(r, acquireName, echoA, (*load.Result).Rate), ratio(r, acquireName, echoA, (*load.Result).CPU),
		ratio(r, acquireName, echoA, p50), ratio(r, acquireName, echoA, p99),
		figure(r, acquireName, (*load.Result).Rate, page.Count), figure(r, echoA, (*load.Result).Rate, page.Count),
		figure(r, acquireName, (*load.Result).CPU, page.Time), figure(r, echoA, (*load.Result).CPU, page.Time),
		latency(r, acquireName), latency(r, echoA), figure(r, acquireName, callsPerCommit, page.Plain), control(r))
}

func addPlain(t *page.Table, r *sitting.Result, callers int) {
	t.Add(strconv.Itoa(callers),
		ratio(r, acquireName, plainName, (*load.Result).Rate), ratio(r, acquireName, plainName, (*load.Result).CPU),
		ratio(r, acquireName, plainName, p99),
		figure(r, plainName, (*load.Result).Rate, page.Count), figure(r, plainName, (*load.Result).CPU, page.Time), control(r))
}

// unaryGoals are those of design §8.
func (s *Suite) unaryGoals(r *sitting.Result, callers int) {
	if callers == 1 {
		return
	}
	at := fmt.Sprintf(" at %d callers", callers)
	s.goal(r, page.Goal{
		What: "(a) throughput of Acquire ÷ bare echo" + at, Want: 0.90,
		Got: r.Ratio(acquireName, echoA, (*load.Result).Rate).Median,
	})
	s.goal(r, page.Goal{
		What: "(a) server CPU of Acquire ÷ bare echo" + at, Want: 1.10, AtMost: true,
		Got: r.Ratio(acquireName, echoA, (*load.Result).CPU).Median,
	})
	s.goal(r, page.Goal{
		What: "(a) p99 of Acquire ÷ bare echo" + at, Want: 1.25, AtMost: true,
		Got: r.Ratio(acquireName, echoA, p99).Median,
	})
	s.goal(r, page.Goal{
		What: "(b) throughput of Acquire ÷ plain echo" + at, Want: 1.0,
		Got: r.Ratio(acquireName, plainName, (*load.Result).Rate).Median,
	})
}
