// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resilienced/resilienced/cmd/resilienced/terminal"
)

// pty is a terminal of so many columns: what is written to tty can be read
// from screen.
func pty(t *testing.T, columns uint16) (tty *os.File, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tty.Close(), screen.Close() }) // tty may be closed already
	return tty, screen
}

// onTTY runs a command on a terminal and returns what the terminal showed.
func onTTY(ctx context.Context, t *testing.T, columns uint16, args ...string) string {
	t.Helper()
	tty, screen := pty(t, columns)
	shown := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(screen) // it ends with an error once tty is closed
		shown <- string(text)
	}()
	if code := Run(ctx, args, strings.NewReader(""), tty, &locked{}); code != exitOK {
		t.Errorf("%q: exit %d", args, code)
	}
	if err := tty.Close(); err != nil {
		t.Error(err)
	}
	return strings.ReplaceAll(<-shown, "\r\n", "\n")
}

func TestOnATerminal(t *testing.T) {
	s := live(t)
	t.Setenv("RESILIENCED_ADDR", s.conn.Target())
	s.must(t, "targets", "open", "openai/gpt-x", "--reason", strings.Repeat("a long story ", 20))
	for _, c := range []struct {
		term, noColour string
		coloured       bool
	}{{"xterm-256color", "", true}, {"xterm-256color", "1", false}, {"dumb", "", false}, {"", "", false}} {
		t.Run(fmt.Sprintf("TERM=%s NO_COLOR=%s", c.term, c.noColour), func(t *testing.T) {
			t.Setenv("TERM", c.term)
			t.Setenv("NO_COLOR", c.noColour)
			out := onTTY(t.Context(), t, 90, "targets", "list")
			if strings.Contains(out, "\x1b[31mFORCED_OPEN\x1b[0m") != c.coloured || strings.Contains(out, "\x1b") != c.coloured {
				t.Errorf("coloured is wrong:\n%q", out)
			}
			plain := strings.NewReplacer("\x1b[31m", "", "\x1b[2m", "", "\x1b[0m", "").Replace(out)
			for line := range strings.Lines(plain) {
				if w := terminal.Width(strings.TrimSuffix(line, "\n")); w > 90 {
					t.Errorf("%q takes %d columns", line, w)
				}
			}
			if !strings.Contains(plain, "openai/gpt-x") || !strings.Contains(plain, "…") {
				t.Errorf("cut wrongly:\n%s", plain)
			}
		})
	}
	if _, out, _ := s.op(t, "targets", "list"); strings.Contains(out, "…") || strings.Contains(out, "\x1b") {
		t.Errorf("piped:\n%s", out)
	}
}

// On a terminal top is drawn anew until it is interrupted.
func TestTopOnATerminal(t *testing.T) {
	s := live(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("RESILIENCED_ADDR", s.conn.Target())
	s.must(t, "runs", "start", "nightly")
	ctx, stop := context.WithCancel(t.Context())
	defer time.AfterFunc(1200*time.Millisecond, stop).Stop()
	out := onTTY(ctx, t, 100, "runs", "top", "--every", "1ms")
	if n := strings.Count(out, "\x1b[H\x1b[2J"); n < 2 || strings.Count(out, "nightly") != n {
		t.Errorf("drawn %d times:\n%q", n, out)
	}
	again, stopAgain := context.WithCancel(t.Context())
	defer time.AfterFunc(300*time.Millisecond, stopAgain).Stop()
	s.must(t, "targets", "open", "t", "--reason", "r")
	if out := onTTY(again, t, 100, "targets", "watch"); !strings.HasPrefix(out, "\x1b[H\x1b[2J") || !strings.Contains(out, "TARGET") {
		t.Errorf("watch:\n%q", out)
	}
}
