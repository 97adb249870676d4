package room

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"usher/auth"
	"usher/room/store"
)

// Revoked reports whether a token has been revoked, for the room and identity
// that it names. Server APIs ask before they believe one.
func (rs *Rooms) Revoked(g *auth.Grant) bool {
	return rs.revocations.refuses(g.Project, g.Room, g)
}

// Revoke refuses tokens from now on and puts out whoever came with one. It
// returns when that is durable. Its errors are an [InvalidError] and
// [ErrUnavailable], which means that it is in force, but perhaps only until the
// next start.
func (rs *Rooms) Revoke(b *Batch, rv Revocation) (Revocation, error) {
	l := rs.cfg.Limits
	if err := firstOf(rv.check(), l.Identity(rv.Identity), l.RoomName(rv.Room), atMost("tokenId", len(rv.TokenID), maxIDBytes), atMost("keyId", len(rv.KeyID), maxIDBytes)); err != nil {
		return rv, err
	}
	rv.Made = time.Now()
	made, tickets := rs.revoke(b, rv, shown{})
	if err := settled(b, tickets); err != nil {
		return made, err
	}
	rs.revokedNow(made)
	return made, nil
}

// revoke refuses tokens and puts out whoever came with one, without waiting for
// the store: until all the tickets are durable. What was shown is refused besides.
// When a life of the room is one of a name that it has no longer, it is followed to
// the name that it has.
func (rs *Rooms) revoke(b *Batch, rv Revocation, what shown) (made Revocation, tickets []*store.Ticket) {
	what = what.with(rs.early.reached(rv))
	made, ticket := rs.revocations.add(rv, what) // from here on nobody comes in
	for _, r := range rs.all() {
		if r.Project != rv.Project || rv.Room != "" && r.Name != rv.Room {
			continue
		}
		r.mu.Lock()
		here := rv
		here.Room = r.Name
		if early := rs.early.reached(here); len(early.tokens) > 0 { // who came in meanwhile, too
			made, ticket = rs.revocations.add(rv, early)
			what = what.with(early)
		}
		if out := r.revokedLocked(b, rv); len(out.tokens) > 0 {
			made, ticket = rs.revocations.add(rv, out)
			what = what.with(out)
		}
		r.mu.Unlock()
		if rv.Room != "" {
			tickets = append(tickets, rs.follow(b, rv, what, r.record)...)
		}
	}
	return made, append(tickets, ticket)
}

// follow revokes what was just revoked in a room by the name that it has now, if
// that is another: whoever renames it has looked through the revocations after
// the record had the new name.
func (rs *Rooms) follow(b *Batch, rv Revocation, what shown, rec *record) (tickets []*store.Ticket) {
	for name := rec.name().name; name != rv.Room; name = rec.name().name {
		rv.Room = name
		_, more := rs.revoke(b, rv, what)
		tickets = append(tickets, more...)
	}
	return tickets
}

// revokedLocked puts out whom a revocation in force refuses, and returns the
// tokens they have shown.
func (r *Room) revokedLocked(b *Batch, rv Revocation) (what shown) {
	if r.closed {
		return what
	}
	refused := func(p *Participant) bool {
		if p.grant == nil || rv.Identity != "" && p.Identity != rv.Identity || !r.rooms.revocations.refuses(r.Project, r.Name, p.grant) {
			return false
		}
		what.add(p, rv.Until)
		return true
	}
	final := Final{Reason: ParticipantRemoved, Cause: CauseRevoked}
	for _, p := range r.membersLocked() {
		if refused(p) {
			r.evictLocked(b, p, final)
		}
	}
	for _, p := range r.waitersLocked() {
		if refused(p) {
			r.dismissWaiterLocked(b, p, final)
		}
	}
	return what
}

// revokeNaming revokes the tokens that name a room whose Daily part is to be
// deleted, by the name that it has: nobody comes in with one from here on. It is not
// written yet. Whose token says that it was issued later, and who has come with one,
// is refused as well.
func (rs *Rooms) revokeNaming(rec *record, now time.Time) (made []Revocation) {
	var before string
	for name := rec.name(); name.name != before; name = rec.name() { // it may be renamed meanwhile
		before = name.name
		rv := Revocation{Project: name.project, Room: name.name, Naming: true, Until: now, Made: now, Reason: "the room was deleted"}
		// Tokens that were made after it was deleted before, in this very second, say
		// the next one, see [Rooms.RevokedUntil]. Nobody signs for later than aheadAtMost.
		if last := rs.revocations.until(name); last != never && last >= now.Unix() {
			rv.Until = time.Unix(min(last+1, now.Add(aheadAtMost).Unix()), 0)
		}
		rv = rs.revocations.extend(rv, rs.early.reached(rv))
		made = append(made, rv)
	}
	return made
}

// aheadAtMost is how far deletions of one name, one after the other, go ahead of the
// clock: less than tokens may, or there would be none for the room for a while.
const aheadAtMost = 50 * time.Second

// RevokedUntil is the last second in which tokens that name a room were revoked with
// it, when it was deleted by Daily's API or by a revocation: a token that is to be
// good for the room has to be issued later. The zero time: none were.
func (rs *Rooms) RevokedUntil(project, room string) time.Time {
	if second := rs.revocations.until(key{project, room}); second != never {
		return time.Unix(second, 0)
	}
	return time.Time{}
}

// with is what either refuses.
func (s shown) with(other shown) shown {
	return shown{slices.Concat(s.tokens, other.tokens), slices.Concat(s.sessions, other.sessions)}
}

// hash adds the token of a grant, and the one that it descends from. People
// without a token share no hash.
func (s *shown) hash(g *auth.Grant) {
	for i, h := range [...]auth.TokenHash{g.TokenHash, g.FirstTokenHash()} {
		if h != (auth.TokenHash{}) && (i == 0 || h != g.TokenHash) {
			s.tokens = append(s.tokens, h)
		}
	}
}

// add adds what came with a participant, and what that descends from, unless
// its time says enough.
func (s *shown) add(p *Participant, until time.Time) {
	if !until.IsZero() && p.grant.FirstIssued().Unix() <= until.Unix() {
		return
	}
	s.hash(p.grant)
	s.sessions = append(s.sessions, p.SID)
	if p.grant.Origin != nil {
		s.sessions = append(s.sessions, p.grant.Origin.Session)
	}
}

// revokedNow has the observer told of a revocation.
func (rs *Rooms) revokedNow(made Revocation) {
	if rs.cfg.Observer == nil {
		return
	}
	if made.Room != "" {
		if r, ok := rs.Lookup(made.Project, made.Room); ok {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !r.closed {
				r.observeLocked(&Occurrence{Occasion: TokensRevoked, Revocation: &made})
				return
			}
		}
	}
	rs.cfg.Observer.Observe(&Occurrence{Occasion: TokensRevoked, At: made.Made, Project: made.Project,
		Room: Summary{Name: made.Room}, Revocation: &made})
}

// Revocations returns those of a project, of one room when one is named, the
// latest first.
func (rs *Rooms) Revocations(project, room string) []Revocation {
	rs.revocations.mu.Lock()
	defer rs.revocations.mu.Unlock()
	var list []Revocation
	for _, r := range rs.revocations.byID {
		if r.Project == project && (room == "" || r.Room == room) {
			list = append(list, r.Revocation)
		}
	}
	slices.SortFunc(list, func(a, b Revocation) int { return cmp.Or(b.Made.Compare(a.Made), cmp.Compare(a.ID, b.ID)) })
	return list
}

// Lift ends a revocation: tokens that it refused are taken again once that is
// durable. Its errors are [ErrNoRevocation] and [ErrUnavailable].
func (rs *Rooms) Lift(project, id string) (Revocation, error) {
	v := &rs.revocations
	v.mu.Lock()
	r := v.byID[id]
	if r == nil || r.Project != project {
		v.mu.Unlock()
		return Revocation{}, ErrNoRevocation
	}
	lifted, version := r.Revocation, r.version
	ticket := v.store.Commit(r.record().Delete())
	v.mu.Unlock()
	if err := ticket.Wait(); err != nil {
		return lifted, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if r := v.byID[id]; r != nil && r.version == version { // else it was made again meanwhile
		v.leaveLocked(r)
	}
	return lifted, nil
}
