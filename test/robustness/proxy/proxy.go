// SPDX-License-Identifier: Apache-2.0

// Package proxy is a TCP proxy that breaks what it carries: on purpose, on
// command, and with a count of what it broke.
//
// A Proxy listens on a port of its own and joins each connection to one to its
// target. What happens to the bytes of each direction is said by Rules, which
// are changed while connections are open and count for these too. The zero
// Rules carry everything.
//
// A connection holds at most 1 MiB in the proxy; beyond that its sender waits,
// as it would for a full network.
package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Rule says what happens to the bytes of one direction. The zero value passes
// them on.
type Rule struct {
	// Delay is how much later bytes arrive. It does not limit their rate.
	Delay time.Duration
	// Rate is how many bytes a second arrive, at most. 0 is no limit.
	Rate int
	// Hold keeps bytes back. They arrive when it ends: a partition that heals.
	Hold bool
	// Swallow throws bytes away: a partition that outlives connections. What a
	// connection lost cannot be made good, so it is reset when this ends.
	Swallow bool
	// ResetAfter resets a connection when this many bytes of it have arrived
	// since the rule was set. 0 is never.
	ResetAfter int64
	// HalfClose tells the receiver that no more will come, and throws away what
	// does. The connection is reset when this ends.
	HalfClose bool
}

// Rules say what the proxy does with connections.
type Rules struct {
	ToServer, ToClient Rule
	// Refuse resets every new connection.
	Refuse bool
}

// Both returns the rules that do the same to both directions.
func Both(r Rule) Rules { return Rules{ToServer: r, ToClient: r} }

// Proxy joins connections to a target. Its methods may be called from several
// goroutines.
type Proxy struct {
	listener net.Listener
	counts   counts
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	target  string
	rules   Rules
	epoch   int           // of the rules
	changed chan struct{} // closed when the rules change
	links   map[*link]struct{}
}

// New starts a proxy before a target, "host:port", or "" for none yet. The
// context bounds the start only. The caller calls Close.
func New(ctx context.Context, target string) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Proxy{
		listener: listener, target: target, stop: stop,
		changed: make(chan struct{}), links: map[*link]struct{}{},
	}
	p.running.Go(func() { p.accept(ctx) })
	return p, nil
}

// Addr returns the host and port that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set replaces the rules, for open connections too. Set(Rules{}) heals.
func (p *Proxy) Set(r Rules) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = r
	p.epoch++
	close(p.changed)
	p.changed = make(chan struct{})
}

// SetTarget leads new connections elsewhere. An empty target takes none.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Cut ends every connection in the orderly way and returns how many.
func (p *Proxy) Cut() int {
	n := p.endAll((*link).close)
	p.counts.cut.Add(int64(n))
	return n
}

// Reset ends every connection by a reset and returns how many.
func (p *Proxy) Reset() int { return p.endAll((*link).reset) }

// endAll ends the open connections and returns how many there were.
func (p *Proxy) endAll(end func(*link)) int {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		end(l)
	}
	return len(links)
}

// Close ends the proxy and every connection, and waits for their end.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.endAll((*link).close)
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// now returns the rule of a direction, its epoch, and the channel that tells
// its end.
func (p *Proxy) now(toServer bool) (Rule, int, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if toServer {
		return p.rules.ToServer, p.epoch, p.changed
	}
	return p.rules.ToClient, p.epoch, p.changed
}

func (p *Proxy) refuses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules.Refuse
}

// accept takes connections until the proxy is closed.
func (p *Proxy) accept(ctx context.Context) {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(time.Millisecond) // out of file descriptors, perhaps
			continue
		}
		client := conn.(*net.TCPConn)
		if p.refuses() {
			p.counts.refused.Add(1)
			abort(client)
			continue
		}
		p.counts.accepted.Add(1)
		p.running.Go(func() { p.join(ctx, client) })
	}
}

// join carries one connection until both directions have ended.
func (p *Proxy) join(ctx context.Context, client *net.TCPConn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		p.counts.unreached.Add(1)
		abort(client)
		return
	}
	l := &link{proxy: p, client: client, server: conn.(*net.TCPConn), done: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.mu.Unlock()
	if ctx.Err() != nil {
		l.close()
	}
	var both sync.WaitGroup
	both.Go(func() { l.carry(true) })
	both.Go(func() { l.carry(false) })
	both.Wait()
	l.close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// abort ends a connection by a reset.
func abort(conn *net.TCPConn) {
	conn.SetLinger(0) //nolint:errcheck // it only fails on a connection that is closed
	conn.Close()      //nolint:errcheck // nothing is lost with it
}
