// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"

	"github.com/resilienced/resilienced/bench/load"
)

// Child is a server in a process of its own. Its methods may be called from
// many goroutines. Close it.
type Child struct {
	// Address is where it serves.
	Address string

	cmd   *exec.Cmd
	stdin io.WriteCloser

	mu  sync.Mutex
	in  *json.Encoder
	out *json.Decoder
}

// Start starts the program with the argument Serve and waits until it serves.
// Errors of the child go to stderr. The context bounds the child's life.
func Start(ctx context.Context, program string, s Spec, stderr io.Writer) (*Child, error) {
	cmd := exec.CommandContext(ctx, program, Serve)
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("process: start: %w", err)
	}
	c := &Child{cmd: cmd, stdin: stdin, in: json.NewEncoder(stdin), out: json.NewDecoder(stdout)}
	hello, err := c.exchange(s)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("process: %s: %w", s.Kind, err), c.Close())
	}
	c.Address = hello.Address
	return c, nil
}

// exchange sends one value and reads one answer.
func (c *Child) exchange(v any) (answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var a answer
	if err := c.in.Encode(v); err != nil {
		return a, err
	}
	if err := c.out.Decode(&a); err != nil {
		return a, fmt.Errorf("the child does not answer: %w", err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Read is a load.Probe.
func (c *Child) Read(context.Context) (load.Reading, error) {
	a, err := c.exchange(askReading)
	return a.Reading, err
}

// StartProfile starts a CPU profile of the child.
func (c *Child) StartProfile() error {
	_, err := c.exchange(askProfileStart)
	return err
}

// StopProfile ends the CPU profile and returns it, as pprof writes it.
func (c *Child) StopProfile() ([]byte, error) {
	a, err := c.exchange(askProfileStop)
	return a.Profile, err
}

// Close ends the child and waits for it.
func (c *Child) Close() error {
	return errors.Join(c.stdin.Close(), c.cmd.Wait())
}
