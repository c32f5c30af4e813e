// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/resilienced/resilienced/rules"
	"github.com/resilienced/resilienced/statestore"
)

// killer stands between a store and the server. When armed, it ends a
// connection right behind the answer to a COMMIT, as pg_terminate_backend does
// when it comes at that moment.
type killer struct {
	server string
	armed  atomic.Bool
}

// listen returns the address that the store is to use.
func (k *killer) listen(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	noError(t, err)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { k.serve(client) })
		}
	})
	t.Cleanup(func() {
		noError(t, l.Close())
		group.Wait()
	})
	return l.Addr().String()
}

func (k *killer) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", k.server) //nolint:noctx // the test's end closes both
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	for {
		message, err := next(server)
		if err != nil {
			return
		}
		if message[0] == 'C' && string(message[5:]) == "COMMIT\x00" && k.armed.CompareAndSwap(true, false) {
			message = append(message, fatal()...)
			_, _ = client.Write(message)
			return
		}
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}

// next reads one message of the server's: a letter, its length, and the rest.
func next(from io.Reader) ([]byte, error) {
	message := make([]byte, 5)
	if _, err := io.ReadFull(from, message); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(message[1:])-4)
	_, err := io.ReadFull(from, rest)
	return append(message, rest...), err
}

// fatal is the message of a backend that an administrator ends.
func fatal() []byte {
	fields := strings.Join([]string{"SFATAL", "VFATAL", "C57P01", "Mterminating connection due to administrator command", "", ""}, "\x00")
	return append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(fields)+4)), fields...)
}

// TestAConnectionThatEndsBehindTheCommit: the answer to COMMIT has come, so the
// transaction is neither repeated nor called failed.
func TestAConnectionThatEndsBehindTheCommit(t *testing.T) {
	cfg := newConfig(t)
	k := &killer{server: shared.Addr()}
	cfg.DSN = strings.Replace(cfg.DSN, shared.Addr(), k.listen(t), 1)
	s := openStore(t, cfg)
	noError(t, put(s, "warm", 1))
	calls := 0
	e := writing("a")
	k.armed.Store(true)
	err := s.Update(t.Context(), []*statestore.Entry{e}, func(rules.Instant) (statestore.Durability, error) {
		calls++
		e.Put(&note{N: 7})
		return statestore.Durable, nil
	})
	if err != nil || calls != 1 || k.armed.Load() {
		t.Errorf("error %v after %d calls, armed %v; want none after one", err, calls, k.armed.Load())
	}
	if n := number(t, s, "a"); n != 7 {
		t.Errorf("N = %d, want 7", n)
	}
}
