// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package child

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup does nothing where there are no process groups.
func ownGroup(*exec.Cmd) {}

// send ends the command: nothing else can be sent to it here.
func send(cmd *exec.Cmd, _ bool, _ syscall.Signal) { _ = cmd.Process.Kill() }

// Forwarded are the signals that a command should see.
func Forwarded() []os.Signal { return []os.Signal{os.Interrupt} }
