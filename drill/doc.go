// SPDX-License-Identifier: Apache-2.0

// Package drill runs scenario files against a server, over the same gRPC API
// that everybody else uses, and says which rules it does not follow.
//
// A scenario is one YAML file: targets, chains and runs, and steps. A step is
// one verb with its arguments and what its answer must be:
//
//   - {acquire: {op: o1, target: t, as: a}, expect: {decision: GRANTED}}
//   - {report: {permit: a, sig: {http: 503}}, expect: {action: RETRY, delay_ms: 1000}}
//   - {advance: 1s}
//
// Each scenario runs in a fresh namespace whose clock stands still unless a
// step moves it, so every number in it is exact.
//
// # Matching
//
// An expectation names the fields it cares about; the others are free. A field
// that the answer does not have equals 0, false, "" and []. Lists match as
// sets, and a mapping must be equal as a whole. A step without an expectation
// only has to succeed. An RPC error is a mismatch unless it is expected under
// the name error, as the reason of its google.rpc.ErrorInfo; fields beside it
// are the state of the object after the call.
//
// # Reading
//
// Files are read strictly. What a file says wrongly, down to an unknown
// argument, fails that scenario before it starts; the others still run. A verb
// whose RPC this version of the API does not have is known and fails its
// scenario too, with a reason of its own ([NotInVersion]), so that a report
// never passes over it in silence.
//
// # Where to add a verb
//
// Each service has a file verb_<service>.go with its verbs: their arguments,
// the fields that an expectation may name, and the call. A verb without a call
// is one that this version cannot run.
package drill
