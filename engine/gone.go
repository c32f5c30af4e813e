// SPDX-License-Identifier: Apache-2.0

package engine

import "github.com/resilienced/resilienced/rules/directive"

// gone answers a Report whose permit has no record: from its own signal, and
// nothing but a letter is written. known: its operation has a record.
func (r *report) gone(t *txn, known bool) error {
	r.permit = nil
	v := r.classify(t)
	d := directive.Gone(&v, known, r.req.Envelope != nil)
	answer := answerOf(&v)
	answer.NotCounted, answer.Action = "PERMIT_GONE", d.Action
	if d.Letter != nil && !r.keep(t, r.letter(&v, &d), &answer) {
		return errNeed
	}
	r.result.Answer = answer
	c := t.control(&r.own)
	r.finish(t, &c)
	return nil
}
