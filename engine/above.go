// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/resilienced/resilienced/policy"
)

// above is what stands over the policies of a set: the server's --observe and
// what operators set, by namespace. It changes only while its set is made. Nil
// is nothing at all.
type above struct {
	observe bool
	records map[string]*Enforcement // by namespace

	// The policies that were read under it, made when they are first asked for.
	mu   sync.Mutex
	made atomic.Pointer[map[underKey]*policy.Policy]
}

// underKey names one policy under what a namespace has set. Namespaces that
// have set nothing share theirs.
type underKey struct {
	namespace string
	base      *policy.Policy
}

func newAbove(observe bool) *above {
	return &above{observe: observe, records: map[string]*Enforcement{}}
}

// put takes in what a namespace has set; nil is nothing.
func (a *above) put(ns string, r *Enforcement) {
	if r != nil {
		a.records[ns] = r
	}
}

// without returns a copy that knows nothing of a namespace and has read no
// policy yet.
func (a *above) without(ns string) *above {
	next := &above{observe: a.observe, records: maps.Clone(a.records)}
	delete(next.records, ns)
	return next
}

// record is what operators set in a namespace, or nil.
func (a *above) record(ns string) *Enforcement {
	if a == nil {
		return nil
	}
	return a.records[ns]
}

// observes reports whether the server's --observe reaches a namespace. A drill
// carries no traffic, and is there to see what the rules refuse.
func (a *above) observes(ns string) bool { return a != nil && a.observe && !isDrill(ns) }

// pass is the end of the namespace's pass; 0: there is none.
func (a *above) pass(ns string) instant {
	if r := a.record(ns); r != nil && r.Pass != nil {
		return r.Pass.Until
	}
	return 0
}

// of returns the namespace's policy as it stands under all this.
func (a *above) of(ns string, base *policy.Policy) *policy.Policy {
	if a == nil || (!a.observe && len(a.records) == 0) {
		return base
	}
	k := underKey{base: base}
	r := a.records[ns]
	if r != nil && len(r.Entries) > 0 {
		k.namespace = ns
	} else if !a.observes(ns) {
		return base
	}
	if made := a.made.Load(); made != nil {
		if p := (*made)[k]; p != nil {
			return p
		}
	}
	return a.read(k, policy.Enforcement{Observe: a.observes(ns), Entries: r.overrides()})
}

func (a *above) read(k underKey, over policy.Enforcement) *policy.Policy {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := map[underKey]*policy.Policy{}
	if made := a.made.Load(); made != nil {
		if p := (*made)[k]; p != nil {
			return p
		}
		next = maps.Clone(*made)
	}
	p := k.base.With(over)
	next[k] = p
	a.made.Store(&next)
	return p
}

// overrides are the entries as a policy takes them.
func (r *Enforcement) overrides() []policy.Override {
	if r == nil {
		return nil
	}
	list := make([]policy.Override, 0, len(r.Entries))
	for _, o := range r.Entries {
		list = append(list, policy.Override{Match: o.Match, Enforce: o.Enforce, Source: o.source()})
	}
	return list
}

// source is what ExplainTarget says of the rules that an entry switched.
func (o *Override) source() string {
	text := "resilienced observe"
	if o.Enforce {
		text = "resilienced enforce"
	}
	text += " " + o.Match
	if o.Actor != "" {
		text += " by " + o.Actor
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}
