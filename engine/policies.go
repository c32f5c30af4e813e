// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/statestore"
)

// policySet is what this replica knows of the policies, under one epoch. It
// does not change; a new one replaces it.
type policySet struct {
	epoch   uint64
	applied string                    // hash of the policy file that was applied last, by whichever replica
	file    *policy.Policy            // of all namespaces without their own
	own     map[string]*policy.Policy // by namespace
	docs    map[string]*Document      // by namespace; "" is the file's
	changed map[string]uint64         // by namespace, the epoch of what is loaded
	unread  map[string]unread         // namespaces that keep an older policy
	above   *above                    // what stands over them all
}

func (s *policySet) of(namespace string) *policy.Policy {
	p := s.own[namespace]
	if p == nil {
		p = s.file
	}
	return s.above.of(namespace, p)
}

// epochOf is the epoch that a namespace's decisions go by: the one in force,
// unless this replica cannot read the namespace's policy of that epoch.
func (s *policySet) epochOf(namespace string) uint64 {
	if len(s.unread) == 0 {
		return s.epoch
	}
	if u, bad := s.unread[namespace]; bad {
		return u.kept
	}
	if u, bad := s.unread[""]; bad && s.own[namespace] == nil {
		return u.kept
	}
	return s.epoch
}

func (s *policySet) add(ns string, p *policy.Policy, doc *Document) {
	s.docs[ns] = doc
	if ns == "" {
		s.file = p
		return
	}
	s.own[ns] = p
}

// keep takes what a namespace has over from an older set.
func (s *policySet) keep(old *policySet, ns string) {
	if doc := old.docs[ns]; doc != nil {
		p := old.own[ns]
		if ns == "" {
			p = old.file
		}
		s.add(ns, p, doc)
	}
	if u, bad := old.unread[ns]; bad {
		s.unread[ns] = u
	}
	s.above.put(ns, old.above.record(ns))
}

func policyKey(namespace string) statestore.Key {
	return statestore.Key{Kind: statestore.KindPolicy, Namespace: namespace, Name: "policy"}
}

func compile(ns, file string, text []byte) (*policy.Policy, error) {
	return policy.Parse(file, text, policy.Options{Exact: isDrill(ns)})
}

func textHash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// PolicyState is how this replica stands to the policies in the store.
type PolicyState struct {
	// Epoch is the one that this replica has loaded. Every decision looks
	// whether it is still in force; without calls it is at most a second old.
	Epoch uint64
	// Unread are the namespaces whose stored policy this replica cannot read,
	// sorted. A replica that has one is not fit to serve: it decides by what
	// others have replaced.
	Unread []UnreadPolicy
}

// UnreadPolicy is a stored policy that this version does not understand.
type UnreadPolicy struct {
	Namespace string // empty: the server's file
	Kept      uint64 // the epoch that the namespace goes on with here
	Err       error
}

// PolicyState reads no store and never fails.
func (e *Engine) PolicyState() PolicyState {
	set := e.policies.Load()
	state := PolicyState{Epoch: set.epoch}
	for _, ns := range slices.Sorted(maps.Keys(set.unread)) {
		state.Unread = append(state.Unread, UnreadPolicy{Namespace: ns, Kept: set.unread[ns].kept, Err: set.unread[ns].err})
	}
	return state
}

// GetPolicy returns the policy that a namespace follows.
func (e *Engine) GetPolicy(ctx context.Context, ns string) (*PolicyView, error) {
	set, err := e.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return set.view(ns), nil
}

func (s *policySet) view(ns string) *PolicyView {
	doc, own := s.docs[ns], s.own[ns] != nil
	if !own {
		doc = s.docs[""]
	}
	v := viewOf(doc, own)
	v.Epoch = s.epochOf(ns)
	return v
}

// viewOf shows a policy as it was applied; nil is the built-in one.
func viewOf(doc *Document, own bool) *PolicyView {
	v := &PolicyView{Own: own}
	if doc != nil {
		v.Epoch, v.Text, v.Hash, v.AppliedBy, v.AppliedAt, v.Reason = doc.Epoch, doc.Text, textHash(doc.Text), doc.Actor, doc.At, doc.Reason
	}
	return v
}

// ApplyPolicy replaces the policy of a namespace. A policy that does not parse
// is refused whole, with every problem found; the last one stays in force. Of
// several with the same ExpectedEpoch one is applied and the others get
// ErrEpoch, over all replicas. When it returns, no replica decides by the
// policy before.
func (e *Engine) ApplyPolicy(ctx context.Context, req *ApplyPolicyRequest) (*PolicyView, error) {
	if req.File == "" {
		req.File = "policy.yaml"
	}
	p, err := compile(req.Namespace, req.File, req.Text)
	if err != nil {
		return nil, err
	}
	warnings := e.warnings(p)
	if req.ValidateOnly {
		set, err := e.fresh(ctx)
		if err != nil {
			return nil, err
		}
		return &PolicyView{Epoch: set.epoch, Text: req.Text, Warnings: warnings}, expect(req.ExpectedEpoch, set.epoch)
	}
	doc, err := e.commitPolicy(ctx, req, "")
	if err != nil {
		return nil, err
	}
	e.follow(ctx)
	view := viewOf(doc, req.Namespace != "")
	view.Warnings = warnings
	return view, nil
}

// PolicyWarnings says what is allowed in the policy that a namespace follows,
// and most likely not meant, and whether its prices are old; a line each.
func (e *Engine) PolicyWarnings(ns string) []string { return e.warnings(e.policies.Load().of(ns)) }

func (e *Engine) warnings(p *policy.Policy) []string {
	var lines []string
	for _, w := range p.Warnings() {
		lines = append(lines, w.String())
	}
	if p.Stale(instant(e.storeTime.Load()).Time()) {
		day, _ := p.PricesAsOf()
		lines = append(lines, "the prices are of "+day.Format(time.DateOnly)+
			"; check them, and give the policy newer ones with: resilienced prices import")
	}
	return lines
}

// expect compares the epoch that a caller knows with the one in force.
func expect(expected *uint64, epoch uint64) error {
	if expected != nil && *expected != epoch {
		return fmt.Errorf("%w: it is %d now", ErrEpoch, epoch)
	}
	return nil
}

// follow loads what this replica has just committed, so that the next command
// need not. If it fails, the next one does and says why.
func (e *Engine) follow(ctx context.Context) {
	if _, err := e.fresh(ctx); err != nil {
		e.log.Warn("the policy was applied; this replica loads it with its next command", "error", err)
	}
}

// fileActor begins the actor of a policy that came from a file.
const fileActor = "file:"

// ApplyFile applies the server's policy file unless it is the file that was
// applied last: over it an operator may have applied another policy, which
// stays until the file changes.
func (e *Engine) ApplyFile(ctx context.Context, file string, text []byte) (*PolicyView, error) {
	if _, err := compile("", file, text); err != nil {
		return nil, err
	}
	set, err := e.fresh(ctx)
	if err != nil {
		return nil, err
	}
	hash := textHash(text)
	if set.applied == hash {
		return set.view(""), nil
	}
	req := &ApplyPolicyRequest{File: file, Text: text, Actor: fileActor + file, Reason: "the file is not the one applied last"}
	if _, err := e.commitPolicy(ctx, req, hash); err != nil {
		return nil, err
	}
	return e.GetPolicy(ctx, "")
}

// commitPolicy stores a policy that was found to be valid and raises the
// epoch. With a hash it is a file's, and nothing happens if another replica
// has applied the same file meanwhile.
func (e *Engine) commitPolicy(ctx context.Context, req *ApplyPolicyRequest, hash string) (*Document, error) {
	var key, epoch, index int
	w := &once[Document]{method: "ApplyPolicy", requestID: req.RequestID, hash: req.Hash}
	w.body = func(t *txn) (*Document, error) {
		now := record[Meta](t, epoch)
		if hash != "" && now != nil && now.File == hash {
			return record[Document](t, key), nil
		}
		if err := expect(req.ExpectedEpoch, epochIn(t.cmd.entries[epoch])); err != nil {
			return nil, err
		}
		doc := &Document{Text: req.Text, File: req.File, Actor: req.Actor, Reason: req.Reason, At: t.now}
		doc.Epoch = t.change(req.Namespace, epoch, index, func(m *Meta) {
			if hash != "" {
				m.File = hash
			}
		})
		t.put(key, doc)
		t.emit(Event{Kind: EventPolicy, Namespace: req.Namespace, Reason: req.Reason, At: t.now})
		return doc, nil
	}
	return runOnce(ctx, e, req.Namespace, w, func(c *command) {
		epoch, index = planChange(c)
		key = c.key(policyKey(req.Namespace), statestore.Write, 0)
	})
}
