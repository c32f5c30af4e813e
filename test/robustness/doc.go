// SPDX-License-Identifier: Apache-2.0

// Command robustness presses real replicas of the service while things break
// around them, takes down every call, and checks afterwards that everything
// that clients were told can be true. Then it does the same with faulty builds
// of the service, which the checks must find. It writes docs/RELIABILITY.md.
//
//	go run ./test/robustness -short            a few minutes, three faulty builds
//	go run ./test/robustness -for 2h -seed 7   each fault again and again
//	go run ./test/robustness -check FILE       judge a history that was kept
//
// It exits with 1 if a promise was broken, a faulty build was not found, or too
// much of it was void.
package main
