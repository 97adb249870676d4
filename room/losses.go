package room

import (
	"fmt"
	"maps"
	"reflect"
	"time"

	"usher/auth"
	"usher/room/store"
)

// losses is when levels of a room's access list, or Daily's part of it, gave rights
// last, by the level and the right. What a level gave and gives no longer leaves what
// was allowed live to the people it is about, up to then: they may be anywhere, and
// of groups only their tokens tell. It is kept only of rights that are allowed to
// somebody.
//
// A right that a weaker level loses voids what was allowed before to those who
// have it by a stronger level as well. That shows when the stronger one loses it,
// too, and then it is so anyway.
//
// Of Daily's people it depends on their token what the room's part gives them, and a
// token may say more than the part, or less. So of a right that the part has named
// otherwise than before, what was allowed is void for those to whom their base does
// not give it when they come: not for owners, nor by a token that has it. Somebody
// whose own token never had the right loses by this what was allowed to it, too.
// Whom it was allowed as one participant, by its sid, is there, or it is over. What
// the project says of all its rooms takes only from those who are there, see
// [Rooms.ReviseDaily].
type losses map[string]map[auth.Rights]time.Time

// Levels, as store.Room names them.
const (
	defaultLevel = "default"
	groupLevel   = "group/"
	userLevel    = "user/"
	dailyLevel   = "daily"
)

// loseAccess notes what an edit of the access list takes from people who are not
// there.
func loseAccess(rs *Rooms, r *Room, e *edit[store.LiveblocksRoom]) {
	f := rs.cfg.AccessLists
	if f == nil {
		return
	}
	t := taking{was: rules{listed: e.was}, will: rules{listed: e.will}}
	r.record.lose(e, time.Now(), func(identity string, groups ...string) auth.Rights {
		g := absent(f, r.Project, identity, e.was)
		g.Groups = groups
		return t.from(r, g).rights
	})
}

// loseDaily notes what an edit of Daily's part may take from people who are not
// there.
func loseDaily(_ *Rooms, r *Room, e *edit[store.DailyRoom]) {
	var was, will auth.Say
	if e.was != nil {
		was = e.was.Permissions.Say
	}
	if e.will != nil {
		will = e.will.Permissions.Say
	}
	r.record.note(map[string]auth.Rights{dailyLevel: less(was.Allow, will.Allow) | less(will.Deny, was.Deny)}, time.Now())
}

// lose notes what an edit takes from each level; probe tells what somebody with
// that identity and those groups loses.
func (rec *record) lose(e *edit[store.LiveblocksRoom], at time.Time, probe func(identity string, groups ...string) auth.Rights) {
	allowed := rec.allowedTo()
	var all auth.Rights
	for _, rights := range allowed {
		all |= rights
	}
	if all == 0 {
		return
	}
	found := make(map[string]auth.Rights)
	found[defaultLevel] = probe("") & all
	was, will := groupsOf(e.was), groupsOf(e.will)
	for _, level := range []map[string][]string{was, will} {
		for id := range level {
			if !reflect.DeepEqual(was[id], will[id]) {
				found[groupLevel+id] = probe("", id) & all
			}
		}
	}
	for identity, rights := range allowed {
		found[userLevel+identity] = probe(identity) & rights
	}
	rec.note(found, at)
}

// note notes that levels have lost rights, as far as they are allowed to somebody.
func (rec *record) note(found map[string]auth.Rights, at time.Time) {
	var all auth.Rights
	for _, rights := range rec.allowedTo() {
		all |= rights
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.losses == nil {
		rec.losses = make(losses)
	}
	for level, rights := range found {
		(rights & all).Each(func(right auth.Rights) {
			if rec.losses[level] == nil {
				rec.losses[level] = make(map[auth.Rights]time.Time)
			}
			rec.losses[level][right] = later(rec.losses[level][right], at)
		})
	}
	rec.forgetLossesLocked()
}

func groupsOf(part *store.LiveblocksRoom) map[string][]string {
	if part == nil {
		return nil
	}
	return part.Access.Groups
}

// allowedTo is what is allowed to whom.
func (rec *record) allowedTo() map[string]auth.Rights {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	allowed := make(map[string]auth.Rights)
	for identity, who := range rec.people {
		if rights := who.allows(); rights != 0 {
			allowed[identity] = rights
		}
	}
	return allowed
}

// forgetLossesLocked drops what is older than everything that is allowed.
func (rec *record) forgetLossesLocked() {
	var first time.Time
	for _, who := range rec.people {
		for _, s := range who.ordered() {
			if gives(s.say) != 0 && (first.IsZero() || s.at.Before(first)) {
				first = s.at
			}
		}
	}
	for level, rights := range rec.losses {
		maps.DeleteFunc(rights, func(_ auth.Rights, at time.Time) bool { return first.IsZero() || at.Before(first) })
		if len(rights) == 0 {
			delete(rec.losses, level)
		}
	}
}

// trimLocked takes out of statements about the holder of a token what the levels
// that concern it have lost since. The list may be changed.
func (rec *record) trimLocked(list []statement, g *auth.Grant) []statement {
	if len(rec.losses) == 0 || len(list) == 0 {
		return list
	}
	trim := func(level string, except auth.Rights) {
		for right, at := range rec.losses[level] {
			for i := range list {
				if !list[i].at.After(at) && right&except == 0 {
					list[i].say = taken(list[i].say, lossOfRight(right))
				}
			}
		}
	}
	switch {
	case fromDaily(g):
		if len(rec.losses[dailyLevel]) > 0 {
			trim(dailyLevel, rec.givenLocked(g))
		}
	case governed(g, rec.key.name):
		trim(defaultLevel, 0)
		trim(userLevel+g.Identity, 0)
		for _, id := range g.Groups {
			trim(groupLevel+id, 0)
		}
	}
	return list
}

// givenLocked is what the holder of one of Daily's tokens has without anything
// stated live: of what narrows, what it has not.
func (rec *record) givenLocked(g *auth.Grant) auth.Rights {
	var say auth.RoomRules
	if d := rec.daily.present(); d != nil {
		say.Daily = &d.Permissions.Say
	}
	return auth.Resolve(g.Format.Base(g, rec.key.name, say)...).Rights ^ narrowing
}

// kept is the losses as the store has them.
func (l losses) kept() map[string]map[string]time.Time {
	if len(l) == 0 {
		return nil
	}
	out := make(map[string]map[string]time.Time, len(l))
	for level, rights := range l {
		out[level] = make(map[string]time.Time, len(rights))
		for right, at := range rights {
			out[level][right.Names()[0]] = at
		}
	}
	return out
}

// add adds what the store has. A right that this version does not know is an
// error: leaving it out would allow.
func (l losses) add(kept map[string]map[string]time.Time) error {
	for level, rights := range kept {
		if l[level] == nil {
			l[level] = make(map[auth.Rights]time.Time, len(rights))
		}
		for name, at := range rights {
			right, ok := auth.ParseRights([]string{name})
			if !ok {
				return fmt.Errorf("%w: a room's record names a right that is unknown: %q", store.ErrDamaged, name)
			}
			l[level][right] = later(l[level][right], at)
		}
	}
	return nil
}
