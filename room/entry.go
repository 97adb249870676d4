package room

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"usher/auth"
	"usher/room/store"
)

// The layers of what an edit of an access list, or of what a room says of people
// with Daily's tokens, takes away before it is durable, or when it could not be made
// so.
const (
	accessLayer = "accessList"
	roomLayer   = "room"
)

// dailyFormat is the name of the format of Daily's tokens, and of people without a
// token in rooms with a Daily part.
const dailyFormat = "daily"

// fromDaily reports whether it is for Daily's part of a room to say whether, and
// when, somebody may come in.
func fromDaily(g *auth.Grant) bool { return g.Format != nil && g.Format.Name() == dailyFormat }

// lostAccess is what somebody is told whom a change of the room's record puts out.
const lostAccess = "you have no access to this room any more"

// mayMake reports whether a join with that grant may make a room that is missing:
// never one of Daily's.
func (rs *Rooms) mayMake(g *auth.Grant) bool {
	return (rs.cfg.AutoCreate || g.CreateRoom || g.CreateListed) && !fromDaily(g)
}

// makable reports whether a token may make a room of the name: not when a room
// was given another name since it was issued. Who comes without a token has had
// the address for as long as anybody. A server API may.
func (rec *record) makable(g *auth.Grant) bool {
	if rec == nil || g == nil {
		return true
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.renamed.IsZero() || g.Claims != nil && g.FirstIssued().Unix() > rec.renamed.Unix()
}

// entryLocked returns what decides what a token allows in the room, before
// anything was stated there. Its errors are [ErrNotAllowed] and
// [ErrOrganization]: its holder may not be here.
func (r *Room) entryLocked(g *auth.Grant) ([]auth.Say, error) {
	if g.Format == nil { // a lease: the server's own
		return g.Base, nil
	}
	lists, days := r.record.liveblocks.parts(), r.record.daily.parts()
	if len(lists) == 0 {
		lists = noList
	}
	if len(days) == 0 {
		days = noDaily
	}
	if lists[0] == nil {
		switch fresh := r.freshLocked(); {
		case fresh && fromDaily(g):
			return nil, ErrNotFound // somebody else is making it
		case fresh && g.Organization != "" && !g.CreateListed && !g.CreateRoom:
			// Whoever is confined to an organization makes rooms with an access list
			// or none, whatever LiveKit's tokens may.
			return nil, ErrNotAllowed
		case fresh: // it has no organization yet
			return allowed(g.Format.Base(g, r.Name, auth.RoomRules{}))
		case g.Claims == nil && !fromDaily(g):
			// A public key is no secret: it opens only what Liveblocks has.
			return nil, ErrNotAllowed
		}
	}
	base, err := r.baseBy(g, rules{lists[0], days[0]})
	if err != nil {
		return nil, err
	}
	// A format looks at its own part only.
	for _, list := range lists[1:] {
		if base, err = r.narrowed(base, g, rules{list, days[0]}, accessLayer); err != nil {
			return nil, err
		}
	}
	for _, day := range days[1:] {
		if base, err = r.narrowed(base, g, rules{lists[0], day}, roomLayer); err != nil {
			return nil, err
		}
	}
	return base, nil
}

// narrowed returns a base with what is not in another one, by other rules, taken
// away.
func (r *Room) narrowed(base []auth.Say, g *auth.Grant, by rules, layer string) ([]auth.Say, error) {
	says, err := r.baseBy(g, by)
	if err != nil {
		return nil, err
	}
	if say := lesser(auth.Resolve(base...), auth.Resolve(says...)); !say.IsZero() {
		say.Layer = layer
		base = append(slices.Clip(base), say)
	}
	return base, nil
}

// lesser returns what has to be said after the one permission so that nothing is
// permitted that the other does not permit. Where exceptions differ in kind it may
// leave less than both.
func lesser(p, q auth.Permission) auth.Say {
	change := less(p.Rights, q.Rights)
	say := auth.Say{Allow: change & narrowing, Deny: change &^ narrowing}
	// An exception counts for owners and others alike.
	restP, restQ := ofAnybody(p), ofAnybody(q)
	say.ReceiveFromIdentity = leastOf(p.ReceiveFromIdentity, q.ReceiveFromIdentity, restP, restQ)
	// Whoever a sid is may be received from by its identity.
	for _, rights := range p.ReceiveFromIdentity {
		restP &= rights
	}
	for _, rights := range q.ReceiveFromIdentity {
		restQ &= rights
	}
	say.ReceiveFromParticipant = leastOf(p.ReceiveFromParticipant, q.ReceiveFromParticipant, restP, restQ)
	return say
}

// ofAnybody is what may be received from whoever is no exception.
func ofAnybody(p auth.Permission) auth.Rights {
	if p.Rights.Has(auth.ReceiveOnlyOwners) {
		return 0
	}
	return p.Rights
}

// leastOf returns exceptions, for all who have one in either, that allow what both
// do; where one has none, what stands for it there counts. Nil: neither has any.
func leastOf(a, b map[string]auth.Rights, withoutA, withoutB auth.Rights) map[string]auth.Rights {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := make(map[string]auth.Rights, len(a)+len(b))
	for _, exceptions := range []map[string]auth.Rights{a, b} {
		for who := range exceptions {
			out[who] = exceptionOr(a, who, withoutA) & exceptionOr(b, who, withoutB) & auth.ReceiveTracks
		}
	}
	return out
}

func exceptionOr(exceptions map[string]auth.Rights, who string, otherwise auth.Rights) auth.Rights {
	if rights, ok := exceptions[who]; ok {
		return rights
	}
	if rights, ok := exceptions[auth.Everybody]; ok {
		return rights
	}
	return otherwise
}

// MaxExceptions is how many people each list of exceptions may name, those by identity
// and those by sid: of a token, of a room, and of what is stated live, in all.
const MaxExceptions = 1000

func checkExceptions(identities, participants map[string]auth.Rights) error {
	if max(len(identities), len(participants)) > MaxExceptions {
		return &LimitError{"canReceive", MaxExceptions, "participants"}
	}
	return nil
}

// noList and noDaily are what a room without such a part is measured by.
var (
	noList  = parts[store.LiveblocksRoom]{nil}
	noDaily = parts[store.DailyRoom]{nil}
)

// rules is the parts of a room at one moment. Nil is none.
type rules struct {
	listed *store.LiveblocksRoom
	daily  *store.DailyRoom
}

// freshLocked reports whether the room is being made by whoever comes in now. One
// that has a Daily part is there already: nobody's join gives it anything.
func (r *Room) freshLocked() bool {
	return !r.started && r.reserved == 0 && len(r.lobby.waiters) == 0 && !r.record.daily.there()
}

// baseBy is entryLocked by one state of the room's parts.
func (r *Room) baseBy(g *auth.Grant, by rules) ([]auth.Say, error) {
	org := auth.DefaultOrganization
	var say auth.RoomRules
	if by.listed != nil {
		org, say.List = by.listed.Organization, &by.listed.Access
	}
	if by.daily != nil {
		say.Daily = &by.daily.Permissions.Say
	}
	if !g.Reaches(org) {
		return nil, ErrOrganization
	}
	return allowed(g.Format.Base(g, r.Name, say))
}

func allowed(base []auth.Say) ([]auth.Say, error) {
	if len(base) == 0 {
		return nil, ErrNotAllowed
	}
	return base, nil
}

// dailyLocked returns what Daily's part of the room says, or nil when it has none.
func (r *Room) dailyLocked() *store.DailyRoom { return r.record.daily.present() }

// doorLocked reports whether somebody has to wait to be let in, or why it may not
// come in now, whatever its token allows: by the times of the room's Daily part, and
// by its privacy. It concerns people with Daily's tokens and without any. Whoever was
// admitted, or is brought, is not asked to wait. While an edit of the part is on its
// way the stricter of both counts.
func (r *Room) doorLocked(g *auth.Grant, admitted bool) (waits bool, err error) {
	if !fromDaily(g) {
		return false, nil
	}
	now := time.Now()
	for _, d := range r.record.daily.parts() {
		switch {
		case d == nil:
			// Who may be where there is no such part is for the format to say.
		case now.Before(d.NotBefore):
			return false, ErrRoomNotOpen
		case expired(d, now):
			return false, ErrRoomExpired
		case g.Claims == nil && d.Private && !d.Knocking:
			return false, ErrNotAllowed
		case g.Claims == nil && d.Private:
			waits = true
		case g.Knocks && d.Knocking && !waits && !admitted:
			base, err := r.baseBy(g, rules{daily: d})
			if err != nil {
				return false, err
			}
			waits = !auth.Resolve(base...).Allows(auth.Owner)
		}
	}
	if waits = waits && !admitted; waits {
		_, err = r.entryLocked(g) // nobody waits who may not be here
	}
	return waits && err == nil, err
}

// expired reports whether nobody comes in by a Daily part any more, which counts as
// gone.
func expired(d *store.DailyRoom, now time.Time) bool {
	return !d.Expires.IsZero() && !now.Before(d.Expires)
}

// capLocked is how many may be in the room; 0: no limit.
func (r *Room) capLocked() int {
	limit := r.settings.MaxParticipants
	for _, d := range r.record.daily.parts() {
		if d != nil && d.MaxParticipants > 0 && (limit == 0 || d.MaxParticipants < limit) {
			limit = d.MaxParticipants
		}
	}
	return limit
}

// openLocked gives a room a Liveblocks part that somebody makes by coming in,
// when the grant says so. Nobody waits for it. One that was there already gets
// none: that would open it to others.
func (r *Room) openLocked(g *auth.Grant) error {
	if !g.CreateListed || r.record.listed() || !r.freshLocked() {
		return nil
	}
	if err := liveblocksName(r.Name); err != nil {
		return err
	}
	now := time.Now().UTC()
	r.record.liveblocks.give(&store.LiveblocksRoom{Organization: cmp.Or(g.Organization, auth.DefaultOrganization), Created: now, Changed: now, Revision: 1,
		Access: auth.AccessList{Default: []string{openToAll}}})
	return nil
}

// openToAll is the default access of a room that somebody made by joining it.
const openToAll = "room:write"

// A taking is an edit of a part as far as it takes rights from people's base.
type taking struct {
	was, will rules
	governs   func(g *auth.Grant, room string) bool // whether it is the part that lets a token in
	lose      func(*Room)                           // what it takes from people who are not there
}

// from returns what it takes from the holder of a token.
func (t *taking) from(r *Room, g *auth.Grant) loss {
	before, _ := r.baseBy(g, t.was)
	after, _ := r.baseBy(g, t.will)
	return lossOf(auth.Resolve(before...), auth.Resolve(after...)).spread(r)
}

// fromAbsent returns whom it takes from people who are not there, as far as their
// tokens need not be known: of whom what Daily's part of the room says has changed.
// Rights as such are for lose.
func (t *taking) fromAbsent(r *Room) loss {
	permits := func(d *store.DailyRoom) auth.Permission {
		says := []auth.Say{{Allow: auth.ReceiveTracks}}
		if d != nil {
			says = append(says, d.Permissions.Say)
		}
		return auth.Resolve(says...)
	}
	l := lossOf(permits(t.was.daily), permits(t.will.daily))
	l.rights, l.identities.other, l.participants.other = 0, change{}, change{}
	return l.spread(r)
}

// enforce puts the parts that are in force now to everybody in the room, as far
// as they concern them. With an edit, what that takes from people leaves what was
// allowed to them, too; the orders say when that is durable. Touched is who may
// have come since by what was allowed; enforce adds to it.
func (rs *Rooms) enforce(b *Batch, rec *record, t *taking, touched map[string]struct{}) (orders []*order) {
	if beforeLock != nil {
		beforeLock()
	}
	r := rs.lifeOf(b, rec)
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.closed {
			r = nil
		}
	}
	if t != nil {
		orders = rs.takeLocked(rec, r, t, touched)
	}
	if r != nil {
		r.reviseLocked(b, touched)
	}
	return orders
}

// name returns the record's key.
func (rec *record) name() key {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.key
}

// takeLocked takes out of what was allowed to people what an edit takes from
// their base: of those who are there at once and exactly. What others lose depends
// on their tokens: the record remembers what each level has lost, see [losses]. It
// notes whose rights have changed. r is nil when nobody is there.
func (rs *Rooms) takeLocked(rec *record, r *Room, t *taking, touched map[string]struct{}) (orders []*order) {
	if r == nil {
		k := rec.name()
		r = &Room{rooms: rs, record: rec, Project: k.project, Name: k.name}
	}
	t.lose(r)
	absent := t.fromAbsent(r)
	for _, identity := range rec.allowed() {
		lost := absent
		if who := r.people[identity]; who != nil {
			lost = loss{}
			for _, p := range who.participants {
				if t.governs(p.grant, r.Name) {
					lost = lost.and(t.from(r, p.grant))
				}
			}
		}
		if o := rec.take(identity, lost); o != nil {
			orders = append(orders, o)
			touched[identity] = struct{}{}
		}
	}
	for _, p := range r.participants {
		if p.grant.Format == nil || gives(p.live) == 0 {
			continue
		}
		if lost := t.from(r, p.grant); lost.concerns(p.live) {
			p.live = taken(p.live, lost)
			touched[p.Identity] = struct{}{}
		}
	}
	r.takeSaidLocked(func(g *auth.Grant) loss { return t.from(r, g) })
	return orders
}

// governed reports whether it is the room's access list that lets a token in.
func governed(g *auth.Grant, room string) bool {
	return g.Format != nil && len(g.Format.Base(g, room, auth.RoomRules{})) == 0
}

// absent is what is known of somebody who is not there.
func absent(f auth.Format, project, identity string, part *store.LiveblocksRoom) *auth.Grant {
	g := &auth.Grant{Format: f, Project: project, Identity: identity, Join: true}
	if part != nil {
		g.Organization = part.Organization
	}
	return g
}

// reviseLocked computes anew what everybody may do, puts out whoever may not be
// here any more, and tells of the rest: each is told of once. Touched are people
// of whom something else has changed than the base.
func (r *Room) reviseLocked(b *Batch, touched map[string]struct{}) {
	var concerned []*Participant
	for _, p := range r.membersLocked() {
		base, err := r.entryLocked(p.grant)
		if err != nil {
			r.evictLocked(b, p, Final{Reason: ParticipantRemoved, Cause: CauseAccessLost, Detail: lostAccess})
			continue
		}
		if _, ok := touched[p.Identity]; !ok && sameSays(base, p.base) {
			continue
		}
		p.base = base
		concerned = append(concerned, p)
	}
	r.reconsiderLocked(b, concerned)
	r.reviseWaitingLocked(b)
}

// sameSays reports whether two bases are the same, layer by layer.
func sameSays(a, b []auth.Say) bool {
	return slices.EqualFunc(a, b, func(a, b auth.Say) bool {
		return a.Layer == b.Layer && a.Allow == b.Allow && a.Deny == b.Deny &&
			a.AllFromIdentity == b.AllFromIdentity && a.AllFromParticipant == b.AllFromParticipant &&
			maps.Equal(a.ReceiveFromIdentity, b.ReceiveFromIdentity) &&
			maps.Equal(a.ReceiveFromParticipant, b.ReceiveFromParticipant)
	})
}

// changesAtOnce is how many changes one frame tells of at most.
const changesAtOnce = 256

// tellChangesLocked tells of the changed permissions of many: in one event for
// all of them, where there are more than a few, or each of n people would be told
// n times.
func (r *Room) tellChangesLocked(b *Batch, changed []*Participant) {
	if len(changed) <= 4 {
		for _, p := range changed {
			r.tellChangeLocked(b, p, false, ChangedPermission)
		}
		r.announceLocked(b)
		return
	}
	r.announceLocked(b)
	var events []Event
	for _, p := range changed {
		ev := &ParticipantUpdated{Participant: p.info, Changed: ChangedPermission, Presence: p.presence}
		switch {
		case !p.permission.Hidden() && p.announced:
			r.seq++
			ev.number(r.seq)
			events = append(events, ev)
		case !p.listener.restate:
			p.listener.send(b, newFrame(counted, ev, ev.size()))
		}
	}
	// Those who are told anew of everything need not be told of this.
	for _, p := range changed {
		if p.listener.restate {
			p.listener.since = r.seq
		}
	}
	for part := range slices.Chunk(events, changesAtOnce) {
		r.broadcastChangesLocked(b, part, false)
	}
	all := r.rosterLocked()
	for _, p := range changed {
		if p.listener.restate {
			r.restateLocked(b, p, all)
		}
		r.audience.permissionChanged(b, p.listener)
	}
}
