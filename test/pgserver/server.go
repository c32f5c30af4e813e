// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	loopback = "127.0.0.1"
	// admin is the superuser. The role of DSN is an ordinary one, as an
	// operator would give it to the service.
	admin = "postgres"
	role  = "resilienced"
)

// Options says what kind of server to start. The zero value is one that is
// quick and may lose its data when the machine stops.
type Options struct {
	// Settings go into postgresql.conf and win over those of this package.
	Settings map[string]string
	// Faketime moves the server's clock by libfaketime, "-30s" or "+1h".
	// "+0s" moves nothing yet and lets SetFaketime do so. Empty: the real clock.
	Faketime string
	// Sync makes commits wait for the disk. Off, a killed server loses nothing
	// either, for the kernel has its writes.
	Sync bool
}

// Server is one PostgreSQL server. Its methods may be called from several
// goroutines, but only one at a time may start or stop it.
type Server struct {
	home     *home
	daemon   *daemon
	bin      string
	data     string
	port     int
	password string
	options  Options
	names    atomic.Int64 // of databases and standbys made here
	close    func() error
}

// Start makes a new server and returns when it takes connections. The context
// bounds the start only. The caller calls Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	s.password = rand.Text()
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Close())
	}
	return s, nil
}

// prepare finds the programs and makes a home.
func prepare(ctx context.Context, o Options) (*Server, error) {
	bin, err := newest()
	if err != nil {
		return nil, err
	}
	if o.Faketime != "" {
		if _, err := faketime(); err != nil {
			return nil, err
		}
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	h, err := newHome(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{
		home: h, daemon: &daemon{home: h, log: "log"},
		bin: bin, data: filepath.Join(h.dir, "data"), port: port, options: o,
	}
	s.close = sync.OnceValue(s.end)
	return s, nil
}

func (s *Server) create(ctx context.Context) error {
	if err := s.home.write("password", s.password); err != nil {
		return err
	}
	err := s.home.run(s.home.command(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data, "--no-sync",
		"--username", admin, "--pwfile", filepath.Join(s.home.dir, "password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions"))
	if err != nil {
		return err
	}
	if err := s.configure(s.options.Settings); err != nil {
		return err
	}
	if err := s.Restart(ctx); err != nil {
		return err
	}
	_, err = s.Exec(ctx, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s'", role, s.password))
	return err
}

// configure appends settings to postgresql.conf, where the last one wins.
func (s *Server) configure(own map[string]string) error {
	settings := map[string]string{
		"listen_addresses":            loopback,
		"port":                        strconv.Itoa(s.port),
		"unix_socket_directories":     "",
		"dynamic_shared_memory_type":  "mmap", // in the data folder, so that nothing of it outlives the folder
		"shared_buffers":              "64MB",
		"huge_pages":                  "off",
		"jit":                         "off",
		"timezone":                    "UTC",
		"log_timezone":                "UTC",
		"log_line_prefix":             "%m [%p] %q%u@%d %a ",
		"wal_keep_size":               "256MB", // a standby that was away catches up
		"wal_retrieve_retry_interval": "100ms", // and soon; 5s else
		"hot_standby":                 "on",
	}
	if !s.options.Sync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, own)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	return s.appendTo("postgresql.conf", text.String())
}

func (s *Server) appendTo(name, text string) error {
	f, err := os.OpenFile(filepath.Join(s.data, name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + text)
	return errors.Join(err, f.Close())
}

// Restart starts the server after Stop or Kill, on the same port, and returns
// when it takes connections. It does not stop a server that runs.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.clearPID(); err != nil {
		return err
	}
	// The process outlives the context, which bounds the start.
	cmd := s.home.command(context.WithoutCancel(ctx), filepath.Join(s.bin, "postgres"), "-D", s.data)
	env, err := s.clock()
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, env...)
	if err := s.daemon.start(cmd); err != nil {
		return err
	}
	return s.daemon.until(ctx, func() bool {
		state := s.pidLine(8)
		return state == "ready" || state == "standby"
	})
}

// clearPID removes the file that a killed server leaves, whose last state
// would be read as the new one's.
func (s *Server) clearPID() error {
	pids, err := processes(s.data)
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return fmt.Errorf("the server still runs, as processes %v: stop it before it is started again", pids)
	}
	if err := s.freeMemory(); err != nil {
		return err
	}
	err = os.Remove(filepath.Join(s.data, "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// pidLine returns a line of postmaster.pid, counted from 1, or "".
func (s *Server) pidLine(n int) string {
	text, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < n {
		return ""
	}
	return strings.TrimSpace(lines[n-1])
}

// Stop ends the server and waits for its end. The mode is one of pg_ctl:
// "smart" waits for the clients, "fast" sends them away, "immediate" leaves
// the recovery to the next start.
func (s *Server) Stop(ctx context.Context, mode string) error {
	signals := map[string]syscall.Signal{"smart": syscall.SIGTERM, "fast": syscall.SIGINT, "immediate": syscall.SIGQUIT}
	sig, known := signals[mode]
	if !known {
		return fmt.Errorf("mode %q of Stop is none of smart, fast and immediate", mode)
	}
	return s.daemon.stop(ctx, sig)
}

// Kill ends every process of the server at once, as a power cut would, and
// waits for their end.
func (s *Server) Kill(ctx context.Context) error {
	_, ended := s.daemon.running()
	for {
		if err := s.home.signal(syscall.SIGKILL); err != nil {
			return err
		}
		pids, err := processes(s.home.dir)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v are still there: %w", pids, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	<-ended
	return nil
}

// Pause stops every process of the server where it is (SIGSTOP), as a machine
// that hangs would. Connections stay open and get no answer.
func (s *Server) Pause() error { return s.home.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() error { return s.home.signal(syscall.SIGCONT) }

// Addr returns the host and port that the server listens on.
func (s *Server) Addr() string { return net.JoinHostPort(loopback, strconv.Itoa(s.port)) }

// DSN returns the address of a database for the ordinary role "resilienced".
func (s *Server) DSN(database string) string { return dsn(role, s.password, s.Addr(), database) }

// AdminDSN returns the address of a database for the superuser.
func (s *Server) AdminDSN(database string) string { return dsn(admin, s.password, s.Addr(), database) }

func dsn(user, password, hosts, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: hosts,
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Log returns the last 64 KiB of the server's log.
func (s *Server) Log() string { return s.daemon.tail() }

// LogCount returns how often a text is in the whole of the server's log.
func (s *Server) LogCount(text string) (int, error) {
	log, err := os.ReadFile(filepath.Join(s.home.dir, s.daemon.log))
	return strings.Count(string(log), text), err
}

// Close ends the server and removes all that it wrote. A second call does
// nothing. Standbys and bouncers of it are closed on their own.
func (s *Server) Close() error { return s.close() }

func (s *Server) end() error {
	return errors.Join(s.daemon.end(), s.freeMemory(), s.home.close())
}

// freeMemory gives back the little shared memory that a killed server leaves
// behind. PostgreSQL names it in postmaster.pid and does so at its next start.
func (s *Server) freeMemory() error {
	fields := strings.Fields(s.pidLine(7)) // key and id
	if len(fields) != 2 {
		return nil
	}
	id, err := strconv.Atoi(fields[1])
	if err != nil {
		return fmt.Errorf("postmaster.pid names no shared memory: %w", err)
	}
	_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EIDRM) {
		return nil // gone already
	}
	return err
}
