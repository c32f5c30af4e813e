// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/target"
)

const (
	cacheShards = 16
	shardNames  = 20_000 / cacheShards
	// cacheName is the longest name that is kept. Longer ones are resolved
	// each time; the service refuses them before it asks.
	cacheName = 1024
)

// resolved is what the policy says of one name.
type resolved struct {
	config target.Config
	single *fallback.Chain
	named  bool
}

// cache keeps the names that were resolved. It never has more than 20 000: a
// part of it that is full starts over. It is safe for concurrent use, and a
// hit allocates nothing.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type shard struct {
	mu     sync.RWMutex
	byName map[string]*resolved
}

func newCache() *cache { return &cache{seed: maphash.MakeSeed()} }

func (c *cache) shard(name string) *shard {
	return &c.shards[maphash.String(c.seed, name)%cacheShards]
}

// get returns what is kept for a name, nil if nothing is.
func (c *cache) get(name string) *resolved {
	s := c.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}

// put keeps r under its name and returns what is kept: r, or what another
// goroutine put there first. The name is copied, as it may be part of a
// request's buffer.
func (c *cache) put(r *resolved) *resolved {
	name := r.config.Name
	if len(name) > cacheName {
		return r
	}
	s := c.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.byName[name]; kept != nil {
		return kept
	}
	if len(s.byName) >= shardNames || s.byName == nil {
		s.byName = make(map[string]*resolved)
	}
	s.byName[name] = r
	return r
}

// resolve returns what the policy says of a name.
func (p *Policy) resolve(name string) *resolved {
	if r := p.literals[name]; r != nil {
		return r
	}
	if r := p.cache.get(name); r != nil {
		return r
	}
	if p.over != nil {
		return p.cache.put(p.over.resolve(p.over.base.resolve(name)))
	}
	r := p.newResolved(strings.Clone(name), &p.unnamed, false)
	if e := p.matching(name); e != nil {
		r = p.newResolved(r.config.Name, &e.config, true)
	}
	return p.cache.put(r)
}

// newResolved copies what is said of a pattern for one name, with the price
// that the name has if the entry gives none.
func (p *Policy) newResolved(name string, c *target.Config, named bool) *resolved {
	r := &resolved{config: *c, single: fallback.Single(name), named: named}
	r.config.Name = name
	if c.Price == nil {
		r.config.Price, _ = p.prices.of(name)
	}
	return r
}

// matching returns the most specific entry for a name; nil if there is none.
func (p *Policy) matching(name string) *entry {
	for _, e := range p.globs {
		if e.pattern.Match(name) {
			return e
		}
	}
	return nil
}
