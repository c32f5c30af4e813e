// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/rules/budget"
)

// MaxCalls is how many calls a simulation takes when nobody says otherwise: as
// many as a namespace keeps.
const MaxCalls = 1_000_000

// ErrTooMany refuses more calls than Input.MaxCalls.
var ErrTooMany = errors.New("too many recorded calls for one simulation: take a shorter time")

// Input is what a simulation works on. Calls and New are required.
type Input struct {
	// Calls are the recorded calls, about in the order in which they ended. An
	// error ends the simulation with it. Nil stands for none.
	Calls iter.Seq2[*engine.Call, error]
	// New is the policy to try; Old the one to compare it with, in general the
	// one in force. An Old without text is what a service has that was given
	// no policy.
	New, Old Policy
	// Runs are the runs that calls name, with their ancestors. A run that is
	// not here gets the run defaults of the policy that is played.
	Runs []AgentRun
	// MaxCalls bounds the calls; 0: MaxCalls.
	MaxCalls int
	// Recording is what is known about the calls, for the answer's words.
	Recording Recording
	// Progress is told now and then how many calls of how many were played,
	// both policies taken together, and at the end. It is called by one
	// goroutine at a time and must not block. Nil: nobody is told.
	Progress func(played, total int)
}

// Policy is the text of a policy and the file's name for its problems.
type Policy struct {
	File string
	Text []byte
}

// AgentRun is a run as it stands. Nil caps take the defaults of the policy that is
// played.
type AgentRun struct {
	ID     string
	Parent string // empty: a root
	Caps   budget.Caps
}

// Recording says where calls come from. The zero Recording says nothing.
type Recording struct {
	Namespace string
	From      rules.Instant // as far back as it goes; 0: not known
	Missing   int64         // calls that were not recorded
}

// load reads the calls in the order in which they are played.
func load(ctx context.Context, in *Input) ([]*engine.Call, error) {
	if in.Calls == nil {
		return nil, nil
	}
	limit := cmp.Or(in.MaxCalls, MaxCalls)
	words := interner{}
	var calls []*engine.Call
	lost := map[attempt]int{} // where the calls are whose report may come late
	for call, err := range in.Calls {
		if err != nil {
			return nil, err
		}
		if err := checkCall(call, len(calls)); err != nil {
			return nil, err
		}
		if len(calls)%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		key := attempt{call.Operation, call.AcquiredAt}
		if i, found := lost[key]; found && call.Late {
			calls[i] = words.call(call)
			delete(lost, key)
			continue
		}
		if len(calls) == limit {
			return nil, fmt.Errorf("%w (more than %d)", ErrTooMany, limit)
		}
		if call.ReportedAt == 0 {
			lost[key] = len(calls)
		}
		calls = append(calls, words.call(call))
	}
	return calls, nil
}

// attempt tells attempts apart: an operation has one permit at a time.
type attempt struct {
	operation string
	at        rules.Instant
}

func checkCall(c *engine.Call, i int) error {
	switch {
	case c.Target == "":
		return fmt.Errorf("call %d has no target", i+1)
	case c.AcquiredAt <= 0:
		return fmt.Errorf("call %d of %q has no time at which it was granted", i+1, c.Target)
	case c.ReportedAt != 0 && c.ReportedAt < c.AcquiredAt:
		return fmt.Errorf("call %d of %q was reported before it was granted", i+1, c.Target)
	}
	return nil
}

// interner keeps one copy of what many calls have in common.
type interner map[string]string

func (n interner) word(s string) string {
	if s == "" {
		return ""
	}
	kept, ok := n[s]
	if !ok {
		n[s], kept = s, s
	}
	return kept
}

func (n interner) call(c *engine.Call) *engine.Call {
	own := *c
	for _, s := range [...]*string{&own.Target, &own.Chain, &own.Run, &own.Task, &own.Credential, &own.Reporter, &own.Fingerprint} {
		*s = n.word(*s)
	}
	return &own
}

// event is a grant or a report of the recording.
type event struct {
	at     rules.Instant
	call   int32
	report bool
}

// schedule puts the grants and reports of calls into the order in which they
// are played. A report in the instant of its grant follows it at once and is
// no event of its own.
func schedule(calls []*engine.Call) []event {
	events := make([]event, 0, 2*len(calls))
	for i, c := range calls {
		events = append(events, event{c.AcquiredAt, int32(i), false})
		if c.ReportedAt > c.AcquiredAt {
			events = append(events, event{c.ReportedAt, int32(i), true})
		}
	}
	slices.SortFunc(events, func(a, b event) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		if a.report != b.report {
			if a.report {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.call, b.call)
	})
	return events
}
