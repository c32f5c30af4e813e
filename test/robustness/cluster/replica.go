// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resilienced/resilienced/test/robustness/proxy"
)

// Replica is one replica over its lives. Its methods may be called from several
// goroutines; Start, Term and Kill of one replica only one after the other.
type Replica struct {
	cluster *Cluster
	number  int
	clients *proxy.Proxy
	log     *os.File

	mu    sync.Mutex
	lives []*process
	ports ports
	skew  time.Duration
}

// Addr is where clients reach the replica: its proxy, the same over all lives.
func (r *Replica) Addr() string { return r.clients.Addr() }

// Clients is the proxy between the clients and the replica.
func (r *Replica) Clients() *proxy.Proxy { return r.clients }

// Databases are the proxies between the replica and the database's two hosts;
// none if the store is not PostgreSQL.
func (r *Replica) Databases() []*proxy.Proxy {
	if r.cluster.database == nil {
		return nil
	}
	return []*proxy.Proxy{r.cluster.database.hosts[0].proxies[r.number], r.cluster.database.hosts[1].proxies[r.number]}
}

// Direct is where the replica itself listens in its present life, for a look
// that no fault hides.
func (r *Replica) Direct() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ports.grpc
}

// Lives is how often the replica was started.
func (r *Replica) Lives() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lives)
}

// LogPath is the file with the logs of all lives.
func (r *Replica) LogPath() string { return r.log.Name() }

// PolicyPath is the replica's policy file.
func (r *Replica) PolicyPath() string {
	return filepath.Join(r.cluster.config.Dir, fmt.Sprintf("policy-%d.yaml", r.number))
}

// SetPolicy replaces the replica's policy file and has it looked at. The write
// is atomic, as an editor's is.
func (r *Replica) SetPolicy(yaml string) error {
	path := r.PolicyPath()
	if err := os.WriteFile(path+".new", []byte(yaml), 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if p := r.life(); p != nil {
		return p.signal(syscall.SIGHUP)
	}
	return nil
}

// life returns the present process, or nil if there is none.
func (r *Replica) life() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lives) == 0 || r.lives[len(r.lives)-1].gone() {
		return nil
	}
	return r.lives[len(r.lives)-1]
}

// Running returns whether the replica's process is there, serving or not.
func (r *Replica) Running() bool { return r.life() != nil }

// Start starts the replica and returns when it serves.
func (r *Replica) Start(ctx context.Context) error {
	if r.Running() {
		return fmt.Errorf("replica %d runs already", r.number)
	}
	args := []string{
		"serve", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		"--policy", r.PolicyPath(), "--log-format", "json",
	}
	r.mu.Lock()
	env := append(slices.Clone(r.cluster.config.Env), skewVar+"="+strconv.Itoa(int(r.skew/time.Second)))
	r.mu.Unlock()
	env = append(env, r.cluster.storeEnv(r)...)
	p, err := launch(ctx, r.cluster.config.Binary, append(args, r.cluster.config.Args...), env, r.log)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.lives = append(r.lives, p)
	r.mu.Unlock()
	select {
	case at := <-p.serving:
		r.mu.Lock()
		r.ports = at
		r.mu.Unlock()
		r.clients.SetTarget(at.grpc)
		return nil
	case <-p.ended:
		return fmt.Errorf("replica %d ended before it served (%v); its log:\n%s", r.number, p.cmd.ProcessState, r.Log())
	case <-ctx.Done():
		err := fmt.Errorf("replica %d does not serve: %w; its log:\n%s", r.number, ctx.Err(), r.Log())
		return errors.Join(err, r.end(context.WithoutCancel(ctx), syscall.SIGKILL))
	}
}

// Kill ends the replica at once (SIGKILL) and waits until it is gone.
func (r *Replica) Kill(ctx context.Context) error { return r.end(ctx, syscall.SIGKILL) }

// Term has the replica drain and end (SIGTERM), waits until it is gone, and
// returns an error unless its exit code is 0.
func (r *Replica) Term(ctx context.Context) error {
	p := r.life()
	if p == nil {
		return nil
	}
	if err := r.end(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("replica %d drained with %v; its log:\n%s", r.number, p.cmd.ProcessState, r.Log())
	}
	return nil
}

func (r *Replica) end(ctx context.Context, sig syscall.Signal) error {
	p := r.life()
	if p == nil {
		return nil
	}
	r.mu.Lock()
	p.asked = true
	r.mu.Unlock()
	if err := p.signal(sig); err != nil {
		return err
	}
	if err := p.await(ctx); err != nil {
		return err
	}
	r.clients.SetTarget("") // its port may be another's now
	return nil
}

// Stop stops the replica where it is (SIGSTOP). Its connections stay open and
// get no answer.
func (r *Replica) Stop() error {
	p := r.life()
	if p == nil {
		return fmt.Errorf("replica %d does not run", r.number)
	}
	return p.signal(syscall.SIGSTOP)
}

// Cont lets a stopped replica go on.
func (r *Replica) Cont() error {
	p := r.life()
	if p == nil {
		return fmt.Errorf("replica %d does not run", r.number)
	}
	return p.signal(syscall.SIGCONT)
}

// Ready returns nil if the replica says of itself that it is ready, asked
// directly.
func (r *Replica) Ready(ctx context.Context) error {
	status, body, err := r.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("replica %d is not ready: %s", r.number, strings.TrimSpace(body))
	}
	return nil
}

// Metric returns the value of one series of the replica's metrics, named as it
// is there: go_goroutines, process_resident_memory_bytes.
func (r *Replica) Metric(ctx context.Context, series string) (float64, error) {
	_, body, err := r.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("replica %d has no metric %q", r.number, series)
}

func (r *Replica) get(ctx context.Context, path string) (int, string, error) {
	r.mu.Lock()
	at := r.ports.http
	r.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true // the next life is another server
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), errors.Join(err, resp.Body.Close())
}

// Log returns the last 16 KiB of the replica's log.
func (r *Replica) Log() string {
	text, err := os.ReadFile(r.LogPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-16<<10):])
}

// faulty returns how the replica ended when nobody asked it to.
func (r *Replica) faulty() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for life, p := range r.lives {
		if p.gone() && !p.asked {
			found = append(found, fmt.Sprintf("replica %d ended by itself in life %d: %v", r.number, life+1, p.cmd.ProcessState))
		}
	}
	return found
}
