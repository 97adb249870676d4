package room

import (
	"slices"
	"sync"
	"time"

	"usher/auth"
)

// early is the tokens that were shown before the moment that they say they were
// issued, as clocks differ: the time of a revocation or of a statement does not
// reach them, nor what was refreshed from them, before that moment has come.
// Its mutex is a leaf below a room's.
type early struct {
	mu    sync.Mutex // guards the following field
	shown map[personKey][]earlyToken
}

type personKey struct{ project, room, identity string }

type earlyToken struct {
	grant   *auth.Grant
	session string
}

// noteEarly remembers the token of somebody who joins, if it is early, by both
// names of a room that has got another one.
func (r *Room) noteEarly(p *Participant) {
	now := time.Now()
	if !p.grant.FirstIssued().After(now) {
		return
	}
	e := &r.rooms.early
	e.note(personKey{r.Project, r.Name, p.Identity}, p.grant, p.SID, now)
	if k := r.record.name(); k != r.key() { // after the note: see [early.rename]
		e.note(personKey{k.project, k.name, p.Identity}, p.grant, p.SID, now)
	}
}

func (e *early) note(k personKey, g *auth.Grant, session string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shown == nil {
		e.shown = make(map[personKey][]earlyToken)
	}
	e.shown[k] = append(slices.DeleteFunc(e.shown[k], past(now)), earlyToken{g, session})
}

// past reports of tokens whether they are early no longer.
func past(now time.Time) func(earlyToken) bool {
	return func(t earlyToken) bool { return t.grant.FirstIssued().Before(now.Add(-time.Second)) }
}

// reached returns what a revocation that refuses everything until now is to
// refuse besides.
func (e *early) reached(rv Revocation) (what shown) {
	if rv.TokenID != "" || rv.Until.Before(rv.Made.Truncate(time.Second)) {
		return what
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, list := range e.shown {
		if k.project != rv.Project || rv.Room != "" && k.room != rv.Room || rv.Identity != "" && k.identity != rv.Identity {
			continue
		}
		for _, t := range list {
			if rv.Naming && !names(t.grant, k.room) {
				continue
			}
			if rv.KeyID == "" || slices.Contains(t.grant.KeyIDs(), rv.KeyID) {
				what.hash(t.grant)
				what.sessions = append(what.sessions, t.session)
			}
		}
	}
	return what
}

// latest is when the latest token was issued that a person has shown, if that
// is later than at.
func (e *early) latest(k personKey, at time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.shown[k] {
		at = later(at, t.grant.FirstIssued())
	}
	return at
}

// rename has what was shown in a room count under its new name, too. The record
// has that name already: what is shown from here on is noted by both.
func (e *early) rename(from, to key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, list := range e.shown {
		if (key{k.project, k.room}) == from {
			there := personKey{to.project, to.name, k.identity}
			e.shown[there] = slices.Concat(e.shown[there], list)
		}
	}
}

func (e *early) sweep(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, list := range e.shown {
		if list = slices.DeleteFunc(list, past(now)); len(list) == 0 {
			delete(e.shown, k)
		} else {
			e.shown[k] = list
		}
	}
}
