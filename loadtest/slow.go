package loadtest

import (
	"fmt"
	"sync/atomic"
	"time"
)

// runSlow has one person send Rate messages a second to a room, first to people
// who all read, then for the same time with Share of them reading nothing more.
// What the others see in the second half is set beside the first. Whoever does
// not read is to be sent away with a code that says to come back; at the end they do.
func runSlow(r *run) error {
	if err := r.invite(r.cfg.People+1, r.cfg.People+1); err != nil {
		return err
	}
	slow := r.people[len(r.people)-max(1, int(float64(r.cfg.People)*r.cfg.Share)):]
	fast := r.people[1 : len(r.people)-len(slow)]
	if len(fast) == 0 {
		return fmt.Errorf("with a share of %v nobody of %d is left to be measured", r.cfg.Share, r.cfg.People)
	}
	r.follow(1)
	for _, p := range slow {
		p.from = nil
	}
	alone := keptMeter("delivery_without_slow")
	r.also = []*meter{alone}
	var closed, cut atomic.Int64
	var second atomic.Bool
	r.hooks.data = func(p, _ *person, s stamp) {
		if second.Load() {
			r.main.record(p.now - s.at)
			r.unit.Add(1)
		} else {
			alone.record(p.now - s.at)
		}
	}
	r.hooks.departed = func(p *person, c *connection) bool {
		switch {
		case !p.slow:
			return false
		case c.code == 0:
			cut.Add(1)
		case c.code >= 4000 && c.code < 4500:
			closed.Add(1)
		default:
			return false
		}
		return true
	}
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	stop := r.publishingApart(r.people[:1], r.cfg.Rate)
	measure := func() error {
		if err := r.sleep("warming up", min(warmUp, r.cfg.Duration)); err != nil {
			return err
		}
		alone.reset()
		if err := r.sleep("measuring without slow ones", r.cfg.Duration); err != nil {
			return err
		}
		for _, p := range slow {
			p.mu.Lock()
			p.slow = true
			if p.conn != nil {
				p.conn.sock.hold(true)
			}
			p.mu.Unlock()
		}
		second.Store(true)
		r.begin()
		err := r.sleep("measuring", r.cfg.Duration)
		r.end()
		return err
	}
	err := measure()
	stop()
	r.settle(func() int64 { return r.counts.published.Load() * int64(len(fast)) })
	if err == nil {
		err = r.slowComeBack(slow)
	}
	r.more["slow_kept"] += 0
	r.more["slow"], r.more["slow_closed"], r.more["slow_cut"] = int64(len(slow)), closed.Load(), cut.Load()
	if before, after := alone.quantile(99), r.main.quantile(99); before > 0 && after > 0 {
		r.find("p99 of those who read: %.1f ms with slow ones, %.1f ms without", after, before)
	}
	return err
}

// slowComeBack has people read again, which ends the connections of those whom
// the server has given up, and has those resume.
func (r *run) slowComeBack(slow []*person) error {
	for _, p := range slow {
		p.mu.Lock()
		if p.conn != nil {
			p.conn.sock.hold(false)
		}
		p.mu.Unlock()
	}
	// Who is not given up has nothing to come back from; the others hear of it
	// once they have read what was before the close.
	var back []*person
	r.until("reading again", min(r.cfg.Drain, 2*time.Second), func() bool {
		back = back[:0]
		for _, p := range slow {
			p.mu.Lock()
			if p.conn == nil {
				back = append(back, p)
			}
			p.mu.Unlock()
		}
		return len(back) == len(slow)
	})
	for _, p := range back {
		p.mu.Lock()
		p.slow, p.resuming = false, true
		p.mu.Unlock()
	}
	before := r.counts.open.Load()
	if err := r.enter(back, 0, false); err != nil {
		return err
	}
	r.more["slow_back"] = r.counts.open.Load() - before
	if kept := len(slow) - len(back); kept > 0 {
		r.more["slow_kept"] = int64(kept)
		r.find("%d of those who did not read were not sent away: more has to be sent, or for longer", kept)
	}
	return nil
}
