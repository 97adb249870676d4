package daily

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"usher/room/store"
)

// lookEvery is how often meetings that are too old are looked for.
const lookEvery = time.Hour

// copiedMost bounds how many attendances are copied at a time, while those who
// observe wait.
const copiedMost = 20_000

// write keeps the store up to what happens, until Close.
func (m *Meetings) write() {
	defer close(m.ended)
	var (
		alive  time.Time // when it was last written that the process lives
		looked time.Time
		timer  = time.NewTimer(0)
	)
	defer timer.Stop()
	for {
		select {
		case <-m.wake:
		case <-timer.C:
		}
		now := time.Now()
		look := now.Sub(looked) >= lookEvery
		if look {
			looked = now
		}
		work := m.due(now, look)
		if !work.last && work.ongoing > 0 && now.Sub(alive) >= meetingKeptEvery {
			text, _ := now.UTC().MarshalText() // a time of this age always has one
			work.changes = append(work.changes, store.Setting{Key: aliveKey, Value: text}.Put())
			alive = now
		}
		err := m.commit(work)
		if work.last || errors.Is(err, store.ErrClosed) {
			return
		}
		next := work.next
		if work.ongoing > 0 {
			next = earlier(next, alive.Add(meetingKeptEvery))
		}
		if err != nil {
			alive = time.Time{}
			next = earlier(next, now.Add(meetingKeptEvery))
		}
		timer.Reset(time.Until(next))
	}
}

// A chore is what there is to write at a time.
type chore struct {
	kept    []keptMeeting
	of      []*meeting // the same
	deleted []string   // ids
	changes []store.Change
	next    time.Time // when there will be something
	more    bool      // there is something already
	ongoing int
	last    bool // there is no other time
}

// due takes what is to be written now. Meetings that are too old are among it when
// it is time to look for them.
func (m *Meetings) due(now time.Time, look bool) chore {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := chore{ongoing: m.ongoing, next: now.Add(lookEvery)}
	for project, d := range m.projects {
		if look || d.tooMuch() {
			for _, t := range d.forget(now) {
				m.forgetLocked(t)
			}
		}
		if len(d.list) == 0 {
			delete(m.projects, project)
		}
	}
	c.deleted, m.deleted = m.deleted, nil
	copied := 0 // attendances, under the lock
	for t := range m.dirty {
		if at := t.written.Add(meetingKeptEvery); !t.urgent && !m.closed && at.After(now) {
			c.next = earlier(c.next, at)
			continue
		}
		if copied > 0 && copied+len(t.who) > copiedMost {
			c.more, c.next = true, now
			continue
		}
		copied += len(t.who)
		delete(m.dirty, t)
		t.urgent, t.written = false, now
		c.of = append(c.of, t)
		c.kept = append(c.kept, keptMeeting{Project: t.project, ID: t.id, Room: t.room, Began: t.began.UTC(), End: utc(t.end),
			Known: now.UTC(), Most: t.most, Who: slices.Clone(t.who)})
	}
	c.last = m.closed && !c.more
	return c
}

// commit writes, and puts back what could not be written.
func (m *Meetings) commit(c chore) error {
	for _, kept := range c.kept {
		for i := range kept.Who {
			kept.Who[i].Joined, kept.Who[i].Left = kept.Who[i].Joined.UTC(), utc(kept.Who[i].Left)
		}
		value, err := json.Marshal(kept)
		if err != nil {
			continue // a time that cannot be written
		}
		c.changes = append(c.changes, store.Change{Bucket: store.Meetings, Key: kept.ID, Value: value})
	}
	for _, id := range c.deleted {
		c.changes = append(c.changes, store.Change{Bucket: store.Meetings, Key: id})
	}
	if len(c.changes) == 0 {
		return nil
	}
	err := m.store.Commit(c.changes...).Wait()
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		m.log.Error("meetings could not be written, and it is too late to try again", "error", err, "meetings", len(c.of))
		return err
	}
	m.log.Error("meetings cannot be written; it is tried again", "error", err)
	m.deleted = append(c.deleted, m.deleted...)
	for _, t := range c.of {
		if t.gone {
			m.deleted = append(m.deleted, t.id)
		} else {
			m.dirty[t] = true
		}
	}
	return err
}

// tooMuch reports whether more is remembered than may be, if there is something to
// forget.
func (d *diary) tooMuch() bool {
	return d.ended > 0 && (len(d.list) > meetingsMost || d.attendances >= attendancesAll)
}

// forget takes out the meetings that are not remembered any more: those that are
// too old, and of too many, or too long ones, the oldest. One that goes on stays.
func (d *diary) forget(now time.Time) (gone []*meeting) {
	many, attendances := len(d.list)-meetingsMost, 0
	if d.attendances >= attendancesAll {
		attendances = d.attendances - attendancesAll + attendancesAll/100 // not at every attendance anew
	}
	d.list = slices.DeleteFunc(d.list, func(t *meeting) bool {
		t.gone = t.over(now) || !t.end.IsZero() && (many > 0 || attendances > 0)
		if t.gone {
			gone = append(gone, t)
			delete(d.byID, t.id)
			d.ended--
			d.attendances -= len(t.who)
			attendances -= len(t.who)
			many--
		}
		return t.gone
	})
	return gone
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
