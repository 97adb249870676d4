package loadtest

import "time"

// runJoin lets people come to rooms of RoomSize: with a rate, at even
// distances; without, as fast as the server takes Dialling at a time. It has
// joined when everybody's list of their room is complete.
func runJoin(r *run) error {
	if err := r.invite(r.cfg.People, r.cfg.RoomSize); err != nil {
		return err
	}
	return r.joinAll(r.cfg.Rate, false)
}

// runStorm lets everybody come to one room at one moment.
func runStorm(r *run) error {
	if err := r.invite(r.cfg.People, r.cfg.People); err != nil {
		return err
	}
	return r.joinAll(0, true)
}

func (r *run) joinAll(rate float64, atOnce bool) error {
	r.hooks.arrived = func(p *person, _ bool) {
		r.main.record(p.now - p.came)
		r.unit.Add(1)
	}
	r.begin()
	err := r.enter(r.people, rate, atOnce)
	if err == nil {
		r.announced()
		r.more["everybody_ms"] = time.Since(r.phase.began).Milliseconds()
	}
	r.end()
	if err != nil {
		return err
	}
	r.countRosters()
	for range int(r.cfg.Hold / time.Second) {
		if err := r.sleep("holding", time.Second); err != nil {
			return err
		}
		r.weigh()
	}
	return nil
}

// announced waits until everybody knows of everybody.
func (r *run) announced() {
	r.until("announcing", r.cfg.Drain, func() bool { _, _, wrong := r.rosters(r.people); return wrong == 0 })
}

// countRosters has what everybody knows of the others as what was to be
// delivered.
func (r *run) countRosters() {
	expected, seen, wrong := r.rosters(r.people)
	r.expected = expected
	r.counts.delivered.Store(seen)
	r.more["roster_wrong"] = wrong
}

// rosters compares what people know of their room with who is in it, everybody
// being in: how many others they are to know of, how many they do, and how many
// people's view is not the truth.
func (r *run) rosters(people []*person) (expected, seen, wrong int64) {
	for _, p := range people {
		size := len(p.group.members)
		if size > r.cfg.RosterLimit && !r.target.API {
			continue // the yardsticks do not tell how many there are in big rooms
		}
		p.mu.Lock()
		known := p.people.count
		if size > r.cfg.RosterLimit {
			known = max(known, p.number) // people are counted
		}
		p.mu.Unlock()
		expected += int64(size - 1)
		seen += int64(max(0, min(known, size)-1))
		if known != size {
			wrong++
		}
	}
	return expected, seen, wrong
}
