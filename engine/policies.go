// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/resilienced/resilienced/policy"
	"github.com/resilienced/resilienced/statestore"
)

// policySet is what this replica knows of the policies, under one epoch. It
// does not change; a new one replaces it.
type policySet struct {
	epoch uint64
	file  *policy.Policy            // of all namespaces without their own
	own   map[string]*policy.Policy // by namespace
	docs  map[string]*Document      // by namespace; "" is the file's
	above *above                    // what stands over them all
}

func (s *policySet) of(namespace string) *policy.Policy {
	p := s.own[namespace]
	if p == nil {
		p = s.file
	}
	return s.above.of(namespace, p)
}

func policyKey(namespace string) statestore.Key {
	return statestore.Key{Kind: statestore.KindPolicy, Namespace: namespace, Name: "policy"}
}

// loadPolicies reads and compiles every stored policy.
func (e *Engine) loadPolicies(ctx context.Context) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	namespaces, err := e.store.Namespaces(ctx)
	if err != nil {
		return storeError(err)
	}
	set := &policySet{file: policy.Default(), own: map[string]*policy.Policy{}, docs: map[string]*Document{}, above: newAbove(e.observe)}
	for _, ns := range append([]string{""}, namespaces...) {
		r, _, err := e.store.Get(ctx, policyKey(ns))
		if err != nil {
			return storeError(err)
		}
		if doc, ok := r.(*Document); ok {
			p, err := compile(ns, doc.File, doc.Text)
			if err != nil {
				return fmt.Errorf("stored policy of namespace %q: %w", ns, err)
			}
			set.add(ns, p, doc)
		}
		if err := e.loadEnforcement(ctx, set, ns); err != nil {
			return err
		}
		if ns != "" && !isDrill(ns) {
			if err := e.loadTallies(ctx, ns); err != nil {
				return err
			}
		}
	}
	e.policies.Store(set)
	return nil
}

func (s *policySet) add(ns string, p *policy.Policy, doc *Document) {
	s.docs[ns] = doc
	s.epoch = max(s.epoch, doc.Epoch)
	if ns == "" {
		s.file = p
		return
	}
	s.own[ns] = p
}

func compile(ns, file string, text []byte) (*policy.Policy, error) {
	return policy.Parse(file, text, policy.Options{Exact: isDrill(ns)})
}

// GetPolicy returns the policy that a namespace follows.
func (e *Engine) GetPolicy(_ context.Context, ns string) (*PolicyView, error) {
	return e.policies.Load().view(ns), nil
}

func (s *policySet) view(ns string) *PolicyView {
	v := &PolicyView{Epoch: s.epoch}
	doc, own := s.docs[ns], s.own[ns] != nil
	if !own {
		doc = s.docs[""]
	}
	v.Own = own
	if doc != nil {
		sum := sha256.Sum256(doc.Text)
		v.Text, v.Hash, v.AppliedBy, v.AppliedAt, v.Reason = doc.Text, hex.EncodeToString(sum[:]), doc.Actor, doc.At, doc.Reason
	}
	return v
}

// ApplyPolicy replaces the policy of a namespace. A policy that does not parse
// is refused whole, with every problem found; the last one stays in force.
func (e *Engine) ApplyPolicy(ctx context.Context, req *ApplyPolicyRequest) (*PolicyView, error) {
	if req.File == "" {
		req.File = "policy.yaml"
	}
	p, err := compile(req.Namespace, req.File, req.Text)
	if err != nil {
		return nil, err
	}
	e.applying.Lock()
	defer e.applying.Unlock()
	set := e.policies.Load()
	if req.ExpectedEpoch != nil && *req.ExpectedEpoch != set.epoch {
		return nil, fmt.Errorf("%w: it is %d now", ErrEpoch, set.epoch)
	}
	if req.ValidateOnly {
		return &PolicyView{Epoch: set.epoch, Text: req.Text}, nil
	}
	key := 0
	w := &once[Document]{method: "ApplyPolicy", requestID: req.RequestID, hash: req.Hash}
	w.body = func(t *txn) (*Document, error) {
		doc := &Document{Text: req.Text, File: req.File, Epoch: set.epoch + 1, Actor: req.Actor, Reason: req.Reason, At: t.now}
		t.put(key, doc)
		t.durable = true
		t.emit(Event{Kind: EventPolicy, Namespace: req.Namespace, Reason: req.Reason, At: t.now})
		return doc, nil
	}
	doc, err := runOnce(ctx, e, req.Namespace, w, func(c *command) {
		key = c.key(policyKey(req.Namespace), statestore.Write, 0)
	})
	if err != nil {
		return nil, err
	}
	if doc.Epoch > set.epoch { // not the repeat of an older request
		next := &policySet{epoch: set.epoch, file: set.file, own: maps.Clone(set.own), docs: maps.Clone(set.docs), above: set.above.again()}
		next.add(req.Namespace, p, doc)
		e.policies.Store(next)
	}
	return e.policies.Load().view(req.Namespace), nil
}

// ApplyFile applies the server's policy file if it differs from the one that
// was applied last.
func (e *Engine) ApplyFile(ctx context.Context, file string, text []byte) (*PolicyView, error) {
	if doc := e.policies.Load().docs[""]; doc != nil && string(doc.Text) == string(text) {
		return e.policies.Load().view(""), nil
	}
	return e.ApplyPolicy(ctx, &ApplyPolicyRequest{File: file, Text: text, Actor: "file:" + file, Reason: "read at start"})
}

// forgetPolicy drops the policy of a drill that has ended.
func (e *Engine) forgetPolicy(ns string) {
	e.applying.Lock()
	defer e.applying.Unlock()
	set := e.policies.Load()
	next := &policySet{epoch: set.epoch, file: set.file, own: maps.Clone(set.own), docs: maps.Clone(set.docs), above: set.above.without(ns)}
	delete(next.own, ns)
	delete(next.docs, ns)
	e.policies.Store(next)
}
