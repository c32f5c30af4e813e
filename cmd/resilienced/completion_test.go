// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
)

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errs := run(t, "completion", shell); code != exitOK || !strings.Contains(out, "__complete") {
			t.Errorf("%s: exit %d, %s", shell, code, errs)
		}
	}
	var glob string
	addr := serveFake(t, func(_ context.Context, _ string, req any) (any, error) {
		switch r := req.(type) {
		case *pb.ListTargetsRequest:
			glob = r.GetNameGlob()
			return &pb.ListTargetsResponse{Targets: []*pb.Target{{Target: "openai/gpt-x"}, {Target: "openai/gpt-y"}, {Target: "openai/\x1b[2J"}}}, nil
		case *pb.ListRunsRequest:
			return &pb.ListRunsResponse{Runs: []*pb.Run{{RunId: "nightly"}}}, nil
		}
		return nil, nil
	})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"targets", "get", "open"}, "openai/gpt-x\nopenai/gpt-y\n:4\n"},
		{[]string{"acquire", "open"}, "openai/gpt-x\nopenai/gpt-y\n:4\n"},
		{[]string{"targets", "get", "a", ""}, ":4\n"},
		{[]string{"runs", "stop", ""}, "nightly\n:4\n"},
		{[]string{"exec", "--run", ""}, "nightly\n:4\n"},
		{[]string{"decisions", "--target", "open"}, "openai/gpt-x\nopenai/gpt-y\n:4\n"},
		{[]string{"targets", "li"}, "list\tList the targets that policy names or that have been called\n:4\n"},
	} {
		code, out, _ := runAt(t, addr, append([]string{"__complete"}, c.args...)...)
		if code != exitOK || out != c.want {
			t.Errorf("%q: exit %d\n%s", c.args, code, out)
		}
	}
	if glob != "open*" {
		t.Errorf("asked for %q", glob)
	}
}

// Nobody wants to read an error at a prompt, or to wait for one.
func TestCompletionIsSilentWithoutAServer(t *testing.T) {
	hangs := serveFake(t, func(ctx context.Context, _ string, _ any) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, addr := range []string{nobody(t), hangs, "not an address"} {
		begun := time.Now()
		code, out, errs := runAt(t, addr, "__complete", "targets", "get", "x")
		if code != exitOK || out != ":4\n" || strings.Contains(errs, "resilienced:") {
			t.Errorf("%s: exit %d, %q, %q after %v", addr, code, out, errs, time.Since(begun))
		}
	}
}
