// SPDX-License-Identifier: Apache-2.0

// Command agent is an agent that asks before every call and reports after it.
// It runs on this machine alone: the provider is a program that answers as
// providers do on bad days. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	addr := flag.String("addr", "", "`HOST:PORT` of a running resilienced that has the policy of this folder; empty: one of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *addr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}
