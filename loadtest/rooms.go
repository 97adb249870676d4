package loadtest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// runRooms has everybody in every room send Rate messages a second. This is an
// open loop: each has its moment, whatever the server does, and a delivery
// counts from that moment.
func runRooms(r *run) error {
	if err := r.invite(r.cfg.Rooms*r.cfg.RoomSize, r.cfg.RoomSize); err != nil {
		return err
	}
	r.follow(r.cfg.RoomSize)
	r.hooks.data = func(p, _ *person, s stamp) { r.main.record(p.now - s.at) }
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	r.weigh()
	stop := r.publishing(r.people, r.cfg.Rate)
	err := r.sleep("warming up", min(warmUp, r.cfg.Duration))
	if err == nil {
		r.begin()
		err = r.sleep("measuring", r.cfg.Duration)
		r.end()
	}
	stop()
	r.settle(r.owed)
	return err
}

// owed is how many deliveries all that was published makes, everybody being in
// all the time.
func (r *run) owed() int64 {
	var n int64
	for _, p := range r.people {
		p.mu.Lock()
		n += int64(p.sent) * int64(len(p.group.members)-1)
		p.mu.Unlock()
	}
	return n
}

// publishing has people send rate messages a second each, at random distances
// from one another, until stop, which returns when the last one has.
func (r *run) publishing(people []*person, rate float64) (stop func()) {
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		schedule(people, rate, over, func(p *person, at int64) {
			r.lag.record(clock() - at)
			p.mu.Lock()
			sent := p.publish(at)
			p.mu.Unlock()
			if sent {
				r.counts.published.Add(1)
				if !r.unitApart {
					r.unit.Add(1)
				}
			}
		})
	})
	return func() { close(over); sending.Wait() }
}

// schedule calls do for each of the people, rate times a second, and tells it
// the moment that was meant. It calls too late rather than not at all.
func schedule(people []*person, rate float64, over <-chan struct{}, do func(p *person, at int64)) {
	period := int64(1e9 / rate)
	type turn struct {
		person *person
		offset int64
	}
	turns := make([]turn, len(people))
	for i, p := range people {
		turns[i] = turn{p, rand.Int64N(period)}
	}
	slices.SortFunc(turns, func(a, b turn) int { return int(a.offset - b.offset) })
	pause := time.NewTimer(0)
	defer pause.Stop()
	for start := clock(); ; start += period {
		for _, t := range turns {
			at := start + t.offset
			if early := at - clock(); early > 0 {
				pause.Reset(time.Duration(early))
				select {
				case <-over:
					return
				case <-pause.C:
				}
			} else {
				select {
				case <-over:
					return
				default:
				}
			}
			do(t.person, at)
		}
	}
}
