// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/resilienced/resilienced/policy/glob"
	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// Bounds of what operators set over a policy.
const (
	maxOverrides = 1000
	MaxPass      = 24 * time.Hour // the longest pass
)

// Enforcement is the record of what operators set over a namespace's policy:
// which targets refuse and which are only observed, and the pass. It is never
// changed in place.
type Enforcement struct {
	Entries []Override `json:"e,omitempty"` // by Match
	Pass    *Pass      `json:"p,omitempty"` // the last one, over or not
	Epoch   uint64     `json:"ep"`
}

// Override switches the rules of the targets that it matches.
type Override struct {
	Match   string  `json:"m"` // in its canonical form
	Enforce bool    `json:"en,omitempty"`
	Actor   string  `json:"a,omitempty"`
	Reason  string  `json:"r,omitempty"`
	At      instant `json:"t"`
}

// Pass lets everything pass until its end.
type Pass struct {
	Until  instant `json:"u"`
	Actor  string  `json:"a,omitempty"`
	Reason string  `json:"r,omitempty"`
}

// EnforcementMode is what an operator sets for some targets.
type EnforcementMode uint8

// The modes. Auto removes what was set.
const (
	Enforce EnforcementMode = iota + 1
	Observe
	Auto
)

// EnforcementView is what holds in a namespace at Now.
type EnforcementView struct {
	ServerObserves bool
	Entries        []Override
	Pass           *Pass // nil: none holds
	Epoch          uint64
	Now            rules.Instant
}

// SetEnforcementRequest switches the targets that match a pattern.
type SetEnforcementRequest struct {
	Namespace     string
	RequestID     string
	Match         string // "*" removes every other entry
	Mode          EnforcementMode
	ExpectedEpoch *uint64
	Actor         string
	Reason        string
	Hash          uint64
}

// SetPassRequest begins a pass, or ends it with a Length of 0.
type SetPassRequest struct {
	Namespace string
	RequestID string
	Length    time.Duration // at most MaxPass
	Actor     string
	Reason    string
	Hash      uint64
}

func enforcementKey(ns string) statestore.Key {
	return statestore.Key{Kind: statestore.KindEnforcement, Namespace: ns, Name: "enforcement"}
}

// GetEnforcement returns what holds in a namespace.
func (e *Engine) GetEnforcement(ctx context.Context, ns string) (*EnforcementView, error) {
	set, err := e.fresh(ctx)
	if err != nil {
		return nil, err
	}
	now, err := e.now(ctx, ns)
	if err != nil {
		return nil, storeError(err)
	}
	v := &EnforcementView{ServerObserves: set.above.observes(ns), Epoch: set.epoch, Now: now}
	if r := set.above.record(ns); r != nil {
		v.Entries = r.Entries
		if r.Pass != nil && now < r.Pass.Until {
			v.Pass = r.Pass
		}
	}
	return v, nil
}

// SetEnforcement switches targets between observing and refusing, over what the
// policy and the server's --observe say. It raises the policy epoch.
func (e *Engine) SetEnforcement(ctx context.Context, req *SetEnforcementRequest) (*EnforcementView, error) {
	match := glob.New(req.Match).String()
	c := &enforcementChange{
		ns: req.Namespace, method: "SetEnforcement", requestID: req.RequestID, hash: req.Hash,
		expected: req.ExpectedEpoch, actor: req.Actor, reason: req.Reason,
	}
	c.edit = func(r *Enforcement, now instant) error {
		if match == "*" {
			r.Entries = nil
		}
		i, found := slices.BinarySearchFunc(r.Entries, match, func(o Override, m string) int { return strings.Compare(o.Match, m) })
		if found {
			r.Entries = slices.Delete(slices.Clone(r.Entries), i, i+1)
		}
		if req.Mode == Auto {
			return nil
		}
		if len(r.Entries) >= maxOverrides {
			return &InvalidError{Field: "match", Why: fmt.Sprintf("there are %d entries already; set some to AUTO, or use wider patterns", maxOverrides)}
		}
		r.Entries = slices.Insert(slices.Clone(r.Entries), i, Override{
			Match: match, Enforce: req.Mode == Enforce, Actor: req.Actor, Reason: req.Reason, At: now,
		})
		return nil
	}
	return e.changeEnforcement(ctx, c)
}

// SetPass lets everything pass for a while, and still be recorded, or ends
// that. It raises the policy epoch.
func (e *Engine) SetPass(ctx context.Context, req *SetPassRequest) (*EnforcementView, error) {
	if req.Length < 0 || req.Length > MaxPass {
		return nil, &InvalidError{Field: "length", Why: "it must be between 0 and 24 h"}
	}
	c := &enforcementChange{
		ns: req.Namespace, method: "SetPass", requestID: req.RequestID, hash: req.Hash, actor: req.Actor, reason: req.Reason,
	}
	c.edit = func(r *Enforcement, now instant) error {
		r.Pass = nil
		if req.Length > 0 {
			r.Pass = &Pass{Until: now.Add(req.Length), Actor: req.Actor, Reason: req.Reason}
		}
		return nil
	}
	return e.changeEnforcement(ctx, c)
}

// enforcementChange is one operator's request.
type enforcementChange struct {
	ns, method, requestID, actor, reason string
	hash                                 uint64
	expected                             *uint64
	edit                                 func(r *Enforcement, now instant) error
}

// changed is what is kept for the repeat of a request.
type changed struct {
	Epoch uint64 `json:"e"`
}

func (e *Engine) changeEnforcement(ctx context.Context, c *enforcementChange) (*EnforcementView, error) {
	var key, epoch, index int
	w := &once[changed]{method: c.method, requestID: c.requestID, hash: c.hash}
	w.body = func(t *txn) (*changed, error) {
		if err := expect(c.expected, epochIn(t.cmd.entries[epoch])); err != nil {
			return nil, err
		}
		next := &Enforcement{}
		if old := record[Enforcement](t, key); old != nil {
			*next = *old
		}
		if err := c.edit(next, t.now); err != nil {
			return nil, err
		}
		next.Epoch = t.change(c.ns, epoch, index, nil)
		t.put(key, next)
		t.emit(Event{Kind: EventPolicy, Namespace: c.ns, Reason: c.reason, At: t.now})
		return &changed{Epoch: next.Epoch}, nil
	}
	done, err := runOnce(ctx, e, c.ns, w, func(cmd *command) {
		epoch, index = planChange(cmd)
		key = cmd.key(enforcementKey(c.ns), statestore.Write, 0)
	})
	if err != nil {
		return nil, err
	}
	e.log.LogAttrs(ctx, slog.LevelInfo, "an operator changed what is enforced",
		slog.String("namespace", c.ns), slog.String("what", c.method), slog.String("actor", c.actor), slog.String("reason", c.reason),
		slog.Uint64("epoch", done.Epoch))
	return e.GetEnforcement(ctx, c.ns)
}

// loadEnforcement reads what operators set over a namespace's policy.
func (e *Engine) loadEnforcement(ctx context.Context, set *policySet, ns string) error {
	r, _, err := e.store.Get(ctx, enforcementKey(ns))
	if err != nil {
		return storeError(err)
	}
	stored, _ := r.(*Enforcement)
	set.above.put(ns, stored)
	return nil
}
