// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cluster

import "syscall"

// endWithParent can only be asked of Linux. Elsewhere a replica outlives a
// test process that is killed.
func endWithParent() *syscall.SysProcAttr { return nil }
