package loadtest

import (
	"bytes"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// runRoles takes the right to send data from the first person of each room and
// gives it back, over and over, by the server API, while that person goes on
// sending Rate messages a second, allowed or not. What must not be: that a
// receiver gets a message of somebody after it was told that they may not send,
// or gets one at all that was sent after the API's answer.
func runRoles(r *run) error {
	if err := r.invite(r.cfg.Rooms*r.cfg.RoomSize, r.cfg.RoomSize); err != nil {
		return err
	}
	r.follow(1)
	r.answered = true
	told, delivery := newMeter("told"), newMeter("delivery")
	r.also = []*meter{told, delivery}
	f := &flipping{run: r, rooms: make([]flipRoom, r.cfg.Rooms), told: told, delivery: delivery, silent: make([]bool, len(r.people))}
	r.hooks.data, r.hooks.text, r.hooks.refused = f.data, f.text, f.refused
	if err := r.enter(r.people, 0, false); err != nil {
		return err
	}
	r.announced()
	var speakers []*person
	for _, g := range r.groups {
		speakers = append(speakers, g.members[0])
	}
	over := make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		schedule(speakers, r.cfg.Rate, over, func(p *person, at int64) {
			r.lag.record(clock() - at)
			p.mu.Lock()
			defer p.mu.Unlock()
			// The moment it is really sent: the question is not how long it
			// took, but whether it was too late.
			if p.publish(clock()) {
				r.counts.published.Add(1)
				r.unit.Add(1)
			}
		})
	})
	err := r.sleep("warming up", min(warmUp, r.cfg.Duration))
	if err == nil {
		r.begin()
		ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Duration)
		var flips sync.WaitGroup
		for i := range f.rooms {
			flips.Go(func() { f.flip(ctx, i) })
		}
		err = r.sleep("measuring", r.cfg.Duration)
		flips.Wait()
		cancel()
		r.end()
	}
	close(over)
	working.Wait()
	r.until("draining", r.cfg.Drain, func() bool {
		return r.counts.accepted.Load()+r.counts.refused.Load() >= r.counts.published.Load()
	})
	r.settle(func() int64 { return r.counts.accepted.Load() * int64(r.cfg.RoomSize-1) })
	r.more["late"], r.more["refused"] = r.counts.late.Load(), r.counts.refused.Load()
	r.more["flips"] = f.flips.Load() // either way
	return err
}

// A flipping takes and gives rights.
type flipping struct {
	run            *run
	rooms          []flipRoom
	told, delivery *meter
	flips          atomic.Int64
	silent         []bool // by person, who is locked: was told that the speaker may not send
}

// A flipRoom is the state of one speaker's right.
type flipRoom struct {
	answers atomic.Int64 // to the speaker's messages

	mu     sync.Mutex // guards the following fields
	called int64      // when the demotion under way was called for; 0: none is
	// What was sent within one of these spans must reach nobody: from the
	// answer to a demotion to shortly before the call of the promotion after it.
	forbidden [][2]int64
}

// flip demotes and promotes until ctx ends, and leaves the speaker promoted.
func (f *flipping) flip(ctx context.Context, i int) {
	r, room, speaker := f.run, &f.rooms[i], f.run.groups[i].members[0]
	for n := 0; ctx.Err() == nil && (r.cfg.Flips == 0 || n < r.cfg.Flips); n++ {
		began := clock()
		room.mu.Lock()
		room.called = began
		room.mu.Unlock()
		// A call that has begun is not broken off: its outcome would not be known.
		err := r.permit(context.WithoutCancel(ctx), speaker, permission{CanSubscribe: true})
		answered := clock()
		if err != nil {
			r.fail("api: " + withoutAddress(err))
			return
		}
		room.mu.Lock()
		room.forbidden = append(room.forbidden, [2]int64{answered, math.MaxInt64})
		room.mu.Unlock()
		r.main.record(answered - began)
		f.flips.Add(1)
		pause(ctx, forbiddenFor)

		// What is on its way may be let in by the promotion. So the span ends
		// with what the server has answered before that is called for.
		until := f.allAnswered(speaker)
		room.mu.Lock()
		room.forbidden[len(room.forbidden)-1][1] = until
		room.mu.Unlock()
		if err := r.permit(context.WithoutCancel(ctx), speaker, permission{true, true, true}); err != nil {
			r.fail("api: " + withoutAddress(err))
			return
		}
		f.flips.Add(1)
		pause(ctx, forbiddenFor)
	}
}

// allAnswered waits until whatever a speaker has sent up to now is answered,
// and returns that moment.
func (f *flipping) allAnswered(speaker *person) int64 {
	speaker.mu.Lock()
	sent, at := int64(speaker.sent), clock()
	speaker.mu.Unlock()
	room := &f.rooms[speaker.index/f.run.cfg.RoomSize]
	// An interrupt does not shorten this: who is promoted too early has what is on its
	// way let in, and that would pass for late.
	for limit := time.Now().Add(f.run.cfg.Drain); room.answers.Load() < sent && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	return at
}

// forbiddenFor is how long a speaker tries in vain, and then may again.
const forbiddenFor = 30 * time.Millisecond

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (f *flipping) data(p, sender *person, s stamp) {
	f.delivery.record(p.now - s.at)
	late := f.silent[p.index]
	room := &f.rooms[sender.index/f.run.cfg.RoomSize]
	room.mu.Lock()
	for i := len(room.forbidden) - 1; i >= 0 && room.forbidden[i][1] > s.at; i-- {
		late = late || room.forbidden[i][0] < s.at
	}
	room.mu.Unlock()
	if late {
		f.run.counts.late.Add(1)
	}
}

var (
	mayNotSend = []byte(`"canPublishData":false`)
	maySend    = []byte(`"canPublishData":true`)
)

// text hears of the answers to a speaker, and of what the others are told.
func (f *flipping) text(p *person, kind string, b []byte) {
	switch kind {
	case "ok":
		if p.place == 0 {
			f.run.counts.accepted.Add(1)
			f.rooms[p.index/f.run.cfg.RoomSize].answers.Add(1)
		}
	case "participantUpdated":
		if p.place == 0 {
			return
		}
		identity, _, _ := stringField(b, fieldIdentity)
		if string(identity) != p.group.members[0].identity {
			return
		}
		switch {
		case bytes.Contains(b, mayNotSend):
			if !f.silent[p.index] {
				room := &f.rooms[p.index/f.run.cfg.RoomSize]
				room.mu.Lock()
				called := room.called
				room.mu.Unlock()
				f.told.record(p.now - called)
			}
			f.silent[p.index] = true
		case bytes.Contains(b, maySend):
			f.silent[p.index] = false
		}
	}
}

func (f *flipping) refused(p *person, code string, _ []byte) bool {
	if code == "not_allowed" && p.place == 0 {
		f.run.counts.refused.Add(1)
		f.rooms[p.index/f.run.cfg.RoomSize].answers.Add(1)
		return true
	}
	return false
}
