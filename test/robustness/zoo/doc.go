// SPDX-License-Identifier: Apache-2.0

// Package zoo keeps faulty versions of the service, mutants, that the checks of
// the robustness suite must find. What they change is text: the product's own
// code knows nothing of them, and a mutant is built with `go build -overlay`.
// A test applies all of them, so that none rots when the code moves on.
package zoo
