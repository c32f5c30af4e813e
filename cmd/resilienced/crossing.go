// SPDX-License-Identifier: Apache-2.0

package main

// The variables by which a command that exec runs, and commands of resilienced
// below it, learn what they are part of. They are named after the headers that
// do the same between processes.
const (
	envRun       = "RESILIENCE_RUN_ID"
	envTask      = "RESILIENCE_TASK_ID"
	envOperation = "RESILIENCE_OPERATION_ID"
	envPermit    = "RESILIENCE_PERMIT_ID"
	envTarget    = "RESILIENCE_TARGET"
	envAttempt   = "RESILIENCE_ATTEMPT"
	envKey       = "RESILIENCE_IDEMPOTENCY_KEY"
)
