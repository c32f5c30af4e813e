// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"strconv"
	"testing"

	"github.com/resilienced/resilienced/engine"
)

// numbers is an engine's list of the numbers below n.
func numbers(n int, fetches *int) func(int, string) (engine.Page[int], error) {
	return func(size int, token string) (engine.Page[int], error) {
		*fetches++
		from, _ := strconv.Atoi(token)
		page := engine.Page[int]{}
		for i := from; i < min(from+size, n); i++ {
			page.Items = append(page.Items, i)
		}
		if from+size < n {
			page.Next = strconv.Itoa(from + size)
		}
		return page, nil
	}
}

// Whatever the filter and the size, the pages together are the filtered list,
// and no page has more than was asked for.
func TestCollectLosesNothing(t *testing.T) {
	for _, size := range []int32{0, 1, 7, 100, 1000} {
		for _, every := range []int{1, 2, 10, 997} {
			var got []int
			for token, pages := "", 0; ; pages++ {
				fetches := 0
				page, err := collect(asked{size, token}, numbers(5000, &fetches), func(i int) bool { return i%every == 0 })
				if err != nil {
					t.Fatal(err)
				}
				if want := max(int(size), 1); len(page.Items) > want && size != 0 || fetches > maxFetches {
					t.Fatalf("size %d: %d items after %d fetches", size, len(page.Items), fetches)
				}
				got = append(got, page.Items...)
				if token = page.Next; token == "" {
					break
				}
			}
			if len(got) != (5000+every-1)/every || got[len(got)-1] != (4999/every)*every {
				t.Errorf("size %d, every %d: %d items", size, every, len(got))
			}
		}
	}
}

func TestCollectPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	_, err := collect(asked{}, func(int, string) (engine.Page[int], error) { return engine.Page[int]{}, broken }, func(int) bool { return true })
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestGlob(t *testing.T) {
	cases := []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "a/b", true},
		{"a*", "a", true},
		{"a*c", "abbc", true},
		{"a*c", "abcd", false},
		{"?", "ä", true},
		{"?", "", false},
		{"a?c", "a/c", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*ab", "aab", true},
		{"*a", "b", false},
		{"a/**", "a/b", true},
		{"tool/*", "tool/", true},
		{"tool/*", "tools", false},
	}
	for _, c := range cases {
		if got := globMatch(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
	for pattern, want := range map[string]string{"": "", "a": "a", "a*b": "a", "a?b": "a", "*": ""} {
		if got := globPrefix(pattern); got != want {
			t.Errorf("prefix of %q is %q, want %q", pattern, got, want)
		}
	}
}
