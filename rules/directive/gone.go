// SPDX-License-Identifier: Apache-2.0

package directive

import (
	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/operation"
)

// Gone is the directive for a report whose permit has no record, because a
// crash took the last second of what was not durable, or because it is long
// over. Nothing is counted and nothing promised. known says whether the
// operation has a record; of one that has none, a failure's envelope is kept
// for a person, since nobody can say any more what became of it.
func Gone(v *classify.Verdict, known, envelope bool) Directive {
	d := Directive{Action: operation.Stop, Next: -1}
	switch {
	case v.Class == classify.OK:
		d.Action = operation.Continue
	case v.Class != classify.Aborted && !known && envelope:
		d.Letter = &Letter{Policy: deadletter.Manual, Reason: v.Reason}
	}
	return d
}
