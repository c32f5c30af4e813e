// SPDX-License-Identifier: Apache-2.0

package enum_test

import (
	"slices"
	"testing"

	"github.com/resilienced/resilienced/drill/enum"
	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

// TestWords: every word leads back to its value; the unspecified value has
// none, and one that only a newer server knows is its number.
func TestWords(t *testing.T) {
	all := enum.Words(pb.Decision(0))
	if !slices.Equal(all, []string{"GRANTED", "WAIT", "DENIED"}) {
		t.Errorf("%q", all)
	}
	for _, word := range all {
		if got := enum.Word(pb.Decision(enum.Number(pb.Decision(0), word))); got != word {
			t.Errorf("%q became %q", word, got)
		}
	}
	if got := enum.Word(pb.Decision(0)); got != "" {
		t.Errorf("unspecified: %q", got)
	}
	if got := enum.Word(pb.Decision(99)); got != "99" {
		t.Errorf("unknown: %q", got)
	}
	if n := enum.Number(pb.Decision(0), "MAYBE"); n != 0 {
		t.Errorf("no word: %d", n)
	}
}
