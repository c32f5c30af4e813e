// SPDX-License-Identifier: Apache-2.0

// Package child runs one command as if it had been started directly: its
// streams are those of this process, signals reach it, and how it ended can be
// passed on. It may be given a time limit, and be asked to end.
//
// A child that does not run on a terminal is put into a process group of its
// own, so that what it started ends with it. On a terminal it shares the group
// of this process, as job control wants it; there the terminal itself sends
// Ctrl-C and Ctrl-\ to it, and they are not sent twice.
package child

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Spec is a command to run.
type Spec struct {
	// Args are the command and its arguments; at least one.
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// In, Out and Err are its streams. Files are handed over as they are.
	In       io.Reader
	Out, Err io.Writer
	// Timeout ends it; 0: never.
	Timeout time.Duration
	// Grace is how long it has between being asked to end and being killed;
	// 0: 10 s.
	Grace time.Duration
	// Signals are sent on to it. Nil: none are.
	Signals <-chan os.Signal
	// Stop asks it to end when it is closed. Nil: never.
	Stop <-chan struct{}
}

// Result is how a command ended.
type Result struct {
	// Code is its exit code; 128 and the signal's number if a signal ended it.
	Code int
	// Signal is the signal that ended it; 0: it ended by itself.
	Signal syscall.Signal
	// Interrupted: a signal was sent on that asks a process to end.
	Interrupted bool
	// TimedOut: the time limit was reached.
	TimedOut bool
	// Stopped: Stop was closed.
	Stopped bool
	// Duration is how long it ran.
	Duration time.Duration
}

// The codes of a shell for a command that cannot be started.
const (
	CodeNotExecutable = 126
	CodeNotFound      = 127
	codeSignal        = 128
)

const defaultGrace = 10 * time.Second

// StartError is a command that could not be started.
type StartError struct {
	Code int
	Err  error
}

// Error names the command.
func (e *StartError) Error() string { return "cannot run the command: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Run runs a command to its end. Its error is a *StartError, or says that the
// end of the command could not be learnt.
func Run(s Spec) (Result, error) {
	tty := onTerminal(s.In)
	cmd := exec.Command(s.Args[0], s.Args[1:]...) //nolint:noctx // it outlives signals on purpose; Stop and Timeout end it
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	if !tty {
		ownGroup(cmd)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Result{}, startError(err)
	}
	r := Result{}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err := watch(&s, cmd, tty, &r, ended)
	r.Duration = time.Since(start)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return r, fmt.Errorf("run the command: %w", err)
	}
	r.Code, r.Signal = ending(cmd.ProcessState)
	return r, nil
}

func onTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func startError(err error) error {
	code := CodeNotExecutable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = CodeNotFound
	}
	return &StartError{Code: code, Err: err}
}

// watch passes on signals until the command has ended, and ends it when that
// is asked for.
func watch(s *Spec, cmd *exec.Cmd, tty bool, r *Result, ended <-chan error) error {
	var limit, kill <-chan time.Time
	if s.Timeout > 0 {
		timer := time.NewTimer(s.Timeout)
		defer timer.Stop()
		limit = timer.C
	}
	stop := s.Stop
	end := func() {
		grace := s.Grace
		if grace <= 0 {
			grace = defaultGrace
		}
		limit, stop, kill = nil, nil, time.After(grace)
		send(cmd, tty, syscall.SIGTERM)
	}
	for {
		select {
		case err := <-ended:
			return err
		case sig := <-s.Signals:
			forward(cmd, tty, sig, r)
		case <-limit:
			r.TimedOut = true
			end()
		case <-stop:
			r.Stopped = true
			end()
		case <-kill:
			send(cmd, tty, syscall.SIGKILL)
		}
	}
}

// forward sends a signal on, unless the terminal has sent it already.
func forward(cmd *exec.Cmd, tty bool, sig os.Signal, r *Result) {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	typed := number == syscall.SIGINT || number == syscall.SIGQUIT
	if typed || number == syscall.SIGTERM || number == syscall.SIGHUP {
		r.Interrupted = true
	}
	if !typed || !tty {
		send(cmd, tty, number)
	}
}

func ending(state *os.ProcessState) (int, syscall.Signal) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return codeSignal + int(status.Signal()), status.Signal()
	}
	return state.ExitCode(), 0
}
