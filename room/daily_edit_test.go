package room_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// An edit of a room's permissions is in force for everybody it concerns when it is
// answered, who hears of it once: people with Daily's tokens whose token does not say
// otherwise, and who own nothing. §2.3, §4
func TestDailyPermissionsReachPeople(t *testing.T) {
	h := start(t, room.Config{AutoCreate: true})
	h.open("x", room.DailySettings{})
	ada := h.visits("x", dailyToken("ada"))
	nobody := h.visits("x", anyone("n"))
	own := h.visits("x", dailyToken("own", saying(auth.Say{Allow: auth.SendTracks})))
	boss := h.visits("x", dailyToken("boss", owning))
	livekit := h.joinAs(grant("livekit", toRoom("x")))
	token := h.visits("x", accessToken(t, "token", `{"*":["*:write"]}`))
	identity := func(m *member) string { return m.p.Identity }
	step := func(name string, say auth.Say, right auth.Rights, want map[*member]bool) {
		t.Helper()
		before := map[*member]bool{}
		from := map[*member]int{}
		for m := range want {
			before[m], from[m] = h.allows("x", identity(m), right), m.count()
		}
		h.set("x", permits(say))
		for m, may := range want {
			if got := h.allows("x", identity(m), right); got != may {
				t.Errorf("%s: %s may: %t", name, identity(m), got)
			}
			told := 0
			for _, ev := range m.since(from[m]) {
				if s, ok := ev.(*room.Snapshot); ok && s.Self.Permission.Allows(right) == may {
					told++
				}
				if u, ok := ev.(*room.ParticipantUpdated); ok && u.Participant.SID == m.p.SID {
					told++
				}
			}
			if (told == 1) != (before[m] != may) || told > 1 {
				t.Errorf("%s: %s was told %d times", name, identity(m), told)
			}
		}
	}
	step("may not send", auth.Say{Deny: auth.SendTracks}, auth.SendCamera,
		map[*member]bool{ada: false, nobody: false, own: true, boss: true, livekit: true, token: false})
	step("may again", auth.Say{}, auth.SendCamera, map[*member]bool{ada: true, nobody: true, own: true, boss: true, livekit: true})
	step("may moderate", auth.Say{Allow: auth.ModerateParticipants}, auth.ModerateParticipants,
		map[*member]bool{ada: true, nobody: true, own: true, boss: true, livekit: false, token: false})
	step("hidden", auth.Say{Allow: auth.Hidden | auth.ReceiveOnlyOwners}, auth.Hidden,
		map[*member]bool{ada: true, nobody: true, own: true, boss: false, livekit: false, token: false})
	if got := h.lookup("x").Summary().NumParticipants; got != 3 {
		t.Errorf("%d are shown, want those three who are not hidden", got)
	}
	n := boss.count()
	h.set("x", func(s *room.DailySettings) {
		s.Private, s.EjectAfter, s.Expires = true, time.Second, time.Now().Add(-time.Second)
	})
	for _, m := range []*member{ada, nobody, own, boss, livekit, token} {
		if m.ended() != nil {
			t.Errorf("a change of the door puts %s out", identity(m))
		}
	}
	if told := boss.since(n); len(told) > 0 {
		t.Errorf("somebody was told of a change of the door: %v", kinds(told))
	}
}

// What the project says of all its rooms reaches who is in them, as an edit of a
// room does, and takes what was allowed live.
func TestProjectPermissionsReachPeople(t *testing.T) {
	f := newMeetingFormat()
	of := func(g *auth.Grant) *auth.Grant { g.Format = f; return g }
	kept := store.NewMemory()
	h := start(t, room.Config{Store: kept})
	for _, name := range []string{"x", "y"} {
		h.open(name, room.DailySettings{})
		h.visits(name, of(dailyToken("ada")))
		h.visits(name, of(dailyToken("boss", owning)))
		h.visits(name, of(dailyToken("allowed")))
		if _, err := h.lookup(name).Update(h.rooms.Batch(), room.Target{Identity: "allowed"}, allow(auth.SendCamera|auth.SendMicrophone)); err != nil {
			t.Fatal(err)
		}
	}
	f.says(auth.Say{Allow: auth.SendMicrophone | auth.ReceiveTracks | auth.SendData})
	if err := h.rooms.ReviseDaily(h.rooms.Batch(), "test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y"} {
		for identity, may := range map[string]bool{"ada": false, "allowed": false, "boss": true} {
			if h.allows(name, identity, auth.SendCamera) != may || !h.allows(name, identity, auth.SendMicrophone) {
				t.Errorf("%s in %s has what it should not", identity, name)
			}
		}
	}
	h = start(t, room.Config{Store: kept})
	h.visits("x", of(dailyToken("allowed")))
	if h.allows("x", "allowed", auth.SendCamera) {
		t.Error("what was allowed is back after the start")
	}
}

// What an edit takes from somebody's base leaves what was allowed live, whoever is
// there; what it does not take stays, and so does what was denied. Also of those who
// are away, by tokens of then, and after a start.
func TestDailyNarrowingWins(t *testing.T) {
	const hide = auth.Hidden | auth.ReceiveOnlyOwners
	stores(t, func(t *testing.T, s store.Store) {
		cfg := room.Config{Store: s}
		h := start(t, cfg)
		h.open("x", room.DailySettings{})
		first := time.Now().Add(-time.Minute)
		tokens := map[string]func() *auth.Grant{
			"here":   func() *auth.Grant { return dailyToken("here", issued(first)) },
			"away":   func() *auth.Grant { return dailyToken("away", issued(first)) },
			"own":    func() *auth.Grant { return dailyToken("own", issued(first), saying(auth.Say{Allow: auth.SendCamera})) },
			"boss":   func() *auth.Grant { return dailyToken("boss", issued(first), owning) },
			"denied": func() *auth.Grant { return dailyToken("denied", issued(first)) },
			"shown":  func() *auth.Grant { return dailyToken("shown", issued(first)) },
		}
		h.visits("x", dailyToken("keeper", owning))
		update := func(identity string, ch room.Change) {
			t.Helper()
			if _, err := h.lookup("x").Update(h.rooms.Batch(), room.Target{Identity: identity}, ch); err != nil {
				t.Fatal(err)
			}
		}
		for name, token := range tokens {
			m := h.visits("x", token())
			update(name, allow(auth.SendCamera|auth.SendMicrophone))
			switch name {
			case "away":
				defer m.leaveIf()
				m.leave()
			case "denied":
				update(name, deny(auth.SendCamera))
			case "shown":
				update(name, deny(auth.Hidden)) // may be shown whatever the room says
			}
		}
		only := h.visits("x", tokens["here"]())
		if _, err := h.lookup("x").Update(h.rooms.Batch(), room.Target{SID: only.p.SID}, allow(auth.SendCamera)); err != nil {
			t.Fatal(err)
		}
		rights := func(h *run, name string) auth.Rights {
			t.Helper()
			m := h.visits("x", tokens[name]())
			p := last[*room.Snapshot](t, m).Self.Permission
			m.leave()
			return p.Rights
		}
		check := func(h *run, when string, want map[string]bool) {
			t.Helper()
			for name, may := range want {
				if r := rights(h, name); r.Has(auth.SendCamera) != may || !r.Has(auth.SendMicrophone) {
					t.Errorf("%s: %s may %q", when, name, r.Names())
				}
			}
		}
		check(h, "before", map[string]bool{"here": true, "away": true, "own": true, "boss": true, "denied": false})
		h.set("x", permits(auth.Say{Deny: auth.SendCamera}))
		if h.allows("x", "here", auth.SendCamera) {
			t.Error("what was allowed still holds")
		}
		if info, err := h.lookup("x").Participant(room.Target{SID: only.p.SID}); err != nil || info.Permission.Allows(auth.SendCamera) {
			t.Errorf("what was allowed to one participant still holds: %v", err)
		}
		want := map[string]bool{"here": false, "away": false, "own": true, "boss": true, "denied": false}
		check(h, "narrowed", want)
		h = start(t, cfg)
		h.visits("x", dailyToken("keeper", owning))
		check(h, "after a start", want)
		h.set("x", permits(auth.Say{}))
		check(h, "widened", map[string]bool{"here": true, "away": true, "own": true, "boss": true, "denied": false})

		// What narrows is taken by being given.
		if rights(h, "shown").Any(hide) {
			t.Error("hidden before the room says so")
		}
		h.set("x", permits(auth.Say{Allow: auth.Hidden}))
		for name, hides := range map[string]bool{"here": true, "away": true, "shown": true, "boss": false} {
			if got := rights(h, name).Has(auth.Hidden); got != hides {
				t.Errorf("%s is hidden: %t", name, got)
			}
		}
		h.set("x", permits(auth.Say{}))
		h.visits("x", tokens["here"]())
		update("here", allow(auth.Hidden))
		for _, say := range []auth.Say{{Deny: auth.Hidden}, {Allow: auth.Hidden}, {}} {
			h.set("x", permits(say))
			if !h.allows("x", "here", auth.Hidden) {
				t.Error("what the room says undoes that somebody was hidden")
			}
		}
	})
}

// What was allowed of receiving from somebody goes with the right to receive, of
// those who lose it, there or away.
func TestDailyNarrowingOfExceptions(t *testing.T) {
	cfg := room.Config{Store: store.NewMemory()}
	h := start(t, cfg)
	h.open("x", room.DailySettings{})
	first := time.Now().Add(-time.Minute)
	tokens := map[string]func() *auth.Grant{
		"here": func() *auth.Grant { return dailyToken("here", issued(first)) },
		"away": func() *auth.Grant { return dailyToken("away", issued(first)) },
		"own": func() *auth.Grant {
			return dailyToken("own", issued(first), saying(auth.Say{Allow: auth.ReceiveTracks}))
		},
	}
	h.visits("x", dailyToken("keeper", owning))
	for name, token := range tokens {
		m := h.visits("x", token())
		ch := room.Change{Permission: &auth.Say{Layer: auth.Live, ReceiveFromIdentity: map[string]auth.Rights{"bob": auth.ReceiveTracks}}}
		if _, err := h.lookup("x").Update(h.rooms.Batch(), room.Target{Identity: name}, ch); err != nil {
			t.Fatal(err)
		}
		if name != "here" {
			m.leave()
		}
	}
	h.set("x", permits(auth.Say{Deny: auth.ReceiveTracks}))
	if info, err := h.lookup("x").Participant(room.Target{Identity: "here"}); err != nil || info.Permission.Receives(auth.Camera, "bob", "", true) {
		t.Errorf("who is there receives from bob still: %v", err)
	}
	for _, h := range []*run{h, start(t, cfg)} {
		for name, may := range map[string]bool{"here": false, "away": false, "own": true} {
			m := h.visits("x", tokens[name]())
			if p := last[*room.Snapshot](t, m).Self.Permission; p.Receives(auth.Camera, "bob", "", true) != may {
				t.Errorf("%s receives from bob: %t", name, !may)
			}
		}
	}
}

// What an edit takes of receiving from somebody leaves what was allowed live: of the
// person, of one of its participants, of whoever comes again, and of those away.
func TestDailyNarrowingOfSomebody(t *testing.T) {
	from := func(rights auth.Rights, who ...string) map[string]auth.Rights {
		m := map[string]auth.Rights{}
		for _, w := range who {
			m[w] = rights
		}
		return m
	}
	all := auth.ReceiveTracks
	only := func(say auth.Say) auth.Say { // as canReceive is stated
		say.AllFromIdentity, say.AllFromParticipant = true, true
		return say
	}
	for name, c := range map[string]struct {
		was, live, will auth.Say
		bob, eve        bool // who is received from, then
	}{
		"true, then false":     {auth.Say{}, auth.Say{ReceiveFromIdentity: from(all, "bob")}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, false, true},
		"true, then nobody":    {auth.Say{}, auth.Say{ReceiveFromIdentity: from(all, "bob")}, auth.Say{ReceiveFromIdentity: from(0, "*")}, false, false},
		"another is concerned": {auth.Say{}, auth.Say{ReceiveFromIdentity: from(all, "eve")}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, false, true},
		"everybody":            {auth.Say{}, only(auth.Say{ReceiveFromIdentity: from(all, "*")}), auth.Say{ReceiveFromIdentity: from(0, "bob")}, false, true},
		"no exceptions":        {auth.Say{}, only(auth.Say{Allow: all}), auth.Say{ReceiveFromIdentity: from(0, "bob")}, false, true},
		"by sid":               {auth.Say{}, auth.Say{ReceiveFromParticipant: from(all, "bob's")}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, false, true},
		"everybody by sid":     {auth.Say{}, auth.Say{ReceiveFromParticipant: from(all, "*")}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, false, true},
		"sid against sid":      {auth.Say{}, auth.Say{ReceiveFromParticipant: from(all, "bob's")}, auth.Say{ReceiveFromParticipant: from(0, "bob's")}, false, true},
		"owners only":          {auth.Say{}, auth.Say{ReceiveFromIdentity: from(all, "bob")}, auth.Say{Allow: auth.ReceiveOnlyOwners}, false, false},
		"the exception goes":   {auth.Say{Deny: all, ReceiveFromIdentity: from(all, "bob")}, auth.Say{ReceiveFromIdentity: from(all, "bob")}, auth.Say{Deny: all}, false, false},
		"nothing is taken":     {auth.Say{ReceiveFromIdentity: from(0, "bob")}, auth.Say{ReceiveFromIdentity: from(all, "bob")}, auth.Say{ReceiveFromIdentity: from(0, "bob", "ida")}, true, true},
		"a denial stays":       {auth.Say{}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, auth.Say{ReceiveFromIdentity: from(auth.ReceiveCamera, "bob")}, false, true},
		"and is no denial":     {auth.Say{}, auth.Say{ReceiveFromIdentity: from(auth.ReceiveMicrophone, "bob")}, auth.Say{ReceiveFromIdentity: from(auth.ReceiveCamera, "bob")}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := room.Config{Store: store.NewMemory(), Refresh: new(tokens).sign}
			h := start(t, cfg)
			h.opens(room.DailySettings{Permissions: c.was})
			bob := h.comes(caller("bob"))
			for _, say := range []*auth.Say{&c.was, &c.live, &c.will} {
				if rights, ok := say.ReceiveFromParticipant["bob's"]; ok {
					say.ReceiveFromParticipant = from(rights, bob.p.SID)
				}
			}
			if c.was.ReceiveFromParticipant != nil {
				h.set("hall", permits(c.was))
			}
			check := func(what string, p auth.Permission) {
				t.Helper()
				if got := p.Receives(auth.Camera, "bob", bob.p.SID, false); got != c.bob {
					t.Errorf("%s receives bob: %v: %+v", what, got, p)
				}
				if got := p.Receives(auth.Camera, "eve", "PA_eve", false); got != c.eve {
					t.Errorf("%s receives eve: %v: %+v", what, got, p)
				}
			}
			tokens := map[string]*auth.Grant{"one": caller("one"), "person": caller("person"), "comes again": caller("comes again"), "away": caller("away")}
			there := make(map[string]*member)
			for who, g := range tokens {
				there[who] = h.comes(g)
			}
			h.flushed(func(b *room.Batch) {
				must(t, h.room().State(b, map[string]auth.Say{there["one"].p.SID: c.live, there["comes again"].p.SID: c.live}, nil, ""))
			})
			live := c.live
			live.Layer = auth.Live
			for _, who := range []string{"person", "away"} {
				h.update(room.Target{Identity: who}, room.Change{Permission: &live})
			}
			for _, who := range []string{"comes again", "away"} {
				there[who].leave()
			}
			h.set("hall", permits(c.will))
			for _, who := range []string{"one", "person"} {
				info, err := h.room().Participant(room.Target{SID: there[who].p.SID})
				must(t, err)
				check(who, info.Permission)
			}
			refreshed := again(tokens["comes again"], auth.Current{Session: there["comes again"].p.SID})
			for who, g := range map[string]*auth.Grant{"by a refreshed token": refreshed, "away": tokens["away"], "person again": tokens["person"]} {
				check(who, last[*room.Snapshot](t, h.comes(g)).Self.Permission)
			}
			h.stop()
			h = start(t, cfg)
			for _, who := range []string{"person", "away"} {
				if bob.p.SID != "" && c.live.ReceiveFromParticipant == nil {
					check(who+" after a restart", last[*room.Snapshot](t, h.comes(tokens[who])).Self.Permission)
				}
			}
		})
	}
}

// While an edit is on its way nobody has more than by the room before and after it,
// in what it may send, receive from anybody or from somebody.
func TestDailyEditsOnTheirWay(t *testing.T) {
	from := func(rights auth.Rights, who ...string) map[string]auth.Rights {
		m := map[string]auth.Rights{}
		for _, w := range who {
			m[w] = rights
		}
		return m
	}
	all := auth.ReceiveTracks
	for name, c := range map[string]struct {
		was, will auth.Say
		check     func(p auth.Permission) bool // what may not be on the way
	}{
		"send":              {auth.Say{}, auth.Say{Deny: auth.SendCamera}, func(p auth.Permission) bool { return p.Allows(auth.SendCamera) }},
		"send again":        {auth.Say{Deny: auth.SendCamera}, auth.Say{}, func(p auth.Permission) bool { return p.Allows(auth.SendCamera) }},
		"hide":              {auth.Say{}, auth.Say{Allow: auth.Hidden}, func(p auth.Permission) bool { return !p.Hidden() }},
		"show":              {auth.Say{Allow: auth.Hidden}, auth.Say{}, func(p auth.Permission) bool { return !p.Hidden() }},
		"only owners":       {auth.Say{}, auth.Say{Allow: auth.ReceiveOnlyOwners}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"not from bob":      {auth.Say{}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"from bob again":    {auth.Say{ReceiveFromIdentity: from(0, "bob")}, auth.Say{}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"not from others":   {auth.Say{}, auth.Say{ReceiveFromIdentity: from(0, "*")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"not from a sid":    {auth.Say{}, auth.Say{ReceiveFromParticipant: from(0, "PA_b")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"from a sid":        {auth.Say{ReceiveFromIdentity: from(0, "*")}, auth.Say{ReceiveFromIdentity: from(0, "*"), ReceiveFromParticipant: from(all, "PA_b")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"from bob alone":    {auth.Say{Deny: all, ReceiveFromIdentity: from(all, "bob")}, auth.Say{Deny: all}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"from eve, not bob": {auth.Say{Deny: all, ReceiveFromIdentity: from(all, "bob")}, auth.Say{Deny: all, ReceiveFromIdentity: from(all, "eve"), AllFromIdentity: true}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		"owners, and bob":   {auth.Say{Allow: auth.ReceiveOnlyOwners}, auth.Say{ReceiveFromIdentity: from(all, "bob")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", false) }},
		// Exceptions of another kind on either side, owners only on both.
		"not from an owner":    {auth.Say{Allow: auth.ReceiveOnlyOwners}, auth.Say{Allow: auth.ReceiveOnlyOwners, ReceiveFromIdentity: from(0, "bob")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", true) }},
		"hidden, not the host": {auth.Say{Allow: auth.Hidden | auth.ReceiveOnlyOwners}, auth.Say{Allow: auth.Hidden | auth.ReceiveOnlyOwners, ReceiveFromIdentity: from(0, "bob")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", true) }},
		"no owner by sid":      {auth.Say{Allow: auth.ReceiveOnlyOwners}, auth.Say{Allow: auth.ReceiveOnlyOwners, ReceiveFromParticipant: from(0, "PA_b")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", true) }},
		"from owners, but for a": {auth.Say{ReceiveFromIdentity: from(0, "eve")}, auth.Say{Allow: auth.ReceiveOnlyOwners}, func(p auth.Permission) bool {
			return p.Receives(auth.Camera, "eve", "PA_e", true) || p.Receives(auth.Camera, "bob", "PA_b", false)
		}},
		"by sid, then by user":     {auth.Say{ReceiveFromIdentity: from(0, "*"), ReceiveFromParticipant: from(all, "PA_b")}, auth.Say{ReceiveFromIdentity: from(0, "bob")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", true) }},
		"less by user, all by sid": {auth.Say{ReceiveFromIdentity: from(0, "bob")}, auth.Say{ReceiveFromParticipant: from(all, "*")}, func(p auth.Permission) bool { return p.Receives(auth.Camera, "bob", "PA_b", true) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlowStore(t)
			h := start(t, room.Config{Store: s})
			h.open("x", room.DailySettings{Permissions: c.was})
			ada := h.visits("x", dailyToken("ada"))
			of := func(m *member) auth.Permission {
				t.Helper()
				info, err := h.lookup("x").Participant(room.Target{SID: m.p.SID})
				if err != nil {
					t.Fatal(err)
				}
				return info.Permission
			}
			s.hold(true)
			done := make(chan error, 1)
			go func() {
				_, err := h.setting("x", permits(c.will))
				done <- err
			}()
			<-s.began
			if c.check(of(ada)) {
				t.Errorf("who is there has too much: %+v", of(ada))
			}
			newcomer := h.visits("x", dailyToken("newcomer"))
			if c.check(of(newcomer)) {
				t.Errorf("a newcomer has too much: %+v", of(newcomer))
			}
			s.hold(false)
			s.settle(errDisk)
			if err := <-done; !errors.Is(err, room.ErrUnavailable) {
				t.Fatal(err)
			}
			for _, m := range []*member{ada, newcomer, h.visits("x", dailyToken("later"))} {
				if c.check(of(m)) {
					t.Errorf("when it has failed %s has too much: %+v", m.p.Identity, of(m))
				}
			}
			h.set("x", permits(c.will))
			want := auth.Resolve(meetings.Base(dailyToken("ada"), "x", auth.RoomRules{Daily: &c.will})...)
			for _, m := range []*member{ada, newcomer} {
				if got := of(m); !got.Equal(want) {
					t.Errorf("when a later one is durable %s has %+v, want %+v", m.p.Identity, got, want)
				}
			}
		})
	}
}

// Edits of a room's permissions among many who all send: from the moment an edit is
// answered nobody gets one more message of somebody whom it has taken the right from.
func TestDailyEditStorm(t *testing.T) {
	seed := newSeed(t)
	people := rounds(300)
	const senders = 32
	var calls atomic.Uint32
	salt := seed.Uint32()
	room.BeforeLock(t, func() {
		if (calls.Add(1)*2654435761+salt)>>29 == 0 {
			runtime.Gosched()
		}
	})
	h := start(t, room.Config{})
	h.open("x", room.DailySettings{})
	ear := h.visits("x", dailyToken("ear", owning))
	members := make([]*member, people)
	for i := range people {
		members[i] = h.visits("x", dailyToken(fmt.Sprint("p", i)))
		members[i].mu.Lock()
		members[i].deaf, members[i].bytes = true, nil
		members[i].mu.Unlock()
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var sent, refused atomic.Uint64
	var gate sync.RWMutex
	var closed atomic.Bool
	for s := range senders {
		wg.Go(func() {
			batch := h.rooms.Batch()
			for n := s; ; n += senders {
				select {
				case <-stop:
					batch.Wait()
					return
				default:
				}
				gate.RLock()
				payload := []byte("false")
				if closed.Load() {
					payload = []byte("true")
				}
				err := members[n%people].p.PublishData(room.Call{Generation: 1, Batch: batch, Quiet: true}, room.Message{Payload: payload, Reliable: true})
				gate.RUnlock()
				batch.Flush()
				batch.Wait()
				if err == nil {
					sent.Add(1)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	for range 10 {
		before := sent.Load()
		waitFor(t, func() bool { return sent.Load() > before+100 })
		h.set("x", permits(auth.Say{Deny: auth.SendData}))
		closed.Store(true)
		for _, p := range h.lookup("x").Participants() {
			if p.Identity != "ear" && p.Permission.Allows(auth.SendData) {
				t.Fatalf("%s may send when the edit is answered", p.Identity)
			}
		}
		no := refused.Load()
		waitFor(t, func() bool { return refused.Load() > no+100 })
		gate.Lock() // what was sent as closed has been refused when it is open again
		closed.Store(false)
		gate.Unlock()
		h.set("x", permits(auth.Say{}))
	}
	close(stop)
	wg.Wait()
	heard := 0
	for _, ev := range ear.since(0) {
		if d, ok := ev.(*room.Data); ok {
			heard++
			if string(d.Payload) == "true" {
				t.Fatalf("a message of %s came through that was sent after the edit was answered", d.From.Identity)
			}
		}
	}
	if heard == 0 || refused.Load() == 0 {
		t.Errorf("%d heard, %d refused: nothing was tested", heard, refused.Load())
	}
}

// Edits, creations, deletions of the same rooms, alone and together, all at once: each
// is answered, and what is there at the end is what the next start finds.
func TestDailyEditsAtOnce(t *testing.T) {
	stores(t, func(t *testing.T, s store.Store) {
		h := start(t, room.Config{Store: s})
		names := []string{"a", "b", "c", "d"}
		var wg sync.WaitGroup
		for w := range 8 {
			seed := newSeed(t)
			wg.Go(func() {
				for range rounds(60) {
					b := h.rooms.Batch()
					some := slices.Clone(names)
					seed.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
					some = some[:1+seed.IntN(3)]
					var err error
					switch seed.IntN(4) {
					case 0:
						_, _, err = h.rooms.CreateDaily(b, "test", some, make([]room.DailySettings, len(some)))
					case 1:
						_, err = h.rooms.DeleteDaily(b, "test", some...)
					case 2:
						_, err = h.setting(some[0], func(s *room.DailySettings) { s.MaxParticipants = w + 1 })
					case 3:
						if m, e := h.visit(some[0], dailyToken(fmt.Sprint("p", w), forRoom(some[0]))); e == nil {
							m.leaveIf()
						}
					}
					if err != nil && !errors.Is(err, room.ErrExists) && !errors.Is(err, room.ErrNotFound) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		want, _, _ := h.rooms.ListDaily("test", room.DailyQuery{})
		got, _, err := start(t, room.Config{Store: s}).rooms.ListDaily("test", room.DailyQuery{})
		if err != nil || !slices.EqualFunc(got, want, alike) {
			t.Errorf("the next start finds %+v, %v; there were %+v", got, err, want)
		}
	})
}

// A join that races an edit never has more than the room says when the edit has been
// answered, nor is it in when it may not come in any more.
func TestJoinsRaceDailyEdits(t *testing.T) {
	seed := newSeed(t)
	var calls atomic.Uint32
	salt := seed.Uint32()
	room.BeforeLock(t, func() {
		if (calls.Add(1)*2654435761+salt)>>29 == 0 {
			runtime.Gosched()
		}
	})
	h := start(t, room.Config{})
	h.open("x", room.DailySettings{})
	h.visits("x", dailyToken("keeper", owning))
	for i := range rounds(200) {
		h.set("x", func(s *room.DailySettings) { *s = room.DailySettings{} })
		var wg sync.WaitGroup
		var late atomic.Bool
		members := make([]*member, 8)
		for k := range members {
			wg.Go(func() {
				g := dailyToken(fmt.Sprint("p", i, "-", k))
				if k%2 == 1 {
					g = anyone(fmt.Sprint("p", i, "-", k))
				}
				after := late.Load()
				m, err := h.visit("x", g)
				if err == nil && k%2 == 1 && after {
					t.Errorf("round %d: somebody came in without a token after the room was private", i)
				}
				if err == nil {
					members[k] = m
				}
			})
		}
		h.set("x", func(s *room.DailySettings) { s.Private, s.Permissions = true, auth.Say{Deny: auth.SendCamera} })
		late.Store(true)
		check := func(when string) {
			t.Helper()
			for _, p := range h.lookup("x").Participants() {
				if p.Identity != "keeper" && p.Permission.Allows(auth.SendCamera) {
					t.Fatalf("round %d, %s: %s may send its camera", i, when, p.Identity)
				}
			}
		}
		check("answered")
		wg.Wait()
		check("later")
		for _, m := range members {
			if m != nil {
				m.leaveIf()
			}
		}
	}
}

// A deletion that races joins: when it is answered nobody is in the room, and whoever
// names it does not come in any more.
func TestJoinsRaceDailyDeletions(t *testing.T) {
	h := start(t, room.Config{})
	for i := range rounds(200) {
		name := fmt.Sprint("r", i)
		h.open(name, room.DailySettings{})
		var wg sync.WaitGroup
		for k := range 8 {
			wg.Go(func() {
				g := []*auth.Grant{dailyToken(fmt.Sprint("p", k), forRoom(name)), dailyToken(fmt.Sprint("p", k)), anyone(fmt.Sprint("p", k))}[k%3]
				for range 3 {
					if m, err := h.visit(name, g); err == nil {
						defer m.leaveIf()
					}
				}
			})
		}
		h.shut(name)
		if r, ok := h.rooms.Lookup("test", name); ok {
			t.Fatalf("round %d: %d people are in a room that was deleted", i, len(r.Participants()))
		}
		wg.Wait()
		if _, ok := h.rooms.Lookup("test", name); ok {
			t.Fatalf("round %d: somebody came in after the room was deleted", i)
		}
	}
}

// What decides is told by layers, of the room's since it was changed.
func TestExplainingDailyPermissions(t *testing.T) {
	h := start(t, room.Config{})
	h.open("x", room.DailySettings{})
	changed := h.set("x", permits(auth.Say{Layer: "room", Deny: auth.SendCamera}))
	m := h.visits("x", dailyToken("ada", issued(time.Now().Add(-time.Hour)), saying(auth.Say{Allow: auth.SendScreenShare})))
	_, layers, err := h.rooms.Explain("test", "x", room.Target{SID: m.p.SID})
	if err != nil || len(layers) != 3 {
		t.Fatalf("explained: %+v, %v", layers, err)
	}
	for i, want := range []string{"domain", "room", "token"} {
		if layers[i].Layer != want || (time.Since(layers[i].At) < time.Minute) != (want == "room") {
			t.Errorf("layer %d is %s of %v", i, layers[i].Layer, layers[i].At)
		}
	}
	if changed.Created.After(layers[1].At) {
		t.Errorf("the room's is of %v", layers[1].At)
	}
}
