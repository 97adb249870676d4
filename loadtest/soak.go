package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// runSoak is a bit of everything for a long time. In each room the first
// quarter send Rate messages a second each and stay, though they are cut now
// and then and resume; Churn times a second one of the others comes or goes,
// loses a right or gets it back, has its attributes changed, is cut, or stops
// reading for a while. Every so often all of that rests, and then the server's
// list of each room must be exactly who is in.
func runSoak(r *run) error {
	if err := r.invite(r.cfg.Rooms*r.cfg.RoomSize, r.cfg.RoomSize); err != nil {
		return err
	}
	stay := max(1, r.cfg.RoomSize/4)
	r.follow(stay)
	r.answered, r.joinsLate = true, true
	r.more["roster_wrong"] = 0
	s := &soak{run: r, done: map[string]int64{}, busy: make([]bool, len(r.people))}
	for _, g := range r.groups {
		s.senders, s.others = append(s.senders, g.members[:min(stay, len(g.members))]...), append(s.others, g.members[min(stay, len(g.members)):]...)
	}
	r.hooks.data = func(p, _ *person, t stamp) {
		// Who was away gets what was sent meanwhile when they are back.
		if p.back || p.slow {
			p.back = p.slow
			return
		}
		r.main.record(p.now - t.at)
	}
	r.hooks.departed = func(p *person, c *connection) bool {
		return p.cutAt != 0 && c.code == 0 && c.open || p.slow && (c.code == 0 || c.code >= 4000 && c.code < 4500)
	}
	r.hooks.arrived = func(p *person, _ bool) { p.cutAt, p.away = 0, false }
	r.hooks.text = func(p *person, kind string, _ []byte) {
		if kind == "refreshToken" {
			p.tokens++
		}
	}
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.weigh()
	stop := r.publishing(s.senders, r.cfg.Rate)
	r.begin()
	err := s.churn()
	r.end()
	stop()
	r.until("draining", r.cfg.Drain, func() bool { return s.outstanding() == 0 })
	s.check()
	s.count()
	r.slopes()
	return err
}

type soak struct {
	run             *run
	senders, others []*person

	mu      sync.Mutex // guards the following fields
	busy    []bool     // by person: something is being done with it
	done    map[string]int64
	working sync.WaitGroup
}

// churn does what is to be done for the run's duration, with rests.
func (s *soak) churn() error {
	r := s.run
	end := time.Now().Add(r.cfg.Duration)
	slots := make(chan struct{}, 64)
	for began := time.Now(); time.Now().Before(end); {
		spell := min(r.cfg.Every, time.Until(end))
		over := make(chan struct{})
		var scheduling sync.WaitGroup
		scheduling.Go(func() {
			schedule([]*person{nil}, r.cfg.Churn, over, func(_ *person, at int64) {
				r.lag.record(clock() - at)
				select {
				case slots <- struct{}{}:
				default: // all hands are busy; the count tells how much was done
					return
				}
				s.working.Go(func() {
					defer func() { <-slots }()
					s.one()
				})
			})
		})
		for till := time.Now().Add(spell); time.Now().Before(till) && r.ctx.Err() == nil; {
			time.Sleep(min(200*time.Millisecond, time.Until(till)))
			r.progress("soaking", time.Since(began).Seconds(), r.cfg.Duration.Seconds(), "")
		}
		close(over)
		scheduling.Wait()
		s.working.Wait()
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		s.check()
	}
	return nil
}

// one does one thing with one person.
func (s *soak) one() {
	p := s.take()
	if p == nil {
		return
	}
	defer s.give(p)
	r := s.run
	p.mu.Lock()
	in, away := p.joined, p.away
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 30*time.Second)
	defer cancel()
	sends := p.place < max(1, r.cfg.RoomSize/4)
	var err error
	name := "join"
	switch n := rand.IntN(20); {
	case !in:
		err = s.comeIn(p, away)
	case sends || n < 5:
		name = "cut"
		p.mu.Lock()
		p.cutAt, p.back = clock(), true
		p.mu.Unlock()
		p.cut()
		err = s.comeIn(p, true)
	case n < 11:
		name = "leave"
		p.leave()
		err = s.goneOut(p)
	case n < 15:
		name = "flip"
		if err = r.permit(ctx, p, permission{CanSubscribe: true}); err == nil {
			err = r.permit(ctx, p, permission{true, true, true})
		}
	case n < 19:
		name = "change"
		err = r.patch(ctx, p.group.name, p.identity, map[string]any{"attributes": map[string]string{"n": strconv.Itoa(rand.IntN(1000))}})
	default:
		name = "slow"
		err = s.stall(p)
	}
	s.mu.Lock()
	s.done[name]++
	s.mu.Unlock()
	if err != nil {
		r.fail(name + ": " + withoutAddress(err))
	}
}

// take chooses somebody with whom nothing is being done, mostly of those who
// come and go.
func (s *soak) take() *person {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 20 {
		from := s.others
		if len(from) == 0 || rand.IntN(50) == 0 {
			from = s.senders
		}
		p := from[rand.IntN(len(from))]
		if !s.busy[p.index] {
			s.busy[p.index] = true
			return p
		}
	}
	return nil
}

func (s *soak) give(p *person) {
	s.mu.Lock()
	s.busy[p.index] = false
	s.mu.Unlock()
}

// comeIn has a person join or resume. Who is not let in tries again, at last with
// a session of its own: an error that was counted must not be counted again for
// everything that follows from it.
func (s *soak) comeIn(p *person, resume bool) error {
	for try := 1; ; try++ {
		if err := s.goneOut(p); err != nil {
			return err
		}
		p.mu.Lock()
		p.leaving, p.resuming, p.away = false, resume, resume
		p.mu.Unlock()
		p.come(clock())
		if err := s.await(p, "came in", func() bool { return p.joined || p.conn == nil }); err != nil {
			return err
		}
		p.mu.Lock()
		in := p.joined
		p.mu.Unlock()
		switch {
		case in:
			return nil
		case try == 3:
			return errors.New("the connection ended before that")
		case try == 2:
			resume = false
		}
	}
}

// goneOut waits until a person has no connection.
func (s *soak) goneOut(p *person) error {
	return s.await(p, "went out", func() bool { return p.conn == nil })
}

func (s *soak) await(p *person, what string, done func() bool) error {
	for limit := time.Now().Add(s.run.cfg.Drain); ; time.Sleep(2 * time.Millisecond) {
		p.mu.Lock()
		ok := done()
		p.mu.Unlock()
		if ok {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("nobody %s within %v (%s)", what, s.run.cfg.Drain, p.state())
		}
	}
}

// stall has somebody read nothing for a while.
func (s *soak) stall(p *person) error {
	hold := func(stop bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if stop {
			p.slow, p.back = true, true
		}
		if p.conn != nil {
			p.conn.sock.hold(stop)
		}
	}
	hold(true)
	pause(s.run.ctx, min(8*time.Second, s.run.cfg.Every/2))
	hold(false)
	time.Sleep(200 * time.Millisecond) // a close that waits is read now
	p.mu.Lock()
	out := p.conn == nil
	p.mu.Unlock()
	var err error
	if out {
		err = s.comeIn(p, true)
	}
	p.mu.Lock()
	p.slow = false
	p.mu.Unlock()
	return err
}

// check compares the server's lists with who is in. The server may need a
// moment to see that somebody has gone.
func (s *soak) check() {
	r := s.run
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), time.Minute)
	defer cancel()
	for _, g := range r.groups {
		difference := ""
		r.until("comparing", 5*time.Second, func() bool {
			difference = s.differs(ctx, g)
			return difference == ""
		})
		r.more["roster_checks"]++
		if difference != "" {
			r.more["roster_wrong"]++
			r.find("room %s after %s: %s", g.name, time.Since(r.phase.began).Round(time.Second), difference)
		}
	}
}

// differs says what a room's list at the server has too much or too little.
func (s *soak) differs(ctx context.Context, g *group) string {
	list, err := s.run.listed(ctx, g.name)
	if err != nil {
		return err.Error()
	}
	in := 0
	for _, p := range g.members {
		p.mu.Lock()
		joined, away := p.joined, p.away
		p.mu.Unlock()
		if joined {
			in++
		} else if away { // the server may still wait for somebody who could not come back
			delete(list, p.identity)
			continue
		}
		if joined != list[p.identity] {
			return fmt.Sprintf("%s is in: %t, listed: %t", p.identity, joined, list[p.identity])
		}
	}
	if len(list) != in {
		return fmt.Sprintf("%d are in, %d are listed", in, len(list))
	}
	return ""
}

// count sums up: lost is what was missing between messages that came, and what
// is missing of the last ones at those who are in.
func (s *soak) count() {
	r := s.run
	lost := r.counts.missed.Load() + s.outstanding()
	for _, p := range r.people {
		p.mu.Lock()
		r.more["tokens"] += int64(p.tokens)
		p.mu.Unlock()
	}
	r.expected = r.counts.delivered.Load() + lost
	r.more["recovered"] = r.counts.recovered.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"join", "cut", "leave", "flip", "change", "slow"} {
		r.more["did_"+name] = 0
	}
	for name, n := range s.done {
		r.more["did_"+name] = n
	}
}

// outstanding is how many of the last messages of their senders people have not
// got who are in.
func (s *soak) outstanding() (n int64) {
	r := s.run
	sent := make([]uint32, len(r.people))
	for i, p := range r.people {
		p.mu.Lock()
		sent[i] = p.sent
		p.mu.Unlock()
	}
	for _, p := range r.people {
		p.mu.Lock()
		for place := range p.from {
			sender := p.group.members[place]
			if !p.joined || sender == p {
				continue
			}
			if got := int64(p.from[place].last); p.from[place].got > 0 {
				n += int64(sent[sender.index]) - got
			} else { // who gets nothing at all misses all that followed its joining
				n += max(0, int64(sent[sender.index])-int64(p.due[place]))
			}
		}
		p.mu.Unlock()
	}
	return n
}

// slopes tells how memory and goroutines went: the line that fits the samples
// best, a minute. The first third does not count: it is where caches fill.
func (r *run) slopes() {
	r.mu.Lock()
	series := r.series[len(r.series)/3:]
	r.mu.Unlock()
	rss := slope(series, func(s Sample) int64 { return s.RSS })
	goroutines := slope(series, func(s Sample) int64 { return s.Goroutines })
	r.more["rss_slope_bytes_per_minute"], r.more["goroutines_slope_per_hour"] = int64(rss*60), int64(goroutines*3600)
	// Of less there is only what a garbage collector does anyway.
	if len(series) > 1 && series[len(series)-1].At-series[0].At >= 60 {
		r.find("memory changed by %.2f MB and goroutines by %.1f a minute over the last %.0f s",
			rss*60/1e6, goroutines*60, series[len(series)-1].At-series[0].At)
	}
}

// slope fits a line through the samples that have a value, and returns its rise
// a second.
func slope(series []Sample, of func(Sample) int64) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, s := range series {
		if y := float64(of(s)); y != 0 {
			n, sx, sy, sxx, sxy = n+1, sx+s.At, sy+y, sxx+s.At*s.At, sxy+s.At*y
		}
	}
	if d := n*sxx - sx*sx; n > 1 && d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
