// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/resilienced/resilienced/test/robustness/proxy"
)

// Link is which connections a fault of the network concerns.
type Link struct {
	Replica int
	// Database: those between the replica and the database's hosts, and not
	// those between its clients and it.
	Database bool
}

func (l Link) String() string {
	if l.Database {
		return fmt.Sprintf("replica %d and the database", l.Replica)
	}
	return fmt.Sprintf("clients and replica %d", l.Replica)
}

func (l Link) proxies(c *Cluster) []*proxy.Proxy {
	if l.Database {
		return c.replicas[l.Replica].Databases()
	}
	return []*proxy.Proxy{c.replicas[l.Replica].clients}
}

// Direction is whose bytes a fault of the network concerns: those to the
// server of the link, to its client, or both.
type Direction int

// Directions.
const (
	Both Direction = iota
	ToServer
	ToClient
)

func (d Direction) String() string {
	return [...]string{"both ways", "to the server", "to the client"}[d]
}

func (d Direction) rules(r proxy.Rule) proxy.Rules {
	switch d {
	case ToServer:
		return proxy.Rules{ToServer: r}
	case ToClient:
		return proxy.Rules{ToClient: r}
	default:
		return proxy.Both(r)
	}
}

// Partition holds back the bytes of a link, which arrive when it ends.
func Partition(l Link, d Direction) Fault {
	return network("partition", fmt.Sprintf("%v, %v", l, d), l, d.rules(proxy.Rule{Hold: true}),
		func(c proxy.Count) (int, string) { return int(c.Held), "bytes held" })
}

// BlackHole swallows the bytes of a link. Connections that lost some are reset
// when it ends.
func BlackHole(l Link, d Direction) Fault {
	return network("black hole", fmt.Sprintf("%v, %v", l, d), l, d.rules(proxy.Rule{Swallow: true}),
		func(c proxy.Count) (int, string) { return int(c.Swallowed), "bytes swallowed" })
}

// Delay has the bytes of a link arrive later.
func Delay(l Link, d Direction, by time.Duration) Fault {
	return network("delay", fmt.Sprintf("%v, %v, %v", l, d, by), l, d.rules(proxy.Rule{Delay: by}),
		func(c proxy.Count) (int, string) { return int(c.Delayed), "bytes delayed" })
}

// Throttle lets so many bytes a second through, in each direction of each
// connection.
func Throttle(l Link, d Direction, rate int) Fault {
	return network("throttle", fmt.Sprintf("%v, %v, %d B/s", l, d, rate), l, d.rules(proxy.Rule{Rate: rate}),
		func(c proxy.Count) (int, string) { return int(c.Slowed), "bytes slowed" })
}

// ResetAfter resets each connection of a link when so many more bytes of it
// have arrived, again and again.
func ResetAfter(l Link, d Direction, bytes int64) Fault {
	return network("reset after n bytes", fmt.Sprintf("%v, %v, %d B", l, d, bytes), l, d.rules(proxy.Rule{ResetAfter: bytes}),
		func(c proxy.Count) (int, string) { return int(c.Reset), "connections reset" })
}

// HalfClose tells the receivers of a direction that no more will come.
func HalfClose(l Link, d Direction) Fault {
	return network("half-close", fmt.Sprintf("%v, %v", l, d), l, d.rules(proxy.Rule{HalfClose: true}),
		func(c proxy.Count) (int, string) { return int(c.HalfShut), "directions shut" })
}

// Drop ends the connections of a link and takes no new ones.
func Drop(l Link) Fault {
	return network("drop", l.String(), l, proxy.Rules{Refuse: true},
		func(c proxy.Count) (int, string) { return int(c.Cut + c.Refused), "connections cut or refused" })
}

// ofDatabase ends the kinds of faults between a replica and the database.
const ofDatabase = ", database"

// network makes a fault of rules of proxies. A rule that refuses also cuts what
// is open.
func network(kind, about string, l Link, rules proxy.Rules, effect func(proxy.Count) (int, string)) Fault {
	if l.Database {
		kind += ofDatabase
	}
	var before []proxy.Count
	var did []string
	total := 0
	return &fault{
		kind: kind, about: about,
		begin: func(_ context.Context, c *Cluster) error {
			if len(l.proxies(c)) == 0 {
				return fmt.Errorf("%s: the store is no PostgreSQL", kind)
			}
			for _, p := range l.proxies(c) {
				before = append(before, p.Count())
				p.Set(rules)
				if rules.Refuse {
					p.Cut()
				}
			}
			return nil
		},
		end: func(_ context.Context, c *Cluster) error {
			for i, p := range l.proxies(c) {
				p.Set(proxy.Rules{})
				if i < len(before) {
					n, what := effect(p.Count().Since(before[i]))
					total += n
					did = append(did, fmt.Sprintf("%d %s", n, what))
				}
			}
			return nil
		},
		proof: func() (string, error) {
			text := strings.Join(did, ", ")
			if total == 0 {
				return "", fmt.Errorf("%w: %s", errNoEffect, text)
			}
			return text, nil
		},
	}
}
