package room

import (
	"errors"
	"slices"
	"time"

	"usher/auth"
)

// Move takes all participants of an identity from one room to another. Their
// sessions go on: a place is kept there, they leave here, and arrive there, where
// what was stated about them there counts. The two rooms are never locked
// together. Messages that a client sends before it knows are refused.
//
// The errors are [ErrNoParticipant], those of joining, and an [InvalidError].
func (rs *Rooms) Move(b *Batch, project, from, to, identity string) error {
	if from == to {
		return &InvalidError{"the participant is in that room"}
	}
	if to == "" {
		return &InvalidError{"no destination was named"}
	}
	if err := rs.cfg.Limits.RoomName(to); err != nil {
		return err
	}
	r, ok := rs.Lookup(project, from)
	if !ok {
		return ErrNoParticipant
	}
	r.mu.Lock()
	found := r.findLocked(Target{Identity: identity})
	r.mu.Unlock()
	if len(found) == 0 {
		return ErrNoParticipant
	}
	for _, p := range found {
		if err := r.move(b, p, to); err != nil {
			return err
		}
	}
	return nil
}

// move takes one participant to another room. A lease stays where it was given. A
// client whose dialect knows of no such thing is told to go there by itself, when
// it would be let in.
func (r *Room) move(b *Batch, p *Participant, to string) error {
	if p.grant.Format == nil {
		return nil
	}
	there, base, expected, cancelLocked, err := r.rooms.reserve(b, p, to)
	if err != nil {
		return err
	}
	if p.listener.restate {
		there.cancel(cancelLocked)
		r.mu.Lock()
		defer r.mu.Unlock()
		if p.final != nil {
			return ErrNoParticipant
		}
		r.evictLocked(b, p, Final{Reason: Migration, Cause: CauseRenamed, Detail: to})
		return nil
	}
	r.mu.Lock()
	current, claims := p.currentLocked(), p.claims
	r.mu.Unlock()
	current.Room, current.Permission, current.Base = to, expected, base
	var (
		token   string
		expires time.Time
	)
	if r.rooms.cfg.Refresh != nil && p.grant.Format != nil {
		if token, expires, err = r.rooms.cfg.Refresh(p.grant, current); err != nil {
			token = "" // another will be tried, and what is wrong logged
		}
	}

	r.mu.Lock()
	if p.final != nil {
		r.mu.Unlock()
		there.cancel(cancelLocked)
		return ErrNoParticipant
	}
	if p.claims != claims {
		token = "" // it tells what was so before
	}
	q := r.leaveForLocked(b, p, there)
	r.mu.Unlock()

	there.mu.Lock()
	defer there.mu.Unlock()
	defer close(q.ready)
	cancelLocked()
	final, ok := there.arriveLocked(b, q, token, expires, current.Permission)
	there.idleLocked() // should it not have come, or keep no room open
	if !ok {
		q.final = &final
		o := q.listener.outbox
		o.mu.Lock()
		dirty := o.detachForLocked(final, true)
		o.forgetLocked()
		o.mu.Unlock()
		if dirty {
			b.add(o)
		}
		r.rooms.bury(q, final)
		r.rooms.sessions.Delete(q.SID)
		return ErrNoParticipant
	}
	return nil
}

// reserve keeps a place for p in the room with that name, where it would have
// that base and permission. With the room locked, cancelLocked gives it up.
func (rs *Rooms) reserve(b *Batch, p *Participant, to string) (r *Room, base []auth.Say, expected auth.Permission, cancelLocked func(), err error) {
	r, made, err := rs.open(p.room.Project, to, rs.mayMake(p.grant), p.grant, auth.RoomConfig{})
	if err != nil {
		return nil, nil, expected, nil, err
	}
	defer r.mu.Unlock()
	candidate := &Participant{format: p.format, Identity: p.Identity, dependent: p.dependent}
	base, err = r.entryLocked(p.grant)
	if err == nil && rs.revocations.refuses(r.Project, r.Name, p.grant) {
		err = ErrRevoked
	}
	if err == nil {
		err = r.comesByMoveLocked(p)
	}
	if err == nil {
		expected = auth.Resolve(append(slices.Clip(base), r.record.live(p.Identity, r.ID, p.grant)...)...)
		candidate.permission = expected
		_, err = r.placeLocked(candidate)
	}
	if err != nil {
		r.abandonLocked(b, made)
		return nil, nil, expected, nil, err
	}
	place := 1
	if !candidate.occupies(candidate.permission) {
		place = 0 // it takes nobody's
	}
	r.reserved += place
	r.keeping++
	r.idle.Stop()
	return r, base, expected, func() { r.reserved -= place; r.keeping-- }, nil
}

// comesByMoveLocked checks that somebody may come into the room who need not wait,
// since a server brings it.
func (r *Room) comesByMoveLocked(p *Participant) error {
	if _, ok := r.banned[p.Identity]; ok {
		return ErrBanned
	}
	_, err := r.doorLocked(p.grant, true)
	return err
}

// cancel gives up a place that was kept.
func (r *Room) cancel(cancelLocked func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cancelLocked()
	r.idleLocked()
}

// leaveForLocked takes p out of the room, and returns the one that its session
// goes on as.
func (r *Room) leaveForLocked(b *Batch, p *Participant, there *Room) *Participant {
	q := &Participant{
		rooms: p.rooms, room: there, grant: p.grant, admit: p.admit, format: p.format, SID: p.SID, Identity: p.Identity, secret: p.secret,
		dependent: p.dependent, ready: make(chan struct{}),
		connected: p.connected, generation: p.generation, lastRequest: p.lastRequest, attempt: p.attempt, uncounted: p.uncounted,
		live: p.live, liveAt: p.liveAt, claims: p.claims + 1, info: p.info,
	}
	q.presenceVersion.Store(p.presenceVersion.Load())
	q.listener = &listener{participant: q, autoSubscribe: p.listener.autoSubscribe, outbox: p.listener.outbox}
	p.successor = q
	for _, f := range append([]*feed(nil), p.tracks...) {
		r.unpublishLocked(b, p, f, "left")
	}
	r.announceLocked(b) // while it is still among those who hear it
	final := Final{Reason: Migration, Cause: CauseMoved}
	r.unseatLocked(p, final)
	r.rooms.leftBehind(p)
	r.goneLocked(b, p, final)
	r.missLocked(b, p, final)
	return q
}

// arriveLocked makes q a member. It fails when the room has ended meanwhile, or
// q was revoked.
func (r *Room) arriveLocked(b *Batch, q *Participant, token string, expires time.Time, told auth.Permission) (Final, bool) {
	switch {
	case r.closed:
		return Final{Reason: RoomDeleted, Cause: CauseRoomDeleted}, false
	case r.rooms.revocations.refuses(r.Project, r.Name, q.grant):
		return Final{Reason: ParticipantRemoved, Cause: CauseRemoved}, false
	case q.keyEnded(): // since it left nobody found it to put it out
		return Final{Reason: ParticipantRemoved, Cause: CauseKeyRevoked}, false
	}
	base, err := r.entryLocked(q.grant)
	if err == nil {
		err = r.comesByMoveLocked(q)
	}
	if err == nil {
		err = r.openLocked(q.grant)
	}
	if err != nil {
		return Final{Reason: ParticipantRemoved, Cause: CauseAccessLost, Detail: lostAccess}, false
	}
	q.base = base
	q.live = narrowings(base, q.live)
	q.permission = auth.Resolve(q.layersLocked()...)
	replaced, err := r.placeLocked(q)
	if err != nil {
		return Final{Reason: ParticipantRemoved, Cause: CauseReplaced}, false
	}
	was := q.info
	q.info = &Info{
		SID: q.SID, Identity: q.Identity, Name: was.Name, Kind: was.Kind, KindDetails: was.KindDetails, State: Active,
		Metadata: was.Metadata, Attributes: was.Attributes, Permission: q.permission, Recorder: was.Recorder,
		JoinedAt: time.Now(), EjectAt: was.EjectAt, Version: was.Version + 1, Actor: was.Actor, Dialect: was.Dialect,
	}
	if r.numberLocked(q) != nil { // it was hidden there
		return Final{Reason: ConnectionTimeout, Cause: CausePingTimeout}, false
	}
	if !q.connected {
		q.info.State = Reconnecting
	}
	r.seatLocked(b, q, replaced)
	r.rooms.touch(r.record, q.info.JoinedAt)
	if !q.permission.Equal(told) {
		token = ""
	}
	o := q.listener.outbox
	snapshot, size := r.tellLocked(q, false)
	f := newFrame(counted, &Moved{*snapshot, token, expires}, size+len(token))
	o.mu.Lock()
	dirty := o.putLocked(f, nil)
	if o.replay {
		q.arrival = o.countedLocked()
	}
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	r.beginLocked(b, q)
	if token == "" {
		q.refreshLocked(b)
	}
	if !q.connected {
		q.awaitLocked()
	}
	return Final{}, true
}

// keyEnded reports whether the key of p's token was revoked. Sessions outlive one that
// is only listed no more.
func (p *Participant) keyEnded() bool {
	if p.admit == nil {
		return false
	}
	err := p.admit()
	return err != nil && !errors.Is(err, auth.ErrUnknownKey)
}

// Successor returns the participant that p's session goes on as, in another
// room, or nil. It waits until that one has arrived.
func (p *Participant) Successor() *Participant {
	p.room.mu.Lock()
	q := p.successor
	p.room.mu.Unlock()
	if q != nil {
		<-q.ready
	}
	return q
}
