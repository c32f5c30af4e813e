// SPDX-License-Identifier: Apache-2.0

package model

import (
	"context"
	"errors"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/rules/budget"
)

var states = map[budget.State]string{
	budget.Active: "ACTIVE", budget.Pressure: "PRESSURE", budget.Exhausted: "EXHAUSTED", budget.Stopped: "STOPPED", budget.Completed: "COMPLETED",
}

// fleet is what a target's retry budget holds.
func (l *live) fleet(name string) (int64, error) {
	v, err := l.engine().GetTarget(context.Background(), l.ns, name, "")
	if err != nil {
		return 0, err
	}
	return v.FleetMilli, nil
}

func (l *live) run(id string) (runAnswer, error) {
	v, err := l.engine().GetRun(context.Background(), l.ns, id)
	if err != nil {
		return runAnswer{}, err
	}
	return runAnswer{
		State: states[v.State], Spent: v.Run.Spent.Cost, Reserved: v.Run.Reserved.Cost, Assumed: v.Run.Assumed.Cost,
		Overrun: v.Overrun, Calls: v.Run.Spent.Calls + v.Run.Assumed.Calls,
	}, nil
}

// refusal is what an engine's error says of a run.
func refusal(err error) (string, error) {
	var invalid *engine.InvalidError
	switch {
	case errors.Is(err, engine.ErrRunFinal):
		return "RUN_FINAL", nil
	case errors.As(err, &invalid):
		return "INVALID", nil
	}
	return "", err
}

func (l *live) adjust(id string, delta int64) (string, error) {
	_, err := l.engine().AdjustRun(context.Background(), &engine.AdjustRunRequest{Namespace: l.ns, RunID: id, Delta: budget.Amounts{Cost: delta}})
	return refusal(err)
}

func (l *live) stop(id, final string) (string, error) {
	end := l.engine().StopRun
	if final == "COMPLETED" {
		end = l.engine().FinishRun
	}
	_, err := end(context.Background(), &engine.EndRunRequest{Namespace: l.ns, RunID: id})
	return refusal(err)
}

func (l *live) letter(op string) (letterAnswer, error) {
	v, err := l.engine().GetLetterOf(context.Background(), l.ns, op)
	if errors.Is(err, engine.ErrNotFound) {
		return letterAnswer{State: "ABSENT"}, nil
	}
	if err != nil {
		return letterAnswer{}, err
	}
	return letterAnswer{
		State: v.Letter.State.String(), Kind: v.Letter.Kind.String(), Policy: v.Letter.Policy.String(), Reason: string(v.Letter.Reason),
	}, nil
}

func (l *live) escalation(key string) (escalationAnswer, error) {
	v, err := l.engine().GetEscalation(context.Background(), l.ns, key)
	if errors.Is(err, engine.ErrNotFound) {
		return escalationAnswer{State: "ABSENT"}, nil
	}
	if err != nil {
		return escalationAnswer{}, err
	}
	e := v.Escalation
	a := escalationAnswer{State: e.State.String(), Occ: e.Occurrences, Left: e.Deadline.Until(v.Now)}
	if e.Decision != nil {
		a.Decision, a.By = e.Decision.Option, e.Decision.By
	}
	return a, nil
}
