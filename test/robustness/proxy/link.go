// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkSize = 16 << 10
	// A direction keeps this many chunks at most.
	queued = 30
)

// link is one connection of a client and its counterpart at the target.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	once           sync.Once
	done           chan struct{} // closed when both are
}

// close ends the link in the orderly way. Only the first end counts.
func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		l.client.Close() //nolint:errcheck // nothing is lost with it
		l.server.Close() //nolint:errcheck // nothing is lost with it
	})
}

// reset ends the link by a reset of both its sides.
func (l *link) reset() { l.abort(&l.proxy.counts.reset) }

// abort is reset, with the count of it given: none for what others broke.
func (l *link) abort(count *atomic.Int64) {
	l.once.Do(func() {
		if count != nil {
			count.Add(1)
		}
		close(l.done)
		abort(l.client)
		abort(l.server)
	})
}

// chunk is a piece of a stream with the time at which it came, or the news that
// the stream broke off.
type chunk struct {
	data  []byte
	came  time.Time
	broke bool
}

// carry carries one direction until it ends.
func (l *link) carry(toServer bool) {
	from, to := l.server, l.client
	if toServer {
		from, to = l.client, l.server
	}
	queue := make(chan chunk, queued)
	go l.read(from, queue)
	p := &pump{link: l, toServer: toServer, to: to}
	if !p.run(queue) {
		l.close()
	}
	for range queue { // the reader ends when its connection does
	}
}

// read takes a stream in until it ends.
func (l *link) read(from *net.TCPConn, queue chan<- chunk) {
	defer close(queue)
	for {
		buf := make([]byte, chunkSize)
		n, err := from.Read(buf)
		if n > 0 {
			select {
			case queue <- chunk{data: buf[:n], came: time.Now()}:
			case <-l.done:
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			select {
			case queue <- chunk{broke: true}:
			case <-l.done:
			}
			return
		}
	}
}

// pump writes one direction of a link, as the rules of the moment say.
type pump struct {
	link     *link
	toServer bool
	to       *net.TCPConn
	epoch    int   // of the rules that arrived counts from
	arrived  int64 // bytes
	lost     bool  // some bytes did not arrive
	shut     bool  // the receiver was told that no more will come
}

// run writes until the stream ends, which it tells the receiver. It returns
// false if the link cannot go on.
func (p *pump) run(queue <-chan chunk) bool {
	for {
		rule, _, changed := p.link.proxy.now(p.toServer)
		if !p.prepare(rule) {
			return false
		}
		select {
		case c, open := <-queue:
			if !open || c.broke {
				return p.finish(c.broke)
			}
			if !p.pass(c) {
				return false
			}
		case <-changed:
		case <-p.link.done:
			return false
		}
	}
}

// prepare brings the link into the state that a rule asks for before any bytes.
func (p *pump) prepare(rule Rule) bool {
	if p.lost && !rule.Swallow && !rule.HalfClose {
		p.link.reset()
		return false
	}
	if rule.HalfClose && !p.shut {
		p.shut, p.lost = true, true
		p.link.proxy.counts.halfShut.Add(1)
		return p.to.CloseWrite() == nil
	}
	return true
}

// pass brings one chunk to the receiver, or not.
func (p *pump) pass(c chunk) bool {
	counts := &p.link.proxy.counts
	held, delayed, slowed := false, false, false
	for len(c.data) > 0 {
		rule, epoch, changed := p.link.proxy.now(p.toServer)
		if !p.prepare(rule) {
			return false
		}
		if epoch != p.epoch {
			p.epoch, p.arrived = epoch, 0
		}
		wait := time.Duration(0)
		switch n := int64(len(c.data)); {
		case rule.Swallow || p.shut:
			p.lost = true
			counts.swallowed.Add(n)
			return true
		case rule.Hold:
			addOnce(&held, &counts.held, n)
			wait = 1 << 62
		case rule.Delay > 0 && time.Since(c.came) < rule.Delay:
			addOnce(&delayed, &counts.delayed, n)
			wait = rule.Delay - time.Since(c.came)
		}
		if wait > 0 {
			if !p.pause(wait, changed) {
				return false
			}
			continue
		}
		piece := c.data
		if rule.Rate > 0 {
			addOnce(&slowed, &counts.slowed, int64(len(c.data)))
			piece = piece[:min(len(piece), max(1, rule.Rate/100))]
		}
		if rule.ResetAfter > 0 {
			piece = piece[:min(int64(len(piece)), rule.ResetAfter-p.arrived)]
		}
		if !p.write(piece, rule) {
			return false
		}
		c.data = c.data[len(piece):]
		if rule.Rate > 0 && !p.pause(time.Second*time.Duration(len(piece))/time.Duration(rule.Rate), changed) {
			return false
		}
	}
	return true
}

// write brings bytes to the receiver and resets the link if the rule says so.
func (p *pump) write(piece []byte, rule Rule) bool {
	n, err := p.to.Write(piece)
	p.link.proxy.counts.passed.Add(int64(n))
	p.arrived += int64(n)
	if rule.ResetAfter > 0 && p.arrived >= rule.ResetAfter {
		p.link.reset()
		return false
	}
	return err == nil
}

// pause waits until the time is over or the rules change.
func (p *pump) pause(wait time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-p.link.done:
		return false
	}
	return true
}

// finish tells the receiver that the stream has ended, or broke off.
func (p *pump) finish(broke bool) bool {
	for {
		rule, _, changed := p.link.proxy.now(p.toServer)
		switch {
		case p.lost || rule.Swallow || rule.HalfClose:
			// The end is lost with the rest, until the link is reset.
			p.lost = true
		case rule.Hold:
		case broke:
			p.link.abort(nil)
			return false
		default:
			return p.shut || p.to.CloseWrite() == nil
		}
		select {
		case <-changed:
		case <-p.link.done:
			return false
		}
		rule, _, _ = p.link.proxy.now(p.toServer)
		if !p.prepare(rule) {
			return false
		}
	}
}
