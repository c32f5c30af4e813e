// SPDX-License-Identifier: Apache-2.0

package queue

import "time"

// slice is how long a piece of work keeps its processor while others wait.
const slice = 200 * time.Microsecond

// processors are shared by everybody. Who finds none free waits in one line.
type processors struct {
	clock *clock
	free  int  // if there is a number of them
	all   bool // there is none: nobody waits
	line  []job
	from  time.Duration // work before it is not counted
	used  time.Duration
}

type job struct {
	left time.Duration
	then func()
}

// work takes processor time and goes on.
func (p *processors) work(d time.Duration, then func()) {
	switch {
	case d <= 0:
		then()
	case p.all:
		p.clock.after(d, then)
	case p.free > 0:
		p.free--
		p.run(job{d, then})
	default:
		p.line = append(p.line, job{d, then})
	}
}

// run gives a job a slice of a processor that it holds.
func (p *processors) run(j job) {
	d := min(j.left, slice)
	if len(p.line) == 0 && j.left < 2*slice {
		d = j.left
	}
	begun := p.clock.now
	p.clock.after(d, func() {
		p.used += max(p.clock.now-max(begun, p.from), 0)
		j.left -= d
		if j.left <= 0 {
			p.next()
			j.then()
			return
		}
		p.line = append(p.line, j)
		p.next()
	})
}

// next gives a processor that became free to the first in line.
func (p *processors) next() {
	if len(p.line) == 0 {
		p.free++
		return
	}
	j := p.line[0]
	p.line = p.line[1:]
	p.run(j)
}

// disk brings the log to the disk for all who wait for it at once. Who comes
// during a flush waits for the next one, for its own words were not in it.
type disk struct {
	clock *clock
	took  func() time.Duration
	busy  bool
	line  []func()
}

// flush goes on when the log is on the disk.
func (d *disk) flush(then func()) {
	d.line = append(d.line, then)
	if !d.busy {
		d.begin()
	}
}

func (d *disk) begin() {
	covered := d.line
	d.line, d.busy = nil, true
	d.clock.after(d.took(), func() {
		d.busy = false
		if len(d.line) > 0 {
			d.begin()
		}
		for _, then := range covered {
			then()
		}
	})
}

// rows are the locks of the database. They are given in the order in which
// they were asked for.
type rows struct {
	held map[int][]func() // who waits, by key; a key that is there is held
}

// lock goes on when every key is held. The keys are sorted, so nobody waits for
// one who waits for him.
func (r *rows) lock(keys []int, then func()) {
	if len(keys) == 0 {
		then()
		return
	}
	next := func() { r.lock(keys[1:], then) }
	line, held := r.held[keys[0]]
	if held {
		r.held[keys[0]] = append(line, next)
		return
	}
	r.held[keys[0]] = nil
	next()
}

// unlock gives each key to the first who waits for it.
func (r *rows) unlock(keys []int) {
	for _, k := range keys {
		line := r.held[k]
		if len(line) == 0 {
			delete(r.held, k)
			continue
		}
		r.held[k] = line[1:]
		line[0]()
	}
}
