package model

import (
	"fmt"
	"os"
	"sort"
	"testing"
)

var stats = map[string]int{}

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("STATS") != "" {
		keys := []string{}
		for k := range stats {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			fmt.Println(k, stats[k])
		}
	}
	os.Exit(code)
}
