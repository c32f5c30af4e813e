// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"context"
	"slices"
)

// verb is one thing that a step can do.
type verb struct {
	name string
	// rpc is what it stands for.
	rpc string
	// params are its arguments. One without a name is given without a mapping.
	params []param
	// fields are what an expectation may name, besides error.
	fields []field
	// do makes the call. Nil: this version of the API does not have the RPC.
	do func(ctx context.Context, s *session, a args) (answer, error)
	// read returns the state of the object after a call that failed. Nil:
	// there is nothing to read.
	read func(ctx context.Context, s *session, a args) (answer, error)
}

// verbs returns all verbs by name, those of later versions included.
func verbs() map[string]verb {
	all := make(map[string]verb)
	for _, v := range slices.Concat(
		permitVerbs(), clockVerbs(), targetVerbs(), runVerbs(),
		deadLetterVerbs(), batchVerbs(), escalationVerbs(),
	) {
		all[v.name] = v
	}
	return all
}

func (v verb) paramNames() []string {
	names := make([]string, 0, len(v.params))
	for _, q := range v.params {
		names = append(names, q.name)
	}
	return names
}

func (v verb) fieldNames() []string {
	names := []string{fieldError}
	for _, f := range v.fields {
		names = append(names, f.name)
	}
	return names
}

// texts are fields of names and words.
func texts(names ...string) []field { return fieldsOf(fieldText, names) }

// numbers are fields of whole numbers.
func numbers(names ...string) []field { return fieldsOf(fieldNumber, names) }

// millis are fields of durations in whole milliseconds.
func millis(names ...string) []field { return fieldsOf(fieldMillis, names) }

// flags are fields that are true or false.
func flags(names ...string) []field { return fieldsOf(fieldFlag, names) }

// sets are fields of lists.
func sets(names ...string) []field { return fieldsOf(fieldNames, names) }

func fieldsOf(kind fieldKind, names []string) []field {
	all := make([]field, 0, len(names))
	for _, name := range names {
		all = append(all, field{name, kind})
	}
	return all
}

// required is an argument that a step must give.
func required(name string, kind argKind) param { return param{name: name, kind: kind, required: true} }

// may is an argument that a step may leave out.
func may(name string, kind argKind) param { return param{name: name, kind: kind} }
