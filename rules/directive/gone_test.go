// SPDX-License-Identifier: Apache-2.0

package directive_test

import (
	"testing"

	"github.com/resilienced/resilienced/rules/classify"
	"github.com/resilienced/resilienced/rules/deadletter"
	"github.com/resilienced/resilienced/rules/directive"
	"github.com/resilienced/resilienced/rules/operation"
)

func TestGone(t *testing.T) {
	for _, c := range []struct {
		reason          classify.Reason
		known, envelope bool
		action          operation.Action
		letter          bool
	}{
		{classify.ReasonOK, false, true, operation.Continue, false},
		{classify.ReasonTimeout, false, true, operation.Stop, true},
		{classify.ReasonAuth, false, true, operation.Stop, true},
		{classify.ReasonTimeout, true, true, operation.Stop, false}, // its record says more than this report
		{classify.ReasonTimeout, false, false, operation.Stop, false},
		{classify.ReasonCancelled, false, true, operation.Stop, false},
	} {
		v := reason(c.reason)
		d := directive.Gone(&v, c.known, c.envelope)
		if d.Action != c.action || (d.Letter != nil) != c.letter || d.Next != -1 || d.Escalation != nil {
			t.Errorf("%+v: %+v", c, d)
		}
		if d.Letter != nil && (d.Letter.Policy != deadletter.Manual || d.Letter.Reason != c.reason) {
			t.Errorf("%+v: letter %+v", c, d.Letter)
		}
	}
}
