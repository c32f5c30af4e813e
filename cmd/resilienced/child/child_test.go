// SPDX-License-Identifier: Apache-2.0

//go:build unix

package child

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A test run in the background may be told to ignore signals, and commands
	// inherit that. Once they are asked for, commands start with the defaults.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	goleak.VerifyTestMain(m)
}

func sh(script string) Spec { return Spec{Args: []string{"sh", "-c", script}} }

func TestStreamsEnvironmentAndCode(t *testing.T) {
	var out, errs bytes.Buffer
	s := sh(`read line; echo "$line $EXTRA"; echo no >&2; exit 7`)
	s.In, s.Out, s.Err, s.Env = strings.NewReader("hello\n"), &out, &errs, []string{"EXTRA=there"}
	r, err := Run(s)
	if err != nil || r.Code != 7 || r.Signal != 0 || r.Interrupted || r.TimedOut || out.String() != "hello there\n" || errs.String() != "no\n" {
		t.Errorf("%+v, %v, %q, %q", r, err, out.String(), errs.String())
	}
	if r, err := Run(sh("exit 0")); err != nil || r.Code != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDeathBySignal(t *testing.T) {
	r, err := Run(sh("kill -KILL $$"))
	if err != nil || r.Code != 137 || r.Signal != syscall.SIGKILL || r.Interrupted {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCannotStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]int{"no-such-command-at-all": CodeNotFound, "/nowhere/at/all": CodeNotFound, file: CodeNotExecutable} {
		_, err := Run(Spec{Args: []string{name}})
		if e := (*StartError)(nil); !errors.As(err, &e) || e.Code != code || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ready runs a script that says when it is, and returns what Run did.
func ready(t *testing.T, s Spec, then func()) Result {
	t.Helper()
	pipe, out := io.Pipe()
	s.Out = out
	done := make(chan Result, 1)
	go func() {
		r, err := Run(s)
		if err != nil {
			t.Error(err)
		}
		_ = out.Close()
		done <- r
	}()
	line := make([]byte, 6)
	if _, err := io.ReadFull(pipe, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, pipe) }()
	then()
	return <-done
}

func TestSignalsAreSentOn(t *testing.T) {
	signals := make(chan os.Signal, 1)
	for sig, want := range map[syscall.Signal]Result{
		syscall.SIGTERM: {Code: 10, Interrupted: true},
		syscall.SIGINT:  {Code: 11, Interrupted: true},
		syscall.SIGUSR1: {Code: 12},
		syscall.SIGHUP:  {Code: 129, Signal: syscall.SIGHUP, Interrupted: true}, // not caught
	} {
		s := sh(`trap 'exit 10' TERM; trap 'exit 11' INT; trap 'exit 12' USR1; echo ready; while :; do sleep 0.01; done`)
		s.Signals = signals
		r := ready(t, s, func() { signals <- sig })
		r.Duration = 0
		if r != want {
			t.Errorf("%v: %+v, want %+v", sig, r, want)
		}
	}
}

// A command that ignores being asked is killed, with what it started.
func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	s := sh(`trap '' TERM; sleep 600 & echo ready; wait; sleep 600`)
	s.Timeout, s.Grace = 50*time.Millisecond, 50*time.Millisecond
	r := ready(t, s, func() {})
	if !r.TimedOut || r.Signal != syscall.SIGKILL || r.Code != 137 {
		t.Errorf("%+v", r)
	}
}

func TestStop(t *testing.T) {
	stop := make(chan struct{})
	s := sh(`trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done`)
	s.Stop = stop
	if r := ready(t, s, func() { close(stop) }); !r.Stopped || r.Code != 3 || r.TimedOut {
		t.Errorf("%+v", r)
	}
}
