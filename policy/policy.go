// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/budget"
	"github.com/resilienced/resilienced/rules/fallback"
	"github.com/resilienced/resilienced/rules/target"
)

// Options says for what a policy is read. The zero Options are for service.
type Options struct {
	// Exact is for drill namespaces: no jitter, no margin after a Retry-After,
	// no ramp, whatever the file says.
	Exact bool
	// Shortest is for playing recorded calls: no margin after a Retry-After and
	// no ramp. Jitter stays as the file says, for who draws the shortest waits
	// that it allows.
	Shortest bool
}

// Quotas bounds how many records a namespace may have. Zero is unlimited.
type Quotas struct {
	Targets    int64
	Runs       int64
	Operations int64 // that are live
	Namespaces int64 // of the whole service
}

// Problem is one thing that is wrong with a policy, and where.
type Problem = strict.Problem

// ParseError is what Parse returns for a policy that is not valid: all that is
// wrong with it, in the order of the file.
type ParseError = strict.Error

// Policy is one version of an operator's numbers, checked and resolved. It
// does not change, so any number of goroutines may use it. Make it with Parse
// or Default.
type Policy struct {
	file   string
	source []byte
	hash   string
	opts   Options

	schema   *strict.Schema[target.Config]
	defaults []strict.Setting[target.Config]
	rules    ruleList // of the whole namespace
	entries  []*entry // in the order of the file
	globs    []*entry // those with wildcards, the most specific first
	literals map[string]*resolved
	unnamed  target.Config // what a target has that no entry matches
	cache    *cache

	chains map[string]*fallback.Chain
	runs   budget.Defaults
	quotas Quotas
	deny   bool // unknown_targets: deny
	dryRun strict.Position
	prices priceSection
	at     map[string]strict.Position // of everything that is not of targets, by path
}

// Parse reads a policy. What is wrong with it comes as a *ParseError, all at
// once; file is the name that its problems and Explain give to the text.
func Parse(file string, text []byte, opts Options) (*Policy, error) {
	if file == "" {
		file = "policy"
	}
	p := empty(file, text, opts)
	d := newDecoder(file)
	if root := d.Document(text); root != nil {
		p.read(d, root)
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func newDecoder(file string) *strict.Decoder {
	return strict.NewDecoder(file, strict.Kind{
		Name: "policy", Begin: "version: 1", Fewer: "write fewer entries with wider patterns, or fewer prices",
	})
}

// Default returns the policy of a service that was given none: every target is
// unnamed, no run has a cap, the quotas are those of an empty file, and prices
// are those of the default table.
func Default() *Policy {
	p := empty("", nil, Options{})
	p.unnamed, _ = p.build(llm(), nil)
	return p
}

func empty(file string, text []byte, opts Options) *Policy {
	sum := sha256.Sum256(text)
	return &Policy{
		file: file, source: bytes.Clone(text), hash: hex.EncodeToString(sum[:]), opts: opts,
		schema:   targetSchema(),
		literals: make(map[string]*resolved),
		cache:    newCache(),
		chains:   make(map[string]*fallback.Chain),
		runs:     defaultRuns(),
		quotas:   defaultQuotas(),
		prices:   newPriceSection(),
		at:       make(map[string]strict.Position),
	}
}

// Target returns everything that the policy says of a target, whether or not
// it names it. The Config is shared: do not change it.
func (p *Policy) Target(name string) *target.Config { return &p.resolve(name).config }

// Named tells whether an entry of the policy matches the target.
func (p *Policy) Named(name string) bool { return p.resolve(name).named }

// Single returns the chain of a call that names this target and no chain: one
// PRIMARY level. It is shared: do not change it.
func (p *Policy) Single(name string) *fallback.Chain { return p.resolve(name).single }

// Chain returns the chain of that name. It is shared: do not change it.
func (p *Policy) Chain(name string) (*fallback.Chain, bool) {
	c, ok := p.chains[name]
	return c, ok
}

// ChainNames returns the names of all chains, sorted.
func (p *Policy) ChainNames() []string { return slices.Sorted(maps.Keys(p.chains)) }

// TargetNames returns the names that entries give without a wildcard, sorted.
func (p *Policy) TargetNames() []string { return slices.Sorted(maps.Keys(p.literals)) }

// RunDefaults returns what a run has that brings no numbers of its own. A nil
// cap is unlimited. The caps are shared: do not change them.
func (p *Policy) RunDefaults() budget.Defaults { return p.runs }

// Quotas returns how many records a namespace may have.
func (p *Policy) Quotas() Quotas { return p.quotas }

// UnknownTargetsDenied tells whether calls of targets that no entry matches
// are refused.
func (p *Policy) UnknownTargetsDenied() bool { return p.deny }

// DryRun tells whether the whole policy is computed and not enforced. Every
// Config says so too, rule by rule.
func (p *Policy) DryRun() bool { return p.dryRun != strict.Position{} }

// Source returns the text that the policy was read from; nil for Default.
func (p *Policy) Source() []byte { return bytes.Clone(p.source) }

// Hash returns the SHA-256 of the text in hexadecimal digits.
func (p *Policy) Hash() string { return p.hash }
