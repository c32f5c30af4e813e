// SPDX-License-Identifier: Apache-2.0

package resilienced_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A page's commands are its blocks of ```sh. They run in order, in one folder,
// beside a service of the test's own in the place of the one on the default
// ports. A comment before a block says what else holds:
//
//	<!-- test: exit 75 -->       it ends with this code
//	<!-- test: serve -->         it starts a service: it must come up, and is ended
//	<!-- test: skip, REASON -->  it cannot run in a test; the reason is for the reader
type block struct {
	line  int
	text  string
	exit  int
	serve bool
	skip  string
}

// blocks reads the commands of a page.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	var said string
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if rest, ok := strings.CutPrefix(line, "<!-- test: "); ok {
			said = strings.TrimSuffix(rest, " -->")
			continue
		}
		if line != "```sh" {
			if line != "" {
				said = ""
			}
			continue
		}
		b := block{line: i + 1}
		indent := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
		for i++; strings.TrimSpace(lines[i]) != "```"; i++ {
			b.text += lines[i][min(indent, len(lines[i])):] + "\n"
		}
		if err := b.read(said); err != nil {
			t.Fatalf("%s:%d: %v", file, b.line, err)
		}
		said = ""
		all = append(all, b)
	}
	return all
}

// read takes in what the comment before a block says.
func (b *block) read(said string) error {
	switch {
	case said == "":
	case said == "serve":
		b.serve = true
	case strings.HasPrefix(said, "skip, "):
		b.skip = strings.TrimPrefix(said, "skip, ")
	case strings.HasPrefix(said, "exit "):
		code, err := strconv.Atoi(strings.TrimPrefix(said, "exit "))
		if err != nil {
			return fmt.Errorf("exit code: %w", err)
		}
		b.exit = code
	default:
		return fmt.Errorf("no test: %q", said)
	}
	return nil
}

// pages are the documents whose commands are run.
func pages(t *testing.T) []string {
	t.Helper()
	all := []string{"README.md", "CONTRIBUTING.md"}
	for _, pattern := range []string{"docs/*.md", "examples/README.md", "examples/*/README.md", "deploy/*.md", "deploy/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return slices.DeleteFunc(all, func(page string) bool {
		_, err := os.Stat(page)
		return errors.Is(err, os.ErrNotExist)
	})
}

// TestCommands runs every command of the documents.
func TestCommands(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "resilienced"), "./cmd/resilienced")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ran := 0
	for _, page := range pages(t) {
		all := blocks(t, page)
		if len(all) == 0 {
			continue
		}
		t.Run(page, func(t *testing.T) {
			s := newShell(t, bin)
			s.start(t)
			for _, b := range all {
				if b.skip == "" {
					s.run(t, page, &b)
					ran++
				}
			}
		})
	}
	if ran == 0 {
		t.Error("no page has a command: nothing was checked")
	}
}

// shell is where a page's commands run.
type shell struct {
	bin        string
	grpc, http string // the ports in the place of the default ones
	env        []string
}

func newShell(t *testing.T, bin string) *shell {
	t.Helper()
	s := &shell{bin: bin, grpc: freePort(t), http: freePort(t)}
	s.env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RESILIENCED_") }),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+t.TempDir(), "NO_COLOR=1", "PYTHONDONTWRITEBYTECODE=1",
		"RESILIENCED_ADDR=127.0.0.1:"+s.grpc, "RESILIENCED_HTTP_ADDR=127.0.0.1:"+s.http, "RESILIENCED_URL=http://127.0.0.1:"+s.http)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was only to learn its number
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// moved puts the test's ports in the place of the default ones.
func (s *shell) moved(text string) string {
	return strings.NewReplacer(":7070", ":"+s.grpc, ":7071", ":"+s.http).Replace(text)
}

// start starts the service that the page's commands talk to.
func (s *shell) start(t *testing.T) {
	t.Helper()
	s.up(t, "resilienced serve --store memory --allow-drills --log-level warn", s.grpc, s.http)
}

// up runs a command that starts a service, waits until it is ready, and ends
// it after the test.
func (s *shell) up(t *testing.T, command, grpcPort, httpPort string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", "exec "+strings.TrimSpace(command))
	cmd.Env = append(slices.Clone(s.env), "RESILIENCED_LISTEN=127.0.0.1:"+grpcPort, "RESILIENCED_HTTP_LISTEN=127.0.0.1:"+httpPort,
		"RESILIENCED_DATA_DIR="+t.TempDir())
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v\n%s", command, err, said.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s\nended: %v\n%s", command, err, said.String())
		case <-time.After(20 * time.Millisecond):
		}
		if ready(ctx, httpPort) {
			return
		}
	}
	t.Fatalf("%s\nis not ready after a minute", command)
}

func ready(ctx context.Context, port string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// run runs one block.
func (s *shell) run(t *testing.T, page string, b *block) {
	t.Helper()
	if b.serve {
		s.up(t, strings.TrimPrefix(b.text, "go run ./cmd/"), freePort(t), freePort(t))
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", s.moved(b.text))
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = exit.ExitCode(), nil
	}
	if err != nil || code != b.exit {
		t.Errorf("%s:%d: exit code %d, want %d (%v)\n%s\n%s", page, b.line, code, b.exit, err, b.text, out)
	}
}
