package loadtest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// spare is how many descriptors the process needs besides its connections.
const spare = 64

// invite makes people, in rooms of size, and their tokens.
func (r *run) invite(people, size int) error {
	if limit := raiseDescriptors(people + spare); limit < people+spare {
		return fmt.Errorf("%d people need %d open files, and there may be %d: raise it with ulimit -n %d, for the server, too",
			people, people+spare, limit, people+spare)
	}
	r.people = make([]*person, people)
	for i := range r.people {
		if i%size == 0 {
			r.groups = append(r.groups, &group{name: r.prefix + strconv.Itoa(len(r.groups))})
		}
		g := r.groups[len(r.groups)-1]
		r.people[i] = &person{run: r, index: i, group: g, place: len(g.members), identity: r.prefix + strconv.Itoa(i)}
		g.members = append(g.members, r.people[i])
	}
	var signing sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	failed := make([]error, workers)
	for w := range workers {
		signing.Go(func() {
			for i := w; i < people && r.ctx.Err() == nil; i += workers {
				p := r.people[i]
				token, err := r.mint(p)
				if err != nil {
					failed[w] = err
					return
				}
				p.token = token
				p.people = newPeopleSet(len(p.group.members))
			}
		})
	}
	signing.Wait()
	r.tending.Go(r.tend)
	return errors.Join(failed...)
}

// ackInterval is how often what was received is acknowledged at least.
const ackInterval = 5 * time.Second

// tend acknowledges for people who receive little, until the run has ended.
func (r *run) tend() {
	const parts = 10 // so that they do not all write at once
	tick := time.NewTicker(ackInterval / parts)
	defer tick.Stop()
	for part := 0; ; part = (part + 1) % parts {
		select {
		case <-tick.C:
		case <-r.over:
			return
		}
		for i := part; i < len(r.people); i += parts {
			p := r.people[i]
			p.mu.Lock()
			if p.joined {
				p.ack()
			}
			p.mu.Unlock()
		}
	}
}

// tokenLife is how long tokens let in: as long as the run may take, and not much
// longer, since a server can refuse those that live long.
func (r *run) tokenLife() time.Duration { return time.Hour + r.cfg.Duration + r.cfg.Hold }

func (r *run) mint(p *person) (string, error) {
	return livekit.Mint(r.target.Key, auth.Secret(r.target.Secret), livekit.Claims{Identity: p.identity,
		Video: &livekit.VideoGrant{RoomJoin: true, Room: p.group.name}}, r.tokenLife(), time.Now())
}

// follow has everybody follow the messages of the first senders in their room.
func (r *run) follow(senders int) {
	for _, p := range r.people {
		p.from = make([]seqWindow, min(senders, len(p.group.members)))
		p.due = make([]uint32, len(p.from))
	}
}

// enter lets people come, rate a second or as fast as cfg.Dialling allows, and
// waits until they are in. With a rate, or when all come at one moment, a join
// counts from when it was to begin: a server that is slow to take them does not
// get a better figure for it. Else it counts from when it began.
func (r *run) enter(people []*person, rate float64, atOnce bool) error {
	limit := r.cfg.Dialling
	if atOnce {
		limit = max(limit, len(people))
	}
	places := make(chan struct{}, limit)
	patience := r.cfg.StepLimit
	if rate > 0 {
		patience += time.Duration(float64(len(people)) / rate * float64(time.Second))
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	start := clock()
	free := start // since when nothing but the load test held up the next
	told := time.Now()
	for i, p := range people {
		at := start
		if rate > 0 {
			at += int64(float64(i) / rate * 1e9)
			if early := at - clock(); early > 0 {
				select {
				case <-time.After(time.Duration(early)):
				case <-r.ctx.Done():
					return r.ctx.Err()
				}
			}
			r.lag.record(clock() - max(at, free))
		}
		select {
		case places <- struct{}{}:
		case <-deadline.C:
			return r.notIn(people)
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
		free = clock()
		if rate == 0 && !atOnce {
			at = free
		}
		r.mu.Lock()
		r.waiters[p] = places
		r.mu.Unlock()
		p.come(at)
		if time.Since(told) > 100*time.Millisecond {
			told = time.Now()
			r.progress("joining", float64(r.counts.open.Load()), float64(len(people)), "")
		}
		if err := r.refusedAll(); err != nil {
			return err
		}
	}
	for range cap(places) { // until all have given back their place
		select {
		case places <- struct{}{}:
		case <-deadline.C:
			return r.notIn(people)
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	r.progress("joining", float64(r.counts.open.Load()), float64(len(people)), "")
	return r.refusedAll()
}

// notIn is the error of people who did not get in in time.
func (r *run) notIn(people []*person) error {
	in := r.counts.open.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	failures := "none of the others was refused"
	if len(r.errors) > 0 {
		var kinds []string
		for kind, n := range r.errors {
			kinds = append(kinds, fmt.Sprintf("%s (%d times)", kind, n))
		}
		slices.Sort(kinds)
		failures = "what went wrong: " + strings.Join(kinds, ", ")
	}
	return fmt.Errorf("%d of %d people were in after %v; %s. A server that stops letting people in may have too few open files: see its ulimit -n; "+
		"--patience is how long to wait", in, len(r.people), r.cfg.StepLimit, failures)
}

// refusedAll is an error once many have failed and nobody is in: then
// something is wrong that more attempts do not change.
func (r *run) refusedAll() error {
	if r.counts.open.Load() > 0 || r.counts.joins.Load() > 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var most string
	var all int64
	for kind, n := range r.errors {
		if all += n; most == "" || n > r.errors[most] {
			most = kind
		}
	}
	if all < min(20, int64(len(r.people))) {
		return nil
	}
	hint := ""
	switch {
	case strings.HasPrefix(most, "closed 4500"), strings.HasPrefix(most, "closed 4503"):
		hint = ": the server does not accept the key " + r.target.Key
	case strings.HasPrefix(most, "handshake"):
		hint = ": is usher there, and is the address right?"
	}
	return fmt.Errorf("nobody can join: %s%s", most, hint)
}

// arrived is told by a person that it is in.
func (r *run) arrived(p *person, recovered bool) {
	r.counts.open.Add(1)
	if p.resuming {
		if recovered {
			r.counts.recovered.Add(1)
		}
	} else {
		r.counts.joins.Add(1)
	}
	r.releaseWaiter(p)
	if hook := r.hooks.arrived; hook != nil {
		hook(p, recovered)
	}
}

func (r *run) releaseWaiter(p *person) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if places := r.waiters[p]; places != nil {
		<-places // never waits: the person holds one
		delete(r.waiters, p)
	}
}

// departed is told by a person that its connection has ended.
func (r *run) departed(p *person, c *connection, err error, wasIn bool) {
	if wasIn {
		r.counts.open.Add(-1)
	}
	expected := p.leaving
	if hook := r.hooks.departed; hook != nil && hook(p, c) {
		expected = true
	}
	if !expected {
		r.fail(c.failure(err))
	}
	r.releaseWaiter(p)
}

// dismiss has everybody leave, in a civil way, so that nothing of the run is
// left at a server that goes on.
func (r *run) dismiss() {
	if r.target.Disposable {
		return
	}
	for i, p := range r.people {
		p.leave()
		if i%500 == 499 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	limit := time.Now().Add(5 * time.Second)
	for r.counts.open.Load() > 0 && time.Now().Before(limit) {
		time.Sleep(5 * time.Millisecond)
	}
}
