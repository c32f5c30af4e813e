// SPDX-License-Identifier: Apache-2.0

package drill

import (
	"math/big"
	"strings"
	"time"
)

// maxNumber is the most bytes of a number that are read, so that no text takes
// long.
const maxNumber = 32

// parseDuration reads a decimal number with one of the units ms, s, m, h and d
// (24 h). bare is the unit of a number without one.
func parseDuration(text string, bare time.Duration) (time.Duration, bool) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz")
	unit := bare
	switch text[len(digits):] {
	case "":
	case "ms":
		unit = time.Millisecond
	case "s":
		unit = time.Second
	case "m":
		unit = time.Minute
	case "h":
		unit = time.Hour
	case "d":
		unit = 24 * time.Hour
	default:
		return 0, false
	}
	whole := strings.TrimPrefix(digits, "-")
	if whole == "" || len(whole) > maxNumber || strings.Trim(whole, "0123456789.") != "" {
		return 0, false
	}
	number, ok := new(big.Rat).SetString(digits)
	if !ok {
		return 0, false
	}
	number.Mul(number, new(big.Rat).SetInt64(int64(unit)))
	if !number.IsInt() || !number.Num().IsInt64() {
		return 0, false
	}
	return time.Duration(number.Num().Int64()), true
}
