// SPDX-License-Identifier: Apache-2.0

// Package check judges histories: whether what clients were told can be what a
// correct service told them. Each check is a pure function of a history and
// knows the service's promises and nothing of how it keeps them.
//
// All of them reason from what is certain. A call under way may have taken
// effect at any moment between its going out and its answer; one without an
// answer, at any later moment or never. A check reports only what no such
// moments explain, so a violation is one; what it cannot decide it says, which
// counts as a failure.
package check
