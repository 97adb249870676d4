package room

import (
	"maps"
	"slices"
	"time"

	"usher/auth"
)

// A Change is what a server API, a moderator or the participant itself wants
// to be different. What is nil stays as it is.
type Change struct {
	Name     *string
	Metadata *string
	// Attributes merge; an empty value deletes.
	Attributes map[string]string
	// Permission is a live statement: rights it allows and denies.
	Permission *auth.Say
	// By is who wants it, for explanations.
	By string
}

// An update is a change that has been checked and, as far as it had not to be
// durable first, made.
type update struct {
	room   *Room
	change Change
	found  []*Participant
	at     time.Time
	made   bool
	order  *order // nil: nothing of it is durable
}

// updateLocked checks a change of whom t names and begins it. What it only takes
// away is in force at once; what it gives waits until it is durable, and the rest
// of the change with it, so that there is one event. [update.settle] ends it.
func (r *Room) updateLocked(b *Batch, t Target, ch Change) (*update, error) {
	found := r.findLocked(t)
	if len(found) == 0 {
		return nil, ErrNoParticipant
	}
	if err := r.checkChangeLocked(found, ch); err != nil {
		return nil, err
	}
	if err := r.checkStatementLocked(found, t, ch.Permission); err != nil {
		return nil, err
	}
	u := &update{room: r, change: ch, found: found, at: time.Now(), made: true}
	switch {
	case ch.Permission == nil:
	case t.SID != "" || r.rooms.cfg.Forgetful:
		for _, p := range found {
			p.live, p.liveAt = p.live.Then(*ch.Permission), u.at
		}
	default:
		at := r.rooms.early.latest(personKey{r.Project, r.Name, found[0].Identity}, u.at)
		s := statement{say: *ch.Permission, at: at, life: r.ID, by: ch.By}
		u.made = r.narrowsLocked(found, s)
		u.order = r.record.order(found[0].Identity, s, u.made)
	}
	if u.made {
		u.applyLocked(b, r, ch)
	}
	return u, nil
}

// applyLocked makes the change, or what there is of it.
func (u *update) applyLocked(b *Batch, r *Room, ch Change) {
	found := r.findLocked(Target{Identity: u.found[0].Identity})
	if u.order == nil {
		found = u.found
	} else {
		for _, p := range found {
			if !p.liveAt.After(u.at) {
				p.live = overruled(p.live, *ch.Permission)
			}
		}
		r.overruleSaidLocked(u.found[0].Identity, *ch.Permission, u.at)
	}
	r.changeLocked(b, found, ch)
}

// checkStatementLocked checks that a live statement does not name too many people,
// with what was stated before.
func (r *Room) checkStatementLocked(found []*Participant, t Target, say *auth.Say) error {
	if say == nil || len(say.ReceiveFromIdentity)+len(say.ReceiveFromParticipant) == 0 {
		return nil
	}
	for _, p := range found {
		s := statement{say: *say, at: time.Now(), life: r.ID}
		layers := append(slices.Clip(p.base), r.record.planned(p.Identity, r.ID, p.grant, s)...)
		if t.SID != "" || r.rooms.cfg.Forgetful {
			layers = append(p.layersLocked(), *say)
		}
		next := auth.Resolve(layers...)
		if err := checkExceptions(next.ReceiveFromIdentity, next.ReceiveFromParticipant); err != nil {
			return err
		}
	}
	return nil
}

// narrowsLocked reports whether a statement gives nothing to anybody now there.
func (r *Room) narrowsLocked(found []*Participant, s statement) bool {
	for _, p := range found {
		said := append(slices.Clip(p.base), r.record.planned(p.Identity, r.ID, p.grant, s)...)
		next := auth.Resolve(append(said, overruled(p.live, s.say))...)
		if less(next.Rights, p.permission.Rights) != 0 || len(s.say.ReceiveFromIdentity)+len(s.say.ReceiveFromParticipant) > 0 ||
			s.say.AllFromIdentity || s.say.AllFromParticipant {
			return false
		}
	}
	return true
}

// overruled is what is left of a statement about one participant when a later
// one about the person names the same.
func overruled(live, later auth.Say) auth.Say {
	named := later.Allow | later.Deny
	live.Allow &^= named
	live.Deny &^= named
	return withoutExceptions(live, later)
}

// settle waits until the change is durable and makes what had to wait for that.
// No lock may be held.
func (u *update) settle(b *Batch) (*Info, error) {
	last := u.found[len(u.found)-1]
	if u.order == nil {
		return u.infoOf(last), nil
	}
	b.Flush() // nobody else waits for the store
	problem := u.order.settle()
	defer b.Flush()
	// The room may have ended meanwhile, and another life begun, by another name.
	r := u.room.rooms.lifeOf(b, u.room.record)
	if r == nil {
		return u.infoOf(last), problem
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	permission := u.change.Permission
	if problem != nil {
		denied := denials(*permission)
		permission = &denied
	}
	rest := Change{Permission: permission}
	if !u.made && problem == nil && r == u.room {
		rest = u.change
		if problem = r.checkChangeLocked(u.found, rest); problem != nil {
			rest = Change{Permission: permission} // others have filled the space that was left
		}
	}
	u.applyLocked(b, r, rest)
	if problem != nil {
		return nil, problem
	}
	if r == u.room {
		return last.info, nil
	}
	return u.infoOf(last), nil
}

func (u *update) infoOf(p *Participant) *Info {
	u.room.mu.Lock()
	defer u.room.mu.Unlock()
	return p.info
}

// checkChangeLocked checks a change against the limits, the attributes as merged.
func (r *Room) checkChangeLocked(found []*Participant, ch Change) error {
	l := r.rooms.cfg.Limits
	if ch.Name != nil {
		if err := l.Name(*ch.Name); err != nil {
			return err
		}
	}
	if ch.Metadata != nil {
		if err := l.Metadata(*ch.Metadata); err != nil {
			return err
		}
	}
	if len(ch.Attributes) > 0 {
		for _, p := range found {
			if err := l.Attributes(mergeAttributes(p.info.Attributes, ch.Attributes)); err != nil {
				return err
			}
		}
	}
	return nil
}

// changeLocked makes a change that was checked. Statements have been noted.
func (r *Room) changeLocked(b *Batch, found []*Participant, ch Change) {
	for _, p := range found {
		merged := mergeAttributes(p.info.Attributes, ch.Attributes)
		var changed Changed
		if ch.Name != nil && *ch.Name != p.info.Name {
			changed |= ChangedName
		}
		if ch.Metadata != nil && *ch.Metadata != p.info.Metadata {
			changed |= ChangedMetadata
		}
		if !maps.Equal(merged, p.info.Attributes) {
			changed |= ChangedAttributes
		}
		wasHidden := p.permission.Hidden()
		if ch.Permission != nil && r.applyPermissionLocked(b, p) {
			changed |= ChangedPermission
		}
		if changed == 0 {
			continue
		}
		p.changeInfo(func(info *Info) {
			if ch.Name != nil {
				info.Name = *ch.Name
			}
			if ch.Metadata != nil {
				info.Metadata = *ch.Metadata
			}
			info.Attributes = merged
			info.Permission = p.permission
		})
		p.claims++
		r.tellChangeLocked(b, p, wasHidden, changed)
		p.refreshLocked(b)
		r.observeLocked(&Occurrence{Occasion: ParticipantChanged, Participant: p.info, Changed: changed})
	}
}

// tellChangeLocked tells of a change of p. Somebody who appears is told of as a
// newcomer; somebody who has vanished was told of as leaving.
func (r *Room) tellChangeLocked(b *Batch, p *Participant, wasHidden bool, changed Changed) {
	if wasHidden && !p.permission.Hidden() {
		r.introduceLocked(b, p)
	}
	r.emitAboutLocked(b, p, &ParticipantUpdated{Participant: p.info, Changed: changed, Presence: p.presence})
	if changed&ChangedPermission != 0 {
		r.audience.permissionChanged(b, p.listener)
	}
}

// applyPermissionLocked computes p's permission anew and ends what depended on
// rights that are gone. It reports whether the permission is another one.
func (r *Room) applyPermissionLocked(b *Batch, p *Participant) bool {
	next := auth.Resolve(p.layersLocked()...)
	if next.Equal(p.permission) {
		return false
	}
	was := p.permission
	// From here on nothing that needs a right that is gone is accepted. What
	// was accepted before is ahead of the events below in every outbox.
	p.denied = nil
	for _, f := range slices.Clone(p.tracks) {
		switch {
		case next.Hidden():
			r.unpublishLocked(b, p, f, "hidden")
		case !next.Allows(f.source.Send()):
			r.unpublishLocked(b, p, f, "not_allowed")
		}
	}
	if p.presence != nil && !next.Allows(auth.SendPresence) {
		if p.listener.restate {
			p.withheld = p.presence
		}
		p.presence = nil
		if !was.Hidden() && p.announced { // else nobody has it in a list
			r.listLocked(b, p)
			r.presentLocked(b, p)
		}
	}
	if next.Hidden() && !was.Hidden() {
		if p.announced {
			r.emitLocked(b, &ParticipantLeft{SID: p.SID, Identity: p.Identity, Actor: p.info.Actor, Reason: Vanished}, p.listener.others())
		}
		p.announced, p.listed = false, false
		r.shown--
		r.recountLocked()
	}
	if was.Hidden() && !next.Hidden() {
		r.shown++
		if p.info.Actor == 0 { // it took none while it was hidden
			if n, err := r.rooms.actors.next(); err == nil {
				p.changeInfo(func(i *Info) { i.Actor = n })
			}
		}
	}
	switch before, after := p.occupies(was), p.occupies(next); {
	case before && !after:
		r.occupied--
	case after && !before:
		r.occupied++
	}
	p.permission = next
	p.owned = p.owned != (was.Allows(auth.Owner) != next.Allows(auth.Owner))
	if p.withheld != nil && next.Allows(auth.SendPresence) {
		p.presence, p.withheld = p.withheld, nil
		if !next.Hidden() && p.announced {
			r.listLocked(b, p)
			r.presentLocked(b, p)
		}
	}
	return true
}

func mergeAttributes(have, change map[string]string) map[string]string {
	if len(change) == 0 {
		return have
	}
	merged := maps.Clone(have)
	if merged == nil {
		merged = make(map[string]string, len(change))
	}
	for k, v := range change {
		if v == "" {
			delete(merged, k)
		} else {
			merged[k] = v
		}
	}
	return merged
}
