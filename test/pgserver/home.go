// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// reaper ends what still works in a folder and removes the folder, once its
// input ends: that is when the test process closes it or is no more. QUIT lets
// PostgreSQL give its shared memory back; CONT wakes what was stopped.
const reaper = `
cat >/dev/null
[ -d "$1" ] || exit 0
try() {
  alive=
  for p in /proc/[0-9]*; do
    case "$(readlink "$p/cwd")" in
    "$2" | "$2"/*) kill -"$1" "${p#/proc/}" && alive=1 ;;
    esac
  done 2>/dev/null
}
try QUIT "$1"
try CONT "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ -n "$alive" ] || break
  sleep 0.2
  try 0 "$1"
done
try KILL "$1"
rm -rf -- "$1"
`

// home is the temporary folder of one server, the user that it runs as, and the
// watcher that ends it with the test process.
type home struct {
	dir     string
	user    *syscall.Credential
	watcher *exec.Cmd
	hold    io.Closer
}

func newHome(ctx context.Context) (*home, error) {
	user, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgserver-")
	if err != nil {
		return nil, err
	}
	// The kernel tells where a process works without symbolic links.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	h := &home{dir: dir, user: user}
	if user != nil {
		if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	h.watcher = exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", reaper, "reaper", dir)
	h.watcher.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the terminal is not for it
	if h.hold, err = h.watcher.StdinPipe(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := h.watcher.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return h, nil
}

// close removes the folder, in which nothing runs any more.
func (h *home) close() error {
	return errors.Join(os.RemoveAll(h.dir), h.hold.Close(), h.watcher.Wait())
}

// command prepares a program to run as the server's user in its folder.
func (h *home) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = h.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGOPTIONS=", "PGAPPNAME=pgserver")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.user, Setpgid: true}
	return cmd
}

// run runs a program to its end. An error carries what it printed.
func (h *home) run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

// write makes a file that the server's user owns and nobody else reads.
func (h *home) write(name, text string) error {
	path := filepath.Join(h.dir, name)
	// A reader sees the old text or the new one, never a part.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if h.user != nil {
		if err := os.Chown(path+".new", int(h.user.Uid), int(h.user.Gid)); err != nil {
			return err
		}
	}
	return os.Rename(path+".new", path)
}

// signal sends a signal to every process of the server.
func (h *home) signal(sig syscall.Signal) error {
	pids, err := processes(h.dir)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal %v to process %d: %w", sig, pid, err)
		}
	}
	return nil
}

// daemon is a program that runs in a home, with its log in a file there.
type daemon struct {
	home *home
	log  string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process of cmd is gone
}

// start runs the program without waiting for it.
func (d *daemon) start(cmd *exec.Cmd) error {
	log, err := os.OpenFile(filepath.Join(d.home.dir, d.log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Start()
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // how it ended is in its log
		close(ended)
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cmd, d.ended = cmd, ended
	return nil
}

// running returns the process and the channel that tells its end.
func (d *daemon) running() (*os.Process, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cmd.Process, d.ended
}

// stop sends a signal to the program's first process and waits for its end.
func (d *daemon) stop(ctx context.Context, sig syscall.Signal) error {
	process, ended := d.running()
	if err := process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the end of %s: %w", d.log, ctx.Err())
	}
}

// end ends the program and all that it started. One that does not go when it is
// asked to is killed.
func (d *daemon) end() error {
	d.mu.Lock()
	started := d.cmd != nil
	d.mu.Unlock()
	if !started {
		return nil
	}
	if err := d.home.signal(syscall.SIGCONT); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if d.stop(ctx, syscall.SIGQUIT) == nil {
		return nil
	}
	_, ended := d.running()
	err := d.home.signal(syscall.SIGKILL)
	<-ended
	return err
}

// until asks again and again until the answer is yes. It gives up when the
// program ends, and tells what it logged.
func (d *daemon) until(ctx context.Context, yes func() bool) error {
	_, ended := d.running()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended by itself:\n%s", d.tail())
		case <-ctx.Done():
			return fmt.Errorf("%w; its log:\n%s", ctx.Err(), d.tail())
		}
	}
	return nil
}

// tail returns the last 64 KiB of the log.
func (d *daemon) tail() string {
	text, err := os.ReadFile(filepath.Join(d.home.dir, d.log))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-64<<10):])
}
