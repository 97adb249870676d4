package room_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"usher/auth"
	"usher/room"
)

// A crowd is people at the door of one room, and who let them in.
type crowd struct {
	h        *hall
	mu       sync.Mutex
	knockers []*member       // whoever waits or has waited
	letIn    map[string]bool // sids that were let in by somebody who may: first the API's, in the end the host's, too
	warden   *member         // a moderator all the time, who is told in which order all happens
	members  []*member       // those who need not wait and moderate nothing
}

// Whatever comes together at the door: nobody is in the room, or was told anything of
// it, whom nobody has let in; and nobody but moderators is told of those who wait.
func TestDoorHolds(t *testing.T) {
	rnd := newSeed(t)
	room.BeforeLock(t, func() {
		if rand.IntN(3) == 0 {
			runtime.Gosched()
		}
	})
	for range rounds(1000) {
		seeds := [3]uint64{rnd.Uint64(), rnd.Uint64(), rnd.Uint64()}
		if knockTogether(t, seeds); t.Failed() {
			t.Fatalf("with seeds %d", seeds)
		}
	}
}

func knockTogether(t *testing.T, seeds [3]uint64) {
	watch := newWatcher()
	h := start(t, room.Config{AutoCreate: true, Observer: watch, Refresh: new(tokens).sign})
	defer h.stop()
	h.opens(private)
	c := &crowd{h: h.hall, letIn: make(map[string]bool)}
	host := h.comes(caller("host", admin))
	c.warden = h.comes(caller("warden", admin))
	c.members = append(c.members, h.join("guest"), h.comes(caller("friend")))
	var work sync.WaitGroup
	for i, seed := range seeds {
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 12 {
				c.act(rnd, host, i)
			}
		})
	}
	work.Wait()
	c.check(t, host)
	h.stop()
	watch.check(t)
}

// act does something at random. Of each call that the host makes only one worker's is
// made, since a connection has one reader.
func (c *crowd) act(rnd *rand.Rand, host *member, worker int) {
	h := c.h
	b := h.rooms.Batch()
	defer func() { b.Flush(); b.Wait() }()
	identity := fmt.Sprint("knocker", rnd.IntN(3))
	r, ok := h.rooms.Lookup("test", "hall")
	switch n := rnd.IntN(14); {
	case n < 5:
		g := caller(identity, knocks)
		if n == 0 {
			g = stranger()
		}
		if rnd.IntN(4) == 0 {
			g.Issued = g.Issued.Add(time.Hour) // its clock is ahead
		}
		m := &member{hall: h, batch: h.rooms.Batch()}
		var err error
		m.p, err = h.rooms.Join(m.batch, room.Join{Grant: g, Room: g.Room, Conn: m, Encoder: h.events, Replay: true, AutoSubscribe: true})
		m.batch.Flush()
		if err == nil {
			c.mu.Lock()
			c.knockers = append(c.knockers, m)
			c.mu.Unlock()
		}
	case !ok:
	case n < 7:
		if sids := c.some(rnd); len(sids) > 0 {
			if answered, _ := r.AnswerWaiting(b, sids, n == 5); n == 5 {
				c.note(answered)
			}
		}
	case n == 7 && worker == 0:
		if sids := c.some(rnd); len(sids) > 0 {
			_ = host.p.AnswerWaiting(room.Call{Generation: 1, Batch: b}, sids, true)
		}
	case n == 7 && worker == 1:
		guest := c.members[0]
		if err := guest.p.AnswerWaiting(room.Call{Generation: 1, Batch: b, Quiet: true}, nil, true); err == nil {
			h.t.Error("somebody who is no moderator has answered")
		}
	case n == 8:
		if m := c.pick(rnd); m != nil {
			switch rnd.IntN(3) {
			case 0:
				m.p.Disconnected(b, 1, true)
			case 1:
				_ = m.p.Leave(room.Call{Generation: 1, Batch: b})
			case 2:
				_ = m.p.UpdateMetadata(room.Call{Generation: 1, Batch: b}, room.Change{Name: new("n")})
			}
		}
	case n == 9:
		if m := c.pick(rnd); m != nil {
			if _, _, ended, err := h.rooms.Resume(b, room.Resumption{Session: m.p.SID, Conn: m}); ended != nil || !errors.Is(err, room.ErrNoSession) {
				h.t.Errorf("a resume of somebody who has no secret: %v, %v", ended, err)
			}
		}
	case n == 10:
		if _, err := h.rooms.Revoke(b, room.Revocation{Project: "test", Room: "hall", Identity: identity, Until: time.Now()}); err != nil {
			h.t.Error(err)
		}
		if _, err := r.Eject(b, []room.Target{{Identity: identity}}, rnd.IntN(4) == 0, ""); err != nil {
			h.t.Error(err)
		}
	case n == 11:
		_, _ = h.rooms.UpdateDaily(b, "test", "hall", func(s room.DailySettings) (room.DailySettings, error) {
			if s.NotBefore.IsZero() { // shuts the door, so that who waits is sent away
				s.NotBefore = time.Now().Add(time.Hour)
			} else {
				s.NotBefore = time.Time{}
			}
			return s, nil
		})
	case n == 12 && rnd.IntN(4) == 0:
		_, _ = h.rooms.DeleteDaily(b, "test", "hall")
		_, _, _ = h.rooms.CreateDaily(b, "test", []string{"hall"}, []room.DailySettings{private})
	case n == 13:
		say := auth.Say{Layer: auth.Live, Deny: auth.ModerateParticipants}
		if rnd.IntN(2) == 0 {
			say = auth.Say{Layer: auth.Live, Allow: auth.ModerateParticipants}
		}
		_ = r.State(b, map[string]auth.Say{host.p.SID: say}, nil, "")
	}
}

func (c *crowd) pick(rnd *rand.Rand) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.knockers) == 0 {
		return nil
	}
	return c.knockers[rnd.IntN(len(c.knockers))]
}

func (c *crowd) some(rnd *rand.Rand) (sids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.knockers {
		if rnd.IntN(2) == 0 {
			sids = append(sids, m.p.SID)
		}
	}
	return sids
}

func (c *crowd) note(sids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sid := range sids {
		c.letIn[sid] = true
	}
}

// hostLetIn adds whom the host let in to those whom the API did: the host may, at some
// moments only. The warden was told of each admission, and of each change of what the
// host may, in the order in which they were.
func (c *crowd) hostLetIn(t *testing.T, host *member) {
	may := true
	for _, e := range c.warden.since(0) {
		switch e := e.(type) {
		case *room.ParticipantUpdated:
			if e.Participant.SID == host.p.SID {
				may = e.Participant.Permission.Allows(auth.ModerateParticipants)
			}
		case *room.ParticipantLeft:
			may = may && e.SID != host.p.SID
		case *room.WaitingLeft:
			if !e.Admitted || c.letIn[e.SID] {
				continue
			}
			if !may {
				t.Errorf("%s was let in when only the host can have, who may not", e.SID)
			}
			c.letIn[e.SID] = may
		}
	}
}

func (c *crowd) check(t *testing.T, host *member) {
	c.hostLetIn(t, host)
	knocked := make(map[string]bool)
	for _, m := range c.knockers {
		told := m.since(0)
		if len(told) == 0 {
			continue // it was sent away before it was told so much
		}
		if _, waited := told[0].(*room.Waiting); !waited {
			// Its room needed no knocking at that moment; a knocking token enters then.
			if m.p.Grant().Claims == nil {
				t.Errorf("a stranger was told %v", kinds(told))
			}
			continue
		}
		knocked[m.p.SID] = true
		in := false
		for _, e := range told[1:] {
			switch e.(type) {
			case *room.Snapshot:
				in = true
				if !c.letIn[m.p.SID] {
					t.Errorf("%s is in, whom nobody has let in", m.p.Identity)
				}
			case *room.Reply, *room.Pong:
			default:
				if !in {
					t.Errorf("%s, who waits, was told %T", m.p.Identity, e)
				}
			}
		}
	}
	if r, ok := c.h.rooms.Lookup("test", "hall"); ok {
		for _, i := range r.Participants() {
			if knocked[i.SID] && !c.letIn[i.SID] {
				t.Errorf("%s is a member, whom nobody has let in", i.Identity)
			}
		}
		for _, i := range r.Waiting() {
			if !knocked[i.SID] {
				t.Errorf("%s waits, and was not told so", i.Identity)
			}
		}
	}
	for _, m := range c.members {
		for _, e := range m.since(0) {
			switch e := e.(type) {
			case *room.WaitingJoined, *room.WaitingLeft:
				t.Errorf("%s was told %T", m.p.Identity, e)
			case *room.ParticipantJoined:
				if sid := e.Participant.SID; knocked[sid] && !c.letIn[sid] {
					t.Errorf("%s was told that %s is in", m.p.Identity, e.Participant.Identity)
				}
			}
		}
	}
	// A moderator knows of each who waits, and nobody else, while it is one.
	waiting := make(map[string]bool)
	for _, e := range host.since(0) {
		switch e := e.(type) {
		case *room.Snapshot:
			for _, i := range e.Waiting {
				waiting[i.SID] = true
			}
		case *room.WaitingJoined:
			waiting[e.Participant.SID] = true
		case *room.WaitingLeft:
			if !waiting[e.SID] {
				t.Errorf("the host was told that somebody waits no more of whom it was not told")
			}
			delete(waiting, e.SID)
		}
	}
	if host.ended() != nil {
		return
	}
	there := make(map[string]bool)
	if c.h.now("host").Allows(auth.ModerateParticipants) {
		for _, i := range c.h.room().Waiting() {
			there[i.SID] = true
		}
	}
	if fmt.Sprint(there) != fmt.Sprint(waiting) {
		t.Errorf("the host knows of %v, there are %v", waiting, there)
	}
}
