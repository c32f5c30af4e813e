// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package process

import "time"

// processorTime is not known here; the tables then show no processor time.
func processorTime() (time.Duration, error) { return 0, nil }

func resident() int64 { return 0 }

// SelfTime is not known here.
func SelfTime() time.Duration { return 0 }

// OwnTime is not known here.
func OwnTime() time.Duration { return 0 }

// MachineTime is not known here.
func MachineTime() time.Duration { return 0 }

// Niceness is not known here.
func Niceness() int { return 0 }
