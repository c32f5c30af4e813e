// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/resilienced/resilienced/statestore"
)

const (
	// maxMessage is the longest message, in bytes.
	maxMessage = 4096
	// queued is how many messages wait to be sent, or to be taken.
	queued = 256
	// listenCheck is how often a silent connection is asked whether it lives.
	listenCheck = 10 * time.Second
)

// mailbox carries messages between the processes on a schema. LISTEN has a
// connection of its own. NOTIFY is never part of a decision's transaction: it
// would let commits go one by one.
type mailbox struct {
	channel string
	me      string // begins our own messages, which come back too
	check   time.Duration
	begin   sync.Once
	out     chan string   // to be sent
	missed  chan struct{} // one message at least was not sent
	in      chan string
}

func newMailbox(schema string) *mailbox {
	return &mailbox{
		channel: fmt.Sprintf("%s_%016x", product, uint64(migrationLock(schema))),
		me:      rand.Text(),
		check:   listenCheck,
		out:     make(chan string, queued),
		missed:  make(chan struct{}, 1),
		in:      make(chan string, queued),
	}
}

var _ statestore.Notifier = (*Store)(nil)

// Notify implements statestore.Notifier. When the queue is full, or the server
// is gone, the others get an empty message later.
func (s *Store) Notify(message string) {
	if len(message) > maxMessage || !storableText(message) {
		s.mail.miss()
		return
	}
	select {
	case s.mail.out <- message:
	default:
		s.mail.miss()
	}
}

func (m *mailbox) miss() {
	select {
	case m.missed <- struct{}{}:
	default:
	}
}

// Notifications implements statestore.Notifier. Listening begins with the first
// call.
func (s *Store) Notifications() <-chan string {
	s.mail.begin.Do(func() {
		if s.cfg.ListenDSN == "" && s.bouncer {
			s.cfg.Logger.Info("messages of other replicas cannot be heard through a connection pooler: changes are found by polling. " +
				"Give the store an address of the database itself to listen at")
			return
		}
		s.loops.Go(func() { s.listen(s.run) })
	})
	return s.mail.in
}

// post sends what waits in the queue, until ctx ends.
func (s *Store) post(ctx context.Context) {
	for {
		var batch []string
		select {
		case <-ctx.Done():
			return
		case <-s.mail.missed:
			batch = append(batch, "")
		case message := <-s.mail.out:
			batch = append(batch, message)
		}
		for more := true; more && len(batch) < queued; {
			select {
			case message := <-s.mail.out:
				batch = append(batch, message)
			default:
				more = false
			}
		}
		for i := range batch {
			batch[i] = s.mail.me + batch[i]
		}
		// Equal messages of one transaction are sent once.
		if _, err := s.look(ctx, s.sql.notify, []any{s.mail.channel, batch}, drop); err != nil && ctx.Err() == nil {
			s.cfg.Logger.DebugContext(ctx, "messages to other replicas were not sent", "count", len(batch), "error", err)
			s.rest(ctx)
			s.mail.miss()
		}
	}
}

// drop takes the rows of a statement that is run for what it does.
func drop(rows pgx.Rows) error {
	rows.Close()
	return rows.Err()
}

// rest waits for about half a second, each process for another time.
func (s *Store) rest(ctx context.Context) {
	timer := time.NewTimer(lastPause/4 + mathrand.N(lastPause/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// listen hears messages until ctx ends. After each new connection it says that
// some may have been lost.
func (s *Store) listen(ctx context.Context) {
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			s.rest(ctx)
		}
		if s.gate.shut() != nil {
			continue // the prober is at it
		}
		err := s.hear(ctx, !first)
		if ctx.Err() == nil {
			s.cfg.Logger.DebugContext(ctx, "the connection for messages of other replicas broke", "error", s.translate("listen", err))
		}
	}
}

// hear listens on one connection until it breaks.
func (s *Store) hear(ctx context.Context, missed bool) error {
	cc := s.connConfig()
	if s.listenAt != nil {
		cc = s.listenAt.Copy()
	}
	conn, err := pgx.ConnectConfig(mayDial(ctx), cc)
	if err != nil {
		return err
	}
	defer s.hangUp(ctx, conn)
	if err := s.ping(ctx, conn, "LISTEN "+quote(s.mail.channel)); err != nil {
		return err
	}
	for {
		if missed {
			missed = !s.mail.deliver("")
		}
		n, err := s.next(ctx, conn)
		switch {
		case err != nil:
			return err
		case n == nil:
			continue
		}
		if message, others := s.mail.open(n.Payload); others {
			missed = !s.mail.deliver(message) || missed
		}
	}
}

// open returns the message of another process.
func (m *mailbox) open(payload string) (message string, others bool) {
	if len(payload) < len(m.me) || strings.HasPrefix(payload, m.me) {
		return "", false
	}
	return payload[len(m.me):], true
}

// deliver reports whether there was room for the message.
func (m *mailbox) deliver(message string) bool {
	select {
	case m.in <- message:
		return true
	default:
		return false
	}
}

// next waits for a notification. It returns none after a while in which the
// connection proved to live.
func (s *Store) next(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, s.mail.check)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	if err == nil || ctx.Err() != nil || !errors.Is(waiting.Err(), context.DeadlineExceeded) {
		return n, err
	}
	return nil, s.ping(ctx, conn, "SELECT 1")
}

// ping runs a statement on the listening connection.
func (s *Store) ping(ctx context.Context, conn *pgx.Conn, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TripTimeout)
	defer cancel()
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}
