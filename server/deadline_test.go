// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"testing"
	"time"
)

// TestLateDeadlineEndsWithItsCall: what was derived from a call's context and
// is still there when the call ends is cancelled with a reason. Without one
// the context package ends the process.
func TestLateDeadlineEndsWithItsCall(t *testing.T) {
	bounded := &lateDeadline{Context: t.Context(), end: time.Now().Add(time.Hour)}
	done := bounded.Done()
	bounded.stop()
	<-done
	if bounded.Err() == nil {
		t.Fatal("the context is done and does not say why")
	}
	derived, cancel := context.WithCancel(bounded)
	defer cancel()
	<-derived.Done()
	if derived.Err() == nil || bounded.Err() == nil {
		t.Errorf("derived %v, its call %v", derived.Err(), bounded.Err())
	}
}
