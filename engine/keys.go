// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/limit"
	"github.com/resilienced/resilienced/rules/target"
	"github.com/resilienced/resilienced/statestore"
)

// sep joins the parts of a record's name; no name that a caller gives may hold
// a control character.
const sep = "\x1f"

func runKey(ns, run string) statestore.Key {
	return statestore.Key{Kind: statestore.KindRun, Namespace: ns, Name: run}
}

func operationKey(ns, operation string) statestore.Key {
	return statestore.Key{Kind: statestore.KindOperation, Namespace: ns, Name: operation}
}

func taskKey(ns, run, task string) statestore.Key {
	return statestore.Key{Kind: statestore.KindTask, Namespace: ns, Name: run + sep + task}
}

func repeatKey(ns, run, fingerprint string) statestore.Key {
	return statestore.Key{Kind: statestore.KindRepeat, Namespace: ns, Name: run + sep + fingerprint}
}

// controlKey names a target's control record; one for each credential if the
// policy says so.
func controlKey(ns string, cfg *target.Config, credential string) statestore.Key {
	name := cfg.Name
	if cfg.PerCredential && credential != "" {
		name += sep + credential
	}
	return statestore.Key{Kind: statestore.KindTarget, Namespace: ns, Name: name}
}

// cooldownKey names the record that holds a cooldown which several targets
// share by their scope.
func cooldownKey(ns string, cfg *target.Config) (statestore.Key, bool) {
	k := statestore.Key{Kind: statestore.KindTarget, Namespace: ns}
	switch {
	case cfg.Limit.Scope == limit.ScopeCredential && cfg.Credential != "":
		k.Name = sep + "credential" + sep + cfg.Credential
	case cfg.Limit.Scope == limit.ScopeProvider && cfg.Provider != "":
		k.Name = sep + "provider" + sep + cfg.Provider
	default:
		return k, false
	}
	return k, true
}

// operationFor names the operation of a call that brought no name. It follows
// from the request id, so that a repeat finds it.
func operationFor(requestID string) string {
	if requestID == "" {
		requestID = rand.Text()
	}
	return derived("op-", requestID)
}

// maxID is the longest id that a request may carry.
const maxID = 128

// derived makes an id that follows from another, and is no longer than ids may
// be.
func derived(prefix, id string) string {
	if len(prefix)+len(id) <= maxID {
		return prefix + id
	}
	sum := sha256.Sum256([]byte(id))
	return prefix + hex.EncodeToString(sum[:])
}

// reporterID shortens a reporter's name; zero is an unnamed reporter.
func reporterID(name string) uint64 {
	if name == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return max(h.Sum64(), 1)
}

func quote(s string) string { return strconv.Quote(s) }

// maxPaths bounds the remembered run trees.
const maxPaths = 100_000

// paths remembers the ancestors of runs, which never change.
type paths struct {
	mu   sync.RWMutex
	know map[statestore.Key][]string
}

func newPaths() *paths { return &paths{know: map[statestore.Key][]string{}} }

func (p *paths) get(k statestore.Key) []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.know[k]
}

func (p *paths) put(k statestore.Key, path []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.know) >= maxPaths {
		clear(p.know)
	}
	p.know[k] = path
}

// forget drops the runs of a namespace.
func (p *paths) forget(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.know, func(k statestore.Key, _ []string) bool { return k.Namespace == namespace })
}

// pathUntil is path for a caller that does not wait for ever. Over a shared
// store those who ask share a transaction with each other and with what else is
// to be carried out.
func (e *Engine) pathUntil(ctx context.Context, until time.Time, ns, run string, urgent bool) ([]string, error) {
	if path := e.paths.get(runKey(ns, run)); path != nil {
		return path, nil
	}
	if !e.commits.shared {
		return e.path(ctx, ns, run)
	}
	r := &pathReading{key: runKey(ns, run)}
	err := e.submitUntil(ctx, until, ns, urgent, r, r.plan)
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return nil, slow() // it changes nothing
	case err != nil:
		return nil, err
	case r.path == nil:
		return nil, ErrRunUnknown
	}
	e.paths.put(r.key, r.path)
	return r.path, nil
}

// pathReading reads the ancestors of a run.
type pathReading struct {
	key    statestore.Key
	handle int
	path   []string
}

func (r *pathReading) plan(c *command) { r.handle = c.key(r.key, statestore.Read, 0) }

func (r *pathReading) apply(t *txn) error {
	r.path = nil
	if run := record[budget.Run](t, r.handle); run != nil {
		r.path = run.Path
	}
	return nil
}

// path returns the run ids from the root to a run.
func (e *Engine) path(ctx context.Context, ns, run string) ([]string, error) {
	k := runKey(ns, run)
	if path := e.paths.get(k); path != nil {
		return path, nil
	}
	r, _, err := e.store.Get(ctx, k)
	if err != nil {
		return nil, storeError(err)
	}
	stored, ok := r.(*budget.Run)
	if !ok {
		return nil, ErrRunUnknown
	}
	e.paths.put(k, stored.Path)
	return stored.Path, nil
}
