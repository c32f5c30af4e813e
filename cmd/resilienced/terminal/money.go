// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	micros = 1_000_000 // in one unit of a currency
	digits = 6
)

// Unknown is ISO 4217's code for no currency: the amount is written bare.
const Unknown = "XXX"

// Money writes an amount in micros exactly, with at least two decimals: $1.23,
// $0.000125, -$4.00, and 1.23 EUR for a currency other than USD. An empty
// currency is USD.
func Money(amount int64, currency string) string {
	sign, rest := "", uint64(amount)
	if amount < 0 {
		sign, rest = "-", -uint64(amount)
	}
	fraction := fmt.Sprintf("%06d", rest%micros)
	fraction = fraction[:2] + strings.TrimRight(fraction[2:], "0")
	text := strconv.FormatUint(rest/micros, 10) + "." + fraction
	switch currency {
	case "", "USD":
		return sign + "$" + text
	case Unknown:
		return sign + text
	}
	return sign + text + " " + currency
}

// errMoney says what an amount looks like.
var errMoney = errors.New("write an amount such as 2.50 or 0.000125: digits, and at most six behind the point")

// ParseMoney reads an amount such as 2.50, $2.50, +1 or -0.25 into micros,
// exactly. It takes no exponents, no separators and no more than six decimals.
func ParseMoney(text string) (int64, error) {
	rest, negative := text, false
	switch {
	case strings.HasPrefix(rest, "-"):
		rest, negative = rest[1:], true
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	}
	whole, fraction, point := strings.Cut(strings.TrimPrefix(rest, "$"), ".")
	if whole == "" || point && fraction == "" || len(fraction) > digits || !decimal(whole) || !decimal(fraction) {
		return 0, errMoney
	}
	units, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || units > (math.MaxInt64-micros)/micros {
		return 0, fmt.Errorf("%s is too large an amount", text)
	}
	part, err := strconv.ParseInt(fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, errMoney
	}
	amount := units*micros + part
	if negative {
		amount = -amount
	}
	return amount, nil
}

func decimal(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}
