// SPDX-License-Identifier: Apache-2.0

package suite_test

import (
	"os"
	"slices"
	"testing"

	"github.com/resilienced/resilienced/bench/page"
	"github.com/resilienced/resilienced/bench/suite"
)

const scalingPage = "../../docs/SCALING.md"

// The page has a place for every table that a run writes, and for no other.
func TestScalingPageHasItsMarks(t *testing.T) {
	text, err := os.ReadFile(scalingPage)
	if err != nil {
		t.Fatal(err)
	}
	marks, err := page.Marks(string(text))
	if err != nil {
		t.Fatal(err)
	}
	want := suite.Tables()
	slices.Sort(marks)
	slices.Sort(want)
	if !slices.Equal(marks, want) {
		t.Errorf("docs/SCALING.md has marks for %q, want %q", marks, want)
	}
}
