// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/resilienced/resilienced/gen/resilience/v1"
	"github.com/resilienced/resilienced/node"
)

// asCommand makes the test binary the command itself, for tests that need a
// process: signals, exit codes, real streams.
const asCommand = "RESILIENCED_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// run runs a command line to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// service is `resilienced serve` under way.
type service struct {
	stop context.CancelFunc
	code chan int
	log  *lines
	conn *grpc.ClientConn
}

// lines is a log that can be waited for.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	address chan string
	more    chan struct{} // signalled after each line
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := regexp.MustCompile(`msg=serving address=(\S+)`).FindSubmatch(p); m != nil {
		l.address <- string(m[1])
	}
	defer func() {
		select {
		case l.more <- struct{}{}:
		default:
		}
	}()
	return l.text.Write(p)
}

// wait returns when the log has the text.
func (l *lines) wait(text string) {
	for !strings.Contains(l.String(), text) {
		<-l.more
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func start(t *testing.T, args ...string) *service {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &service{stop: stop, code: make(chan int, 1), log: &lines{address: make(chan string, 1), more: make(chan struct{}, 1)}}
	go func() {
		s.code <- Run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--drain-delay", "0s"}, args...), strings.NewReader(""), io.Discard, s.log)
	}()
	var address string
	select {
	case address = <-s.log.address:
	case code := <-s.code:
		t.Fatalf("serve ended with %d:\n%s", code, s.log)
	}
	var err error
	if s.conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) end(t *testing.T) {
	t.Helper()
	s.stop()
	if code := <-s.code; code != exitOK {
		t.Errorf("serve ended with %d:\n%s", code, s.log)
	}
	if err := s.conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--data-dir", dir, "--policy", policy)
	resp, err := pb.NewRunServiceClient(s.conn).StartRun(t.Context(), &pb.StartRunRequest{RequestId: "q", RunId: "r"})
	if err != nil || resp.GetRun().GetRunId() != "r" {
		t.Errorf("run %v, %v", resp, err)
	}
	granted, err := pb.NewPermitServiceClient(s.conn).Acquire(t.Context(), &pb.AcquireRequest{Target: "openai/gpt-x", RunId: "r"})
	if err != nil || granted.GetPermit().GetPermitId() == "" {
		t.Errorf("answer %v, %v", granted, err)
	}
	s.end(t)
	for _, want := range []string{"resilienced.db", "policy_epoch=1", "msg=draining", "msg=stopped"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, s.log)
		}
	}
	again := start(t, "--data-dir", dir)
	got, err := pb.NewRunServiceClient(again.conn).GetRun(t.Context(), &pb.GetRunRequest{RunId: "r"})
	if err != nil || got.GetRun().GetReserved().GetCalls() != 1 {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	again.end(t)
}

func TestServeThatCannotStart(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // nothing is written to it
	cases := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"clear text for all", []string{"--store", "memory", "--listen", "0.0.0.0:0"}, exitUsage, "--insecure-listen-any"},
		{"trace endpoint without a scheme", []string{"--store", "memory", "--otlp-endpoint", "collector:4317"}, exitUsage, "http://127.0.0.1:4317"},
		{"clear text for all on the second port", []string{"--store", "memory", "--listen", "127.0.0.1:0", "--http-listen", "0.0.0.0:0"}, exitUsage, "--insecure-listen-any"},
		{"taken second port", []string{"--store", "memory", "--listen", "127.0.0.1:0", "--http-listen", taken.Addr().String()}, exitUnavailable, "--http-listen"},
		{"no such store", []string{"--store", "redis"}, exitUsage, "sqlite, sqlite:PATH, postgres://"},
		{"taken port", []string{"--store", "memory", "--listen", taken.Addr().String()}, exitUnavailable, "--listen"},
		{"garbage for a policy", []string{"--store", "memory", "--policy", file("p.yaml", "version: 1\nx: 1\n")}, exitConfig, "p.yaml:2"},
		{"no policy", []string{"--store", "memory", "--policy", filepath.Join(dir, "none")}, exitUnavailable, "none"},
		{"garbage for a database", []string{"--store", "sqlite:" + file("d.db", strings.Repeat("garbage ", 999))}, exitUnavailable, "d.db"},
		{"unknown flag", []string{"--lissten", "x"}, exitUsage, "serve --help"},
		{"wrong level", []string{"--log-level", "loud"}, exitUsage, "debug, info, warn, error"},
		{"argument", []string{"now"}, exitUsage, "serve --help"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := run(t, append([]string{"serve"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.says) || out != "" {
				t.Errorf("exit %d, want %d, with %q in:\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	if code, out, _ := run(t); code != exitOK || !strings.Contains(out, "resilienced serve") {
		t.Errorf("without arguments: exit %d\n%s", code, out)
	}
	if code, _, errs := run(t, "srve"); code != exitUsage || !strings.Contains(errs, "--help") {
		t.Errorf("an unknown command: exit %d\n%s", code, errs)
	}
}

// Every command teaches by an example, says in one line what it is for, and
// names the variables that stand in for its settings.
func TestHelp(t *testing.T) {
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		for _, child := range cmd.Commands() {
			walk(child, append(slices.Clone(path), child.Name()))
		}
		if !cmd.Runnable() { // a topic
			return
		}
		name := strings.Join(path, " ")
		if cmd.Example == "" || cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%q has no example, or no line about it", name)
		}
		code, out, _ := run(t, append(path, "--help")...)
		if code != exitOK || !strings.Contains(out, cmd.Example) {
			t.Errorf("%s --help: exit %d\n%s", name, code, out)
		}
		if cmd.Flag("addr") != nil && !strings.Contains(out, "[RESILIENCED_") {
			t.Errorf("%s --help names no variable:\n%s", name, out)
		}
		for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
			if len(line) > 121 {
				t.Errorf("%s: %q is too long for a terminal", name, line)
			}
		}
	}
	walk(newRoot(func(string) (string, bool) { return "", false }), nil)
}

// Each example of help is a command line that exists, with flags that exist.
func TestExamplesAreCommands(t *testing.T) {
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		for _, m := range regexp.MustCompile(`(?:^|[\s($])resilienced ([^|&;)<>\n\\]*)`).FindAllStringSubmatch(cmd.Example, -1) {
			isCommand(t, cmd.CommandPath(), strings.Fields(m[1]))
			seen++
		}
	}
	walk(newRoot(func(string) (string, bool) { return "", false }))
	if seen < 30 {
		t.Errorf("only %d examples were looked at", seen)
	}
}

// TestHelpNamesEachVariableOnce walks the help of every command.
func TestHelpNamesEachVariableOnce(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.UsageString()) {
			if strings.Count(line, "[RESILIENCE") > 1 {
				t.Errorf("%s: %s", cmd.CommandPath(), line)
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRoot(func(string) (string, bool) { return "", false }))
}

// TestDocumentedCommands: what documents name in passing is there. Their blocks
// of commands are run by a test of their own.
func TestDocumentedCommands(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile("`(?:\\$ )?resilienced ([^`\n]+)`").FindAllSubmatch(text, -1) {
			isCommand(t, path, strings.Fields(string(m[1])))
			seen++
		}
		return err
	})
	if err != nil || seen < 20 {
		t.Errorf("only %d commands were looked at (%v)", seen, err)
	}
}

// isCommand checks that a command line names a command and flags that it has.
func isCommand(t *testing.T, where string, words []string) {
	t.Helper()
	found, rest, err := newRoot(func(string) (string, bool) { return "", false }).Find(words)
	if err != nil || !found.Runnable() && found.Name() != "exit-codes" {
		t.Errorf("%s: %q is no command: %v", where, words, err)
		return
	}
	for _, word := range rest {
		if word == "--" {
			break
		}
		name, long := strings.CutPrefix(word, "--")
		if name, _, _ = strings.Cut(name, "="); long && name != "help" && found.Flag(name) == nil {
			t.Errorf("%s: %q has no flag --%s", where, found.CommandPath(), name)
		}
	}
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{"RESILIENCED_LISTEN": "127.0.0.1:1", "RESILIENCED_ALLOW_DRILLS": "true", "RESILIENCED_DRILL_OUTPUT": "tap"}
	root := newRoot(func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	find := func(name string) *cobra.Command {
		t.Helper()
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	serve := find("serve")
	if err := serve.Flags().Set("listen", "127.0.0.1:2"); err != nil {
		t.Fatal(err)
	}
	if err := serve.PreRunE(serve, nil); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{"listen": "127.0.0.1:2", "allow-drills": "true", "store": "sqlite"} {
		if got := serve.Flags().Lookup(flag).Value.String(); got != want {
			t.Errorf("--%s is %q, want %q", flag, got, want)
		}
	}
	drills := find("drill")
	if err := drills.PreRunE(drills, nil); err != nil || drills.Flags().Lookup("output").Value.String() != "tap" {
		t.Errorf("drill's output is %v, %v", drills.Flags().Lookup("output").Value, err)
	}
	env["RESILIENCED_DRILL_STORE"] = "redis"
	if err := drills.PreRunE(drills, nil); err == nil || !strings.Contains(err.Error(), "RESILIENCED_DRILL_STORE") {
		t.Errorf("a wrong variable: %v", err)
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := run(t, "version"); code != exitOK || !strings.HasPrefix(out, "resilienced ") {
		t.Errorf("exit %d: %q", code, out)
	}
	code, out, _ := run(t, "version", "-o", "json")
	var b node.Build
	if err := json.Unmarshal([]byte(out), &b); code != exitOK || err != nil || b.Version == "" || b.Go == "" {
		t.Errorf("exit %d: %q, %v", code, out, err)
	}
}

const goodDrill = `id: X1
title: one call
targets: {t: {kind: llm}}
steps:
- {acquire: {op: o, target: t, as: a}, expect: {decision: GRANTED}}
- {report: {permit: a}, expect: {action: CONTINUE}}
`

func TestDrill(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for name, text := range map[string]string{good: goodDrill, bad: strings.Replace(goodDrill, "CONTINUE", "RETRY", 1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, store := range []string{"memory", "sqlite"} {
		if code, out, errs := run(t, "drill", "--store", store, "-o", "tap", good); code != exitOK || !strings.Contains(out, "ok 1") {
			t.Errorf("%s: exit %d\n%s%s", store, code, out, errs)
		}
	}
	if code, out, errs := run(t, "drill", bad); code != exitFailed || !strings.Contains(out, "want RETRY") || errs != "" {
		t.Errorf("a drill that fails: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs := run(t, "drill", filepath.Join(dir, "none.yaml")); code != exitUsage || !strings.Contains(errs, "none.yaml") {
		t.Errorf("a drill that is not there: exit %d\n%s", code, errs)
	}
	if code, _, errs := run(t, "drill", t.TempDir()); code != exitUsage {
		t.Errorf("an empty folder: exit %d\n%s", code, errs)
	}
}

func TestDrillAgainstAServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "good.yaml")
	if err := os.WriteFile(file, []byte(goodDrill), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--store", "memory", "--allow-drills")
	if code, out, errs := run(t, "drill", "--addr", s.conn.Target(), file); code != exitOK {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	s.end(t)
	if code, _, errs := run(t, "drill", "--addr", s.conn.Target(), file); code != exitUnavailable || !strings.Contains(errs, "resilienced serve --allow-drills") {
		t.Errorf("against nobody: exit %d\n%s", code, errs)
	}
	without := start(t, "--store", "memory")
	if code, _, errs := run(t, "drill", "--addr", without.conn.Target(), file); code != exitFailed || !strings.Contains(errs, "--allow-drills") {
		t.Errorf("against a server without drills: exit %d\n%s", code, errs)
	}
	without.end(t)
}
