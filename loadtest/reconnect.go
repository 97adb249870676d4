package loadtest

import "time"

// runReconnect cuts everybody but the first of each room at once, without a
// close frame, and has them resume, while that first one goes on sending Rate
// messages a second: what was sent meanwhile must come once, in order. A resume
// counts from the cut.
func runReconnect(r *run) error {
	if err := r.invite(r.cfg.People, r.cfg.RoomSize); err != nil {
		return err
	}
	r.follow(1)
	delivery := newMeter("delivery")
	r.also = []*meter{delivery}
	var senders, others []*person
	for _, g := range r.groups {
		senders, others = append(senders, g.members[0]), append(others, g.members[1:]...)
	}
	r.hooks.data = func(p, _ *person, s stamp) { delivery.record(p.now - s.at) }
	r.hooks.arrived = func(p *person, _ bool) {
		if p.cutAt != 0 {
			r.main.record(p.now - p.cutAt)
			r.unit.Add(1)
			p.cutAt = 0
		}
	}
	// A cut that was made is no failure; one more is.
	r.hooks.departed = func(p *person, c *connection) bool { return p.cutAt != 0 && c.code == 0 && c.open }
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	r.weigh()
	stop := r.publishingApart(senders, r.cfg.Rate)
	err := r.sleep("before the cut", r.cfg.Duration/2)
	if err == nil {
		r.begin()
		err = r.cutAndResume(others)
		r.more["everybody_ms"] = time.Since(r.phase.began).Milliseconds()
		r.pay() // what comes now is no part of resuming
		if err == nil {
			err = r.sleep("after the cut", r.cfg.Duration/2)
		}
		r.end()
	}
	stop()
	r.settle(r.owed)
	if r.phase.began.IsZero() {
		return err // it has not come to the cut
	}
	recovered := r.counts.recovered.Load()
	r.more["cut"], r.more["recovered"], r.more["unrecovered"] = int64(len(others)), recovered, int64(len(others))-recovered
	return err
}

// publishingApart is publishing, when messages are not the scenario's unit.
func (r *run) publishingApart(people []*person, rate float64) (stop func()) {
	r.unitApart = true
	return r.publishing(people, rate)
}

// cutAndResume cuts people in one moment and waits until they are back.
func (r *run) cutAndResume(people []*person) error {
	at := clock()
	for _, p := range people {
		p.mu.Lock()
		p.cutAt, p.resuming = at, true
		if p.conn != nil {
			p.conn.sock.end(true)
		}
		p.mu.Unlock()
	}
	gone := func() bool {
		for _, p := range people {
			p.mu.Lock()
			in := p.conn != nil
			p.mu.Unlock()
			if in {
				return false
			}
		}
		return true
	}
	r.until("cutting", r.cfg.Drain, gone)
	return r.enter(people, 0, false)
}
