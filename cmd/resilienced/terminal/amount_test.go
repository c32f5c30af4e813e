// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMoney(t *testing.T) {
	for _, c := range []struct {
		amount   int64
		currency string
		want     string
	}{
		{0, "", "$0.00"},
		{1_230_000, "USD", "$1.23"},
		{31_200_000, "", "$31.20"},
		{125, "", "$0.000125"},
		{1_000_001, "", "$1.000001"},
		{-4_000_000, "", "-$4.00"},
		{2_500_000, "EUR", "2.50 EUR"},
		{2_500_000, Unknown, "2.50"},
		{math.MaxInt64, "", "$9223372036854.775807"},
		{math.MinInt64, "", "-$9223372036854.775808"},
	} {
		if got := Money(c.amount, c.currency); got != c.want {
			t.Errorf("Money(%d, %q) = %s, want %s", c.amount, c.currency, got, c.want)
		}
	}
}

func TestParseMoney(t *testing.T) {
	for text, want := range map[string]int64{"2.50": 2_500_000, "$2.5": 2_500_000, "+1": 1_000_000, "-0.25": -250_000, "0.000125": 125, "7": 7_000_000, "-$1": -1_000_000} {
		if got, err := ParseMoney(text); err != nil || got != want {
			t.Errorf("ParseMoney(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "$", ".5", "5.", "1e3", "1,000", "0.0000001", "NaN", "inf", "--1", "+-1", "9223372036854775807", "９", "1.2.3", " 1"} {
		if got, err := ParseMoney(text); err == nil {
			t.Errorf("ParseMoney(%q) = %d, want an error", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(-1e15, 1e15).Draw(t, "amount")
		if got, err := ParseMoney(Money(amount, "")); err != nil || got != amount {
			t.Fatalf("%d came back as %d, %v", amount, got, err)
		}
	})
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1: "0s", 1500: "1µs", 250 * time.Millisecond: "250ms", 1790 * time.Millisecond: "1.7s", 59900 * time.Millisecond: "59s",
		4*time.Minute + 10*time.Second: "4m10s", time.Hour: "1h", 3*time.Hour + 5*time.Minute: "3h5m", 292*time.Hour + 9*time.Minute: "12d4h",
		-2 * time.Second: "-2s", math.MinInt64: "-106751d23h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %s, want %s", d, got, want)
		}
	}
	now := time.Now()
	for at, want := range map[time.Time]string{{}: "", now: "now", now.Add(-90 * time.Second): "1m30s ago", now.Add(time.Hour): "in 1h"} {
		if got := Ago(at, now); got != want {
			t.Errorf("Ago(%v) = %q, want %q", at, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"250ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "0": 0} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "7", "d", "-1d", "1d-1h", "1d25h", "9999999999d", "999999d", "1dd", "soon"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}
