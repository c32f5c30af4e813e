// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// What a proxy does to the next message of a client.
const (
	passes    = iota
	swallowed // the server does not get it, and the connection breaks
	answered  // the server gets it; its answer is swallowed, and the connection breaks
)

// proxy stands before a server and breaks connections where it is told to.
type proxy struct {
	addr  string
	next  atomic.Int32
	dials atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	noError(t, err)
	p := &proxy{addr: listener.Addr().String()}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.dials.Add(1)
			group.Go(func() { p.serve(t.Context(), client, server) })
		}
	})
	t.Cleanup(func() {
		noError(t, listener.Close())
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close() // most are closed already
		}
		p.mu.Unlock()
		group.Wait()
	})
	return p
}

func (p *proxy) serve(ctx context.Context, client net.Conn, addr string) {
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	var mute atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		forward(server, client, func() bool { return !mute.Load() })
		_ = client.Close()
	})
	forward(client, server, func() bool {
		switch p.next.Load() {
		case swallowed:
			p.next.Store(passes)
			return false
		case answered:
			p.next.Store(passes)
			mute.Store(true)
		}
		return true
	})
	if !mute.Load() {
		_ = server.Close()
	}
	group.Wait()
	_ = server.Close()
}

// forward copies until an end is closed or may says no to what was read.
func forward(from io.Reader, to io.Writer, may func() bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !may() {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
