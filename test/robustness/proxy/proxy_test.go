// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for something that another goroutine brings about.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !yes(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

// proxied starts a server that does something with each connection, a proxy
// before it, and returns the proxy.
func proxied(t *testing.T, serve func(*net.TCPConn)) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	do(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // nothing is lost with it
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	p, err := New(t.Context(), listener.Addr().String())
	do(t, err)
	t.Cleanup(func() {
		do(t, p.Close())
		do(t, listener.Close())
		<-ended
	})
	return p
}

func echo(conn *net.TCPConn) {
	io.Copy(conn, conn) //nolint:errcheck // the test looks at its own side
	conn.CloseWrite()   //nolint:errcheck // the test looks at its own side
	io.ReadAll(conn)    //nolint:errcheck // until the client is gone
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	do(t, err)
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // nothing is lost with it
	do(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	return conn.(*net.TCPConn)
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	do(t, err)
}

func expect(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("read %q (%v), want %q", got, err, text)
	}
}

// silent fails the test if bytes arrive.
func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	do(t, conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, errTimeout(err)) {
		t.Fatalf("read %d bytes (%v), want silence", n, err)
	}
	do(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
}

// errTimeout returns err if it is a timeout.
func errTimeout(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return io.ErrNoProgress
}

func TestZeroRulesCarryEverything(t *testing.T) {
	p := proxied(t, echo)
	conn := dial(t, p)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		conn.Write(sent)  //nolint:errcheck // the reader sees it
		conn.CloseWrite() //nolint:errcheck // the reader sees it
	}()
	got, err := io.ReadAll(conn)
	do(t, err)
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, want the %d sent", len(got), len(sent))
	}
	if c := p.Count(); c.Broken() || c.Accepted != 1 || c.Passed != int64(2*len(sent)) {
		t.Errorf("count %+v", c)
	}
}

func TestHoldKeepsBytesUntilItEnds(t *testing.T) {
	for name, rules := range map[string]Rules{
		"to server": {ToServer: Rule{Hold: true}},
		"to client": {ToClient: Rule{Hold: true}},
		"both":      Both(Rule{Hold: true}),
	} {
		t.Run(name, func(t *testing.T) {
			p := proxied(t, echo)
			conn := dial(t, p)
			send(t, conn, "a")
			expect(t, conn, "a")
			p.Set(rules)
			send(t, conn, "hello")
			until(t, "holding", func() bool { return p.Count().Held == 5 })
			silent(t, conn)
			p.Set(Rules{})
			expect(t, conn, "hello")
			if c := p.Count(); c.Swallowed != 0 || c.Reset != 0 {
				t.Errorf("count %+v", c)
			}
		})
	}
}

func TestHoldBoundsMemory(t *testing.T) {
	p := proxied(t, echo)
	p.Set(Rules{ToServer: Rule{Hold: true}})
	conn := dial(t, p)
	do(t, conn.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sent, err := io.CopyN(onlyWriter{conn}, zeros{}, 256<<20)
	if err == nil {
		t.Fatalf("%d bytes were taken", sent)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes for %d sent", grown, sent)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// onlyWriter hides ReadFrom.
type onlyWriter struct{ io.Writer }

func TestSwallowLosesBytesAndThenTheConnection(t *testing.T) {
	for name, rules := range map[string]Rules{
		"to server": {ToServer: Rule{Swallow: true}},
		"to client": {ToClient: Rule{Swallow: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxied(t, echo)
			conn, idle := dial(t, p), dial(t, p)
			for _, c := range []*net.TCPConn{conn, idle} {
				send(t, c, "a")
				expect(t, c, "a")
			}
			p.Set(rules)
			send(t, conn, "hello")
			until(t, "swallowing", func() bool { return p.Count().Swallowed == 5 })
			silent(t, conn)
			p.Set(Rules{})
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after the loss: %v, want a reset", err)
			}
			send(t, idle, "b")
			expect(t, idle, "b")
			if c := p.Count(); c.Reset != 1 {
				t.Errorf("count %+v, want one reset", c)
			}
		})
	}
}

// A client that ends within a partition is not seen to end by the server.
func TestSwallowHidesTheEnd(t *testing.T) {
	ended := make(chan error, 1)
	p := proxied(t, func(conn *net.TCPConn) {
		_, err := io.ReadAll(conn)
		ended <- err
	})
	conn := dial(t, p)
	until(t, "joining", func() bool { return p.Count().Accepted == 1 })
	send(t, conn, "a")
	until(t, "passing", func() bool { return p.Count().Passed == 1 })
	p.Set(Both(Rule{Swallow: true}))
	do(t, conn.Close())
	select {
	case err := <-ended:
		t.Errorf("the server saw the end (%v)", err)
	case <-time.After(20 * time.Millisecond):
	}
	p.Set(Rules{})
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the partition: %v, want a reset", err)
	}
}

func TestDelayAndRateTakeTheirTime(t *testing.T) {
	for name, c := range map[string]struct {
		rule    Rule
		least   time.Duration
		counted func(Count) int64
	}{
		"delay": {Rule{Delay: 50 * time.Millisecond}, 50 * time.Millisecond, func(c Count) int64 { return c.Delayed }},
		"rate":  {Rule{Rate: 1000}, 90 * time.Millisecond, func(c Count) int64 { return c.Slowed }},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxied(t, echo)
			p.Set(Rules{ToServer: c.rule})
			conn := dial(t, p)
			text := string(bytes.Repeat([]byte("x"), 100))
			began := time.Now()
			send(t, conn, text)
			expect(t, conn, text)
			if took := time.Since(began); took < c.least {
				t.Errorf("it took %v, want at least %v", took, c.least)
			}
			if n := c.counted(p.Count()); n != 100 {
				t.Errorf("counted %d bytes, want 100", n)
			}
		})
	}
}

// Bytes that are under way together arrive together, however many.
func TestDelayDoesNotAddUp(t *testing.T) {
	p := proxied(t, echo)
	const delay = 100 * time.Millisecond
	p.Set(Rules{ToServer: Rule{Delay: delay}})
	conn := dial(t, p)
	began := time.Now()
	for range 20 {
		send(t, conn, "x")
		time.Sleep(time.Millisecond) // so that each is read by itself
	}
	expect(t, conn, "xxxxxxxxxxxxxxxxxxxx")
	if took := time.Since(began); took > 20*delay/2 {
		t.Errorf("20 bytes took %v with a delay of %v", took, delay)
	}
}

func TestResetAfterSomeBytes(t *testing.T) {
	p := proxied(t, echo)
	conn := dial(t, p)
	send(t, conn, "before")
	expect(t, conn, "before")
	p.Set(Rules{ToClient: Rule{ResetAfter: 3}})
	send(t, conn, "hello")
	got, err := io.ReadAll(conn)
	// A reset may overtake the last bytes in the receiver's kernel.
	if len(got) > 3 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %q (%v), want at most 3 bytes and a reset", got, err)
	}
	if c := p.Count(); c.Reset != 1 || c.Passed != 6+6+5+3 {
		t.Errorf("count %+v", c)
	}
}

func TestHalfClose(t *testing.T) {
	p := proxied(t, echo)
	conn := dial(t, p)
	send(t, conn, "a")
	expect(t, conn, "a")
	p.Set(Rules{ToClient: Rule{HalfClose: true}})
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("read %d (%v), want the end of the stream", n, err)
	}
	send(t, conn, "hello")
	until(t, "swallowing", func() bool { return p.Count().Swallowed == 5 })
	if c := p.Count(); c.HalfShut != 1 || c.Passed != 1+1+5 {
		t.Errorf("count %+v", c)
	}
}

func TestRefuseCutAndReset(t *testing.T) {
	p := proxied(t, echo)
	one, two := dial(t, p), dial(t, p)
	for _, c := range []*net.TCPConn{one, two} {
		send(t, c, "a")
		expect(t, c, "a")
	}
	if n := p.Cut(); n != 2 {
		t.Errorf("%d connections were cut, want 2", n)
	}
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after Cut: %v, want the end of the stream", err)
	}
	three := dial(t, p)
	send(t, three, "a")
	expect(t, three, "a")
	p.Set(Rules{Refuse: true})
	refused, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	if err == nil {
		_, err = refused.Read(make([]byte, 1))
		refused.Close() //nolint:errcheck // nothing is lost with it
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused connection: %v, want a reset", err)
	}
	send(t, three, "b")
	expect(t, three, "b")
	p.Reset()
	if _, err := three.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Reset: %v, want a reset", err)
	}
	if c := p.Count(); c.Refused != 1 || c.Cut != 2 || c.Reset != 1 {
		t.Errorf("count %+v", c)
	}
}

func TestATargetThatIsGone(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	do(t, err)
	p, err := New(t.Context(), listener.Addr().String())
	do(t, err)
	do(t, listener.Close())
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		conn.Close() //nolint:errcheck // nothing is lost with it
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	until(t, "counting", func() bool { return p.Count().Unreached == 1 })
	p.SetTarget("")
	conn, err = new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
		conn.Close() //nolint:errcheck // nothing is lost with it
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("without a target: %v, want a reset", err)
	}
	other := proxied(t, echo)
	p.SetTarget(other.Addr())
	there := dial(t, p)
	send(t, there, "a")
	expect(t, there, "a")
	do(t, p.Close())
	do(t, p.Close())
}

func TestTheTargetsResetIsPassedOn(t *testing.T) {
	p := proxied(t, func(conn *net.TCPConn) {
		conn.Read(make([]byte, 1)) //nolint:errcheck // only to begin
		abort(conn)
	})
	conn := dial(t, p)
	send(t, conn, "a")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
	if c := p.Count(); c.Broken() {
		t.Errorf("count %+v: the proxy did nothing", c)
	}
}

// Close ends held, idle and busy connections alike; goleak sees the rest.
func TestCloseWithOpenConnections(t *testing.T) {
	p := proxied(t, echo)
	busy, idle := dial(t, p), dial(t, p)
	send(t, idle, "a")
	expect(t, idle, "a")
	p.Set(Both(Rule{Hold: true}))
	send(t, busy, "held")
	until(t, "holding", func() bool { return p.Count().Held > 0 })
	do(t, p.Close())
	for _, conn := range []*net.TCPConn{busy, idle} {
		if _, err := io.ReadAll(conn); errors.Is(err, errTimeout(err)) {
			t.Error("a connection is still open")
		}
	}
}
