// SPDX-License-Identifier: Apache-2.0

package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/resilienced/resilienced/engine"
)

// heartbeatAnswer: a lost lease has no length.
type heartbeatAnswer struct {
	Lease  time.Duration
	Cancel bool
}

// heartbeat extends a lease by its length up to max_hold, a probe's up to the
// half-open window.
func (w *world) heartbeat(number int) heartbeatAnswer {
	p := w.permits[number-1]
	if p.state != "ACTIVE" {
		return heartbeatAnswer{}
	}
	lease, hold := p.target.lease, max(time.Hour, p.target.lease)
	if p.probe {
		lease, hold = min(lease, time.Minute), time.Minute
	}
	p.expires = max(p.expires, min(w.now+lease, p.granted+hold))
	blocked, _ := w.blocker(p.run)
	return heartbeatAnswer{p.expires - w.now, blocked != nil && !p.target.dry}
}

// release gives a permit back as if it had never been granted.
func (w *world) release(number int) bool {
	p := w.permits[number-1]
	if p.state != "ACTIVE" {
		return false
	}
	o, t := p.op, p.target
	p.state = "RELEASED"
	if p.superseded {
		o.lost = slices.DeleteFunc(o.lost, func(l *permit) bool { return l == p })
		if t.probe == p {
			t.probe, t.halfOpenIdle = nil, w.now
		}
		return true
	}
	o.live = nil
	o.attempts--
	o.tried[p.level]--
	o.promised = p.promised
	o.forgetAt = w.now + day
	if t.probe == p {
		t.probe, t.halfOpenIdle = nil, w.now
	}
	return true
}

func (p *pair) heartbeat(number int) error {
	p.trace = append(p.trace, fmt.Sprintf("%v heartbeat %d", p.model.now, number))
	g, l := p.live.grants[number-1], heartbeatAnswer{}
	r, err := p.live.engine().Heartbeat(context.Background(), p.live.ns, g.PermitID, g.Fence)
	if errors.Is(err, engine.ErrLeaseLost) {
		err = nil
	} else if err == nil {
		l = heartbeatAnswer{r.Lease, r.Cancel}
	}
	return same(p, "heartbeat", l, err, p.model.heartbeat(number))
}

func (p *pair) release(number int) error {
	p.trace = append(p.trace, fmt.Sprintf("%v release %d", p.model.now, number))
	g, l := p.live.grants[number-1], false
	r, err := p.live.engine().Release(context.Background(), &engine.ReleaseRequest{Namespace: p.live.ns, PermitID: g.PermitID, Fence: g.Fence})
	if err == nil {
		l = r.Released
	}
	return same(p, "release", l, err, p.model.release(number))
}
