// SPDX-License-Identifier: Apache-2.0

// Package classify turns what the wire said into what it means: one table for
// all languages, so that clients send raw signals and never decide.
//
//	Signal + Context ──► operator's rules ──► the table R01–R42 ──► hint ──► Verdict
//
// [Classify] is the whole of it. [Rows] lists the table. [Lost], [RunBudget],
// [PriceUnknown], [RunSoftLimit] and [PartialBatch] make the verdicts that follow
// from the service's own facts and not from a signal.
//
// # Which part of a signal decides
//
// First match wins:
//
//  1. A released permit is RELEASED: no call was made, nothing else is read.
//  2. The operator's rules, in their order.
//  3. A cancelled outcome is R27.
//  4. A quality verdict, if the answer came: the status is good, or there is
//     no status and no exception of the transport.
//  5. A body code that names one row exactly. A code that only says what kind
//     of error it is (rate_limit_error, api_error) is read where the status
//     does not: without a status, or after a good one.
//  6. The status: a bad HTTP status, else a bad gRPC code, else an MCP code.
//  7. The exception, refined by the phase. After a good status it is read
//     unless the caller reports a success.
//  8. A good status without a reported failure, or a reported success that
//     nothing contradicts: R01 or R02.
//  9. R42.
//
// A success is therefore always somebody's word: a status or the caller. A
// failure that comes with a good status and no further sign is R42, because
// the target may have done all of it and the caller says that it did not work:
// neither a success nor safe to repeat. Free text is never matched unless an
// operator's rule asks for it.
//
// A class hint comes last. It may replace class, reason and disposition by
// something less retryable, or by anything if the policy trusts hints; see
// [Class.Retryability]. It says what to do next and not what the target did:
// vote, certainty, streaks and cooldown stay. It never touches an operator's
// rule or an OK verdict, and it never makes a verdict OK.
//
// # The wait
//
// The first of these that can be read is the wait; all names are keys of
// Signal.Headers, in lower case:
//
//	retry-after-ms            milliseconds
//	retry-after               seconds or an HTTP date; then Signal.RetryAfter
//	retryinfo                 delay of google.rpc.RetryInfo: "22s"
//	grpc-retry-pushback-ms    milliseconds; negative or unreadable: no retry
//	x-amz-retry-after         milliseconds
//	anthropic-ratelimit-X-reset, x-ratelimit-reset-X, x-ratelimit-reset
//	                          those whose "remaining" is 0, the latest of them;
//	                          a duration, seconds, Unix time or RFC 3339;
//	                          not read beside a good status
//	retrydelay                a delay out of the body: "22s" or seconds
//
// A date is counted from the answer's own date header, else from Context.Wall.
// A past date is 0, and 0 is an answer: no wait was asked for. What is
// negative or cannot be read counts in Verdict.ParseErrors and is absent. More
// than 24 h is 24 h and flagged.
//
// A wait sets the cooldown whatever the row, but for two exceptions. A client
// error other than 408, 425 and 429 asks for nothing by it, unless its class
// is PRESSURE; so do the gRPC and MCP codes that mean such an error. And a
// good 201, 202 or 3xx speaks of a poll or a redirect, not of load.
//
// A client puts details of google.rpc into the same map: retryinfo as above,
// and quotaid with the quota ids of a QuotaFailure, separated by commas.
//
// # Invariants
//
//   - The same input gives the same verdict; nothing is kept between calls.
//   - Every input gives a verdict with a rule, a class and a reason.
//   - No verdict of the table is OK without a good status or the caller's word.
//   - A cooldown is never shorter than the wait that set it, up to 24 h.
//   - Without trust, a hint never makes a verdict more retryable.
package classify
