package room

import (
	"crypto/rand"
	"maps"
	"strings"
	"time"

	"usher/auth"
)

// leaseFormat is what leases have in place of a token's format.
const leaseFormat = "lease"

// leaseBase is what a lease allows: it only shows. What a server does on its
// behalf it does by the server API.
var leaseBase = []auth.Say{{Layer: "presence", Allow: auth.ReadStorage | auth.SendPresence}}

// A Lease is a presence that a server API gives somebody without a connection.
type Lease struct {
	Identity string
	Name     string
	Metadata string
	Presence Presence // merges with what it had
	TTL      time.Duration
}

// Lease joins somebody who has no connection for the time, or renews that: the
// presence merges, name and metadata stay when they are empty. Others see a
// participant like any other, beside those that the person has otherwise; it
// counts, and keeps the room open. It is gone when the time is over, or with the
// process. Its errors are [ErrNotFound] for a room without a Liveblocks part,
// [ErrFull], [ErrClosed], a [LimitError] and an [InvalidError].
func (rs *Rooms) Lease(b *Batch, project, room string, l Lease) error {
	limits := rs.cfg.Limits
	switch {
	case l.Identity == "":
		return &InvalidError{"no user was named"}
	case strings.HasPrefix(l.Identity, auth.AnonymousPrefix):
		return &InvalidError{"identities that begin with " + auth.AnonymousPrefix + " are the server's"}
	case l.TTL <= 0:
		return &InvalidError{"the time of a presence is positive"}
	}
	if err := firstOf(limits.Identity(l.Identity), limits.Name(l.Name), limits.Metadata(l.Metadata), limits.Presence(l.Presence)); err != nil {
		return err
	}
	r, made, err := rs.open(project, room, false, nil, auth.RoomConfig{})
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	if !r.record.listed() {
		r.abandonLocked(b, made)
		return ErrNotFound
	}
	if who := r.people[l.Identity]; who != nil {
		for _, p := range who.participants {
			if p.format == leaseFormat {
				return r.renewLocked(b, p, l)
			}
		}
	}
	if err := r.leaseLocked(b, l); err != nil {
		r.abandonLocked(b, made)
		return err
	}
	return nil
}

// leaseLocked makes a participant for a lease.
func (r *Room) leaseLocked(b *Batch, l Lease) error {
	now := time.Now()
	g := &auth.Grant{Project: r.Project, Identity: l.Identity, Name: l.Name, Metadata: l.Metadata, Kind: auth.Standard,
		Join: true, Issued: now, Base: leaseBase}
	p := &Participant{rooms: r.rooms, room: r, grant: g, format: leaseFormat, Identity: l.Identity, SID: r.rooms.newSID("PA_"),
		connected: true, generation: 1, base: leaseBase}
	_, _ = rand.Read(p.secret[:]) // never fails
	p.listener = &listener{participant: p, outbox: &outbox{shared: r.rooms.shared}}
	p.permission = auth.Resolve(p.layersLocked()...)
	replaced, err := r.placeLocked(p)
	if err != nil {
		return err
	}
	p.info = &Info{SID: p.SID, Identity: p.Identity, Name: l.Name, Kind: g.Kind, State: Active, Metadata: l.Metadata,
		Permission: p.permission, JoinedAt: now, Version: 1, Dialect: LiveblocksDialect}
	if err := r.numberLocked(p); err != nil {
		return err
	}
	if p.permission.Allows(auth.SendPresence) {
		p.presence = Presence{}
		maps.Copy(p.presence, l.Presence)
	}
	r.seatLocked(b, p, replaced)
	if p.presence != nil && !p.permission.Hidden() {
		r.listLocked(b, p)
		r.presentLocked(b, p)
	}
	p.lease = &alarm{p: p, do: lapse}
	r.rooms.wheel.set(p.lease, now.Add(l.TTL))
	return nil
}

// renewLocked gives a lease more time, and what is new.
func (r *Room) renewLocked(b *Batch, p *Participant, l Lease) error {
	next := p.presence
	if p.permission.Allows(auth.SendPresence) && (len(l.Presence) > 0 || next == nil) {
		next = Presence{}
		maps.Copy(next, p.presence)
		maps.Copy(next, l.Presence)
	}
	if err := r.rooms.cfg.Limits.Presence(next); err != nil {
		return err
	}
	r.rooms.wheel.set(p.lease, time.Now().Add(l.TTL))
	var ch Change
	if l.Name != "" {
		ch.Name = &l.Name
	}
	if l.Metadata != "" {
		ch.Metadata = &l.Metadata
	}
	r.changeLocked(b, []*Participant{p}, ch)
	if len(l.Presence) == 0 || next == nil {
		return nil
	}
	p.presence = next
	if !p.permission.Hidden() {
		r.listLocked(b, p)
		r.presentLocked(b, p)
	}
	return nil
}

// lapse ends a lease whose time is over.
func lapse(b *Batch, p *Participant) {
	p.room.evictLocked(b, p, Final{Reason: ClientInitiated, Cause: CauseLeft})
}
