// SPDX-License-Identifier: Apache-2.0

// Package scripts_test runs the examples in other languages against a real
// node and compares what they print.
package scripts_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/resilienced/resilienced/node"
)

// serve starts a node and returns the address of its JSON port.
func serve(t *testing.T) string {
	t.Helper()
	n, err := node.New(t.Context(), node.Config{Store: "memory"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	listen := func() net.Listener {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	grpc, http := listen(), listen()
	done := make(chan error, 1)
	go func() { done <- n.ServeListeners(ctx, node.Listeners{GRPC: grpc, HTTP: http}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return http.Addr().String()
}

// script runs one example and returns what it printed.
func script(t *testing.T, address string, command ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = "../../examples"
	cmd.Env = append(os.Environ(), "RESILIENCED_URL=http://"+address, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

const agent = `/chat: 429 retry-after: 1
step 1: an answer of /chat
/search: 503
step 1: an answer of /search
step 2: an answer of /chat
step 2: an answer of /search
step 3: an answer of /chat
step 3: an answer of /search
stopped: ACTION_STOP: DECISION_REASON_RUN_BUDGET
spent 18000 of 20000 micro-USD in 8 calls
`

const shell = `the flaky tool fails
the flaky tool works
the broken tool fails
the broken tool fails
the broken tool fails
guard: {"action":"ACTION_STOP","reason":"UNAVAILABLE"}
given up with exit code 3
`

// TestAgents: the same story in every language. The interpreters are programs
// that the examples need; .ci/tools installs them where they are missing.
func TestAgents(t *testing.T) {
	address := serve(t)
	for _, c := range []struct {
		command []string
		want    string
	}{
		{[]string{"python3", "python/agent.py"}, agent},
		{[]string{"node", "node/agent.mjs"}, agent},
		{[]string{"bash", "shell/agent.sh"}, shell},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			t.Parallel()
			got, err := script(t, address, c.command...)
			if err != nil {
				t.Fatalf("%v\n%s", err, got)
			}
			// How each language writes a mapping is its own.
			got = regexp.MustCompile(`(?m)[{}'" ]+$|^ +|(\{ ?'|')`).ReplaceAllString(got, "")
			want := regexp.MustCompile(`(?m)[{}'" ]+$`).ReplaceAllString(c.want, "")
			if got != want {
				t.Errorf("it printed\n%s\nand not\n%s", got, want)
			}
		})
	}
}

// TestNobodyAnswers: without the service a capped run calls nothing, and other
// calls are made.
func TestNobodyAnswers(t *testing.T) {
	gone, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := gone.Addr().String()
	_ = gone.Close()
	const python = `
import sys; sys.path.insert(0, "python")
from guard import Refused, guarded
print(guarded("x", lambda target: ("called", {})))
try: print(guarded("x", lambda target: ("called", {}), run_id="r"))
except Refused: print("refused")
`
	const node = `
import { guarded, Refused } from './node/guard.mjs';
console.log(await guarded('x', async () => ['called', {}]));
await guarded('x', async () => ['called', {}], { run_id: 'r' }).then(console.log, (e) => console.log(e instanceof Refused ? 'refused' : e));
`
	const sh = `IDEMPOTENT=1 shell/guard.sh x echo called 2>/dev/null
RUN_ID=r shell/guard.sh x echo called 2>/dev/null || { [ $? = 75 ] && echo refused; }
`
	for _, command := range [][]string{{"python3", "-c", python}, {"node", "--input-type=module", "-e", node}, {"bash", "-c", sh}} {
		got, err := script(t, address, command...)
		if err != nil || strings.TrimSpace(got) != "called\nrefused" {
			t.Errorf("%s: %v\n%s", command[0], err, got)
		}
	}
}
