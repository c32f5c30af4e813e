// SPDX-License-Identifier: Apache-2.0

// Package terminal writes for people: tables, amounts, times.
//
// Names and reasons come from clients, so everything that is written passes
// Clean or CleanLines first: no control character, no escape sequence and no
// mark that reorders text gets out, whether the output is a terminal or not.
// Colour, redrawing and cutting to the width happen on a terminal only.
package terminal
