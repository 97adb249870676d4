package room

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
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
}

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
// force, and the participants as they are now are returned by the latest. One
// call makes one event and one refreshed token for each participant.
func (r *Room) Update(b *Batch, t Target, ch Change) (*Info, error) {
	r.mu.Lock()
	found := r.findLocked(t)
	r.mu.Unlock()
	if err := r.checkRefreshable(found, ch); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.updateLocked(b, t, ch)
}

func (r *Room) updateLocked(b *Batch, t Target, ch Change) (*Info, error) {
	found := r.findLocked(t)
	if len(found) == 0 {
		return nil, ErrNoParticipant
	}
	who := found[0].person
	if t.SID != "" {
		who = nil
	}
	if err := r.changeLocked(b, found, who, ch); err != nil {
		return nil, err
	}
	return found[len(found)-1].info, nil
}

// Remove disconnects whom t names and revokes the tokens used so far, in one step.
func (r *Room) Remove(b *Batch, t Target) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removeLocked(b, t)
}

func (r *Room) removeLocked(b *Batch, t Target) error {
	found := r.findLocked(t)
	if len(found) == 0 {
		return ErrNoParticipant
	}
	who := found[0].person
	var (
		until    time.Time // for one participant only what it has shown counts
		tokens   []auth.TokenHash
		sessions []string
	)
	if t.SID == "" {
		until = time.Now()
		tokens, sessions = slices.Clone(who.tokens), slices.Clone(who.sessions)
	}
	for _, p := range found {
		tokens = append(tokens, p.grant.TokenHash)
		sessions = append(sessions, p.SID)
		if p.grant.Origin != nil {
			sessions = append(sessions, p.grant.Origin.Session)
		}
	}
	r.rooms.revocations.person(personKey{r.Project, r.Name, who.identity}, until, tokens, sessions)
	for _, p := range found {
		r.evictLocked(b, p, Final{ParticipantRemoved, CauseRemoved})
	}
	return nil
}

// UpdateParticipant is [Room.Update] by a moderator in the room.
func (p *Participant) UpdateParticipant(c Call, t Target, ch Change) error {
	r := p.room
	var found []*Participant
	r.mu.Lock()
	if p.permission.Allows(auth.ModerateParticipants) { // others learn nothing, and cost nothing
		found = r.findLocked(t)
	}
	r.mu.Unlock()
	problem := r.checkRefreshable(found, ch)
	return p.do(c, "updateParticipant", func() (Reply, error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return Reply{}, err
		}
		if problem != nil {
			return Reply{}, problem
		}
		info, err := r.updateLocked(c.Batch, t, ch)
		return Reply{Participant: info}, err
	})
}

// RemoveParticipant is [Room.Remove] by a moderator in the room.
func (p *Participant) RemoveParticipant(c Call, t Target) error {
	return p.do(c, "removeParticipant", func() (Reply, error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return Reply{}, err
		}
		return Reply{}, p.room.removeLocked(c.Batch, t)
	})
}

// changeLocked applies a change to participants, all or nothing. With who, the
// live statement is about the person and holds for whoever comes back.
func (r *Room) changeLocked(b *Batch, found []*Participant, who *person, ch Change) error {
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
	merged := make([]map[string]string, len(found))
	for i, p := range found {
		merged[i] = mergeAttributes(p.info.Attributes, ch.Attributes)
		if len(ch.Attributes) > 0 {
			if err := l.Attributes(merged[i]); err != nil {
				return err
			}
		}
	}
	if ch.Permission != nil {
		if who != nil && !r.rooms.cfg.Forgetful {
			who.live = who.live.Then(*ch.Permission)
		}
		for _, p := range found {
			if who == nil || r.rooms.cfg.Forgetful || !p.live.IsZero() {
				p.live = p.live.Then(*ch.Permission)
			}
		}
	}
	for i, p := range found {
		var changed Changed
		if ch.Name != nil && *ch.Name != p.info.Name {
			changed |= ChangedName
		}
		if ch.Metadata != nil && *ch.Metadata != p.info.Metadata {
			changed |= ChangedMetadata
		}
		if !maps.Equal(merged[i], p.info.Attributes) {
			changed |= ChangedAttributes
		}
		shown := p.permission.Hidden()
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
			info.Attributes = merged[i]
			info.Permission = p.permission
		})
		p.claims++
		r.tellChangeLocked(b, p, shown, changed)
		p.refreshLocked(b)
	}
	return nil
}

// tellChangeLocked tells of a change of p. Somebody who appears is told of as a
// newcomer; somebody who has vanished was told of as leaving.
func (r *Room) tellChangeLocked(b *Batch, p *Participant, wasHidden bool, changed Changed) {
	if wasHidden && !p.permission.Hidden() {
		r.introduceLocked(b, p)
	}
	r.emitAboutLocked(b, p, &ParticipantUpdated{Participant: p.info, Changed: changed})
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
	if len(p.presence) > 0 && !next.Allows(auth.SendPresence) {
		p.presence = nil
		if !was.Hidden() && p.announced { // else nobody has it in a list
			r.listLocked(b, p)
			r.presentLocked(b, p)
		}
	}
	if next.Hidden() && !was.Hidden() {
		if p.announced {
			r.emitLocked(b, &ParticipantLeft{SID: p.SID, Identity: p.Identity, Reason: Vanished}, nil)
		}
		p.announced, p.listed = false, false
		r.shown--
		r.recountLocked()
		if !p.dependent {
			r.occupied--
		}
	}
	if was.Hidden() && !next.Hidden() {
		r.shown++
		if !p.dependent {
			r.occupied++
		}
	}
	p.permission = next
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

// refreshLocked makes the batch push a refreshed token to p: one, however many
// changes come before it is signed.
func (p *Participant) refreshLocked(b *Batch) {
	if p.refreshDue || p.rooms.cfg.Refresh == nil || p.grant.Format == nil {
		return
	}
	p.refreshDue = true
	b.refresh = append(b.refresh, p)
}

// Refresh pushes a refreshed token to p.
func (p *Participant) Refresh(b *Batch) {
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
	r.rooms.metrics.refreshes.WithLabelValues("ok").Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	// A token that was overtaken while it was signed is not handed out: it may
	// grant more than the session has now. The change has asked for another.
	if p.final == nil && p.claims == claims {
		p.listener.send(b, newFrame(counted, &TokenRefreshed{Token: token, Expires: expires}, len(token)))
	}
}

func (p *Participant) currentLocked() auth.Current {
	return auth.Current{
		Session: p.SID, Room: p.room.Name, Identity: p.Identity, Name: p.info.Name,
		Metadata: p.info.Metadata, Attributes: p.info.Attributes, Permission: p.permission,
	}
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

// A Secret proves that a resume comes from the session's own client. It also
// says by which count the client counts what it has received: each snapshot that
// is not a recovery begins a new one and comes with a secret of its own.
type Secret struct {
	proof [32]byte
	count uint32
}

// ParseSecret reads a resume secret.
func ParseSecret(text string) (s Secret, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(s.proof)+4 {
		return s, false
	}
	return Secret{[32]byte(b), binary.BigEndian.Uint32(b[len(s.proof):])}, true
}

// String is the secret as its client sees it.
func (s Secret) String() string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(s.proof[:], s.count))
}

// proves reports whether the secret is one of the session's with that proof.
func (s Secret) proves(proof *[32]byte) bool {
	return subtle.ConstantTimeCompare(s.proof[:], proof[:]) == 1
}

// Hint tells p that the server is about to stop and when to come back.
func (p *Participant) Hint(b *Batch, after time.Duration) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.listener.send(b, newFrame(control, &ReconnectHint{After: after}, 32))
}

// EndOf ends p's connection with the cause, if it still is this one, and leaves
// p to its grace period.
func (p *Participant) EndOf(b *Batch, c Conn, cause Cause) {
	o := p.listener.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == c && o.detachLocked(cause, true) {
		b.add(o)
	}
}

// Control queues a WebSocket control frame on the connection, between whole
// frames, if it still is p's.
func (p *Participant) Control(b *Batch, c Conn, wire []byte) {
	o := p.listener.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == c && o.putLocked(&frame{class: control, size: len(wire) + frameOverhead, at: time.Now(), raw: wire}, nil) {
		b.add(o)
	}
}

// Room returns the room that p is or was in.
func (p *Participant) Room() *Room { return p.room }

// Grant returns what p's token granted.
func (p *Participant) Grant() *auth.Grant { return p.grant }
