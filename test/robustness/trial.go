// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/resilienced/resilienced/test/robustness/check"
	"github.com/resilienced/resilienced/test/robustness/cluster"
	"github.com/resilienced/resilienced/test/robustness/history"
	"github.com/resilienced/resilienced/test/robustness/traffic"
)

// trial is one run of the clients, with faults one after the other.
type trial struct {
	setup   history.Setup
	faults  []cluster.Fault
	lengths lengths
}

// lengths are how long the parts of a trial take.
type lengths struct{ calm, fault, pause, mended time.Duration }

const (
	// stories a second and callers press as hard as two processors bear with
	// three replicas and two databases on them.
	stories = 300
	callers = 40
	// quietTime bounds the part of a trial without load, faultTime one fault
	// with what it takes to mend it.
	quietTime = 90 * time.Second
	faultTime = 90 * time.Second
)

// verdict is what a trial came to.
type verdict struct {
	setup   history.Setup
	results []check.Result
	figures figures
	proofs  []string // of its faults
	void    string   // why it says nothing; empty: it does
	history *history.History
}

// bad reports whether a promise was broken.
func (v *verdict) bad() bool {
	for i := range v.results {
		if v.results[i].Bad() {
			return true
		}
	}
	return false
}

// run runs a trial on a cluster that is whole. An error is one of the suite,
// not of the service.
func (t *trial) run(ctx context.Context, c *cluster.Cluster) (*verdict, error) {
	recorder := history.NewRecorder(0)
	clients, err := traffic.New(traffic.Config{
		Addresses: c.Addrs(), Recorder: recorder, Name: fmt.Sprintf("t%d", t.setup.Trial), Seed: t.setup.Seed,
		Stories: stories, Callers: callers, Left: t.setup.Ghost > 0,
	})
	if err != nil {
		return nil, err
	}
	clients.Describe(&t.setup)
	v, err := t.play(ctx, c, clients, recorder)
	if err := errors.Join(err, clients.Close()); err != nil {
		return nil, err
	}
	v.setup = t.setup
	events, err := recorder.Events()
	if err != nil {
		v.void = err.Error()
		return v, nil
	}
	v.judge(&history.History{Setup: t.setup, Events: events})
	v.addFaulty(c.Faulty())
	return v, nil
}

// judge runs the checks on a history.
func (v *verdict) judge(h *history.History) {
	v.setup, v.history = h.Setup, h
	v.figures = measure(h)
	v.results = check.All(h)
	if v.void == "" {
		v.void = v.figures.tooLittle()
	}
}

// play takes the trial through its phases.
func (t *trial) play(ctx context.Context, c *cluster.Cluster, clients *traffic.Traffic, recorder *history.Recorder) (*verdict, error) {
	v := &verdict{}
	work, end := context.WithCancel(ctx)
	defer end()
	if err := clients.Start(work); err != nil {
		return v, fmt.Errorf("start the clients: %w", err)
	}
	load, stop := context.WithCancel(work)
	defer stop()
	var loading sync.WaitGroup
	loading.Go(func() { clients.Load(load, work) })
	phase := func(name string, do func()) {
		from := recorder.Now()
		do()
		recorder.Add(history.Event{RPC: history.Phase, Name: name, Call: from, Return: recorder.Now()})
	}
	phase(history.Calm, func() { sleep(ctx, t.lengths.calm) })
	var failed error
	if len(t.faults) > 0 {
		phase(history.Storm, func() { failed = t.storm(ctx, c, v, recorder) })
		phase(history.Mended, func() { sleep(ctx, t.lengths.mended) })
	}
	stop()
	if failed != nil {
		end() // nothing can be learnt any more
	}
	loading.Wait()
	phase(history.Quiet, func() {
		quiet, cancel := context.WithTimeout(work, quietTime)
		defer cancel()
		clients.Settle(quiet)
	})
	return v, errors.Join(failed, ctx.Err())
}

// storm begins and ends the faults, one after the other. A fault that did
// nothing voids the trial.
func (t *trial) storm(ctx context.Context, c *cluster.Cluster, v *verdict, recorder *history.Recorder) error {
	for i, f := range t.faults {
		if i > 0 {
			sleep(ctx, t.lengths.pause)
		}
		bounded, cancel := context.WithTimeout(ctx, faultTime)
		crashed := time.Duration(0)
		if crashes(f.Kind()) {
			crashed = recorder.Now()
		}
		err := f.Begin(bounded, c)
		from := recorder.Now()
		if err == nil {
			sleep(ctx, t.lengths.fault)
		}
		err = errors.Join(err, f.End(bounded, c))
		cancel()
		if err != nil {
			return fmt.Errorf("%s (%s): %w", f.Kind(), f.About(), err)
		}
		proof, err := f.Proof()
		recorder.Add(history.Event{RPC: history.Fault, Name: f.Kind(), Crashed: crashed, Replica: replicaOf(f), Call: from, Return: recorder.Now(), Text: f.About() + ": " + proof})
		if err != nil {
			v.void = fmt.Sprintf("%s (%s): %v", f.Kind(), f.About(), err)
			continue
		}
		v.proofs = append(v.proofs, proof)
	}
	return nil
}

// replicaOf is the one replica that a fault concerns, or -1.
func replicaOf(f cluster.Fault) int {
	replica := -1
	if _, err := fmt.Sscanf(f.About(), "replica %d", &replica); err != nil {
		return -1
	}
	return replica
}

// addFaulty makes a violation of replicas that ended by themselves.
func (v *verdict) addFaulty(faulty []string) {
	for i := range v.results {
		if v.results[i].Check == "errors" {
			v.results[i].Violations = append(v.results[i].Violations, faulty...)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
