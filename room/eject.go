package room

import (
	"errors"
	"slices"
	"time"

	"usher/auth"
	"usher/room/store"
)

// maxBanned is how many identities may be banned in one life of a room.
const maxBanned = 10_000

// Eject disconnects those who are named, each by identity or by sid, and returns
// their sids. Their tokens stay good. With ban the identities named, there or not,
// are refused while the room's life goes on, whatever their token, and the tokens
// they were given until now for ever, as by [Room.Remove]; of those named by sid only
// what they have shown is. Naming somebody who is not there is no error. With ban it
// returns when that is durable. With [ErrUnavailable] all of it is in force, but
// perhaps only until the next start; with a [LimitError] of those banned, too, but that
// the application may give those named who are not banned yet another token.
func (r *Room) Eject(b *Batch, targets []Target, ban bool, by string) (ejected []string, err error) {
	if beforeLock != nil {
		beforeLock()
	}
	for _, t := range targets {
		if err := r.rooms.cfg.Limits.Identity(t.Identity); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	for r.closed { // who was in it may be in the next life
		r.mu.Unlock()
		r.rooms.forget(r)
		next := r.rooms.lifeOf(b, r.record)
		if next == nil {
			next, _ = r.rooms.Lookup(r.Project, r.Name)
		}
		if next == nil {
			r.mu.Lock()
			break
		}
		r = next
		r.mu.Lock()
	}
	ejected, bans, err := r.ejectLocked(b, targets, ban, by)
	r.mu.Unlock()
	return ejected, firstOf(settleAll(b, bans), err)
}

// EjectParticipant is [Room.Eject] by a moderator in the room, who may be told that
// there is no such participant.
func (p *Participant) EjectParticipant(c Call, t Target, ban bool) error {
	r := p.room
	problem := r.rooms.cfg.Limits.Identity(t.Identity)
	return p.doDurably(c, "ejectParticipant", func() (func() (Reply, error), error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return nil, err
		}
		found := r.findLocked(t)
		if problem = firstOf(problem, p.mayTouchLocked(found...)); problem != nil {
			return nil, problem
		}
		// Whether somebody who is not there is an owner is not known.
		unknown := !ban || t.SID != "" || p.mayNotTouchOwners()
		if len(found)+len(r.waitersOfLocked(t)) == 0 && unknown {
			return nil, ErrNoParticipant
		}
		_, bans, err := r.ejectLocked(c.Batch, []Target{t}, ban, p.Identity)
		return func() (Reply, error) { return Reply{}, firstOf(settleAll(c.Batch, bans), err) }, nil
	})
}

// ejectLocked puts people out. The bans are in force, and on their way to the store.
// With a [LimitError] all but those of identities are.
func (r *Room) ejectLocked(b *Batch, targets []Target, ban bool, by string) (ejected []string, bans []*removal, err error) {
	var found, shown []*Participant
	seen := make(map[*Participant]struct{})
	banned := make(map[string]struct{})
	for _, t := range targets {
		if t.SID == "" && t.Identity == "" {
			continue
		}
		if ban && t.SID == "" {
			banned[t.Identity] = struct{}{}
		}
		for _, p := range append(r.findLocked(t), r.waitersOfLocked(t)...) {
			if _, twice := seen[p]; !twice {
				seen[p] = struct{}{}
				found = append(found, p)
				if ban && t.SID != "" && !p.stranger() {
					shown = append(shown, p)
				}
			}
		}
	}
	fresh := 0
	for identity := range banned {
		if _, again := r.banned[identity]; !again {
			fresh++
		}
	}
	if len(r.banned)+fresh > maxBanned {
		err = &LimitError{"those banned", maxBanned, "identities"}
	}
	if len(banned) > 0 && r.banned == nil && !r.closed {
		r.banned = make(map[string]struct{})
	}
	for identity := range banned {
		if err == nil && !r.closed {
			r.banned[identity] = struct{}{}
		}
		if m := r.banLocked(identity, found, by); m != nil {
			bans = append(bans, m)
		}
	}
	for _, p := range shown {
		m := &removal{room: r, revocation: Revocation{Project: r.Project, Room: r.Name, Identity: p.Identity, Made: time.Now(), By: by}}
		m.shown.add(p, time.Time{})
		bans = append(bans, r.revokeLocked(m))
	}
	for _, p := range found {
		ejected = append(ejected, p.SID)
		r.evictLocked(b, p, Final{Reason: ParticipantRemoved, Cause: CauseEjected})
	}
	return ejected, bans, err
}

// banLocked revokes the tokens that somebody was given for the room until now. Of
// those found its own count, whatever their times. Nil: it was found, and has none.
func (r *Room) banLocked(identity string, found []*Participant, by string) *removal {
	var tokens, strangers int
	now := time.Now()
	m := &removal{room: r, revocation: Revocation{Project: r.Project, Room: r.Name, Identity: identity, Made: now, Until: now, By: by}}
	m.shown = r.rooms.early.reached(m.revocation)
	for _, p := range found {
		if p.Identity == identity {
			if p.stranger() {
				strangers++
			} else {
				tokens++
			}
			m.shown.add(p, now)
		}
	}
	// Who is not there may have a token without a name, which is always the same one.
	if strangers > 0 && tokens == 0 {
		return nil
	}
	return r.revokeLocked(m)
}

// revokeLocked puts in force what a removal revokes.
func (r *Room) revokeLocked(m *removal) *removal {
	var made Revocation
	made, m.ticket = r.rooms.revocations.add(m.revocation, m.shown)
	if o := r.rooms.cfg.Observer; !r.closed {
		r.observeLocked(&Occurrence{Occasion: TokensRevoked, Revocation: &made})
	} else if o != nil { // its life is over, and nothing occurs in it any more
		o.Observe(&Occurrence{Occasion: TokensRevoked, At: made.Made, Project: r.Project, Room: Summary{Name: r.Name}, Revocation: &made})
	}
	return m
}

// settleAll waits until all removals are durable. No lock may be held.
func settleAll(b *Batch, removals []*removal) error {
	var tickets []*store.Ticket
	for _, m := range removals {
		tickets = append(tickets, m.tickets(b)...)
	}
	if len(removals) == 0 {
		return nil
	}
	return settled(b, tickets)
}

// mayNotTouchOwners reports whether p is a moderator of Daily's kind who is no owner.
//
// The room's mutex must be held.
func (p *Participant) mayNotTouchOwners() bool {
	return p.format == dailyFormat && !p.permission.Allows(auth.Owner)
}

// mayTouchLocked checks that p, a moderator, may do something to others: those who
// came with one of Daily's tokens and are no owners may do nothing to owners.
func (p *Participant) mayTouchLocked(others ...*Participant) error {
	if !p.mayNotTouchOwners() {
		return nil
	}
	for _, q := range others {
		if q != p && q.permission.Allows(auth.Owner) {
			return p.needLocked(auth.Owner, "owner")
		}
	}
	return nil
}

// State makes statements about single participants, by their sid, and with rest one
// about everybody else who is no owner, in one step. Sids of nobody are passed over.
// When it returns they are in force. Each participant is told once, and gets one
// token. The only error is a [LimitError], with which nothing was stated.
func (r *Room) State(b *Batch, bySID map[string]auth.Say, rest *auth.Say, by string) error {
	if err := r.checkStatable(bySID, rest); err != nil {
		return err
	}
	if beforeLock != nil {
		beforeLock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stateLocked(b, r.concernsLocked(bySID, rest))
}

// StatePermissions is [Room.State] by a moderator in the room.
func (p *Participant) StatePermissions(c Call, bySID map[string]auth.Say, rest *auth.Say) error {
	r := p.room
	r.mu.Lock()
	may := p.permission.Allows(auth.ModerateParticipants) // others learn nothing, and cost nothing
	r.mu.Unlock()
	var problem error
	if may {
		problem = r.checkStatable(bySID, rest)
	}
	return p.do(c, "updatePermissions", func() (Reply, error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return Reply{}, err
		}
		if problem != nil {
			return Reply{}, problem
		}
		for sid := range bySID {
			if q := r.participants[sid]; q != nil {
				if err := p.mayTouchLocked(q); err != nil {
					return Reply{}, err
				}
			}
		}
		return Reply{}, r.stateLocked(c.Batch, r.concernsLocked(bySID, rest))
	})
}

// A concern is what is stated about one participant.
type concern struct {
	p   *Participant
	say auth.Say
}

// concernsLocked returns who is concerned by statements.
func (r *Room) concernsLocked(bySID map[string]auth.Say, rest *auth.Say) (concerned []concern) {
	for _, p := range r.membersLocked() {
		say, named := bySID[p.SID]
		if !named {
			if rest == nil || p.permission.Allows(auth.Owner) {
				continue
			}
			say = *rest
		}
		say.Allow &^= auth.Owner // only a token makes one
		say.Deny &^= auth.Owner
		if say.IsZero() {
			continue
		}
		if say.Layer == "" {
			say.Layer = auth.Live
		}
		concerned = append(concerned, concern{p, say})
	}
	return concerned
}

// nextLocked returns what is stated live about a participant with a later say, and
// what it may do then.
func (c concern) nextLocked() (live auth.Say, next auth.Permission) {
	layers, live := c.p.layersLocked(), c.p.live.Then(c.say)
	return live, auth.Resolve(append(slices.Clip(layers), c.say)...)
}

// names reports whether it says of somebody in particular what may be received: what
// says only which rights there are is never too much.
func (c concern) names() bool {
	return len(c.say.ReceiveFromIdentity)+len(c.say.ReceiveFromParticipant) > 0
}

// signAtMost is how many tokens are signed to see whether those of many could tell
// what is stated about them.
const signAtMost = 4

// checkStatable reports whether tokens could still tell what people may do after a
// statement, as checkRefreshable does of other changes. Of many concerned those are
// tried that have the longest. No lock may be held.
func (r *Room) checkStatable(bySID map[string]auth.Say, rest *auth.Say) error {
	named := rest != nil && concern{say: *rest}.names()
	for _, say := range bySID {
		named = named || concern{say: say}.names()
	}
	if r.rooms.cfg.Refresh == nil || !named {
		return nil
	}
	type trial struct {
		p    *Participant
		now  auth.Current
		size int
	}
	var longest []trial
	r.mu.Lock()
	for _, c := range r.concernsLocked(bySID, rest) {
		if !c.names() || !c.p.refreshable() {
			continue
		}
		t := trial{p: c.p, now: c.p.currentLocked()}
		_, t.now.Permission = c.nextLocked()
		t.size = len(c.p.grant.Claims) + c.p.info.size()
		for _, exceptions := range []map[string]auth.Rights{t.now.Permission.ReceiveFromIdentity, t.now.Permission.ReceiveFromParticipant} {
			if err := checkExceptions(exceptions, nil); err != nil {
				r.mu.Unlock()
				return err
			}
			for who := range exceptions {
				t.size += len(who) + 16
			}
		}
		longest = append(longest, t)
		slices.SortFunc(longest, func(a, b trial) int { return b.size - a.size })
		longest = longest[:min(len(longest), signAtMost)]
	}
	r.mu.Unlock()
	for _, t := range longest {
		if _, _, err := r.rooms.cfg.Refresh(t.p.grant, t.now); errors.Is(err, auth.ErrTooLarge) {
			return &LimitError{What: "the refreshed token", Unit: "token_bytes"}
		}
	}
	return nil
}

// stateLocked is State, by whoever may.
func (r *Room) stateLocked(b *Batch, concerned []concern) error {
	for _, c := range concerned {
		if !c.names() {
			continue
		}
		live, next := c.nextLocked()
		if err := firstOf(checkExceptions(live.ReceiveFromIdentity, live.ReceiveFromParticipant),
			checkExceptions(next.ReceiveFromIdentity, next.ReceiveFromParticipant)); err != nil {
			return err
		}
	}
	now := time.Now()
	people := make([]*Participant, len(concerned))
	for i, c := range concerned {
		c.p.live, c.p.liveAt = c.p.live.Then(c.say), now
		r.rememberLocked(c.p, c.say)
		people[i] = c.p
	}
	r.reconsiderLocked(b, people)
	return nil
}

// reconsiderLocked computes anew what people may do of whom something was stated, or
// whose base is another one, and tells of it: in as few events as there can be.
func (r *Room) reconsiderLocked(b *Batch, people []*Participant) {
	var changed, shown []*Participant
	for _, p := range people {
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
