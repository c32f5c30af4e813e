// SPDX-License-Identifier: Apache-2.0

// Package client is how the operator's commands reach a server: one
// connection, the namespace with every call, a bound on each, and errors that
// say what to do.
package client
