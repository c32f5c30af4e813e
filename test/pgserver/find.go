// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrNotInstalled is the error when PostgreSQL, PgBouncer or libfaketime is not
// on the machine. The text around it says what to install.
var ErrNotInstalled = errors.New("not installed")

// newest returns the folder with the programs of the newest PostgreSQL.
func newest() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	best, version := "", 0.0
	for _, path := range found {
		bin := filepath.Dir(path)
		n, err := strconv.ParseFloat(filepath.Base(filepath.Dir(bin)), 64)
		if err == nil && n > version {
			best, version = bin, n
		}
	}
	if best != "" {
		return best, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	return "", missing("PostgreSQL (initdb in /usr/lib/postgresql/*/bin or PATH)", "postgresql")
}

// bouncer returns the path of PgBouncer.
func bouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	// Debian's is where only root's PATH leads.
	if path, err := exec.LookPath("/usr/sbin/pgbouncer"); err == nil {
		return path, nil
	}
	return "", missing("PgBouncer (pgbouncer in PATH or /usr/sbin)", "pgbouncer")
}

// faketime returns the path of the library that moves a process's clock.
func faketime() (string, error) {
	for _, pattern := range []string{"/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0], nil
		}
	}
	return "", missing("libfaketime (/usr/lib/*/faketime/libfaketime.so.1)", "libfaketime")
}

func missing(what, debian string) error {
	return fmt.Errorf("%s is %w: on Debian run .ci/postgres as root, or apt-get install %s", what, ErrNotInstalled, debian)
}

// unprivileged returns the user to run as, or nil for the own one.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as: add one, or run the tests as another user")
}

// freePort returns a port that nobody listens on. It lies below the ports that
// systems hand out by themselves, so that it is still free after a restart.
func freePort(ctx context.Context) (int, error) {
	var last error
	for range 100 {
		port := 15000 + rand.IntN(17000)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("find a free port on %s: %w", loopback, last)
}

// processes returns the live processes that work in a folder or below it, which
// are those of the server there.
func processes(folder string) ([]int, error) {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != folder && !strings.HasPrefix(cwd, folder+"/") {
			continue // ended meanwhile, another user's, or not ours
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			return nil, err
		}
		found = append(found, pid)
	}
	return found, nil
}
