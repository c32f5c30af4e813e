// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Work is processor time that a batch takes once, and once more for each of
// its commands.
type Work struct{ Batch, Command time.Duration }

// Of is the work for a batch of n commands.
func (w Work) Of(n int) time.Duration { return w.Batch + time.Duration(n)*w.Command }

// Costs are what was measured.
type Costs struct {
	// Caller is processor time of a command outside of its batch: planning,
	// waking, and what carries it from its agent and back.
	Caller time.Duration
	// Ours and Database are the processor time of a batch in our process and in
	// the database's.
	Ours, Database Work
	// Trip is what a round trip to the database takes beside processor time.
	// Zero is a store in our own process.
	Trip time.Duration
	// Flush is what it takes to bring the log to the disk.
	Flush time.Duration
	// Spread is the coefficient of variation of Trip and Flush, from 0 to 1.
	Spread float64
}

// Keys says what the commands write.
type Keys string

// The ways in which commands share what they write.
const (
	// Hot is one key that all commands write.
	Hot Keys = "hot"
	// Own is a key for each caller.
	Own Keys = "own"
	// None is no key that another could hold.
	None Keys = "none"
)

// Second says when a replica begins a transaction beside one in flight. The
// zero Second always does, as soon as a command can go.
type Second struct {
	// Batch is how many commands are worth it.
	Batch int
	// Hold is how long fewer are held back at most, and the longest pause of a
	// lane that waits for those it has answered.
	Hold time.Duration
	// Margin is by how much a transaction has to wait longer for its keys than
	// it takes to write before its lane pauses; 0: it never does.
	Margin time.Duration
}

// Model is what is simulated.
type Model struct {
	Costs Costs
	// Callers are spread evenly over the replicas; each waits for its answer.
	Callers, Replicas int
	// Lanes is how many transactions a replica has in flight; 0: 1.
	Lanes  int
	Second Second
	// Cores is how many processors all share; 0: more than are ever wanted.
	Cores int
	// MaxBatch is the largest number of commands in a batch; 0: no bound.
	MaxBatch int
	Keys     Keys
	// Rebuildable commands do not wait for the flush.
	Rebuildable bool
	// For is the simulated time that is counted, after a tenth of it that is
	// not.
	For time.Duration
	// Seed fixes the order in which callers begin and every random time.
	Seed uint64
}

// Result is what happened within the counted time.
type Result struct {
	Commands int
	Commits  int
	Window   time.Duration
	// Latency is of commands, in nanoseconds.
	Latency *hdrhistogram.Histogram
	// Busy is the part of the processors that was used; 0 if they have no
	// number.
	Busy float64
	// Blocked is the part of its time in flight that a batch waited for
	// another replica's row lock.
	Blocked float64
}

// Rate is commands a second.
func (r *Result) Rate() float64 { return float64(r.Commands) / r.Window.Seconds() }

// Batch is the mean number of commands in a commit.
func (r *Result) Batch() float64 {
	if r.Commits == 0 {
		return 0
	}
	return float64(r.Commands) / float64(r.Commits)
}

// Quantile is the latency below which percent of the commands are.
func (r *Result) Quantile(percent float64) time.Duration {
	return time.Duration(r.Latency.ValueAtQuantile(percent))
}

// check says what is wrong with a model.
func (m Model) check() error {
	switch {
	case m.Callers < 1 || m.Replicas < 1:
		return fmt.Errorf("queue: %d callers and %d replicas: there must be at least one of each", m.Callers, m.Replicas)
	case m.For <= 0:
		return fmt.Errorf("queue: nothing is counted in %s", m.For)
	case m.Costs.Spread < 0 || m.Costs.Spread > 1:
		return fmt.Errorf("queue: a spread of %v is not between 0 and 1", m.Costs.Spread)
	case m.Keys != Hot && m.Keys != Own && m.Keys != None:
		return fmt.Errorf("queue: there are no keys of kind %q", m.Keys)
	case m.Costs.Caller+m.Costs.Ours.Of(1)+m.Costs.Database.Of(1)+m.Costs.Trip <= 0:
		return errors.New("queue: a command that costs nothing never ends")
	}
	return nil
}
