package room

import (
	"sync"
	"time"

	"usher/auth"
)

// stayLocked is when somebody is put out who comes in now; zero: never. What was
// fixed when its session joined first holds; else what its token says, and only if
// that says nothing what Daily's part of the room does, which concerns nobody with
// other tokens.
func (r *Room) stayLocked(g *auth.Grant, now time.Time) (at time.Time, err error) {
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	part, s := r.dailyLocked(), g.Stay
	said, instead := r.rooms.stays.said(r.record, g)
	switch {
	case instead:
		at = said
	case s.Fixed || !s.At.IsZero():
		at = s.At
	case s.AtExpiry || s.After > 0:
		if s.AtExpiry && !g.Expires.IsZero() {
			at = g.Expires
		}
		if s.After > 0 {
			sooner(now.Add(s.After))
		}
	case part != nil && fromDaily(g):
		if part.EjectAtExpiry && !part.Expires.IsZero() {
			at = part.Expires
		}
		if part.EjectAfter > 0 {
			sooner(now.Add(part.EjectAfter))
		}
	}
	if !said.IsZero() {
		sooner(said)
	}
	at = wholeMilliseconds(at)
	if !at.IsZero() && !at.After(now) {
		return at, ErrTimeOver
	}
	return at, nil
}

// wholeMilliseconds is a time as tokens tell it: by the wall's clock.
func wholeMilliseconds(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return at.Truncate(time.Millisecond)
}

// limitLocked has p put out when its time is over.
func (p *Participant) limitLocked() {
	at := p.info.EjectAt
	if at.IsZero() {
		p.rooms.wheel.stop(p.stay)
		return
	}
	if p.stay == nil {
		p.stay = &alarm{p: p, do: timeOver}
	}
	p.rooms.wheel.set(p.stay, at)
}

// timeOver puts out somebody whose time is over. Its tokens stay good.
func timeOver(b *Batch, p *Participant) {
	p.room.evictLocked(b, p, Final{Reason: ParticipantRemoved, Cause: CauseTimeOver})
}

// LimitStay sets when those whom t names are put out; zero: never. They are told,
// and so is everybody. Whose time is over by that is out when it returns. The only
// error is [ErrNoParticipant].
func (r *Room) LimitStay(b *Batch, t Target, at time.Time) error {
	if beforeLock != nil {
		beforeLock()
	}
	at = wholeMilliseconds(at)
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.findLocked(t)
	if len(found) == 0 {
		return ErrNoParticipant
	}
	now := time.Now()
	for _, p := range found {
		if at.Equal(p.info.EjectAt) {
			continue
		}
		r.rooms.stays.note(p, at, now)
		p.changeInfo(func(i *Info) { i.EjectAt = at })
		if !at.IsZero() && !at.After(now) {
			timeOver(b, p)
			continue
		}
		p.limitLocked()
		p.claims++
		r.tellChangeLocked(b, p, p.permission.Hidden(), ChangedStay)
		p.refreshLocked(b)
		r.observeLocked(&Occurrence{Occasion: ParticipantChanged, Participant: p.info, Changed: ChangedStay})
	}
	return nil
}

// stays is what was said by LimitStay a moment ago, of which session: tokens that were
// refreshed before say otherwise, and hold until they run out. It is memory only: a
// restart within that time forgets it. Its mutex is a leaf below a room's.
type stays struct {
	mu      sync.Mutex                     // guards the following field
	limited map[descent]map[string]limited // by session
}

// A descent is what all tokens have in common that were refreshed from one, through
// however many sessions.
type descent struct {
	identity string
	first    auth.TokenHash
}

// limited is when a session is put out, as was said at a time.
type limited struct {
	record           *record // where it was
	at, said, forget time.Time
}

func descentOf(g *auth.Grant) descent { return descent{g.Identity, g.FirstTokenHash()} }

// note remembers what was said of p's session, and so of the one whose token it came by.
func (s *stays) note(p *Participant, at, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := descentOf(p.grant)
	of := s.limited[d]
	if of == nil {
		if s.limited == nil {
			s.limited = make(map[descent]map[string]limited)
		}
		of = make(map[string]limited)
		s.limited[d] = of
	}
	what := limited{p.room.record, at, now, now.Add(p.rooms.cfg.RefreshLife + leeway)}
	of[p.SID] = what
	if p.grant.Origin != nil {
		of[p.grant.Origin.Session] = what
	}
}

// said is what was said of the session of a token after it was refreshed; instead: it
// counts in place of what the token says. What was said in that room of another session
// that descends from the same token can only shorten it: nobody gets out of that by a
// token of some sessions before.
func (s *stays) said(rec *record, g *auth.Grant) (at time.Time, instead bool) {
	if g.Origin == nil {
		return at, false // the application's own token
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.limited[descentOf(g)]
	if l, ok := of[g.Origin.Session]; ok && g.Issued.Unix() <= l.said.Unix() {
		return l.at, true
	}
	for _, l := range of {
		if l.record == rec && g.Issued.Unix() <= l.said.Unix() && !l.at.IsZero() && (at.IsZero() || l.at.Before(at)) {
			at = l.at
		}
	}
	return at, false
}

func (s *stays) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, of := range s.limited {
		for sid, l := range of {
			if now.After(l.forget) {
				delete(of, sid)
			}
		}
		if len(of) == 0 {
			delete(s.limited, d)
		}
	}
}
