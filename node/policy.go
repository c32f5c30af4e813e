// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/resilienced/resilienced/engine"
	"github.com/resilienced/resilienced/policy"
)

// How the policy file is watched. It is read and compared, because that needs
// nothing of the file system: editors that rename, links that are swapped, and
// network mounts are all alike.
const (
	// pollEvery is how often the file is looked at.
	pollEvery = 2 * time.Second
	// settleFor is how long a changed file must stay as it is before it counts,
	// so that nobody's half-written file does.
	settleFor = 250 * time.Millisecond
	// settleTries bounds the wait for that.
	settleTries = 8
	// maxPolicyFile is what is read of a file. The longest policy is a byte
	// shorter, so that one that is too long is seen to be.
	maxPolicyFile = 1<<20 + 1
)

// The ways in which a policy file cannot be read, besides those of the system.
var (
	// ErrNoPolicyFile says that there is nothing to reload.
	ErrNoPolicyFile = errors.New("this node was started without a policy file; it follows the policies in its store")
	// ErrNotAFile says that a pipe or folder stands where the policy file was.
	ErrNotAFile = errors.New("it is not a regular file; put the policy into one")
	// ErrUnsettled says that somebody keeps writing the policy file.
	ErrUnsettled = errors.New("it changes each time it is read; write it elsewhere and rename it into place")
)

// PolicyError is a policy file that cannot be applied.
type PolicyError struct {
	File string
	Err  error
}

// Error names the file and its faults.
func (e *PolicyError) Error() string {
	return fmt.Sprintf("the policy file %s is not valid; nothing was applied:\n%v", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *PolicyError) Unwrap() error { return e.Err }

// PolicyStatus says by which policy a node decides and what became of its
// policy file. The zero times are "never".
type PolicyStatus struct {
	// Epoch is the one that this node has loaded.
	Epoch uint64
	// File is the policy file; empty: there is none.
	File string
	// LoadedAt is when the node took the file's present content for good: it
	// applied it, or found that it was the file applied last.
	LoadedAt time.Time
	// LastReload is when the node last looked into a change, or was told to.
	LastReload time.Time
	// LastSuccess tells how that went; true if there was none yet.
	LastSuccess bool
	// LastError is why it went wrong, each fault with file, line and column on
	// a line of its own; empty unless it did. The policy before is in force.
	LastError string
	// Behind names the stored policies that this version cannot read, with the
	// reason, a line each; empty: there is none. A node that is behind decides
	// by what other replicas have replaced and is not ready to serve.
	Behind string
}

// PolicyStatus may be called at any time, from any goroutine, and waits for
// nothing.
func (n *Node) PolicyStatus() PolicyStatus {
	s := n.policy.read()
	state := n.engine.PolicyState()
	s.Epoch = state.Epoch
	lines := make([]string, 0, len(state.Unread))
	for _, u := range state.Unread {
		whose := "the server's policy"
		if u.Namespace != "" {
			whose = fmt.Sprintf("the policy of namespace %q", u.Namespace)
		}
		lines = append(lines, fmt.Sprintf("%s cannot be read by this version, epoch %d holds here: %v", whose, u.Kept, u.Err))
	}
	s.Behind = strings.Join(lines, "\n")
	return s
}

// Reload reads the policy file and applies it if it has changed since this
// node last took it. What is wrong leaves the policy in force as it is and is
// returned, logged and kept in PolicyStatus. A file that is being written is
// waited for, up to 2 s. Without a policy file it returns ErrNoPolicyFile.
func (n *Node) Reload(ctx context.Context) error {
	if n.policy.path == "" {
		return ErrNoPolicyFile
	}
	return n.policy.reload(ctx)
}

// policyFile is the policy file of a node and what became of it.
type policyFile struct {
	path   string // empty: there is none
	engine *engine.Engine
	log    *slog.Logger
	busy   chan struct{} // holds one token: one reload at a time

	mu     sync.Mutex
	status PolicyStatus
	loaded string // sum of the content that the node last took
	seen   string // sum of the content, or the fault, that was last looked into
}

func newPolicyFile(path string, e *engine.Engine, log *slog.Logger) *policyFile {
	return &policyFile{
		path: path, engine: e, log: log, busy: make(chan struct{}, 1),
		status: PolicyStatus{File: path, LastSuccess: true},
	}
}

func (f *policyFile) read() PolicyStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// start applies the file, once, as it is. A fault is fatal to the node. It
// reports whether the file can be watched: a pipe gives its text only once.
func (f *policyFile) start(ctx context.Context) (watch bool, err error) {
	if f.path == "" {
		return false, nil
	}
	text, err := readPolicy(f.path)
	if watch = !errors.Is(err, ErrNotAFile); !watch {
		text, err = os.ReadFile(f.path)
	}
	if err != nil {
		return false, fmt.Errorf("read the policy file: %w", err)
	}
	if _, err := f.engine.ApplyFile(ctx, f.path, text); err != nil {
		return false, &PolicyError{File: f.path, Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loaded, f.seen, f.status.LoadedAt = sumOf(text), sumOf(text), time.Now()
	return watch, nil
}

// watch looks at the file until ctx ends.
func (f *policyFile) watch(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if f.changed() {
				_ = f.reload(ctx) // logged and kept in the status
			}
		}
	}
}

// changed reports whether the file is not what was last looked into.
func (f *policyFile) changed() bool {
	text, err := readPolicy(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	return fingerprint(text, err) != f.seen
}

// reload looks into the file.
func (f *policyFile) reload(ctx context.Context) error {
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-f.busy }()
	text, err := f.settled(ctx)
	sum := fingerprint(text, err)
	f.mu.Lock()
	taken := sum == f.loaded
	f.mu.Unlock()
	var view *engine.PolicyView
	if err == nil && !taken {
		view, err = f.engine.ApplyFile(ctx, f.path, text)
		if _, invalid := errors.AsType[*policy.ParseError](err); err != nil && !invalid {
			sum = "" // the store's fault, not the file's: try again
		}
	}
	if ctx.Err() != nil && err != nil {
		return context.Cause(ctx) // the node ends; nothing is wrong with the file
	}
	if err != nil {
		err = &PolicyError{File: f.path, Err: err}
	}
	f.note(ctx, sum, view, err)
	return err
}

// warn logs what is most likely not meant in the policy in force.
func (f *policyFile) warn(ctx context.Context) {
	for _, w := range f.engine.PolicyWarnings("") {
		f.log.LogAttrs(ctx, slog.LevelWarn, "the policy", slog.String("warning", w))
	}
}

// note keeps how a reload went and logs each failure, and its end, once.
func (f *policyFile) note(ctx context.Context, sum string, view *engine.PolicyView, err error) {
	f.mu.Lock()
	before := f.status
	f.seen = sum
	f.status.LastReload, f.status.LastSuccess, f.status.LastError = time.Now(), err == nil, ""
	if err == nil {
		f.loaded, f.status.LoadedAt = sum, f.status.LastReload
	} else {
		f.status.LastError = err.Error()
	}
	text := f.status.LastError
	f.mu.Unlock()
	file := slog.String("file", f.path)
	switch {
	case err != nil && text != before.LastError:
		f.log.LogAttrs(ctx, slog.LevelError, "the policy file cannot be applied; the policy before stays in force",
			file, slog.Uint64("policy_epoch", f.engine.PolicyState().Epoch), slog.String("error", text))
	case err != nil:
	case view != nil:
		f.log.LogAttrs(ctx, slog.LevelInfo, "the policy file was applied",
			file, slog.Uint64("policy_epoch", view.Epoch), slog.Bool("recovered", !before.LastSuccess))
		f.warn(ctx)
	default:
		f.log.LogAttrs(ctx, slog.LevelInfo, "the policy file is as it was when it was applied",
			file, slog.Bool("recovered", !before.LastSuccess))
	}
}

// settled reads the file until two readings agree. One that is empty or
// missing for a moment is about to be written.
func (f *policyFile) settled(ctx context.Context) ([]byte, error) {
	last, lastErr := readPolicy(f.path)
	for range settleTries {
		pause := time.NewTimer(settleFor)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, context.Cause(ctx)
		}
		text, err := readPolicy(f.path)
		if err == nil && lastErr == nil && len(text) > 0 && bytes.Equal(text, last) {
			return text, nil
		}
		last, lastErr = text, err
	}
	if lastErr == nil && len(last) > 0 {
		lastErr = ErrUnsettled
	}
	return last, lastErr
}

// readPolicy reads a policy file. It never waits for a writer as opening a pipe
// would.
func readPolicy(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotAFile
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing is written to it
	return io.ReadAll(io.LimitReader(file, maxPolicyFile))
}

// fingerprint tells contents and faults apart.
func fingerprint(text []byte, err error) string {
	if err != nil {
		return "fault: " + err.Error()
	}
	return sumOf(text)
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
