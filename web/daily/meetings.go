package daily

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"usher/room"
	"usher/room/store"
)

// Bounds of what is remembered of meetings.
const (
	meetingLife      = 30 * 24 * time.Hour // after their end
	meetingsMost     = 10_000              // of each project
	attendancesMost  = 10_000              // of each meeting; those who come later are only counted
	attendancesAll   = 200_000             // of each project; the oldest meetings that have ended go first
	meetingKeptEvery = 30 * time.Second    // while it goes on
)

// Meetings is the log of what took place in rooms with a Daily part: who was in
// them, from when to when. It is a [room.Observer]; its methods may be called
// concurrently.
//
// Observe takes memory only. One goroutine writes: a meeting when it begins, when
// it ends, and at most every half a minute while it goes on. So a process that is
// killed forgets what its last half minute brought; the meetings that went on then
// ended, for the next one, when it was last known to live.
//
// Of each project it remembers 10 000 meetings and 200 000 attendances, of which a
// meeting has up to 10 000: the oldest meetings that have ended are forgotten first.
// Where those that go on are too much by themselves, who comes is only counted.
type Meetings struct {
	store store.Store
	log   *slog.Logger
	wake  chan struct{} // buffers one, never closed
	ended chan struct{} // closed when the writer has ended; nil: not started

	mu       sync.Mutex // guards the following fields
	projects map[string]*diary
	dirty    map[*meeting]bool // to be written, in time
	deleted  []string          // ids, to be deleted
	ongoing  int
	closed   bool
}

var _ room.Observer = (*Meetings)(nil)

// A diary is the meetings of a project.
type diary struct {
	list        []*meeting // in the order in which they began
	byID        map[string]*meeting
	attendances int // of all of them
	ended       int // how many do not go on
}

// A meeting is one of them.
type meeting struct {
	project string // static
	id      string // static
	room    string // static
	began   time.Time

	end     time.Time // zero: it goes on
	present int
	most    int // at a time
	who     []attendance
	inside  map[string]int // of those who are there, by sid: where in who; -1: not recorded

	urgent  bool      // written without waiting
	written time.Time // when it was, last; zero: never
	gone    bool      // not remembered any more
}

// An attendance is somebody's presence in a meeting.
type attendance struct {
	SID    string    `json:"sid"`
	User   string    `json:"user,omitempty"` // empty: it has no identity of its own
	Name   string    `json:"name,omitempty"`
	Joined time.Time `json:"joined"`
	Left   time.Time `json:"left,omitzero"`
}

// keptMeeting is how a meeting is kept.
type keptMeeting struct {
	Project string       `json:"project"`
	ID      string       `json:"id"`
	Room    string       `json:"room"`
	Began   time.Time    `json:"began"`
	End     time.Time    `json:"end,omitzero"`
	Known   time.Time    `json:"known"` // that it went on
	Most    int          `json:"most"`
	Who     []attendance `json:"who,omitempty"`
}

// aliveKey is the setting that says when the process last lived while a meeting
// went on.
const aliveKey = "daily/meetings/alive"

// NewMeetings returns an empty log. [Meetings.Load] reads what is in the store, and
// begins to write.
func NewMeetings(s store.Store, log *slog.Logger) *Meetings {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Meetings{store: s, log: log, wake: make(chan struct{}, 1), projects: map[string]*diary{}, dirty: map[*meeting]bool{}}
}

// Load reads the meetings that are remembered, and ends those that a process which
// is not there any more left going on. It comes before anybody can join.
func (m *Meetings) Load() error {
	var alive time.Time
	err := store.LoadSettings(m.store, func(s store.Setting) error {
		if s.Key == aliveKey && alive.UnmarshalText(s.Value) != nil {
			return fmt.Errorf("%w: the setting %q is no time", store.ErrDamaged, s.Key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("daily: loading meetings: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	err = m.store.Load(store.Meetings, func(key string, value []byte) error {
		var kept keptMeeting
		if err := json.Unmarshal(value, &kept); err != nil || kept.ID == "" || kept.ID != key || kept.Began.IsZero() {
			return fmt.Errorf("%w: the meeting %q cannot be read", store.ErrDamaged, key)
		}
		t := &meeting{project: kept.Project, id: kept.ID, room: kept.Room, began: kept.Began, end: kept.End, most: kept.Most, who: kept.Who,
			written: kept.Known}
		if t.end.IsZero() {
			t.end = kept.Known
			if alive.After(t.end) {
				t.end = alive
			}
			for i := range t.who {
				if w := &t.who[i]; w.Left.IsZero() {
					w.Left = t.end
				}
			}
			m.touchLocked(t, true)
		}
		m.addLocked(t)
		return nil
	})
	if err != nil {
		return fmt.Errorf("daily: loading meetings: %w", err)
	}
	for _, d := range m.projects {
		slices.SortStableFunc(d.list, func(a, b *meeting) int { return a.began.Compare(b.began) })
	}
	m.ended = make(chan struct{})
	go m.write() // until Close
	return nil
}

// Close writes what is not written yet. What is observed after it is forgotten.
func (m *Meetings) Close() {
	m.mu.Lock()
	m.closed = true
	started := m.ended
	m.mu.Unlock()
	if started == nil {
		return
	}
	m.signal()
	<-started
}

func (m *Meetings) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Observe takes note of an occurrence.
func (m *Meetings) Observe(o *room.Occurrence) {
	switch o.Occasion {
	case room.MeetingStarted, room.MeetingEnded, room.ParticipantEntered, room.ParticipantDeparted:
	case room.ParticipantChanged:
		if o.Changed&room.ChangedName == 0 {
			return
		}
	default:
		return
	}
	// A room that had a Daily part in its life is one to the end of it: the lock,
	// which is of all rooms, does not concern others.
	if !o.Room.Daily {
		return
	}
	if o.Room.Meeting.ID == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	t := m.findLocked(o.Project, o.Room.Meeting.ID)
	switch o.Occasion {
	case room.MeetingStarted:
		if t == nil {
			m.beginLocked(o)
		}
	case room.ParticipantEntered:
		if t == nil { // the room's Daily part was made when people were there
			t = m.beginLocked(o)
		}
		m.enterLocked(t, o.Participant)
	default:
		if t == nil || !t.end.IsZero() {
			return
		}
		switch o.Occasion {
		case room.MeetingEnded:
			m.endLocked(t, o.At)
		case room.ParticipantDeparted:
			m.leaveLocked(t, o)
		case room.ParticipantChanged:
			if i, ok := t.inside[o.Participant.SID]; ok && i >= 0 {
				t.who[i].Name = o.Participant.Name
				m.touchLocked(t, false)
			}
		}
	}
}

func (m *Meetings) findLocked(project, id string) *meeting {
	if d := m.projects[project]; d != nil {
		return d.byID[id]
	}
	return nil
}

func (m *Meetings) addLocked(t *meeting) {
	d := m.projects[t.project]
	if d == nil {
		d = &diary{byID: map[string]*meeting{}}
		m.projects[t.project] = d
	}
	d.list = append(d.list, t)
	d.byID[t.id] = t
	d.attendances += len(t.who)
	if !t.end.IsZero() {
		d.ended++
	}
}

func (m *Meetings) beginLocked(o *room.Occurrence) *meeting {
	t := &meeting{project: o.Project, id: o.Room.Meeting.ID, room: o.Room.Name, began: o.Room.Meeting.Began, inside: map[string]int{}}
	if t.began.IsZero() {
		t.began = o.At
	}
	m.addLocked(t)
	m.ongoing++
	m.touchLocked(t, true)
	return t
}

func (m *Meetings) enterLocked(t *meeting, i *room.Info) {
	if _, ok := t.inside[i.SID]; ok || !t.end.IsZero() {
		return
	}
	t.present++
	t.most = max(t.most, t.present)
	t.inside[i.SID] = -1
	if d := m.projects[t.project]; len(t.who) < attendancesMost && (d.attendances < attendancesAll || m.relieveLocked(d, i.JoinedAt)) {
		d.attendances++
		t.inside[i.SID] = len(t.who)
		w := attendance{SID: i.SID, User: i.Identity, Name: i.Name, Joined: i.JoinedAt}
		if anonymous(w.User) {
			w.User = ""
		}
		t.who = append(t.who, w)
	}
	m.touchLocked(t, false)
}

// relieveLocked forgets the oldest meetings that have ended, until there is room for
// a hundredth of what a project may have, and reports whether there is any.
func (m *Meetings) relieveLocked(d *diary, now time.Time) bool {
	if d.ended == 0 {
		return false
	}
	for _, t := range d.forget(now) {
		m.forgetLocked(t)
	}
	return d.attendances < attendancesAll
}

// forgetLocked has a meeting that is not remembered any more deleted.
func (m *Meetings) forgetLocked(t *meeting) {
	delete(m.dirty, t)
	if !t.written.IsZero() {
		m.deleted = append(m.deleted, t.id)
		m.signal()
	}
}

func (m *Meetings) leaveLocked(t *meeting, o *room.Occurrence) {
	i, ok := t.inside[o.Participant.SID]
	if !ok {
		return
	}
	delete(t.inside, o.Participant.SID)
	t.present--
	if i >= 0 {
		t.who[i].Left = o.At
	}
	m.touchLocked(t, false)
}

func (m *Meetings) endLocked(t *meeting, at time.Time) {
	t.end = at
	for _, i := range t.inside {
		if i >= 0 {
			t.who[i].Left = at
		}
	}
	t.inside, t.present = nil, 0
	m.ongoing--
	m.projects[t.project].ended++
	m.touchLocked(t, true)
}

// touchLocked has a meeting written, soon or when it is time: while one goes on the
// writer wakes up by itself.
func (m *Meetings) touchLocked(t *meeting, urgent bool) {
	m.dirty[t] = true
	if urgent && !t.urgent {
		t.urgent = true
		m.signal()
	}
}

// over reports whether a meeting is so old that it is not remembered.
func (t *meeting) over(now time.Time) bool { return !t.end.IsZero() && now.Sub(t.end) >= meetingLife }
