package loadtest

// runIdle lets people come to rooms of RoomSize, and stay. They do nothing but
// answer pings. What that costs is measured once everybody is in and Settle is
// over: what joining has left behind in the server's memory is no part of an idle
// connection, as far as the server gives it back by then.
func runIdle(r *run) error {
	if err := r.invite(r.cfg.People, r.cfg.RoomSize); err != nil {
		return err
	}
	r.main.kept = true
	r.hooks.arrived = func(p *person, _ bool) { r.main.record(p.now - p.came) }
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	r.countRosters()
	if err := r.sleep("settling", r.cfg.Settle); err != nil {
		return err
	}
	m := &r.phase
	m.mu.Lock()
	m.settled = true
	m.mu.Unlock()
	r.begin()
	err := r.sleep("measuring", r.cfg.Duration)
	r.end()
	open := r.counts.open.Load()
	r.more["connections"] = open
	m.unitAfter = m.unit + int64(float64(open)*m.ended.Sub(m.began).Seconds())
	return err
}

// perIdle is what the CPU of idle people is divided by.
const perIdle = "second of a connection"
