// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resilienced/resilienced/cmd/resilienced/client"
)

// The exit codes, those above 64 after sysexits.h. exitCodes explains them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnavailable = 69
	exitSoftware    = 70
	exitTemporary   = 75
	exitConfig      = 78
)

// exitCode is one row of the table that help shows.
type exitCode struct {
	code int
	word string
	when string
}

// exitCodes is the whole table.
func exitCodes() []exitCode {
	return []exitCode{
		{exitOK, "ok", "done; of acquire: granted"},
		{exitFailed, "failed", "refused by the server, or a drill or a check did not come out well"},
		{exitUsage, "usage", "an argument, a flag or a setting is wrong"},
		{exitNotFound, "not found", "there is no such run, decision, permit or target"},
		{exitDenied, "denied", "the call may not be made; of acquire: DENIED"},
		{exitUnavailable, "unavailable", "the server, a store or a port cannot be used"},
		{exitSoftware, "software", "a fault of resilienced itself"},
		{exitTemporary, "temporary", "the same a little later may succeed; of acquire: WAIT; of exec: the command was not run"},
		{exitConfig, "config", "a policy or a price table is not valid"},
	}
}

// exitOf is the exit code of a call that failed.
func exitOf(kind client.Kind) int {
	switch kind {
	case client.Usage:
		return exitUsage
	case client.NotFound:
		return exitNotFound
	case client.Denied:
		return exitDenied
	case client.Unavailable:
		return exitUnavailable
	case client.Software:
		return exitSoftware
	case client.Temporary:
		return exitTemporary
	case client.Invalid:
		return exitConfig
	case client.Failed:
	}
	return exitFailed
}

// newExitCodes is a topic of help and no command: it cannot be run.
func newExitCodes() *cobra.Command {
	var b strings.Builder
	b.WriteString("Every command ends with one of these codes:\n\n")
	for _, c := range exitCodes() {
		fmt.Fprintf(&b, "  %3d  %-12s %s\n", c.code, c.word, c.when)
	}
	b.WriteString("\nexec ends with the code of the command that it ran: 128 and the signal's number\n" +
		"if a signal ended it, 126 or 127 if it could not be started.")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: b.String()}
}
