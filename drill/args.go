// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// argKind is the type of an argument.
type argKind int

const (
	argText     argKind = iota // string
	argNumber                  // int64
	argDuration                // time.Duration
	argFlag                    // bool
	argNames                   // []string
	argSignal                  // signal
	argResults                 // map[string]itemResult
)

// param is one argument that a verb takes.
type param struct {
	name     string
	kind     argKind
	required bool
	words    []string // of a text; none: any
}

// args are the arguments of a step, each of the type of its kind. What was not
// given is not there.
type args map[string]any

// scalarArg is the name under which a verb that takes one value has it.
const scalarArg = ""

func (a args) has(name string) bool { return a[name] != nil }

func (a args) text(name string) string {
	v, _ := a[name].(string)
	return v
}

func (a args) number(name string) int64 {
	v, _ := a[name].(int64)
	return v
}

// optional returns nil for a number that was not given: absent is not zero.
func (a args) optional(name string) *int64 {
	if v, ok := a[name].(int64); ok {
		return &v
	}
	return nil
}

func (a args) duration(name string, otherwise time.Duration) time.Duration {
	if v, ok := a[name].(time.Duration); ok {
		return v
	}
	return otherwise
}

// args reads what a step gives to its verb.
func (p *parser) args(v verb, in entry) args {
	a := make(args)
	if len(v.params) == 1 && v.params[0].name == scalarArg {
		if value, ok := p.arg(v.params[0], in.value, v.name); ok {
			a[scalarArg] = value
		} else {
			p.fail(in.key, "%s needs a value", v.name)
		}
		return a
	}
	for _, e := range p.entries(in.value, v.name) {
		i := slices.IndexFunc(v.params, func(q param) bool { return q.name == e.name })
		if i < 0 {
			p.fail(e.key, "%s has no argument %q%s", v.name, shorten(e.name), didYouMean(e.name, v.paramNames()))
			continue
		}
		if value, ok := p.arg(v.params[i], e.value, v.name+"."+e.name); ok {
			a[e.name] = value
		}
	}
	for _, q := range v.params {
		if q.required && !a.has(q.name) {
			p.fail(in.key, "%s needs the argument %q", v.name, q.name)
		}
	}
	return a
}

// arg reads one argument. Nothing is as good as not given.
func (p *parser) arg(q param, n *yaml.Node, what string) (value any, given bool) {
	if isNull(n) {
		return nil, false
	}
	switch q.kind {
	case argText:
		if q.words != nil {
			return p.word(n, what, q.words), true
		}
		return p.text(n, what), true
	case argNumber:
		return p.number(n, what), true
	case argDuration:
		return p.duration(n, what, time.Millisecond), true
	case argFlag:
		return p.flag(n, what), true
	case argNames:
		var all []string
		for _, item := range p.items(n, what) {
			all = append(all, p.text(item, what))
		}
		return all, true
	case argSignal:
		return p.signal(n, what), true
	case argResults:
		return p.results(n, what), true
	}
	return nil, false
}

// duration reads a length of time, at least 0.
func (p *parser) duration(n *yaml.Node, what string, bare time.Duration) time.Duration {
	d, ok := p.signedDuration(n, what, bare)
	if ok && d < 0 {
		p.fail(n, "%s must not be negative", what)
	}
	return d
}

func (p *parser) signedDuration(n *yaml.Node, what string, bare time.Duration) (time.Duration, bool) {
	if n.Kind == yaml.ScalarNode {
		if d, ok := parseDuration(n.Value, bare); ok {
			return d, true
		}
	}
	p.fail(n, "%s must be a duration such as 500ms, 30s, 5m, 24h or 7d, not %s", what, describe(n))
	return 0, false
}

// signal is what a report says about its call. A nil part is not said.
type signal struct {
	http       *int64
	grpc       string
	exception  string
	code       string
	quality    string
	retryAfter *time.Duration
	cancelled  bool
}

func (p *parser) signal(n *yaml.Node, what string) signal {
	var s signal
	known := []string{"http", "grpc", "exc", "code", "quality", "retry_after", "cancelled"}
	for _, e := range p.entries(n, what) {
		name := what + "." + e.name
		switch e.name {
		case "http":
			s.http = new(p.number(e.value, name))
			if *s.http < 0 || *s.http > 999 {
				p.fail(e.value, "%s must be an HTTP status, not %d", name, *s.http)
			}
		case "grpc":
			s.grpc = p.text(e.value, name)
		case "exc":
			s.exception = p.text(e.value, name)
		case "code":
			s.code = p.text(e.value, name)
		case "quality":
			s.quality = p.word(e.value, name, enum.Words(pb.QualityVerdict(0)))
		case "retry_after":
			if d, ok := p.signedDuration(e.value, name, time.Second); ok {
				s.retryAfter = &d
			}
		case "cancelled":
			s.cancelled = p.flag(e.value, name)
		default:
			p.fail(e.key, "a signal has no %q%s", shorten(e.name), didYouMean(e.name, known))
		}
	}
	return s
}

// itemResult is how one item of a batch went.
type itemResult struct {
	word   string // ok or skip; empty: signal
	signal signal
}

func (p *parser) results(n *yaml.Node, what string) map[string]itemResult {
	all := make(map[string]itemResult)
	for _, e := range p.entries(n, what) {
		if e.value.Kind == yaml.MappingNode {
			all[e.name] = itemResult{signal: p.signal(e.value, what+"."+e.name)}
			continue
		}
		all[e.name] = itemResult{word: p.word(e.value, what+"."+shorten(e.name), []string{"ok", "skip"})}
	}
	return all
}
