package room

import (
	"maps"

	"usher/auth"
	"usher/room/stringify"
)

// SessionData is what the people in a room share while its meeting goes on: JSON
// values by key. It is replaced, never changed.
type SessionData map[string][]byte

// A SessionDataChange is what is to be different in the session data.
type SessionDataChange struct {
	Data   SessionData
	Merge  bool     // else Data is all there is
	Delete []string // with Merge: keys to delete, before Data is merged
}

// MaxSessionData is the longest session data, in characters as JavaScript counts
// those of its JSON: Daily's figure.
const MaxSessionData = 100 << 10

// plain returns the data with its values as JSON.stringify writes them, and how many
// characters it has as a JSON object. An escape counts for what it stands for.
func (d SessionData) plain() (SessionData, int) {
	if d == nil {
		return nil, len("{}")
	}
	plain := make(SessionData, len(d))
	for key, value := range d {
		plain[key] = stringify.Append(make([]byte, 0, len(value)), value)
	}
	return plain, plain.length()
}

// length is how many characters the data has as a JSON object.
func (d SessionData) length() int {
	n := len("{}") + max(0, len(d)-1)
	for key, value := range d {
		n += len(":") + stringify.Length(stringify.AppendText(nil, key)) + stringify.Length(value)
	}
	return n
}

// size is about what it takes in memory and on the wire.
func (d SessionData) size() (n int) {
	for key, value := range d {
		n += len(`"":,`) + len(key) + len(value)
	}
	return n
}

// apply returns the data with the change.
func (ch *SessionDataChange) apply(was SessionData) (SessionData, error) {
	next := ch.Data
	if ch.Merge {
		next = maps.Clone(was)
		if next == nil {
			next = make(SessionData, len(ch.Data))
		}
		for _, key := range ch.Delete {
			delete(next, key)
		}
		maps.Copy(next, ch.Data)
	}
	return next, withinSession(next.length())
}

// plain returns the change with its data as it is kept, if that is not too long.
func (ch SessionDataChange) plain() (SessionDataChange, error) {
	var n int
	ch.Data, n = ch.Data.plain()
	return ch, withinSession(n)
}

func withinSession(length int) error {
	if length > MaxSessionData {
		return &LimitError{What: "session data", Limit: MaxSessionData, Unit: "characters"}
	}
	return nil
}

// SessionData returns the room's session data.
func (r *Room) SessionData() SessionData {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data
}

// UpdateSessionData changes it and tells everybody. Its errors are [ErrNotFound]
// while nobody is in the room, and a [LimitError].
func (r *Room) UpdateSessionData(b *Batch, ch SessionDataChange) error {
	ch, err := ch.plain()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.meeting.ID == "" {
		return ErrNotFound
	}
	return r.shareLocked(b, ch)
}

// shareLocked changes the session data and tells everybody. Each telling overtakes
// the one before it.
func (r *Room) shareLocked(b *Batch, ch SessionDataChange) error {
	next, err := ch.apply(r.data)
	if err != nil {
		return err
	}
	r.data = next
	r.announceLocked(b)
	f := newFrame(latest, &SessionDataChanged{Data: next}, next.size())
	f.current, f.version = &r.shared, r.shared.Add(1)
	r.audience.broadcast(b, f, nil)
	return nil
}

// UpdateSessionData is [Room.UpdateSessionData] by somebody in the room, who needs
// the right to send data.
func (p *Participant) UpdateSessionData(c Call, ch SessionDataChange) error {
	ch, problem := ch.plain()
	return p.do(c, "updateSessionData", func() (Reply, error) {
		if problem != nil {
			return Reply{}, problem
		}
		if err := p.needLocked(auth.SendData, "canPublishData"); err != nil {
			return Reply{}, err
		}
		return Reply{}, p.room.shareLocked(c.Batch, ch)
	})
}
