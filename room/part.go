package room

import (
	"fmt"
	"slices"
	"sync/atomic"

	"usher/auth"
	"usher/room/store"
)

// A part is what one ecosystem's API has made of a room, as T: Liveblocks' access
// list, Daily's properties. What is pointed to is not changed but replaced.
type part[T any] struct {
	rec  *record  // static
	kind *kind[T] // static

	// inForce is what joins are measured by, nil for a room that has no such part
	// and gets none. It is written with the record's mutex held.
	inForce atomic.Pointer[parts[T]]

	// Guarded by the record's mutex.
	now    *T            // as far as the store is known to have it; nil: none
	sent   *T            // as it was given to the store last
	kept   *store.Ticket // of that
	edits  []*edit[T]    // on their way, in their order
	flying int           // how many of them the store has
	held   []*T          // that the store could not take
}

// A kind is what is to be known of a part to edit it.
type kind[T any] struct {
	// same reports whether two parts say the same of who may do what, and come in.
	same func(a, b *T) bool
	// rules is what the part is to a token's format.
	rules func(*T) rules
	// governs reports whether it is such a part that lets a token in.
	governs func(g *auth.Grant, room string) bool
	// lose has the record remember what an edit takes from people who are not there.
	lose func(rs *Rooms, r *Room, e *edit[T])
	// index keeps the listing in step with the part.
	index func(rec *record, was, now *T)
}

// parts is what joins are measured by: the part of a room that is in force, and
// those that it is to become, or was to become when the store failed. Nobody gets
// more than by each of them. A nil in it is no part.
type parts[T any] []*T

// An edit is a change of a part of a room on its way: to the store, and from there
// into force. What it takes away is in force before that, for while an edit is on
// its way a join gets no more than it would get by the part as it was and as it
// will be.
//
// Edits of a part keep their order. One group of them is at the store at a time;
// those that come meanwhile are the next group, and share its result. A joint edit
// is a group of its own, see [joint].
type edit[T any] struct {
	// apply returns the part after the edit, nil for none. It only reads, and may
	// be called again, when one before it has failed.
	apply func(*T) (*T, error)
	// states says that it is about who may do what, though perhaps what holds already.
	states bool
	joint  *joint // static; nil: it is an edit of one room
	// after is the part when this and all before it have succeeded.
	after  *T
	before *T
	err    error
	done   bool

	// was and will are before and after as they looked when it came: static.
	was, will *T
}

// alike reports whether two parts say the same of who may do what.
func (p *part[T]) alike(a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a == b || p.kind.same(a, b)
}

// parts returns what is in force; nil for a room that has no part and gets none.
func (p *part[T]) parts() parts[T] {
	if in := p.inForce.Load(); in != nil {
		return *in
	}
	return nil
}

// there reports whether the room has the part.
func (p *part[T]) there() bool { return p.present() != nil }

// present returns the part, or nil.
func (p *part[T]) present() *T {
	if in := p.parts(); len(in) > 0 {
		return in[0]
	}
	return nil
}

// stays reports whether the room has the part, and no edit is on its way that
// removes it.
func (p *part[T]) stays() bool {
	in := p.parts()
	return len(in) > 0 && !slices.Contains(in, nil)
}

// push adds an edit. What it takes away is in force for every join from now on.
// One that fails is done.
func (p *part[T]) push(states bool, apply func(*T) (*T, error)) *edit[T] {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	e := &edit[T]{apply: apply, states: states}
	if err := p.refusesLocked(apply); err != nil {
		e.before, e.after, e.err, e.done = p.now, p.now, err, true
		e.was, e.will = p.now, p.now
		return e
	}
	p.pushLocked(e)
	return e
}

// refusesLocked returns why an edit fails, when that is certain.
func (p *part[T]) refusesLocked(apply func(*T) (*T, error)) error {
	if len(p.edits) > 0 {
		return nil
	}
	if _, err := apply(p.now); err != nil && p.keptLocked() {
		return err
	}
	return nil
}

func (p *part[T]) pushLocked(e *edit[T]) {
	p.edits = append(p.edits, e)
	p.planLocked()
	e.was, e.will = e.before, e.after
}

// keptLocked reports whether the store has the part as it is.
func (p *part[T]) keptLocked() bool {
	select {
	case <-p.kept.Done():
		return p.kept.Wait() == nil
	default:
		return false
	}
}

// vacantLocked reports whether there is no part and will be none.
func (p *part[T]) vacantLocked() bool { return p.now == nil && len(p.edits) == 0 }

// planLocked computes what the edits on their way lead to, and what is in force
// meanwhile.
func (p *part[T]) planLocked() {
	next := p.now
	in := parts[T]{next}
	for _, e := range p.edits {
		e.before = next
		if e.after, e.err = e.apply(next); e.err != nil {
			e.after = next
		}
		if !p.alike(next, e.after) {
			in = append(in, e.after)
		}
		next = e.after
	}
	in = append(in, p.held...)
	if len(in) == 1 && in[0] == nil {
		p.inForce.Store(nil)
		return
	}
	p.inForce.Store(&in)
}

// drive waits until an edit is done. No lock may be held.
func (p *part[T]) drive(e *edit[T]) error {
	for {
		p.rec.mu.Lock()
		if e.done {
			defer p.rec.mu.Unlock()
			return e.err
		}
		wait := p.advanceLocked()
		p.rec.mu.Unlock()
		wait()
	}
}

// advanceLocked has the store take the edits that are next, unless it has some
// already, and returns how to wait for those.
func (p *part[T]) advanceLocked() (wait func()) {
	if p.flying == 0 {
		if j := p.edits[0].joint; j != nil { // whoever began it drives it
			return func() { <-j.over }
		}
		p.launchLocked()
	}
	ticket := p.kept
	return func() {
		_ = ticket.Wait()
		p.land(ticket)
	}
}

// launchLocked sends all edits that wait to the store, as one change, up to a
// joint one.
func (p *part[T]) launchLocked() {
	p.planLocked()
	p.flying = len(p.edits)
	if i := slices.IndexFunc(p.edits, func(e *edit[T]) bool { return e.joint != nil }); i >= 0 {
		p.flying = i
	}
	after := p.edits[p.flying-1].after
	if after == p.now && p.keptLocked() { // nothing has changed
		return
	}
	p.sent = after
	p.kept = p.rec.commitLocked()
}

// land puts in force what the store has taken. What it could not take goes on
// taking away, until a later edit that states who may do what is durable: it is not
// known what the next start finds, and somebody meant to narrow.
func (p *part[T]) land(ticket *store.Ticket) {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	if ticket != p.kept || p.flying == 0 {
		return // somebody else did
	}
	group := p.edits[:p.flying]
	p.edits, p.flying = slices.Clone(p.edits[p.flying:]), 0
	was := p.now
	if err := ticket.Wait(); err != nil {
		p.failLocked(group, err)
		if p.sent != p.now { // what was written since may have written it along
			p.sent = p.now
			p.kept = p.rec.commitLocked()
		}
	} else {
		p.now = p.sent
		if slices.ContainsFunc(group, func(e *edit[T]) bool { return e.states && e.err == nil }) {
			p.held = nil
		}
	}
	for _, e := range group {
		e.done = true
	}
	p.planLocked()
	p.kind.index(p.rec, was, p.now)
}

// failLocked notes that the store could not take edits.
func (p *part[T]) failLocked(group []*edit[T], err error) {
	for _, e := range group {
		if e.err == nil {
			e.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if p.now != nil && !p.alike(e.after, p.now) {
			p.holdLocked(e.after)
		}
	}
}

// holdLocked has a part that could not be written go on taking away. One that is
// tried again and again counts once.
func (p *part[T]) holdLocked(what *T) {
	if !slices.ContainsFunc(p.held, func(q *T) bool { return p.alike(what, q) }) {
		p.held = append(p.held, what)
	}
}

// give gives the room a part of its own accord, for somebody who joins: it is in
// force at once and written without anybody waiting. An edit on its way wins.
func (p *part[T]) give(what *T) {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	if !p.vacantLocked() {
		return
	}
	p.now, p.sent = what, what
	p.kept = p.rec.commitLocked()
	p.planLocked()
	p.kind.index(p.rec, nil, what)
}

// adoptLocked puts in force what the store had at the start.
func (p *part[T]) adoptLocked() {
	if p.sent == nil {
		return
	}
	p.now = p.sent
	p.planLocked()
	p.kind.index(p.rec, nil, p.now)
}

// concerns reports whether an edit may change what anybody may do.
func (p *part[T]) concerns(e *edit[T]) bool {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	return !e.done && (len(p.edits) > 1 || !p.alike(e.before, e.after) || len(p.held) > 0)
}

// finish has an edit, which was pushed, enforced and written, and the rest of it
// put in force: what it takes away before it is written, what it gives afterwards.
func (p *part[T]) finish(rs *Rooms, b *Batch, e *edit[T]) error {
	enforced := p.enforce(rs, b, e)
	b.Flush() // nobody else waits for the store
	b.willWait()
	return enforced.settle(rs, b, p.drive(e))
}

// enforce puts in force what an edit takes away.
func (p *part[T]) enforce(rs *Rooms, b *Batch, e *edit[T]) *enforced {
	f := &enforced{record: p.rec, touched: make(map[string]struct{}), concerns: p.concerns(e)}
	if f.concerns {
		f.orders = rs.enforce(b, p.rec, p.takingOf(rs, e), f.touched)
	}
	return f
}

// takingOf is an edit as far as it takes something from people.
func (p *part[T]) takingOf(rs *Rooms, e *edit[T]) *taking {
	return &taking{was: p.kind.rules(e.was), will: p.kind.rules(e.will), governs: p.kind.governs,
		lose: func(r *Room) { p.kind.lose(rs, r, e) }}
}

// enforced is an edit of which what it takes away is in force.
type enforced struct {
	record   *record
	concerns bool
	touched  map[string]struct{} // people whose allowed rights have changed
	orders   []*order
}

// settle puts in force what an edit gives, once it is written, or has failed.
func (f *enforced) settle(rs *Rooms, b *Batch, err error) error {
	for _, o := range f.orders {
		if problem := o.settle(); err == nil {
			err = problem
		}
	}
	if f.concerns {
		rs.enforce(b, f.record, nil, f.touched)
		b.Flush()
	}
	return err
}
