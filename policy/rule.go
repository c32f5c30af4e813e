// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/resilienced/resilienced/policy/strict"
	"github.com/resilienced/resilienced/rules/classify"
)

// maxRules is how many rules a policy may have. The report of a failure may
// have to look at all of them, and each entry has a list of its own.
const maxRules = 500

// ruleSchema is what may be said of a rule of a classification.
func ruleSchema() *strict.Schema[classify.Rule] {
	type rule = classify.Rule
	class := strict.Range("class", classify.OK, classify.Unknown,
		func(r *rule) (classify.Class, bool) { return r.Class, true }, func(r *rule, v classify.Class) { r.Class = v })
	certainty := strict.Range("certainty", classify.NotSent, classify.Processed,
		func(r *rule) (classify.Certainty, bool) { return r.Certainty, true }, func(r *rule, v classify.Certainty) { r.Certainty = v })
	effect := strict.Range("effect", classify.Neutral, classify.Failure,
		func(r *rule) (classify.Effect, bool) { return valueOf(r.Effect) }, func(r *rule, v classify.Effect) { r.Effect = &v })
	unprocessed := strict.Range("unprocessed", classify.DispositionDeadLetter, classify.DispositionRetryOnce,
		func(r *rule) (classify.Disposition, bool) { return valueOf(r.Unprocessed) },
		func(r *rule, v classify.Disposition) { r.Unprocessed = &v })
	return strict.New(
		strict.Text("id", func(r *rule) *string { return &r.ID }),
		strict.List("match.http", statusItem(), func(r *rule) *[]classify.StatusRange { return &r.Match.HTTP }),
		strict.List("match.grpc", wordItem(grpcCodes()), func(r *rule) *[]string { return &r.Match.GRPC }),
		strict.List("match.mcp", mcpItem(), func(r *rule) *[]int { return &r.Match.MCP }),
		strict.List("match.exceptions", textItem(), func(r *rule) *[]string { return &r.Match.Exceptions }),
		strict.List("match.body_codes", textItem(), func(r *rule) *[]string { return &r.Match.BodyCodes }),
		strict.Lowercase("match.headers", func(r *rule) *map[string]string { return &r.Match.Headers }),
		strict.List("match.quality", qualityItem(), func(r *rule) *[]classify.QualityVerdict { return &r.Match.Quality }),
		strict.List("match.message_contains", textItem(), func(r *rule) *[]string { return &r.Match.MessageContains }),
		strict.List("match.kinds", wordItem(append(presetNames(), kindDefault)), func(r *rule) *[]string { return &r.Match.Kinds }),
		class,
		strict.Text("reason", func(r *rule) *string { return (*string)(&r.Reason) }),
		certainty, effect, unprocessed,
		strict.Duration("cooldown", tick, 24*time.Hour, func(r *rule) *time.Duration { return &r.Cooldown }),
	)
}

// valueOf is what a pointer points at, false if it is nil.
func valueOf[V any](p *V) (V, bool) {
	if p == nil {
		var zero V
		return zero, false
	}
	return *p, true
}

// ruleList is a list of rules and where each is.
type ruleList struct {
	rules []classify.Rule
	at    []strict.Position
}

// readRules reads a list of rules. ids holds the ids of the whole file and the
// lines that they are in.
func readRules(d *strict.Decoder, n *yaml.Node, path string, ids map[string]int) ruleList {
	if n.Kind != yaml.SequenceNode {
		d.WrongType(n, path, "a list of rules")
		return ruleList{}
	}
	if len(n.Content)+len(ids) > maxRules {
		d.Fail(strict.At(n), path, "with these, the policy has more than %d rules; write fewer", maxRules)
		return ruleList{}
	}
	s := ruleSchema()
	var list ruleList
	for i, item := range n.Content {
		here := path + "[" + strconv.Itoa(i) + "]"
		var r classify.Rule
		problems := d.Count()
		settings := s.Read(d, item, strict.Place{Path: here})
		for _, set := range settings {
			set.Apply(&r)
			if set.Field.Path != "id" {
				continue
			}
			if line, twice := ids[r.ID]; twice {
				d.Fail(set.Pos, here+".id", "the rule %q is in line %d already; give this one another id", r.ID, line)
			}
			ids[r.ID] = set.Pos.Line
		}
		if d.Count() == problems {
			checkRule(d, item, here, r, settings)
		}
		list.rules, list.at = append(list.rules, r), append(list.at, strict.At(item))
	}
	return list
}

// checkRule notes what makes a rule useless as a whole.
func checkRule(d *strict.Decoder, n *yaml.Node, path string, r classify.Rule, settings []strict.Setting[classify.Rule]) {
	for _, key := range []string{"id", "match", "class"} {
		if !strict.Has(n, key) {
			d.Fail(strict.At(n), path, "%s is missing; a rule has an id, a match and a class", key)
		}
	}
	if r.ID == "" || !strict.Has(n, "match") || r.Class == classify.ClassUnspecified {
		return
	}
	err, ok := r.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, problem := range err.Unwrap() {
		pos, here := strict.At(n), path
		field, _, _ := strings.Cut(problem.Error(), " ")
		for _, set := range settings {
			if set.Field.Path == field {
				pos, here = set.Pos, path+"."+field
			}
		}
		d.Fail(pos, here, "%s; correct the rule, or it never matches", problem.Error())
	}
}

const lowestStatus, highestStatus = 100, 599

func statusItem() strict.Item[classify.StatusRange] {
	return strict.Item[classify.StatusRange]{
		Read: readStatus,
		Show: func(r classify.StatusRange) string {
			if r.From == r.To {
				return strconv.Itoa(r.From)
			}
			return strconv.Itoa(r.From) + "-" + strconv.Itoa(r.To)
		},
		JSON: strict.AnyOf(strict.IntegerJSON(lowestStatus, highestStatus),
			strict.JSON{"type": "string", "pattern": "^[1-5][0-9_]*-[1-5][0-9_]*$"}),
	}
}

// readStatus reads an HTTP status or a range of them, such as 520-524.
func readStatus(d *strict.Decoder, n *yaml.Node, path string) (classify.StatusRange, bool) {
	from, to, isRange := strings.Cut(n.Value, "-")
	if n.Kind != yaml.ScalarNode || !isRange {
		status, ok := d.Integer(n, path, lowestStatus, highestStatus)
		return classify.StatusRange{From: int(status), To: int(status)}, ok
	}
	first, isFirst, _ := strict.Decimal(from)
	last, isLast, _ := strict.Decimal(to)
	if !isFirst || !isLast || first < lowestStatus || last > highestStatus || first > last {
		d.Fail(strict.At(n), path, "%q is not a range of statuses; write one such as 520-524, within %d-%d",
			n.Value, lowestStatus, highestStatus)
		return classify.StatusRange{}, false
	}
	return classify.StatusRange{From: int(first), To: int(last)}, true
}

func grpcCodes() []string {
	return []string{
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
		"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	}
}

// wordItem is one of the words.
func wordItem(words []string) strict.Item[string] {
	return strict.Item[string]{
		Read: func(d *strict.Decoder, n *yaml.Node, path string) (string, bool) {
			i, ok := d.OneOf(n, path, words)
			return words[i], ok
		},
		Show: func(s string) string { return s },
		JSON: strict.EnumJSON(words...),
	}
}

func textItem() strict.Item[string] {
	return strict.Item[string]{Read: (*strict.Decoder).Text, Show: func(s string) string { return s }, JSON: strict.TextJSON()}
}

func mcpItem() strict.Item[int] {
	return strict.Item[int]{Read: readMCP, Show: strconv.Itoa, JSON: strict.IntegerJSON(-1<<31, 1<<31-1)}
}

func readMCP(d *strict.Decoder, n *yaml.Node, path string) (int, bool) {
	code, ok := d.Integer(n, path, -1<<31, 1<<31-1)
	if ok && code == 0 {
		d.Fail(strict.At(n), path, "0 is no error of MCP; write its code")
	}
	return int(code), ok && code != 0
}

func qualityItem() strict.Item[classify.QualityVerdict] {
	names := strict.Names(classify.SchemaViolation, classify.CostCommitment)
	return strict.Item[classify.QualityVerdict]{
		Read: func(d *strict.Decoder, n *yaml.Node, path string) (classify.QualityVerdict, bool) {
			i, ok := d.OneOf(n, path, names)
			return classify.SchemaViolation + classify.QualityVerdict(i), ok
		},
		Show: classify.QualityVerdict.String,
		JSON: strict.EnumJSON(names...),
	}
}
