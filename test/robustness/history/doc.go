// SPDX-License-Identifier: Apache-2.0

// Package history keeps what clients of the service asked and were told, one
// event a call over the network, so that checkers can judge it afterwards and
// people can read it. A history is one trial: its setup, then its events. In a
// file it is JSON lines, the setup first.
package history
