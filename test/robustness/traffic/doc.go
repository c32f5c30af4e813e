// SPDX-License-Identifier: Apache-2.0

// Package traffic is clients of the service that follow its protocol, on a few
// hot keys: capped runs, slots, breakers that trip and are probed, operations
// that must not happen twice, dead letters, renewed leases. They repeat what
// has no answer with the same ids and on another replica, wait as they are
// told to, and now and then do what clients do: ask twice at once, give up,
// forget a permit, report late, twice or never. Everything that they ask and
// are told goes into a history.
//
//	Start   apply the policy, start runs and watchers
//	Load    make calls, at a bounded rate, until told to stop
//	Settle  with no load: ask again for what is open, then read everything
package traffic
