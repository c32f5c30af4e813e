// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/rules/classify"
)

// maxRules is how many rules a policy may have. The report of a failure may
// have to look at all of them, and each entry has a list of its own.
const maxRules = 500

// ruleSchema is what may be said of a rule of a classification.
func ruleSchema() *schema[classify.Rule] {
	type rule = classify.Rule
	return newSchema(
		textField("id", func(r *rule) *string { return &r.ID }),
		listField("match.http", readStatus, func(r *rule) *[]classify.StatusRange { return &r.Match.HTTP }),
		listField("match.grpc", readGRPC, func(r *rule) *[]string { return &r.Match.GRPC }),
		listField("match.mcp", readMCP, func(r *rule) *[]int { return &r.Match.MCP }),
		listField("match.exceptions", (*decoder).text, func(r *rule) *[]string { return &r.Match.Exceptions }),
		listField("match.body_codes", (*decoder).text, func(r *rule) *[]string { return &r.Match.BodyCodes }),
		headersField("match.headers", func(r *rule) *map[string]string { return &r.Match.Headers }),
		listField("match.quality", readQuality, func(r *rule) *[]classify.QualityVerdict { return &r.Match.Quality }),
		listField("match.message_contains", (*decoder).text, func(r *rule) *[]string { return &r.Match.MessageContains }),
		listField("match.kinds", readKind, func(r *rule) *[]string { return &r.Match.Kinds }),
		rangeField("class", classify.OK, classify.Unknown, func(r *rule, v classify.Class) { r.Class = v }),
		textField("reason", func(r *rule) *string { return (*string)(&r.Reason) }),
		rangeField("certainty", classify.NotSent, classify.Processed, func(r *rule, v classify.Certainty) { r.Certainty = v }),
		rangeField("effect", classify.Neutral, classify.Failure, func(r *rule, v classify.Effect) { r.Effect = &v }),
		rangeField("unprocessed", classify.DispositionDeadLetter, classify.DispositionRetryOnce,
			func(r *rule, v classify.Disposition) { r.Unprocessed = &v }),
		durationField("cooldown", tick, 24*time.Hour, func(r *rule) *time.Duration { return &r.Cooldown }),
	)
}

// rules reads a list of rules. ids holds the ids of the whole file and the
// lines that they are in.
func (d *decoder) rules(n *yaml.Node, path string, ids map[string]int) []classify.Rule {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, path, "a list of rules")
		return nil
	}
	if len(n.Content)+len(ids) > maxRules {
		d.fail(at(n), path, "with these, the policy has more than %d rules; write fewer", maxRules)
		return nil
	}
	s := ruleSchema()
	var rules []classify.Rule
	for i, item := range n.Content {
		here := path + "[" + strconv.Itoa(i) + "]"
		var r classify.Rule
		problems := len(d.problems)
		settings := s.read(d, item, place{path: here})
		for _, set := range settings {
			set.apply(&r)
			if set.field.path != "id" {
				continue
			}
			if line, twice := ids[r.ID]; twice {
				d.fail(set.pos, here+".id", "the rule %q is in line %d already; give this one another id", r.ID, line)
			}
			ids[r.ID] = set.pos.line
		}
		if len(d.problems) == problems {
			d.checkRule(item, here, r, settings)
		}
		rules = append(rules, r)
	}
	return rules
}

// checkRule notes what makes a rule useless as a whole.
func (d *decoder) checkRule(n *yaml.Node, path string, r classify.Rule, settings []setting[classify.Rule]) {
	for _, key := range []string{"id", "match", "class"} {
		if !has(n, key) {
			d.fail(at(n), path, "%s is missing; a rule has an id, a match and a class", key)
		}
	}
	if r.ID == "" || !has(n, "match") || r.Class == classify.ClassUnspecified {
		return
	}
	err, ok := r.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, problem := range err.Unwrap() {
		pos, here := at(n), path
		field, _, _ := strings.Cut(problem.Error(), " ")
		for _, set := range settings {
			if set.field.path == field {
				pos, here = set.pos, path+"."+field
			}
		}
		d.fail(pos, here, "%s; correct the rule, or it never matches", problem.Error())
	}
}

// listField is a list of values, or a single one.
func listField[T, V any](path string, read func(*decoder, *yaml.Node, string) (V, bool), of func(*T) *[]V) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind != yaml.SequenceNode {
				value, ok := read(d, n, path)
				return func(t *T) { *of(t) = []V{value} }, ok
			}
			if len(n.Content) == 0 {
				d.fail(at(n), path, "this list is empty; write a value, or remove the key")
				return nil, false
			}
			var values []V
			all := true
			for i, item := range n.Content {
				value, ok := read(d, item, path+"["+strconv.Itoa(i)+"]")
				values, all = append(values, value), all && ok
			}
			return func(t *T) { *of(t) = values }, all
		},
	}
}

// rangeField is one of the named values from first to last.
func rangeField[T any, E interface {
	~uint8
	String() string
}](path string, first, last E, set func(*T, E)) *field[T] {
	names := words(first, last)
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			i, ok := d.oneOf(n, path, names)
			return func(t *T) { set(t, first+E(i)) }, ok
		},
	}
}

// words are the names of the values from first to last.
func words[E interface {
	~uint8
	String() string
}](first, last E) []string {
	var names []string
	for v := first; v <= last; v++ {
		names = append(names, v.String())
	}
	return names
}

// headersField is a mapping of header names to the values that they must have.
func headersField[T any](path string, of func(*T) *map[string]string) *field[T] {
	return &field[T]{
		path: path,
		read: func(d *decoder, n *yaml.Node, path string) (func(*T), bool) {
			if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
				d.wrongType(n, path, "a mapping of header names to values")
				return nil, false
			}
			headers, all := make(map[string]string), true
			for i := 0; i+1 < len(n.Content); i += 2 {
				name, here := n.Content[i].Value, join(path, n.Content[i].Value)
				if name == "" || name != strings.ToLower(name) {
					d.fail(at(n.Content[i]), here, "write the header's name in lower case")
					all = false
				}
				value, ok := d.text(n.Content[i+1], here)
				headers[name], all = value, all && ok
			}
			return func(t *T) { *of(t) = headers }, all
		},
	}
}

// readStatus reads an HTTP status or a range of them, such as 520-524.
func readStatus(d *decoder, n *yaml.Node, path string) (classify.StatusRange, bool) {
	const lowest, highest = 100, 599
	from, to, isRange := strings.Cut(n.Value, "-")
	if n.Kind != yaml.ScalarNode || !isRange {
		status, ok := d.integer(n, path, lowest, highest)
		return classify.StatusRange{From: int(status), To: int(status)}, ok
	}
	first, isFirst, _ := decimal(from)
	last, isLast, _ := decimal(to)
	if !isFirst || !isLast || first < lowest || last > highest || first > last {
		d.fail(at(n), path, "%q is not a range of statuses; write one such as 520-524, within %d-%d", n.Value, lowest, highest)
		return classify.StatusRange{}, false
	}
	return classify.StatusRange{From: int(first), To: int(last)}, true
}

func readGRPC(d *decoder, n *yaml.Node, path string) (string, bool) {
	codes := []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
	i, ok := d.oneOf(n, path, codes)
	return codes[i], ok
}

func readMCP(d *decoder, n *yaml.Node, path string) (int, bool) {
	code, ok := d.integer(n, path, -1<<31, 1<<31-1)
	if ok && code == 0 {
		d.fail(at(n), path, "0 is no error of MCP; write its code")
	}
	return int(code), ok && code != 0
}

func readQuality(d *decoder, n *yaml.Node, path string) (classify.QualityVerdict, bool) {
	i, ok := d.oneOf(n, path, words(classify.SchemaViolation, classify.CostCommitment))
	return classify.SchemaViolation + classify.QualityVerdict(i), ok
}

func readKind(d *decoder, n *yaml.Node, path string) (string, bool) {
	kinds := append(presetNames(), kindDefault)
	i, ok := d.oneOf(n, path, kinds)
	return kinds[i], ok
}
