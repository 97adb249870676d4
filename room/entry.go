package room

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"usher/auth"
	"usher/room/store"
)

// accessLayer is the layer of what an edit of an access list takes away before
// it is durable, or when it could not be made so.
const accessLayer = "accessList"

// lostAccess is what somebody is told whom a change of the room's record puts out.
const lostAccess = "you have no access to this room any more"

// mayMake reports whether a join with that grant may make a room that is missing.
func (rs *Rooms) mayMake(g *auth.Grant) bool {
	return rs.cfg.AutoCreate || g.CreateRoom || g.CreateListed
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
	in := r.record.parts()
	if len(in) == 0 {
		in = noPart
	}
	if in[0] == nil {
		switch {
		case r.freshLocked() && g.Organization != "" && !g.CreateListed && !g.CreateRoom:
			// Whoever is confined to an organization makes rooms with an access list
			// or none, whatever LiveKit's tokens may.
			return nil, ErrNotAllowed
		case r.freshLocked(): // it has no organization yet
			return allowed(g.Format.Base(g, r.Name, nil))
		case g.Claims == nil:
			// A public key is no secret: it opens only what Liveblocks has.
			return nil, ErrNotAllowed
		}
	}
	var base []auth.Say
	for i, part := range in {
		says, err := r.baseBy(g, part)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			base = says
			continue
		}
		lost := auth.Resolve(base...).Rights &^ auth.Resolve(says...).Rights
		if lost != 0 {
			base = append(slices.Clip(base), auth.Say{Layer: accessLayer, Deny: lost})
		}
	}
	return base, nil
}

// noPart is what a room without a Liveblocks part is measured by.
var noPart = parts{nil}

// freshLocked reports whether the room is being made by whoever comes in now.
func (r *Room) freshLocked() bool { return !r.started && r.reserved == 0 }

// baseBy is entryLocked by one part of the room; nil is none.
func (r *Room) baseBy(g *auth.Grant, part *store.LiveblocksRoom) ([]auth.Say, error) {
	org := auth.DefaultOrganization
	var list *auth.AccessList
	if part != nil {
		org, list = part.Organization, &part.Access
	}
	if !g.Reaches(org) {
		return nil, ErrOrganization
	}
	return allowed(g.Format.Base(g, r.Name, list))
}

func allowed(base []auth.Say) ([]auth.Say, error) {
	if len(base) == 0 {
		return nil, ErrNotAllowed
	}
	return base, nil
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
	r.record.give(&store.LiveblocksRoom{Organization: cmp.Or(g.Organization, auth.DefaultOrganization), Created: now, Changed: now, Revision: 1,
		Access: auth.AccessList{Default: []string{openToAll}}})
	return nil
}

// openToAll is the default access of a room that somebody made by joining it.
const openToAll = "room:write"

// enforce puts the parts that are in force now to everybody in the room, as far
// as they concern them. With an edit, what that takes from people leaves what was
// allowed to them, too; the orders say when that is durable. Touched is who may
// have come since by what was allowed; enforce adds to it.
func (rs *Rooms) enforce(b *Batch, rec *record, e *edit, touched map[string]struct{}) (orders []*order) {
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
	if e != nil {
		orders = rs.takeLocked(rec, r, e, touched)
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
// their base: of those who are there by the list at once and exactly. What others
// lose depends on their groups, which their tokens name: the record remembers what
// each level of the list has lost, see [losses]. It notes whose rights have changed.
// r is nil when nobody is there.
func (rs *Rooms) takeLocked(rec *record, r *Room, e *edit, touched map[string]struct{}) (orders []*order) {
	if r == nil {
		k := rec.name()
		r = &Room{rooms: rs, record: rec, Project: k.project, Name: k.name}
	}
	taken := func(g *auth.Grant) auth.Rights {
		before, _ := r.baseBy(g, e.was)
		after, _ := r.baseBy(g, e.will)
		return auth.Resolve(before...).Rights &^ auth.Resolve(after...).Rights
	}
	if f := rs.cfg.AccessLists; f != nil {
		rec.lose(e, time.Now(), func(identity string, groups ...string) auth.Rights {
			g := absent(f, r.Project, identity, e.was)
			g.Groups = groups
			return taken(g)
		})
	}
	for _, identity := range rec.allowed() {
		who := r.people[identity]
		if who == nil {
			continue
		}
		var lost auth.Rights
		for _, p := range who.participants {
			if governed(p.grant, r.Name) {
				lost |= taken(p.grant)
			}
		}
		if o := rec.take(identity, lost); o != nil {
			orders = append(orders, o)
			touched[identity] = struct{}{}
		}
	}
	for _, p := range r.participants {
		if p.live.Allow == 0 || p.grant.Format == nil {
			continue
		}
		if lost := taken(p.grant) & p.live.Allow; lost != 0 {
			p.live.Allow &^= lost
			touched[p.Identity] = struct{}{}
		}
	}
	return orders
}

// governed reports whether it is the room's access list that lets a token in.
func governed(g *auth.Grant, room string) bool {
	return g.Format != nil && len(g.Format.Base(g, room, nil)) == 0
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
	var changed []*Participant
	var shown []*Participant // that were hidden
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
		wasHidden := p.permission.Hidden()
		if !r.applyPermissionLocked(b, p) {
			continue
		}
		p.changeInfo(func(i *Info) { i.Permission = p.permission })
		p.claims++
		if wasHidden && !p.permission.Hidden() {
			shown = append(shown, p)
		} else {
			changed = append(changed, p)
		}
	}
	for _, p := range shown {
		r.tellChangeLocked(b, p, true, ChangedPermission)
	}
	r.tellChangesLocked(b, changed)
	for _, p := range append(changed, shown...) {
		p.refreshLocked(b)
		r.observeLocked(&Occurrence{Occasion: ParticipantChanged, Participant: p.info, Changed: ChangedPermission})
	}
}

// sameSays reports whether two bases are the same, layer by layer.
func sameSays(a, b []auth.Say) bool {
	return slices.EqualFunc(a, b, func(a, b auth.Say) bool {
		return a.Layer == b.Layer && a.Allow == b.Allow && a.Deny == b.Deny &&
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
