package room

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"usher/auth"
	"usher/room/store"
)

// A Target names whom an operation is about: all participants of a person by
// identity, or one participant by sid.
type Target struct{ Identity, SID string }

// findLocked returns the participants that t names.
func (r *Room) findLocked(t Target) []*Participant {
	if t.SID != "" {
		if p := r.participants[t.SID]; p != nil {
			return []*Participant{p}
		}
		return nil
	}
	if who := r.people[t.Identity]; who != nil {
		return slices.Clone(who.participants)
	}
	return nil
}

// Participants returns snapshots of all participants, hidden ones included.
func (r *Room) Participants() []*Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Info, 0, len(r.participants))
	for _, l := range r.audience.listeners {
		list = append(list, l.participant.info)
	}
	return list
}

// Participant returns a snapshot of the one that t names, the latest when
// there are several.
func (r *Room) Participant(t Target) (*Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.findLocked(t)
	if len(found) == 0 {
		return nil, ErrNoParticipant
	}
	return found[len(found)-1].info, nil
}

// Update applies a change to whom t names. When it returns, the change is in
// force and, what was said of a person's permission, durable. The participants
// as they are now are returned by the latest. One call makes one event and one
// refreshed token for each participant. With [ErrUnavailable] only what it takes
// away is in force.
func (r *Room) Update(b *Batch, t Target, ch Change) (*Info, error) {
	r.mu.Lock()
	found := r.findLocked(t)
	r.mu.Unlock()
	if err := r.checkRefreshable(found, ch); err != nil {
		return nil, err
	}
	r.mu.Lock()
	u, err := r.updateLocked(b, t, ch)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return u.settle(b)
}

// A Removal says more about how somebody is removed.
type Removal struct {
	// Until is when the last of the tokens was issued that are revoked, besides
	// those that were shown here. Zero: now.
	Until time.Time
	By    string
}

// Remove disconnects whom t names and revokes the tokens used so far, in one
// step, and returns when that is durable. With [ErrUnavailable] it is in force,
// but perhaps only until the next start.
func (r *Room) Remove(b *Batch, t Target, how Removal) error {
	r.mu.Lock()
	m, err := r.removeLocked(b, t, how)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return m.settle(b)
}

// Remove is [Room.Remove] in the room with that name. Somebody who has just left
// is there still, in that respect: nobody escapes by leaving.
func (rs *Rooms) Remove(b *Batch, project, room string, t Target, how Removal) error {
	if r, ok := rs.Lookup(project, room); ok {
		if err := r.Remove(b, t, how); !IsNotFound(err) {
			return err
		}
	}
	if t.SID != "" {
		return ErrNoParticipant
	}
	rec := rs.justLeft(project, room, t.Identity)
	if rec == nil {
		return ErrNoParticipant
	}
	rv := Revocation{Project: project, Room: room, Identity: t.Identity, Until: how.until(), By: how.By}
	if _, err := rs.Revoke(b, rv); err != nil {
		return err
	}
	rv.Made = time.Now()
	return settled(b, rs.follow(b, rv, shown{}, rec))
}

// settled waits until everything is durable.
func settled(b *Batch, tickets []*store.Ticket) error {
	b.Flush()
	for _, t := range tickets {
		if err := durable(t); err != nil {
			return err
		}
	}
	return nil
}

func (how Removal) until() time.Time {
	if how.Until.IsZero() {
		return time.Now()
	}
	return how.Until
}

func durable(t *store.Ticket) error {
	if err := t.Wait(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// stranger reports whether nobody can come again as p: people of a public key
// have no token, and another identity each time.
func (p *Participant) stranger() bool {
	return p.grant.Claims == nil && strings.HasPrefix(p.Identity, auth.AnonymousPrefix)
}

// A removal is one that is in force and on its way to the store.
type removal struct {
	room       *Room
	revocation Revocation
	shown      shown
	ticket     *store.Ticket // nil: nothing had to be revoked
}

func (r *Room) removeLocked(b *Batch, t Target, how Removal) (*removal, error) {
	found := append(r.findLocked(t), r.waitersOfLocked(t)...)
	if len(found) == 0 {
		return nil, ErrNoParticipant
	}
	m := &removal{room: r}
	if slices.ContainsFunc(found, func(p *Participant) bool { return !p.stranger() }) {
		m.revocation = Revocation{Project: r.Project, Room: r.Name, Identity: found[0].Identity, Made: time.Now(), By: how.By}
		if t.SID == "" { // for one participant only what it has shown counts
			m.revocation.Until = how.until()
			m.shown = r.rooms.early.reached(m.revocation)
		}
		for _, p := range found {
			m.shown.add(p, m.revocation.Until)
		}
	}
	var made Revocation
	if m.revocation.Identity != "" {
		made, m.ticket = r.rooms.revocations.add(m.revocation, m.shown)
	}
	for _, p := range found {
		r.evictLocked(b, p, Final{Reason: ParticipantRemoved, Cause: CauseRemoved})
	}
	if m.revocation.Identity != "" {
		r.observeLocked(&Occurrence{Occasion: TokensRevoked, Revocation: &made})
	}
	return m, nil
}

// settle waits until a removal is durable, and sees to it that it holds by the
// name that the room may have got meanwhile. No lock may be held.
func (m *removal) settle(b *Batch) error { return settled(b, m.tickets(b)) }

// tickets says when a removal is durable, by the name that the room has now, too.
func (m *removal) tickets(b *Batch) []*store.Ticket {
	tickets := []*store.Ticket{m.ticket}
	if m.revocation.Identity != "" {
		tickets = append(tickets, m.room.rooms.follow(b, m.revocation, m.shown, m.room.record)...)
	}
	return tickets
}

// UpdateParticipant is [Room.Update] by a moderator in the room.
func (p *Participant) UpdateParticipant(c Call, t Target, ch Change) error {
	r := p.room
	ch.By = p.Identity
	var found []*Participant
	r.mu.Lock()
	if p.permission.Allows(auth.ModerateParticipants) { // others learn nothing, and cost nothing
		found = r.findLocked(t)
	}
	r.mu.Unlock()
	problem := r.checkRefreshable(found, ch)
	return p.doDurably(c, "updateParticipant", func() (func() (Reply, error), error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return nil, err
		}
		if err := firstOf(problem, p.mayTouchLocked(r.findLocked(t)...)); err != nil {
			return nil, err
		}
		u, err := r.updateLocked(c.Batch, t, ch)
		if err != nil {
			return nil, err
		}
		return func() (Reply, error) {
			info, err := u.settle(c.Batch)
			return Reply{Participant: info}, err
		}, nil
	})
}

// RemoveParticipant is [Rooms.Remove] by a moderator in the room.
func (p *Participant) RemoveParticipant(c Call, t Target) error {
	return p.doDurably(c, "removeParticipant", func() (func() (Reply, error), error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return nil, err
		}
		if err := p.mayTouchLocked(p.room.findLocked(t)...); err != nil {
			return nil, err
		}
		m, err := p.room.removeLocked(c.Batch, t, Removal{By: p.Identity})
		return func() (Reply, error) { return Reply{}, m.settle(c.Batch) }, err
	})
}
