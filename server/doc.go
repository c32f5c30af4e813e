// SPDX-License-Identifier: Apache-2.0

// Package server is the wire: it turns requests of resilience.v1 into commands
// of the engine and the engine's answers into responses. No wire type goes
// further in and no status code is made elsewhere.
//
//	bytes ── codec.go ── interceptors.go ── one method ── engine
//	                                          │
//	            metadata.go   what headers fill in
//	            check*.go     every field, all faults at once
//	            hash.go       the content, to tell a repeat from a reuse
//	            words.go      enums, both ways
//	            *_view.go     the answer
//
//	errors ── errors.go: the one table from sentinel to code, reason and cure
//
// Three rules hold for every method. A request is checked whole before the
// engine sees it. A refusal of Acquire is an answer; an error means that the
// request is wrong or that the service failed, and says what to do. Handlers
// return the engine's errors as they are; the innermost interceptor turns them
// into statuses.
package server
