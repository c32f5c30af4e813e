// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/resilienced/resilienced/test/pgserver"
	"github.com/resilienced/resilienced/test/robustness/proxy"
)

// host is a place for a server of the database, with a proxy for each replica.
type host struct {
	server  *pgserver.Server
	proxies []*proxy.Proxy
}

// lead leads the proxies to the host's server.
func (h *host) lead() {
	for _, p := range h.proxies {
		p.SetTarget(h.server.Addr())
		p.Reset()
	}
}

// database is a primary and its synchronous standby, which change places at a
// failover.
type database struct {
	name string

	mu      sync.Mutex
	hosts   [2]*host
	primary int // of hosts
}

func startDatabase(ctx context.Context, config Config) (_ *database, err error) {
	options := pgserver.Options{Settings: config.Settings, Sync: config.Sync}
	if config.Faketime {
		options.Faketime = "+0s"
	}
	d := &database{hosts: [2]*host{{}, {}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.hosts[0].server, err = pgserver.Start(ctx, options); err != nil {
		return nil, err
	}
	dsn, err := d.hosts[0].server.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	d.name = at.Path[1:]
	if d.hosts[1].server, err = d.hosts[0].server.Standby(ctx, true); err != nil {
		return nil, err
	}
	for _, h := range d.hosts {
		for range config.Replicas {
			p, err := proxy.New(ctx, h.server.Addr())
			if err != nil {
				return nil, err
			}
			h.proxies = append(h.proxies, p)
		}
	}
	return d, nil
}

// dsn returns the address of the database for a replica: both hosts, of which
// the one that takes writes is wanted.
func (d *database) dsn(replica int, options string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, err := url.Parse(d.hosts[0].server.DSN(d.name))
	if err != nil {
		return err.Error() // pgserver makes it; the replica would say so
	}
	at.Host = d.hosts[0].proxies[replica].Addr() + "," + d.hosts[1].proxies[replica].Addr()
	at.RawQuery += "&target_session_attrs=read-write&" + options
	return at.String()
}

// Primary returns the server that is the primary now.
func (c *Cluster) Primary() *pgserver.Server {
	d := c.database
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hosts[d.primary].server
}

// Standby returns the server that is the standby now.
func (c *Cluster) Standby() *pgserver.Server {
	d := c.database
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hosts[1-d.primary].server
}

// Database is the name of the service's database on Primary.
func (c *Cluster) Database() string { return c.database.name }

// SQL runs statements on the primary in the service's database, as the
// superuser, by no proxy. It returns what psql -qAt prints.
func (c *Cluster) SQL(ctx context.Context, sql string) (string, error) {
	return c.Primary().Exec(ctx, c.database.name, sql)
}

func (d *database) whole(ctx context.Context) error {
	d.mu.Lock()
	primary := d.hosts[d.primary].server
	d.mu.Unlock()
	state, err := primary.Exec(ctx, "postgres", `SELECT concat_ws(' ', pg_is_in_recovery(), count(*))
		FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')`)
	if err != nil {
		return err
	}
	if state != "f 1" {
		return fmt.Errorf("the primary is in recovery (t or f) and has synchronous standbys: %s, want f 1", state)
	}
	return nil
}

// promote makes the standby the primary.
func (d *database) promote(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.hosts[1-d.primary].server.Promote(ctx); err != nil {
		return err
	}
	d.primary = 1 - d.primary
	return nil
}

// rejoin replaces the old primary by a fresh standby of the new one.
func (d *database) rejoin(ctx context.Context) error {
	d.mu.Lock()
	old, primary := d.hosts[1-d.primary], d.hosts[d.primary].server
	d.mu.Unlock()
	standby, err := primary.Standby(ctx, true)
	if err != nil {
		return err
	}
	d.mu.Lock()
	gone := old.server
	old.server = standby
	d.mu.Unlock()
	old.lead()
	return gone.Close()
}

func (d *database) close() error {
	var failed []error
	for _, h := range d.hosts {
		for _, p := range h.proxies {
			failed = append(failed, p.Close())
		}
		if h.server != nil {
			failed = append(failed, h.server.Close())
		}
	}
	return errors.Join(failed...)
}
