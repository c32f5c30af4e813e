// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// KillReplica ends a replica by SIGKILL; End starts it again.
func KillReplica(replica int) Fault {
	var how string
	return &fault{
		kind: "replica killed", about: fmt.Sprintf("replica %d", replica),
		begin: func(ctx context.Context, c *Cluster) error {
			p := c.replicas[replica].life()
			if p == nil {
				return fmt.Errorf("replica %d does not run", replica)
			}
			if err := c.replicas[replica].Kill(ctx); err != nil {
				return err
			}
			how = p.cmd.ProcessState.String()
			return nil
		},
		end:   func(ctx context.Context, c *Cluster) error { return c.replicas[replica].revive(ctx) },
		proof: func() (string, error) { return ended(how, "signal: killed") },
	}
}

// RestartReplica has a replica drain and end by SIGTERM; End starts it again.
func RestartReplica(replica int) Fault {
	var how string
	return &fault{
		kind: "replica restarted", about: fmt.Sprintf("replica %d", replica),
		begin: func(ctx context.Context, c *Cluster) error {
			p := c.replicas[replica].life()
			if p == nil {
				return fmt.Errorf("replica %d does not run", replica)
			}
			err := c.replicas[replica].Term(ctx)
			if p.gone() {
				how = p.cmd.ProcessState.String()
			}
			return err
		},
		end:   func(ctx context.Context, c *Cluster) error { return c.replicas[replica].revive(ctx) },
		proof: func() (string, error) { return ended(how, "exit status 0") },
	}
}

// StopReplica stops a replica where it is by SIGSTOP; End lets it go on.
func StopReplica(replica int) Fault {
	var stopped time.Time
	var took time.Duration
	return &fault{
		kind: "replica stopped", about: fmt.Sprintf("replica %d", replica),
		begin: func(ctx context.Context, c *Cluster) error {
			r := c.replicas[replica]
			p := r.life()
			if err := r.Stop(); err != nil {
				return err
			}
			err := until(ctx, "the replica is stopped", func() (bool, error) {
				state, err := p.state()
				return state == "T", err
			})
			stopped = time.Now()
			return err
		},
		end: func(_ context.Context, c *Cluster) error {
			r := c.replicas[replica]
			if state, err := r.life().state(); err == nil && state == "T" {
				took = time.Since(stopped)
			}
			return r.Cont()
		},
		proof: func() (string, error) {
			return counted(int(took.Milliseconds()), "ms in state T")
		},
	}
}

// SkewReplica restarts a replica with a wall clock that is off by whole
// seconds; End restarts it with the right one. It wants Source.Skewable.
func SkewReplica(replica int, by time.Duration) Fault {
	var lag time.Duration
	return &fault{
		kind: "replica's clock skewed", about: fmt.Sprintf("replica %d, %v", replica, by),
		begin: func(ctx context.Context, c *Cluster) error {
			if err := c.replicas[replica].restartAt(ctx, by); err != nil {
				return err
			}
			lag = c.replicas[replica].life().startLag
			return nil
		},
		end: func(ctx context.Context, c *Cluster) error { return c.replicas[replica].restartAt(ctx, 0) },
		proof: func() (string, error) {
			if by == 0 || (lag-by).Abs() > min(by.Abs()/2, time.Minute) {
				return "", fmt.Errorf("%w: the clock is off by %v (is the binary built with Source.Skewable?)", errNoEffect, lag)
			}
			return fmt.Sprintf("its log is off by %v", lag.Round(time.Second)), nil
		},
	}
}

// restartAt restarts the replica with a wall clock that is off.
func (r *Replica) restartAt(ctx context.Context, skew time.Duration) error {
	if err := r.Term(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	r.skew = skew
	r.mu.Unlock()
	return r.Start(ctx)
}

// revive starts the replica unless it runs, and again while it ends before it
// serves, as a supervisor would, until the context ends.
func (r *Replica) revive(ctx context.Context) error {
	for {
		if r.Running() {
			return nil
		}
		err := r.Start(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// ended is the proof that a process ended in some way.
func ended(how, want string) (string, error) {
	if !strings.Contains(how, want) {
		return "", fmt.Errorf("%w: the process ended with %q, not %q", errNoEffect, how, want)
	}
	return how, nil
}
