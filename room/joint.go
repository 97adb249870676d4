package room

import (
	"fmt"
	"runtime"

	"usher/room/store"
)

// A joint is an edit of several rooms' Daily parts that is made of all of them or
// of none, by one commit, in which revocations may go along.
//
// Its edits are pushed in one critical section of Rooms, so that of any two joints
// one is first in all the rooms that both are about: they never wait for each other
// in a circle. Each waits in its room until those before it are done. From then on
// nothing else changes these parts, what is checked holds, and they can be written
// together.
type joint struct {
	over  chan struct{} // closed when it has succeeded or failed
	rooms []*jointRoom
}

// A jointRoom is a joint's edit of one room.
type jointRoom struct {
	record *record
	part   *part[store.DailyRoom]
	edit   *edit[store.DailyRoom]
	name   string // as it was called
}

// pushLocked adds an edit of each room, or of none when one is certain to fail: then
// it returns why, and which. Rooms.mu must be held.
func (j *joint) pushLocked(records []*record, apply func(i int) func(*store.DailyRoom) (*store.DailyRoom, error)) (failed string, err error) {
	for i, rec := range records {
		rec.mu.Lock()
		err := rec.daily.refusesLocked(apply(i))
		rec.mu.Unlock()
		if err != nil {
			return rec.key.name, err
		}
	}
	for i, rec := range records {
		jr := &jointRoom{record: rec, part: &rec.daily, name: rec.key.name,
			edit: &edit[store.DailyRoom]{apply: apply(i), states: true, joint: j}}
		rec.mu.Lock()
		jr.part.pushLocked(jr.edit)
		rec.mu.Unlock()
		j.rooms = append(j.rooms, jr)
	}
	return "", nil
}

// ready waits until nothing is before the edits, and reports whether they can be
// made. When one cannot, all are over. No lock may be held.
func (j *joint) ready() (failed string, err error) {
	for _, jr := range j.rooms {
		jr.turn()
	}
	for _, jr := range j.rooms {
		jr.record.mu.Lock()
		jr.part.planLocked()
		problem := jr.edit.err
		jr.record.mu.Unlock()
		if problem != nil {
			j.end(problem, false)
			return jr.name, problem
		}
	}
	return "", nil
}

// turn waits until the edit is the first of its room, and the store has none.
func (jr *jointRoom) turn() {
	for {
		jr.record.mu.Lock()
		if jr.part.edits[0] == jr.edit {
			jr.record.mu.Unlock()
			return
		}
		wait := jr.part.advanceLocked()
		jr.record.mu.Unlock()
		wait()
	}
}

// write hands all of it to the store, with revocations by their ids, and returns
// when it is durable, or has failed. It comes after ready.
func (j *joint) write(rs *Rooms, revoked func() (ids []string)) error {
	if err := j.lock(); err != nil {
		j.end(err, true)
		return err
	}
	changes := make([]store.Change, len(j.rooms))
	for i, jr := range j.rooms {
		jr.part.planLocked()
		jr.part.sent, jr.part.flying = jr.edit.after, 1
		changes[i] = jr.record.writeLocked()
	}
	ticket := rs.revocations.commit(revoked(), changes...)
	for i, jr := range j.rooms {
		rec := jr.record
		jr.part.kept = ticket
		if rec.known, rec.wrote = false, nil; changes[i].Value != nil {
			rec.wrote = ticket
		}
		rec.mu.Unlock()
	}
	err := ticket.Wait()
	for _, jr := range j.rooms {
		jr.part.land(ticket)
	}
	close(j.over)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// lock locks all records, none of which has a new name that the store does not know:
// that would have to be written along. Others lock two records in an order of their
// own (rename.go), so it never waits for one while it has another.
func (j *joint) lock() error {
	for {
		if j.tryLock() {
			pending := j.renaming()
			if pending == nil {
				return nil
			}
			ticket := pending.rename.ticket
			j.unlock(len(j.rooms))
			if ticket.Wait() != nil {
				pending.renamedDurably() // tries again
				pending.mu.Lock()
				m := pending.rename
				pending.mu.Unlock()
				if m == nil {
					continue
				}
				if err := m.ticket.Wait(); err != nil {
					return fmt.Errorf("%w: %w", ErrUnavailable, err)
				}
			}
			continue
		}
		runtime.Gosched()
	}
}

func (j *joint) tryLock() bool {
	for i, jr := range j.rooms {
		if !jr.record.mu.TryLock() {
			j.unlock(i)
			return false
		}
	}
	return true
}

func (j *joint) unlock(n int) {
	for _, jr := range j.rooms[:n] {
		jr.record.mu.Unlock()
	}
}

// renaming returns a record with a new name that the store does not know yet.
func (j *joint) renaming() *record {
	for _, jr := range j.rooms {
		if m := jr.record.rename; m != nil && !m.keptLocked() {
			return jr.record
		}
	}
	return nil
}

// end has the edits be over without having been written. With takes, what they take
// away goes on being taken away.
func (j *joint) end(err error, takes bool) {
	for _, jr := range j.rooms {
		p := jr.part
		jr.record.mu.Lock()
		p.edits = append([]*edit[store.DailyRoom]{}, p.edits[1:]...)
		if takes {
			p.failLocked([]*edit[store.DailyRoom]{jr.edit}, err)
		}
		jr.edit.err, jr.edit.after, jr.edit.done = err, p.now, true
		p.planLocked()
		jr.record.mu.Unlock()
	}
	close(j.over)
}
