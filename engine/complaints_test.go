// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resilienced/resilienced/statestore"
)

// TestAnOutageIsNotWrittenDownTenTimesASecond: the loops go on trying while the
// store is gone, and the log stays short.
func TestAnOutageIsNotWrittenDownTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e, s := newFaulty(t, 1)
		e.complaints.log = slog.New(slog.NewTextHandler(&out, nil))
		r, err := e.Acquire(t.Context(), &AcquireRequest{Namespace: "n", Target: "x"})
		if err != nil || r.Grant == nil {
			t.Fatalf("Acquire = %+v, %v", r, err)
		}
		if _, err := e.Report(t.Context(), &ReportRequest{Namespace: "n", PermitID: r.Grant.PermitID}); err != nil {
			t.Fatal(err)
		}
		s.set(nil, nil, statestore.ErrUnavailable)
		time.Sleep(5*time.Minute + time.Second)
		s.set(nil, nil, nil)
		synctest.Wait()
		log := out.String()
		if n := strings.Count(log, "tallies could not be written"); n < 5 || n > 6 {
			t.Errorf("five minutes make %d lines, want one a minute:\n%s", n, log)
		}
		if !strings.Contains(log, "suppressed=") {
			t.Errorf("the log does not say how often it kept still:\n%s", log)
		}
	})
}
