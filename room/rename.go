package room

import (
	"slices"
	"time"

	"usher/room/store"
)

// RenameLiveblocks gives a room with a Liveblocks part another name, and returns
// when that is durable. The record keeps its id, and with it what was stated about
// people and LiveKit's part. What was revoked in it is refused by the new name from
// the start, and by the old one still: each is lifted by itself. The life ends:
// everybody in it is told the new name ([CauseRenamed]). A room of the old name is
// not made again by tokens issued until now; a server API may. A Daily part goes
// along: then the name has to be one that Daily has, see [CheckDailyName].
//
// With [ErrUnavailable] the room has the new name, but perhaps only until the
// next start. Its other errors are [ErrNotFound], [ErrExists] when there is a room
// of the new name, a [LimitError] and an [InvalidError].
func (rs *Rooms) RenameLiveblocks(b *Batch, project, name, newName string) (LiveblocksRoom, error) {
	if err := firstOf(liveblocksName(newName), rs.cfg.Limits.RoomName(newName)); err != nil {
		return LiveblocksRoom{}, err
	}
	if name == newName {
		return LiveblocksRoom{}, &InvalidError{"the room has that name"}
	}
	rec, left, err := rs.switchNames(b, key{project, name}, key{project, newName})
	if err != nil {
		return LiveblocksRoom{}, err
	}
	ticket := rec.commitLocked()
	left.mu.Unlock()
	rec.mu.Unlock()
	if beforeLock != nil {
		beforeLock()
	}
	rs.endFormer(b, rec)
	rs.revive(rec, nil)
	b.Flush()
	b.willWait()
	err = durable(ticket)
	if err != nil {
		rs.mu.Lock()
		rs.leaving = append(rs.leaving, rec) // to be tried again
		rs.mu.Unlock()
	}
	r, ok := rec.value()
	if !ok { // deleted at the same time
		return LiveblocksRoom{}, ErrNotFound
	}
	return r, err
}

// switchNames gives the record of one name another name, in memory. It returns it
// and the record that is left at the old name, both locked: nothing of either is to
// be written before the store has been given the names, which takes too long for
// the mutex of Rooms.
func (rs *Rooms) switchNames(b *Batch, from, to key) (rec, left *record, err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := rs.rooms[to]; r != nil && r.record.key != to; r = rs.rooms[to] {
		rs.mu.Unlock() // that room has another name itself
		rs.endFormer(b, r.record)
		rs.mu.Lock()
	}
	rec, taken := rs.records[from], rs.records[to]
	switch {
	case rec == nil || !rec.listed():
		return nil, nil, ErrNotFound
	case rs.rooms[to] != nil || taken != nil && !taken.vacant():
		return nil, nil, ErrExists
	}
	if rec.daily.inForce.Load() != nil { // or will have one
		if err := CheckDailyName(to.name); err != nil {
			return nil, nil, err
		}
	}
	left = rs.newRecord(from)
	left.renamed = time.Now()
	next := &renaming{index: &rs.revocations, fresh: left, left: []*record{left}}
	var denied map[string][]statement
	var renamed time.Time
	if taken != nil {
		denied, renamed = taken.clear(next)
	}
	left.mu.Lock()
	rec.mu.Lock()
	rec.takeOverLocked(to, denied, renamed, next)
	// The record has the new name: what is revoked or shown in the old life from here
	// on counts by that, too. What was before is copied.
	next.revocations = append(next.revocations, rs.revocations.rename(from, to)...)
	rs.early.rename(from, to)
	rs.records[from], rs.records[to] = left, rec
	if life := rs.rooms[from]; life != nil && life.record == rec {
		rec.former = append(rec.former, life) // in the index until it has ended
	}
	return rec, left, nil
}

// endFormer ends the lives of a room under names that it had before, one after the
// other. Whoever finds one does that, so that it is over for them. No room may be
// locked.
func (rs *Rooms) endFormer(b *Batch, rec *record) {
	rs.mu.Lock()
	former, now := slices.Clone(rec.former), rec.key.name
	rs.mu.Unlock()
	for _, r := range former {
		r.mu.Lock()
		if !r.closed {
			r.endLocked(b, Final{Reason: RoomClosed, Cause: CauseRenamed, Detail: now}, true)
		}
		r.mu.Unlock()
		rs.forget(r)
	}
	if len(former) > 0 {
		rs.mu.Lock()
		rec.former = slices.DeleteFunc(rec.former, func(r *Room) bool { return slices.Contains(former, r) })
		rs.mu.Unlock()
	}
}

// vacant reports whether a record is of nothing but people about whom something
// was stated, or of a name that a room had.
func (rec *record) vacant() bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, who := range rec.people {
		if len(who.orders) > 0 {
			return false
		}
	}
	return rec.livekit == nil && rec.liveblocks.vacantLocked() && rec.daily.vacantLocked()
}

// takeOverLocked gives the record another key, and takes over what was stated under
// the new name before: what was denied there stays denied, but nobody is allowed
// anything that was allowed in another room. Rooms.mu must be held.
func (rec *record) takeOverLocked(to key, denied map[string][]statement, renamed time.Time, next *renaming) {
	rec.key, rec.renamed = to, renamed
	for identity, list := range denied {
		who := rec.people[identity]
		if who == nil {
			who = new(stated)
			rec.people[identity] = who
		}
		who.inForce = merged(list, who.inForce)
		next.people = append(next.people, identity)
	}
	if last := rec.rename; last != nil {
		next.gone = slices.Concat(last.gone, next.gone)
		next.left = slices.Concat(last.left, next.left)
		next.people = slices.Concat(last.people, next.people)
		next.revocations = slices.Clone(last.revocations)
	}
	rec.rename = next
}

// clear empties a record whose name another one gets, and returns what it denies
// and when a room before it was renamed.
func (rec *record) clear(next *renaming) (denied map[string][]statement, renamed time.Time) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	denied = make(map[string][]statement)
	for identity, who := range rec.people {
		for _, s := range who.inForce {
			if s = s.denials(); !s.say.IsZero() {
				denied[identity] = append(denied[identity], s)
			}
		}
		next.gone = append(next.gone, (&store.Person{Room: rec.id, Identity: identity}).Put())
	}
	renamed = rec.renamed
	rec.people, rec.renamed, rec.losses = make(map[string]*stated), time.Time{}, nil
	next.gone = append(next.gone, rec.recordLocked().Delete())
	return denied, renamed
}

// A renaming is what the store has to be given with a record's new name: every
// write of the record has it along until it is durable, so that the next start
// finds all of it or nothing. It is guarded by the record's mutex.
type renaming struct {
	index       *revocations   // static
	gone        []store.Change // what was kept of the record that had the name
	left        []*record      // at the names that it had
	fresh       *record        // the last of them, while it is locked from the switch on
	people      []string       // about whom something was taken over
	revocations []string       // their ids, by the new name
	ticket      *store.Ticket  // of the last write; nil: there was none
}

// handOverLocked hands changes of the record to the store, and with them what
// belongs to its last name.
func (rec *record) handOverLocked(changes []store.Change) *store.Ticket {
	m := rec.rename
	if m == nil || m.keptLocked() {
		rec.rename = nil
		return rec.store.Commit(changes...)
	}
	all := slices.Clone(m.gone)
	for _, identity := range m.people {
		var list []statement
		if who := rec.people[identity]; who != nil {
			list = who.ordered()
		}
		all = append(all, rec.personOf(identity, list).Put())
	}
	for _, left := range m.left {
		if left != m.fresh {
			left.mu.Lock()
			defer left.mu.Unlock()
		}
		all = append(all, left.writeLocked())
	}
	m.ticket = m.index.commit(m.revocations, append(all, changes...)...)
	for _, left := range m.left {
		left.known, left.wrote = false, nil // its next write is whole
	}
	m.fresh = nil
	return m.ticket
}

func (m *renaming) keptLocked() bool {
	select {
	case <-m.ticket.Done():
		return m.fresh == nil && m.ticket.Wait() == nil
	default:
		return false
	}
}

// renamedDurably has the store be given a record's last name once more, if that
// has failed, and reports whether there is nothing left to be written.
func (rec *record) renamedDurably() bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	m := rec.rename
	if m == nil || m.keptLocked() {
		rec.rename = nil
		return true
	}
	select {
	case <-m.ticket.Done():
		rec.commitLocked()
	default:
	}
	return false
}

// merged is what two lists of statements say together, by their times.
func merged(a, b []statement) (list []statement) {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(a, b statement) int { return a.at.Compare(b.at) })
	for _, s := range all {
		list = follow(list, s)
	}
	return list
}
