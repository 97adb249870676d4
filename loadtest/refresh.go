package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// runRefresh counts refreshed tokens: one after joining, and one after each
// change of somebody's attributes, which the server API makes Rate times a second. Each
// must hold for the person and room it was sent to; at the end everybody joins
// again with their newest.
func runRefresh(r *run) error {
	if err := r.invite(r.cfg.People, r.cfg.RoomSize); err != nil {
		return err
	}
	keys, err := auth.NewKeys([]auth.Key{{ID: r.target.Key, Secret: auth.Secret(r.target.Secret), Project: "loadtest", Format: livekit.Format{}}}, nil)
	if err != nil {
		return err
	}
	verifier := auth.NewVerifier(keys, 0)
	first := keptMeter("after_join")
	r.also = []*meter{first}
	r.hooks.text = func(p *person, kind string, b []byte) {
		switch kind {
		case "refreshToken":
			r.newToken(p, b, verifier, first)
		case "joined":
			p.tokenAt = p.now
		}
	}
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	tokens := func() (n int64) {
		for _, p := range r.people {
			p.mu.Lock()
			n += int64(p.tokens)
			p.mu.Unlock()
		}
		return n
	}
	// The tokens that follow a join come first, so that what is measured is the changes.
	r.until("first tokens", r.cfg.Drain, func() bool { return tokens() >= int64(len(r.people)) })
	r.begin()
	if err := r.changeAttributes(); err != nil {
		return err
	}
	asked := r.counts.published.Swap(0)
	expected := int64(len(r.people)) + asked
	r.until("draining", r.cfg.Drain, func() bool { return tokens() >= expected })
	r.end()
	time.Sleep(50 * time.Millisecond)
	came := tokens()
	r.expected = expected
	r.counts.delivered.Store(min(came, expected))
	if r.cfg.Duration < refreshInterval {
		r.counts.doubled.Store(max(0, came-expected))
	}
	r.more["changes"], r.more["tokens"] = asked, came
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	return r.rejoin()
}

// refreshInterval is less than the time after which tokens come unasked.
const refreshInterval = 4 * time.Minute

// newToken checks a refreshed token and keeps it.
func (r *run) newToken(p *person, b []byte, verifier *auth.Verifier, first *meter) {
	token, _, ok := stringField(b, fieldToken)
	grant, err := verifier.Verify(string(token))
	switch {
	case !ok || err != nil:
		r.fail(fmt.Sprint("refreshed token: ", err))
		return
	case !grant.Expires.After(time.Now()):
		r.fail("refreshed token has expired")
		return
	case grant.Identity != p.identity || grant.Room != p.group.name:
		r.fail("refreshed token of somebody else")
		return
	case bytes.Equal(token, []byte(p.token)):
		r.fail("refreshed token is the old one")
	}
	p.token = string(token)
	p.tokens++
	if p.tokens == 1 {
		first.record(p.now - p.tokenAt)
	} else if p.asked != 0 {
		r.main.record(p.now - p.asked)
		r.unit.Add(1)
		p.asked = 0
	}
}

// changeAttributes has the server API change somebody's attributes Rate times a
// second, in turn, unless their last change has not brought a token yet.
func (r *run) changeAttributes() error {
	over := make(chan struct{})
	var changing sync.WaitGroup
	slots := make(chan struct{}, 16) // calls at once
	changing.Go(func() {
		n := 0
		schedule([]*person{nil}, r.cfg.Rate, over, func(_ *person, at int64) {
			r.lag.record(clock() - at)
			p := r.people[n%len(r.people)]
			n++
			p.mu.Lock()
			busy := p.asked != 0 || p.tokens == 0
			if !busy {
				p.asked = at
			}
			p.mu.Unlock()
			if busy {
				return
			}
			value := strconv.Itoa(n)
			slots <- struct{}{}
			changing.Go(func() {
				defer func() { <-slots }()
				// A call that has begun is not broken off: its outcome would not be known.
				if err := r.patch(context.WithoutCancel(r.ctx), p.group.name, p.identity, map[string]any{"attributes": map[string]string{"n": value}}); err != nil {
					r.fail("api: " + withoutAddress(err))
					return
				}
				r.counts.published.Add(1)
			})
		})
	})
	err := r.sleep("measuring", r.cfg.Duration)
	close(over)
	changing.Wait()
	return err
}

// rejoin has everybody leave, and come again with their newest token.
func (r *run) rejoin() error {
	for _, p := range r.people {
		p.leave()
	}
	if !r.until("leaving", r.cfg.Drain, func() bool { return r.counts.open.Load() == 0 }) {
		return fmt.Errorf("%d people could not leave within %v", r.counts.open.Load(), r.cfg.Drain)
	}
	before := r.counts.joins.Load()
	for _, p := range r.people {
		p.mu.Lock()
		p.leaving = false
		p.mu.Unlock()
	}
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	usable := r.counts.joins.Load() - before
	r.more["usable"], r.more["unusable"] = usable, int64(len(r.people))-usable
	return nil
}
