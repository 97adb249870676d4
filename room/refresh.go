package room

import (
	"errors"
	"math/rand/v2"
	"time"

	"usher/auth"
)

// refreshLocked makes the batch push a refreshed token to p: one, however many
// changes come before it is signed.
func (p *Participant) refreshLocked(b *Batch) {
	if p.refreshDue || p.waiting || !p.refreshable() {
		return
	}
	p.refreshDue = true
	b.refresh = append(b.refresh, p)
}

// refreshable reports whether p gets tokens: nobody without one does, nor over a
// dialect that has no word for it.
func (p *Participant) refreshable() bool {
	return p.rooms.cfg.Refresh != nil && p.grant.Format != nil && p.grant.Claims != nil && !p.listener.restate
}

// renewLaterLocked has p get a refreshed token from time to time.
func (p *Participant) renewLaterLocked() {
	if !p.refreshable() {
		return
	}
	if p.renewal == nil {
		p.renewal = &alarm{p: p, do: renew}
	}
	p.rooms.wheel.set(p.renewal, time.Now().Add(jittered(p.rooms.cfg.RefreshInterval)))
}

func renew(b *Batch, p *Participant) {
	p.renewLaterLocked()
	if p.connected {
		p.refreshLocked(b)
	}
}

// jittered spreads refreshes, so that those who joined together do not refresh
// together. It does not exceed d.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// Refresh pushes a refreshed token to p.
func (p *Participant) Refresh(b *Batch) {
	for q := p.Successor(); q != nil; q = p.Successor() {
		p = q
	}
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.connected && p.final == nil {
		p.refreshLocked(b)
	}
}

// refreshToken signs a token for the present state and queues it. It is called
// outside of all locks.
func (p *Participant) refreshToken(b *Batch) {
	r := p.room
	r.mu.Lock()
	p.refreshDue = false
	now, claims, gone := p.currentLocked(), p.claims, p.final != nil
	r.mu.Unlock()
	if gone {
		return
	}
	token, expires, err := r.rooms.cfg.Refresh(p.grant, now)
	if err != nil {
		r.rooms.metrics.refreshes.WithLabelValues("failed").Inc()
		r.rooms.cfg.Log.Error("refreshing a token failed", "project", r.Project, "room", r.Name, "session", p.SID, "error", err)
		return
	}
	r.rooms.metrics.refreshed.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	// A token that was overtaken while it was signed is not handed out: it may
	// grant more than the session has now. The change has asked for another.
	if p.final == nil && p.claims == claims {
		p.listener.send(b, newFrame(counted, &TokenRefreshed{Token: token, Expires: expires}, len(token)))
	}
}

// currentLocked is what a token tells of p. Of somebody who waits it is what one would
// tell if it were let in now.
func (p *Participant) currentLocked() auth.Current {
	now := auth.Current{
		Session: p.SID, Room: p.room.Name, Identity: p.Identity, Name: p.info.Name,
		Metadata: p.info.Metadata, Attributes: p.info.Attributes, Permission: p.permission,
		Base: p.base, EjectAt: p.info.EjectAt,
	}
	if p.waiting {
		now.Metadata, now.Attributes, now.Permission = p.grant.Metadata, p.grant.Attributes, p.info.Permission
		now.EjectAt, _ = p.room.stayLocked(p.grant, time.Now())
	}
	return now
}

// checkRefreshable reports whether tokens could still tell the participants'
// states after a change: one that would be too long is a limit, like any other.
// Only signing tells how long it would be, so it is called outside of all locks,
// when the change is otherwise allowed.
func (r *Room) checkRefreshable(found []*Participant, ch Change) error {
	if r.rooms.cfg.Refresh == nil || ch.Name == nil && ch.Metadata == nil && len(ch.Attributes) == 0 {
		return nil
	}
	for _, p := range found {
		if !p.refreshable() {
			continue
		}
		r.mu.Lock()
		now := p.currentLocked()
		r.mu.Unlock()
		if ch.Name != nil {
			now.Name = *ch.Name
		}
		if ch.Metadata != nil {
			now.Metadata = *ch.Metadata
		}
		now.Attributes = mergeAttributes(now.Attributes, ch.Attributes)
		l := r.rooms.cfg.Limits
		if err := firstOf(l.Name(now.Name), l.Metadata(now.Metadata), l.Attributes(now.Attributes)); err != nil {
			return err
		}
		if _, _, err := r.rooms.cfg.Refresh(p.grant, now); errors.Is(err, auth.ErrTooLarge) {
			return &LimitError{What: "the refreshed token", Unit: "token_bytes"}
		}
	}
	return nil
}
