package room

import (
	"container/list"
	"slices"
	"strings"
	"time"

	"usher/auth"
)

// maxSaid is of how many tokens and sessions a room remembers what was said. Tests
// change it.
var maxSaid = 20_000

// maxFound is by how many sessions the same is found.
const maxFound = 8

// What was said of one participant, by its sid, concerns that one, and holds while
// the room's life goes on for whoever goes on with it:
//
//   - Who comes by a token that was refreshed in the session, or in one that came in
//     that way, has all of it. Such a token was given to that session alone.
//   - Who comes by the application's token, or by any that descends from it, has of it
//     what takes away: a page that is loaded again does not have its microphone back.
//     Nothing is given in that way, for a token may be many people's. Nor is
//     anything kept of one without an identity of its own: whoever holds it is the
//     same person to the server, and one that names a sid concerns one.
//
// A token that is signed anew is the application's newer word. People without a token
// have nothing to go by. Nothing is forgotten for a token's age, since refreshed ones
// outlive it; when too much is to be remembered, that of which nothing was said for
// the longest goes.
type said struct {
	grant    *auth.Grant // of whom it was said
	identity string
	say      auth.Say
	at       time.Time
	found    []cameBy // by which it is found, the one that was used last at the end
	age      *list.Element
}

// cameBy is what somebody who comes again is known by: one of the two.
type cameBy struct {
	token   auth.TokenHash // the first that its own descends from
	session string         // in which its own was refreshed
}

// sayings is what was said of single participants in one life of a room.
type sayings struct {
	life string
	by   map[string]map[cameBy]*said // by identity
	age  list.List                   // of *said: the oldest first
}

// saidLocked is what was said in a life; nil: nothing.
func (rec *record) saidLocked(life string) *sayings {
	if rec.said == nil || rec.said.life != life {
		return nil
	}
	return rec.said
}

// forgetSaid forgets what was said in a life, which is over.
func (rec *record) forgetSaid(life string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.said != nil && rec.said.life == life {
		rec.said = nil
	}
}

// note adds a later statement to what is found by c.
func (m *sayings) note(p *Participant, c cameBy, say auth.Say) {
	s := m.by[p.Identity][c]
	if s == nil {
		if m.age.Len() >= maxSaid {
			m.forget(m.age.Front().Value.(*said))
		}
		s = &said{identity: p.Identity, say: p.live}
		s.age = m.age.PushBack(s)
		m.add(s, c)
	} else {
		m.age.MoveToBack(s.age)
		s.say = s.say.Then(say)
		if checkExceptions(s.say.ReceiveFromIdentity, s.say.ReceiveFromParticipant) != nil {
			s.say = p.live
		}
	}
	s.grant, s.at = p.grant, p.liveAt
}

// add has something be found by c as well.
func (m *sayings) add(s *said, c cameBy) {
	if m.by[s.identity] == nil {
		m.by[s.identity] = make(map[cameBy]*said)
	}
	m.by[s.identity][c] = s
	if s.found = append(s.found, c); len(s.found) > maxFound {
		delete(m.by[s.identity], s.found[0])
		s.found = slices.Clone(s.found[1:])
	}
}

func (m *sayings) forget(s *said) {
	m.age.Remove(s.age)
	of := m.by[s.identity]
	for _, c := range s.found {
		delete(of, c)
	}
	if len(of) == 0 {
		delete(m.by, s.identity)
	}
}

// rememberLocked notes what was just said of p, which p.live has already.
func (r *Room) rememberLocked(p *Participant, say auth.Say) {
	if p.grant.Format == nil || p.grant.Claims == nil {
		return
	}
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	m := r.record.saidLocked(r.ID)
	if m == nil {
		m = &sayings{life: r.ID, by: make(map[string]map[cameBy]*said)}
		r.record.said = m
	}
	if p.refreshable() {
		m.note(p, cameBy{session: p.SID}, say)
	}
	if o := p.grant.Origin; o != nil { // the token that it came by is good still
		if c := (cameBy{session: o.Session}); m.by[p.Identity][c] != nil {
			m.note(p, c, say)
		}
	}
	if named(p) {
		m.note(p, cameBy{token: p.grant.FirstTokenHash()}, say)
	}
}

// named reports whether p's token says who it is.
func named(p *Participant) bool { return !strings.HasPrefix(p.Identity, auth.AnonymousPrefix) }

// recallLocked puts what was said in force for p, which comes in and has its base.
func (r *Room) recallLocked(p *Participant) {
	if p.grant.Claims == nil {
		return
	}
	if o := p.grant.Origin; o != nil {
		if s, ok := r.foundLocked(p, cameBy{session: o.Session}); ok {
			p.live, p.liveAt = s.say, s.at
		}
	}
	if !named(p) {
		return
	}
	if s, ok := r.foundLocked(p, cameBy{token: p.grant.FirstTokenHash()}); ok {
		p.live, p.liveAt = p.live.Then(narrowings(p.layersLocked(), s.say)), later(p.liveAt, s.at)
	}
}

// foundLocked returns what is found by c. What is known of an earlier session is
// from now on known of p's.
func (r *Room) foundLocked(p *Participant, c cameBy) (said, bool) {
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	m := r.record.saidLocked(r.ID)
	if m == nil || m.by[p.Identity][c] == nil {
		return said{}, false
	}
	s := m.by[p.Identity][c]
	if c.session != "" && p.refreshable() {
		i := slices.Index(s.found, c)
		s.found = append(slices.Delete(s.found, i, i+1), c)
		m.add(s, cameBy{session: p.SID})
	}
	return *s, true
}

// narrowings is what a say takes away from whoever has those layers, and what it
// would take if they gave it.
func narrowings(layers []auth.Say, say auth.Say) auth.Say {
	less := lesser(auth.Resolve(layers...), auth.Resolve(append(slices.Clip(layers), say)...))
	less.Layer = say.Layer
	less.Allow |= say.Allow & narrowing
	less.Deny |= say.Deny &^ narrowing
	return less
}

// overruleSaidLocked takes out of what was said of a person's participants what a later
// statement about the person names.
func (r *Room) overruleSaidLocked(identity string, later auth.Say, at time.Time) {
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	m := r.record.saidLocked(r.ID)
	if m == nil {
		return
	}
	for _, s := range m.by[identity] {
		if !s.at.After(at) {
			s.say = overruled(s.say, later)
		}
	}
}

// takeSaidLocked takes out of what was said of people who may come again what they
// lose. From is what the holder of a token loses.
func (r *Room) takeSaidLocked(from func(*auth.Grant) loss) {
	r.record.mu.Lock()
	var all []*said
	if m := r.record.saidLocked(r.ID); m != nil {
		for e := m.age.Front(); e != nil; e = e.Next() {
			if s := e.Value.(*said); gives(s.say) != 0 {
				all = append(all, s)
			}
		}
	}
	r.record.mu.Unlock()
	// What remembers and recalls has the room locked, too.
	lost := make([]loss, len(all))
	for i, s := range all {
		lost[i] = from(s.grant)
	}
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	for i, s := range all {
		s.say = taken(s.say, lost[i])
	}
}
