package room

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"usher/room/store"
)

// An edit is a change of Liveblocks' part of a room on its way: to the store, and
// from there into force. What it takes away is in force before that, for while an
// edit is on its way a join gets no more than it would get by the part as it was
// and as it will be.
//
// Edits of a room keep their order. One group of them is at the store at a time;
// those that come meanwhile are the next group, and share its result.
type edit struct {
	// apply returns the part after the edit, nil for none. It only reads, and may
	// be called again, when one before it has failed.
	apply func(*store.LiveblocksRoom) (*store.LiveblocksRoom, error)
	// states says that it is about who may do what, though perhaps what holds already.
	states bool
	// after is the part when this and all before it have succeeded.
	after  *store.LiveblocksRoom
	before *store.LiveblocksRoom
	err    error
	done   bool

	// was and will are before and after as they looked when it came: static.
	was, will *store.LiveblocksRoom
}

// parts is what joins are measured by: the part of a room that is in force, and
// those that it is to become, or was to become when the store failed. Nobody gets
// more than by each of them. A nil in it is no part.
type parts []*store.LiveblocksRoom

// sameAccess reports whether two parts say the same of who may do what.
func sameAccess(a, b *store.LiveblocksRoom) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a == b || a.Organization == b.Organization && reflect.DeepEqual(a.Access, b.Access)
}

// parts returns what is in force; nil for a room that has no part and gets none.
func (rec *record) parts() parts {
	if p := rec.inForce.Load(); p != nil {
		return *p
	}
	return nil
}

// listed reports whether the room has a Liveblocks part.
func (rec *record) listed() bool {
	p := rec.parts()
	return len(p) > 0 && p[0] != nil
}

// push adds an edit. What it takes away is in force for every join from now on.
// One that fails is done.
func (rec *record) push(states bool, apply func(*store.LiveblocksRoom) (*store.LiveblocksRoom, error)) *edit {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	e := &edit{apply: apply, states: states}
	if len(rec.edits) == 0 {
		if _, e.err = apply(rec.part); e.err != nil && rec.partKeptLocked() {
			e.before, e.after, e.done = rec.part, rec.part, true
			e.was, e.will = rec.part, rec.part
			return e
		}
	}
	rec.edits = append(rec.edits, e)
	rec.planLocked()
	e.was, e.will = e.before, e.after
	return e
}

// partKeptLocked reports whether the store has the part as it is.
func (rec *record) partKeptLocked() bool {
	select {
	case <-rec.partKept.Done():
		return rec.partKept.Wait() == nil
	default:
		return false
	}
}

// planLocked computes what the edits on their way lead to, and what is in force
// meanwhile.
func (rec *record) planLocked() {
	p := rec.part
	in := parts{p}
	for _, e := range rec.edits {
		e.before = p
		if e.after, e.err = e.apply(p); e.err != nil {
			e.after = p
		}
		if !sameAccess(p, e.after) {
			in = append(in, e.after)
		}
		p = e.after
	}
	in = append(in, rec.held...)
	if len(in) == 1 && in[0] == nil {
		rec.inForce.Store(nil)
		return
	}
	rec.inForce.Store(&in)
}

// drive waits until an edit is done. No lock may be held.
func (rec *record) drive(e *edit) error {
	for {
		rec.mu.Lock()
		if e.done {
			defer rec.mu.Unlock()
			return e.err
		}
		if rec.flying == 0 {
			rec.launchLocked()
		}
		ticket := rec.partKept
		rec.mu.Unlock()
		_ = ticket.Wait()
		rec.land(ticket)
	}
}

// launchLocked sends all edits that wait to the store, as one change.
func (rec *record) launchLocked() {
	rec.planLocked()
	rec.flying = len(rec.edits)
	after := rec.edits[rec.flying-1].after
	if after == rec.part && rec.partKeptLocked() { // nothing has changed
		return
	}
	rec.sent = after
	rec.partKept = rec.commitLocked()
}

// land puts in force what the store has taken. What it could not take goes on
// taking away, until a later edit that states who may do what is durable: it is not
// known what the next start finds, and somebody meant to narrow.
func (rec *record) land(ticket *store.Ticket) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if ticket != rec.partKept || rec.flying == 0 {
		return // somebody else did
	}
	group := rec.edits[:rec.flying]
	rec.edits, rec.flying = slices.Clone(rec.edits[rec.flying:]), 0
	was := rec.part
	if err := ticket.Wait(); err != nil {
		for _, e := range group {
			if e.err == nil {
				e.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			if rec.part != nil && !sameAccess(e.after, rec.part) {
				rec.holdLocked(e.after)
			}
		}
		if rec.sent != rec.part { // what was written since may have written it along
			rec.sent = rec.part
			rec.partKept = rec.commitLocked()
		}
	} else {
		rec.part = rec.sent
		if slices.ContainsFunc(group, func(e *edit) bool { return e.states && e.err == nil }) {
			rec.held = nil
		}
	}
	for _, e := range group {
		e.done = true
	}
	rec.planLocked()
	rec.indexLocked(was)
}

// holdLocked has a part that could not be written go on taking away. One that is
// tried again and again counts once.
func (rec *record) holdLocked(p *store.LiveblocksRoom) {
	if !slices.ContainsFunc(rec.held, func(q *store.LiveblocksRoom) bool { return sameAccess(p, q) }) {
		rec.held = append(rec.held, p)
	}
}

// indexLocked keeps the listing in step with the part.
func (rec *record) indexLocked(was *store.LiveblocksRoom) {
	now := rec.part
	if was != nil && now != nil && was.Created.Equal(now.Created) {
		return
	}
	if was != nil {
		rec.listing.remove(rec.key.project, was.Created, rec)
	}
	if now != nil {
		rec.listing.add(rec.key.project, now.Created, rec)
	}
}

// give gives the room a part of its own accord, for somebody who joins: it is in
// force at once and written without anybody waiting. An edit on its way wins.
func (rec *record) give(part *store.LiveblocksRoom) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.part != nil || len(rec.edits) > 0 {
		return
	}
	rec.part, rec.sent = part, part
	rec.partKept = rec.commitLocked()
	rec.planLocked()
	rec.indexLocked(nil)
}

// value returns the part as others see it.
func (rec *record) value() (LiveblocksRoom, bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.part == nil {
		return LiveblocksRoom{}, false
	}
	return rec.valueLocked(rec.part), true
}

func (rec *record) valueLocked(p *store.LiveblocksRoom) LiveblocksRoom {
	return LiveblocksRoom{Name: rec.key.name, Organization: p.Organization, Created: p.Created,
		LastConnection: rec.lastConnection(), Metadata: p.Metadata, Access: p.Access}
}

// lastConnection is when somebody connected last; zero: nobody has.
func (rec *record) lastConnection() time.Time {
	if at := rec.connected.Load(); at != 0 {
		return time.Unix(0, at).UTC()
	}
	return time.Time{}
}
