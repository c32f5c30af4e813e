// SPDX-License-Identifier: Apache-2.0

package statestore

// Notifier is implemented by a store that several processes share. A message
// only wakes readers early: it may be late, lost or doubled, and nothing may
// depend on it. Both methods may be called from many goroutines.
type Notifier interface {
	// Notify sends a message of at most 4096 bytes of text to every other
	// process on the store. It never waits: beyond a bound, messages are
	// dropped. It is never part of a transaction.
	Notify(message string)
	// Notifications is the one channel of what other processes sent; Close
	// closes it. An empty message says that some may have been lost, because
	// the connection was: look at everything again.
	Notifications() <-chan string
}
