// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one life of a replica.
type process struct {
	cmd      *exec.Cmd
	serving  chan ports    // has one value once it serves
	ended    chan struct{} // closed when it is gone and its log is read
	asked    bool          // somebody ended it; guarded by the replica's mu
	startLag time.Duration // of its wall clock: the log's time less ours
}

// ports are where a replica listens.
type ports struct{ grpc, http string }

// launch starts the binary. Its log goes to the writer too.
func launch(ctx context.Context, binary string, args, env []string, log io.Writer) (*process, error) {
	p := &process{serving: make(chan ports, 1), ended: make(chan struct{})}
	// It outlives the context, which bounds the start.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = endWithParent()
	out, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout = log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.read(io.TeeReader(out, log))
		p.cmd.Wait() //nolint:errcheck // how it ended is in cmd.ProcessState
	}()
	return p, nil
}

// read takes the log in to its end, and where the replica serves from it.
func (p *process) read(log io.Reader) {
	lines := bufio.NewReader(log)
	for {
		text, err := lines.ReadBytes('\n')
		var line struct {
			Time               time.Time
			Msg, Address, HTTP string
		}
		if json.Unmarshal(text, &line) == nil && line.Msg == "serving" {
			p.startLag = time.Until(line.Time)
			p.serving <- ports{grpc: line.Address, http: line.HTTP}
		}
		if err != nil {
			return
		}
	}
}

// signal sends a signal. A process that is gone already is no error.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to process %d: %w", sig, p.cmd.Process.Pid, err)
	}
	return nil
}

// await waits until the process is gone.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of process %d: %w", p.cmd.Process.Pid, ctx.Err())
	}
}

// gone returns whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// state returns the kernel's letter for what the process does: T is stopped.
func (p *process) state() (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The name before it is in brackets and may hold anything.
	_, after, _ := strings.Cut(string(text), ") ")
	return after[:min(1, len(after))], nil
}
