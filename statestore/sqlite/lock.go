// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/resilienced/resilienced/statestore"
)

// locate returns the absolute path of the database with links followed, so
// that two names of one file share a lock.
func locate(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		return target, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// claim takes the lock of the database at path and makes the file, empty and
// for its owner only, if there is none. It touches the file only under the
// lock: closing it would otherwise drop the file locks of another store of
// this process.
func claim(path string) (*os.File, error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	if err := writable(path); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// lockFile takes the lock of the database at path.
func lockFile(path string) (lock *os.File, err error) {
	lock, err = os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := tryLock(lock); errors.Is(err, errLocked) {
		return lock, fmt.Errorf("%w: process %s has %s open; end it first", statestore.ErrInUse, holder(lock), path)
	} else if err != nil {
		return lock, err
	}
	return lock, sign(lock)
}

// holder returns what the lock's owner wrote into it.
func holder(lock *os.File) string {
	text, err := io.ReadAll(io.LimitReader(lock, 32))
	if err != nil || len(text) == 0 {
		return "unknown"
	}
	return string(bytes.TrimSpace(text))
}

// sign writes this process's number into the lock.
func sign(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(lock, os.Getpid())
	return err
}

// writable makes sure that there is a file at path that may be written. It
// believes the file's mode even where the user may write anything.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", statestore.ErrNotADatabase, path)
	}
	if info.Mode().Perm()&0o222 == 0 {
		return fmt.Errorf("%w: nobody may write to %s; give the service's user the right to", statestore.ErrReadOnly, path)
	}
	return nil
}
