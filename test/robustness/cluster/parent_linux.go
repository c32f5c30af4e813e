// SPDX-License-Identifier: Apache-2.0

package cluster

import "syscall"

// endWithParent has the kernel kill a child when the test process ends.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
