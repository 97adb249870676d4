package room

import (
	"errors"
	"slices"
	"time"

	"usher/auth"
)

const (
	maxWaiting        = 1000 // in one room
	maxWaitingRenames = 16   // of one who waits: each is told to every moderator
	answeredAtOnce    = 32   // with the room locked
)

// A lobby is those who wait to be let into a room. They are no members: they are
// in no list, count or event, have no number, and keep the room open but do not
// start it. Only moderators are told of them, and they are told of nothing.
//
// It is guarded by the room's mutex.
type lobby struct {
	waiters []*Participant // the first to come first
}

// waitLocked has p wait to be let in. Nothing but its connection is there of it.
func (r *Room) waitLocked(b *Batch, p *Participant, j Join) error {
	if len(r.lobby.waiters) >= maxWaiting {
		return ErrFull
	}
	base, err := r.entryLocked(p.grant)
	if err != nil {
		return err
	}
	p.waiting, p.base = true, base
	p.info = &Info{SID: p.SID, Identity: p.Identity, Name: p.grant.Name, Kind: p.grant.Kind, State: Joining, Permission: auth.Resolve(base...),
		JoinedAt: time.Now(), Version: 1, Dialect: uint8(j.Encoder.Dialect())}
	r.noteEarly(p) // what is revoked now reaches its token later, too
	r.lobby.waiters = append(r.lobby.waiters, p)
	r.keeping++
	r.idle.Stop()
	o := p.listener.outbox
	o.mu.Lock()
	_, dirty := o.attachLocked(j.Conn, 0, 0, func(bool) *frame { return newFrame(opening, &Waiting{SID: p.SID}, len(p.SID)) })
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	r.tellModeratorsLocked(b, &WaitingJoined{Participant: p.info}, p.info.size())
	r.observeLocked(&Occurrence{Occasion: WaitingEntered, Participant: p.info})
	return nil
}

// waitersLocked returns who waits, the first to come first.
func (r *Room) waitersLocked() []*Participant { return slices.Clone(r.lobby.waiters) }

// waitersOfLocked returns those who wait whom t names.
func (r *Room) waitersOfLocked(t Target) (found []*Participant) {
	for _, p := range r.lobby.waiters {
		if t.SID != "" && p.SID == t.SID || t.SID == "" && p.Identity == t.Identity {
			found = append(found, p)
		}
	}
	return found
}

// dismissWaiterLocked sends somebody away who waits.
func (r *Room) dismissWaiterLocked(b *Batch, p *Participant, final Final) {
	if !p.waiting || p.final != nil {
		return
	}
	p.final = &final
	p.generation++
	r.endWaitLocked(b, p, final.Reason, false)
	o := p.listener.outbox
	o.mu.Lock()
	dirty := o.detachForLocked(final, true)
	o.forgetLocked()
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	r.idleLocked()
}

// endWaitLocked takes p out of the lobby.
func (r *Room) endWaitLocked(b *Batch, p *Participant, reason Reason, admitted bool) {
	r.lobby.waiters = slices.DeleteFunc(r.lobby.waiters, func(q *Participant) bool { return q == p })
	r.keeping--
	r.tellModeratorsLocked(b, &WaitingLeft{SID: p.SID, Admitted: admitted}, len(p.SID))
	r.observeLocked(&Occurrence{Occasion: WaitingDeparted, Participant: p.info, Reason: reason})
}

// reviseWaitingLocked sends away whom nothing lets in any more, and lets in who need
// not wait now: if they came again they would be in at once.
func (r *Room) reviseWaitingLocked(b *Batch) {
	for _, p := range r.waitersLocked() {
		if p.final != nil {
			continue
		}
		waits, err := r.doorLocked(p.grant, false)
		if err == nil && !waits {
			err = r.letInLocked(b, p)
		}
		if err != nil {
			r.dismissWaiterLocked(b, p, finalOf(err))
		}
	}
}

// tellModeratorsLocked tells those who may let people in.
func (r *Room) tellModeratorsLocked(b *Batch, ev Event, size int) {
	if r.closed {
		return
	}
	var f *frame
	for _, l := range r.audience.listeners {
		if p := l.participant; p.doorkeeper {
			if f == nil {
				f = newFrame(counted, ev, size)
			}
			l.send(b, f)
		}
	}
}

// doorkeeperLocked tells p of those who wait when it has become one who may let them
// in, and that they are gone when it is one no more.
func (r *Room) doorkeeperLocked(b *Batch, p *Participant) {
	if p.doorkeeper == p.permission.Allows(auth.ModerateParticipants) {
		return
	}
	p.doorkeeper = !p.doorkeeper
	for _, w := range r.lobby.waiters {
		if p.doorkeeper {
			p.listener.send(b, newFrame(counted, &WaitingJoined{Participant: w.info}, w.info.size()))
		} else {
			p.listener.send(b, newFrame(counted, &WaitingLeft{SID: w.SID}, len(w.SID)))
		}
	}
}

// waitingLocked is who waits, for a snapshot of p's; nil: it is not to know.
func (r *Room) waitingLocked(p *Participant) []*Info {
	p.doorkeeper = p.permission.Allows(auth.ModerateParticipants)
	if !p.doorkeeper {
		return nil
	}
	list := make([]*Info, 0, len(r.lobby.waiters))
	for _, w := range r.lobby.waiters {
		list = append(list, w.info)
	}
	return list
}

// Waiting returns who waits to be let into the room, the first to come first.
func (r *Room) Waiting() []*Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Info, 0, len(r.lobby.waiters))
	for _, p := range r.lobby.waiters {
		list = append(list, p.info)
	}
	return list
}

// AnswerWaiting lets people in who wait, or sends them away: those with the sids,
// or all when there is none. Letting in is the ordinary join, at that moment: whoever
// may not come in is told why and is gone. It returns whom it has answered. That
// nobody has one of the sids is [ErrNoParticipant].
func (r *Room) AnswerWaiting(b *Batch, sids []string, admit bool) (answered []string, err error) {
	r.mu.Lock()
	asked := r.askedLocked(sids)
	r.mu.Unlock()
	if len(asked) == 0 && len(sids) > 0 {
		return nil, ErrNoParticipant
	}
	return r.answer(b, asked, admit, nil)
}

// AnswerWaiting is [Room.AnswerWaiting] by a moderator in the room.
func (p *Participant) AnswerWaiting(c Call, sids []string, admit bool) error {
	r := p.room
	kind := "denyParticipant"
	if admit {
		kind = "admitParticipant"
	}
	return p.doDurably(c, kind, func() (func() (Reply, error), error) {
		if err := p.needLocked(auth.ModerateParticipants, "roomAdmin"); err != nil {
			return nil, err
		}
		asked := r.askedLocked(sids)
		if len(asked) == 0 && len(sids) > 0 {
			return nil, ErrNoParticipant
		}
		return func() (Reply, error) {
			_, err := r.answer(c.Batch, asked, admit, func() error {
				if p.final != nil {
					return ErrNotAllowed
				}
				return p.needLocked(auth.ModerateParticipants, "roomAdmin")
			})
			return Reply{}, err
		}, nil
	})
}

// askedLocked returns those with the sids who wait, or all.
func (r *Room) askedLocked(sids []string) []*Participant {
	if len(sids) == 0 {
		return r.waitersLocked()
	}
	named := make(map[string]struct{}, len(sids))
	for _, sid := range sids {
		named[sid] = struct{}{}
	}
	return slices.DeleteFunc(r.waitersLocked(), func(p *Participant) bool {
		_, ok := named[p.SID]
		return !ok
	})
}

// answer answers people, some at a time, so that a crowd does not hold up the
// room. Allowed is asked under the room's mutex each time; nil: always.
func (r *Room) answer(b *Batch, asked []*Participant, admit bool, allowedLocked func() error) (answered []string, err error) {
	for some := range slices.Chunk(asked, answeredAtOnce) {
		if err := r.answerSome(b, some, admit, allowedLocked, &answered); err != nil {
			return answered, err
		}
		b.Flush()
	}
	return answered, nil
}

func (r *Room) answerSome(b *Batch, some []*Participant, admit bool, allowedLocked func() error, answered *[]string) error {
	if beforeLock != nil {
		beforeLock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if allowedLocked != nil {
		if err := allowedLocked(); err != nil {
			return err
		}
	}
	for _, p := range some {
		if !p.waiting || p.final != nil { // another was faster
			continue
		}
		*answered = append(*answered, p.SID)
		if !admit {
			r.dismissWaiterLocked(b, p, Final{Reason: ParticipantRemoved, Cause: CauseDenied})
		} else if err := r.letInLocked(b, p); err != nil {
			r.rooms.metrics.joins.WithLabelValues(joinOutcome(err)).Inc()
			r.dismissWaiterLocked(b, p, finalOf(err))
		}
	}
	return nil
}

// letInLocked makes somebody a member who waits: it joins now.
func (r *Room) letInLocked(b *Batch, p *Participant) error {
	if r.rooms.stopping.Load() {
		return ErrClosed
	}
	if err := r.passLocked(p); err != nil {
		return err
	}
	g := p.grant
	if err := g.Barred(time.Now()); err != nil {
		return err
	}
	if _, err := r.doorLocked(g, true); err != nil {
		return err
	}
	waited := p.info
	replaced, err := r.prepareLocked(p, waited.Dialect)
	if err != nil {
		p.info, p.permission = waited, auth.Permission{}
		return err
	}
	name := waited.Name
	p.changeInfo(func(i *Info) { i.Name = name })
	entered := p.info
	p.info = waited
	r.endWaitLocked(b, p, "", true)
	p.info, p.waiting = entered, false
	r.enterLocked(b, p, replaced)
	o := p.listener.outbox
	o.mu.Lock()
	dirty := o.putLocked(r.snapshotLocked(p, false), nil)
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	r.greetLocked(b, p)
	r.rooms.metrics.joined.Inc()
	return nil
}

// renamesLocked reports whether p waits and may change its name once more.
func (p *Participant) renamesLocked() bool { return p.waiting && p.info.Version <= maxWaitingRenames }

// renameWaiterLocked changes the name of somebody who waits. Problem is what the
// tokens would have against it that it gets once it is in.
func (r *Room) renameWaiterLocked(b *Batch, p *Participant, ch Change, problem error) error {
	switch {
	case ch.Name == nil || ch.Metadata != nil || len(ch.Attributes) > 0:
		return errWaits
	case !p.renamesLocked():
		return &LimitError{"changes of name while waiting", maxWaitingRenames, "changes"}
	case *ch.Name == p.info.Name:
		return nil
	}
	if err := firstOf(r.rooms.cfg.Limits.Name(*ch.Name), problem); err != nil {
		return err
	}
	p.changeInfo(func(i *Info) { i.Name = *ch.Name })
	r.tellModeratorsLocked(b, &WaitingJoined{Participant: p.info}, p.info.size())
	return nil
}

// errWaits answers what nobody may do who waits.
var errWaits = &deniedError{Denial{"lobby", "lobby"}}

// IsWaiting reports whether p waits to be let in. It is no member then, and may
// only leave, ping, and change its name.
func (p *Participant) IsWaiting() bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.waiting && p.final == nil
}

// finalOf is the final word to somebody who waits and may not come in for that
// reason.
func finalOf(err error) Final {
	final := Final{Reason: ParticipantRemoved, Cause: CauseAccessLost, Detail: lostAccess}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return Final{Reason: ParticipantRemoved, Cause: r.cause}
		}
	}
	if errors.Is(err, ErrNotAllowed) {
		return final
	}
	return Final{Reason: ConnectionTimeout, Cause: CausePingTimeout} // it may come again
}

// refusals is why somebody may not come in, by the word for it.
var refusals = []struct {
	err   error
	cause Cause
}{
	{ErrRevoked, CauseRevoked}, {auth.ErrRevokedKey, CauseKeyRevoked}, {auth.ErrUnknownKey, CauseKeyRevoked}, {ErrBanned, CauseEjected},
	{ErrTimeOver, CauseTimeOver}, {ErrFull, CauseFull}, {ErrIdentityTaken, CauseReplaced}, {ErrRoomNotOpen, CauseRoomNotOpen},
	{ErrRoomExpired, CauseRoomExpired}, {auth.ErrExpired, CauseTokenExpired}, {ErrClosed, CauseShutdown},
}
