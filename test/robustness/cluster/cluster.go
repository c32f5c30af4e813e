// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/resilienced/resilienced/test/robustness/proxy"
)

// Stores that replicas may run on.
const (
	Postgres = "postgres" // the default
	SQLite   = "sqlite"   // one replica
	Memory   = "memory"   // one replica, which forgets all when it ends
)

// Config says what a cluster is made of. Binary and Dir are required.
type Config struct {
	// Binary is what Build made.
	Binary string
	// Dir is where logs, policy files and a SQLite database go. It is left
	// when the cluster is closed.
	Dir string
	// Replicas is how many; 0: three, or one where the store bears no more.
	Replicas int
	// Store is Postgres, SQLite or Memory; empty: Postgres.
	Store string
	// Policy is the text of every replica's policy file.
	Policy string
	// Args follow `resilienced serve` and the arguments of this package.
	Args []string
	// Env is added to the replicas' environment.
	Env []string
	// DSNOptions are added to the database's address; empty:
	// "connect_timeout=2", so that a host that is silent costs no more.
	DSNOptions string
	// Skewable says that Binary was built with Source.Skewable.
	Skewable bool
	// Faketime starts PostgreSQL so that SkewDatabase can move its clock.
	Faketime bool
	// Sync has PostgreSQL wait for the disk.
	Sync bool
	// Settings go into postgresql.conf.
	Settings map[string]string
}

// Cluster is replicas over a store. Make it with Start.
type Cluster struct {
	config   Config
	database *database // nil if the store is not PostgreSQL
	replicas []*Replica
}

// Start starts the database, then the replicas, and returns when all are
// ready. The context bounds the start only. The caller calls Close.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	if config.Binary == "" || config.Dir == "" {
		return nil, errors.New("cluster.Config needs Binary and Dir")
	}
	if config.Store == "" {
		config.Store = Postgres
	}
	if config.Replicas == 0 {
		config.Replicas = 3
		if config.Store != Postgres {
			config.Replicas = 1
		}
	}
	if config.Store != Postgres && config.Replicas != 1 {
		return nil, fmt.Errorf("the store %s bears one replica, not %d", config.Store, config.Replicas)
	}
	if config.DSNOptions == "" {
		config.DSNOptions = "connect_timeout=2"
	}
	c := &Cluster{config: config}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.end(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.config.Store == Postgres {
		if c.database, err = startDatabase(ctx, c.config); err != nil {
			return err
		}
	}
	for i := range c.config.Replicas {
		r := &Replica{cluster: c, number: i}
		if r.log, err = os.Create(filepath.Join(c.config.Dir, fmt.Sprintf("replica-%d.log", i))); err != nil {
			return err
		}
		if r.clients, err = proxy.New(ctx, ""); err != nil {
			return errors.Join(err, r.log.Close())
		}
		c.replicas = append(c.replicas, r)
		if err := r.SetPolicy(c.config.Policy); err != nil {
			return err
		}
		if err := r.Start(ctx); err != nil {
			return err
		}
	}
	return c.AwaitWhole(ctx)
}

// storeEnv returns the settings that lead a replica to its store. They go by
// the environment, since arguments of processes can be read by everybody.
func (c *Cluster) storeEnv(r *Replica) []string {
	if c.database != nil {
		return []string{"RESILIENCED_STORE=" + c.database.dsn(r.number, c.config.DSNOptions)}
	}
	return []string{"RESILIENCED_STORE=" + c.config.Store, "RESILIENCED_DATA_DIR=" + c.config.Dir}
}

// Replicas returns the replicas; they are the same over all their lives.
func (c *Cluster) Replicas() []*Replica { return c.replicas }

// Addrs returns where clients reach the replicas.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, r := range c.replicas {
		addrs = append(addrs, r.Addr())
	}
	return addrs
}

// Whole returns nil if every replica is ready and, on PostgreSQL, the primary
// takes writes and has its synchronous standby.
func (c *Cluster) Whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if c.database != nil {
		if err := c.database.whole(ctx); err != nil {
			return err
		}
	}
	for _, r := range c.replicas {
		if err := r.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// AwaitWhole waits until Whole is nil.
func (c *Cluster) AwaitWhole(ctx context.Context) error {
	for {
		err := c.Whole(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster is not whole: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Faulty returns what no fault of ours explains: replicas that ended by
// themselves, with a panic or a race for example. The logs say more.
func (c *Cluster) Faulty() []string {
	var found []string
	for _, r := range c.replicas {
		found = append(found, r.faulty()...)
	}
	return found
}

// Close kills the replicas and ends the database.
func (c *Cluster) Close() error { return c.end(context.Background()) }

func (c *Cluster) end(ctx context.Context) error {
	var failed []error
	for _, r := range c.replicas {
		failed = append(failed, r.Kill(ctx), r.clients.Close(), r.log.Close())
	}
	if c.database != nil {
		failed = append(failed, c.database.close())
	}
	return errors.Join(failed...)
}
