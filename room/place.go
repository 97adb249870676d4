package room

import (
	"strings"

	"usher/auth"
)

// placeLocked finds a place for p: whom it replaces, and whether there is room.
func (r *Room) placeLocked(p *Participant) (replaced []*Participant, err error) {
	if who := r.people[p.Identity]; who != nil {
		for _, q := range who.participants {
			switch {
			case q.format != p.format:
			case !q.connected && !p.nameless(), r.policyLocked(p) == Replace:
				replaced = append(replaced, q)
			case r.policyLocked(p) == Reject:
				return nil, ErrIdentityTaken
			}
		}
	}
	if limit := r.capLocked(); limit > 0 && p.occupies(p.permission) {
		staying := r.occupied + r.reserved
		for _, q := range replaced {
			if q.occupies(q.permission) {
				staying--
			}
		}
		if staying >= limit {
			return nil, ErrFull
		}
	}
	return replaced, nil
}

// occupies reports whether p counts toward the limit with that permission. Hidden
// people do not, or a full room would tell of them, save those of an audience that
// is hidden as a whole.
func (p *Participant) occupies(with auth.Permission) bool {
	return !p.dependent && (!with.Hidden() || with.Allows(auth.ReceiveOnlyOwners))
}

// nameless reports whether p came with one of Daily's tokens that names nobody, or
// with none: others of its identity are no earlier page of the same person.
func (p *Participant) nameless() bool {
	return p.format == dailyFormat && strings.HasPrefix(p.Identity, auth.AnonymousPrefix)
}

// policyLocked is what happens when p's identity is there already, by a token of
// the same format.
func (r *Room) policyLocked(p *Participant) Policy {
	switch p.format {
	case "liveblocks", leaseFormat:
		return Allow // a person has many pages open
	case dailyFormat:
		if part := r.dailyLocked(); part != nil && part.UniqueUsers && !p.nameless() {
			return Replace
		}
		return Allow
	}
	return r.rooms.cfg.DuplicateIdentity
}

// numberLocked gives p its actor number. Whoever is hidden takes none that others
// could miss, unless its own dialect needs one.
func (r *Room) numberLocked(p *Participant) (err error) {
	if p.info.Actor == 0 && (!p.permission.Hidden() || p.listener.restate) {
		p.info.Actor, err = r.rooms.actors.next()
	}
	return err
}
