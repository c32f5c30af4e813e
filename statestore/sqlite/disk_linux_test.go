// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/resilienced/resilienced/statestore"
)

// diskTasks are what children do to disks of their own.
func diskTasks() map[string]func(string) error {
	return map[string]func(string) error{"broken": brokenDisk, "full": fullDisk}
}

// fill writes records of 4 kB until a write fails, and returns the number of
// those that were acknowledged with the error.
func fill(s *Store) (acked int64, err error) {
	text := strings.Repeat("x", 4000)
	for {
		if err := put(s, fmt.Sprintf("n%d", acked), &note{N: acked, Text: text}, statestore.Durable); err != nil {
			return acked, err
		}
		if acked++; acked > 100_000 {
			return acked, errors.New("the disk does not end")
		}
	}
}

// brokenDisk lets writes fail behind a size of the log, as a disk does, and
// wants the store to end.
func brokenDisk(path string) error {
	s, err := Open(context.Background(), testConfig(path))
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
		return err
	}
	acked, failure := fill(s)
	if !errors.Is(failure, statestore.ErrUnknownOutcome) {
		return fmt.Errorf("a write to a broken disk returned %w", failure)
	}
	ctx := context.Background()
	_, getErr := s.Now(ctx)
	_, _, nowErr := s.Get(ctx, noteKey("n0"))
	_, countErr := s.Count(ctx, statestore.KindOperation, "acme")
	_, dueErr := s.Due(ctx, statestore.DueQuery{Until: 1, Limit: 1})
	_, listErr := s.List(ctx, statestore.Query{Kind: statestore.KindOperation, Limit: 1})
	_, spacesErr := s.Namespaces(ctx)
	for i, err := range []error{put(s, "later", &note{}, statestore.Durable), getErr, nowErr, countErr, dueErr, listErr, spacesErr} {
		if !errors.Is(err, statestore.ErrUnavailable) {
			return fmt.Errorf("after the disk broke, call %d returned %w", i, err)
		}
	}
	return errors.Join(fmt.Errorf("acked %d: %w", acked, failure), s.Close())
}

func TestBrokenDiskEndsTheStore(t *testing.T) {
	path := filled(t, 3)
	said := child(t, "broken", path)
	if !strings.HasPrefix(said, statestore.ErrUnknownOutcome.Error()) || !strings.Contains(said, "failing disk") {
		t.Fatalf("the child says %q", said)
	}
	acked := 0
	if _, err := fmt.Sscanf(strings.SplitN(said, "\n", 2)[1], "acked %d:", &acked); err != nil || acked == 0 {
		t.Fatalf("%d acknowledged: %v: %q", acked, err, said)
	}
	s := openStore(t, testConfig(path))
	for i := range acked {
		if n := number(t, s, fmt.Sprintf("n%d", i)); n != int64(i) {
			t.Fatalf("n%d was acknowledged and is now %d", i, n)
		}
	}
	// The one whose outcome is unknown is there or not, and whole.
	if n := number(t, s, fmt.Sprintf("n%d", acked)); n != -1 && n != int64(acked) {
		t.Fatalf("the last one is %d", n)
	}
	if n := number(t, s, "later"); n != -1 {
		t.Fatal("a write was taken after the disk broke")
	}
}

// fullDisk fills a small file system, makes room, and goes on.
func fullDisk(path string) error {
	if err := syscall.Mount("none", path, "tmpfs", 0, "size=4m"); err != nil {
		return err
	}
	ballast := filepath.Join(path, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	s, err := Open(context.Background(), testConfig(filepath.Join(path, "records.db")))
	if err != nil {
		return err
	}
	acked, full := fill(s)
	if !errors.Is(full, statestore.ErrFull) {
		return fmt.Errorf("a write to a full disk returned %w", full)
	}
	if n, err := s.Count(context.Background(), statestore.KindOperation, "acme"); err != nil || n != int(acked) {
		return fmt.Errorf("%d records after %d were acknowledged: %w", n, acked, err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := put(s, "later", &note{N: 1}, statestore.Durable); err != nil {
		return fmt.Errorf("after room was made: %w", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(context.Background(), testConfig(s.path)); err != nil {
		return err
	}
	if n, err := s.Count(context.Background(), statestore.KindOperation, "acme"); err != nil || n != int(acked)+1 {
		return fmt.Errorf("%d records after a restart, %d were acknowledged: %w", n, acked+1, err)
	}
	return errors.Join(s.Close(), full)
}

func TestFullDisk(t *testing.T) {
	var denied bool
	said := child(t, "full", t.TempDir(), func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		probe := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^$")
		probe.SysProcAttr = cmd.SysProcAttr
		denied = probe.Run() != nil
		if denied {
			cmd.SysProcAttr = nil
		}
	})
	if denied {
		t.Skip("this machine gives no namespace for a small disk; TestMaxBytes covers the code")
	}
	if !strings.HasPrefix(said, statestore.ErrFull.Error()) || !strings.Contains(said, "make room") {
		t.Fatalf("the child says %q", said)
	}
}
