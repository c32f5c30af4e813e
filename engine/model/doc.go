// SPDX-License-Identifier: Apache-2.0

// Package model checks the engine against a second, dumb reading of the rules.
//
// The model is written from the specification and shares no code with the
// rules: plain maps and lists, one goroutine, and a clock that is a number. A
// random sequence of commands is given to both; every answer, every breaker
// and every run must be the same after every step. The built-in drills are
// played on both too, so that the model itself is held to something.
package model
