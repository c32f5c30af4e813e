// SPDX-License-Identifier: Apache-2.0

//go:build unix

package child

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives the command a process group, to be ended as a whole.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// send sends a signal to the command, and to its group if it has its own. A
// command that is gone needs none.
func send(cmd *exec.Cmd, tty bool, sig syscall.Signal) {
	pid := cmd.Process.Pid
	if !tty {
		pid = -pid
	}
	_ = syscall.Kill(pid, sig)
}

// Forwarded are the signals that a command should see.
func Forwarded() []os.Signal {
	return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
}
