// SPDX-License-Identifier: Apache-2.0

package upstream

import "time"

// Figures is everything that was counted.
type Figures struct {
	Model        Account       `json:"model"`
	Sandbox      Account       `json:"sandbox"`
	InputTokens  int64         `json:"input_tokens"`
	OutputTokens int64         `json:"output_tokens"`
	CostMicros   int64         `json:"cost_micros"` // tokens and executions, times their price
	Done         int           `json:"tasks_done"`
	LastDone     time.Duration `json:"last_done_ns"` // since the start
	OverCap      int           `json:"tasks_over_cap"`
}
