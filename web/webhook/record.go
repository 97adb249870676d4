package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// A record is how a delivery is kept: this as a line of JSON, and the body as
// it was signed, byte for byte. Its key begins with the number of its order.
type record struct {
	ID     string    `json:"id"`
	Event  string    `json:"event"`
	Room   string    `json:"room"`
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	Tries  int       `json:"tries,omitempty"` // that failed
	First  time.Time `json:"first,omitzero"`  // when the first of them was
}

func (s *Sender) newDelivery(t *target, o *room.Occurrence, e *Event) (*delivery, store.Change) {
	s.number++
	d := &delivery{key: fmt.Sprintf("%016x", s.number), id: e.ID, name: e.Name, room: o.Room.Name, at: o.At, body: e.Body}
	return d, d.put(t.id)
}

func (d *delivery) put(target string) store.Change {
	head := encode(record{ID: d.id, Event: d.name, Room: d.room, Target: target, At: d.at, Tries: d.tries, First: d.first})
	return store.Change{Bucket: store.Deliveries, Key: d.key, Value: append(append(head, '\n'), d.body...)}
}

func parseDelivery(key string, value []byte) (target string, d *delivery, err error) {
	head, body, ok := bytes.Cut(value, []byte{'\n'})
	var r record
	if !ok || json.Unmarshal(head, &r) != nil || r.ID == "" || r.Target == "" {
		return "", nil, fmt.Errorf("%w: the webhook event %q cannot be read", store.ErrDamaged, key)
	}
	return r.Target, &delivery{key: key, id: r.ID, name: r.Event, room: r.Room, at: r.At,
		tries: r.Tries, first: r.First, body: bytes.Clone(body)}, nil
}

// A mark says that targets were told of a room, of a meeting in it, or of a
// participant in it or before its door, and not of its end. It keeps what there
// is to say then.
type mark struct {
	Project string   `json:"project"`
	Room    string   `json:"room"`
	RoomSID string   `json:"roomSid"`
	Targets []string `json:"targets"`

	About       string             `json:"about,omitempty"` // empty: a life or a participant
	Life        *markedLife        `json:"life,omitempty"`
	Participant *markedParticipant `json:"participant,omitempty"`
	Daily       bool               `json:"daily,omitempty"`   // the room has a Daily part
	Meeting     *markedMeeting     `json:"meeting,omitempty"` // of such a room
}

const (
	aboutMeeting = "meeting"
	aboutWaiting = "waiting"
)

type markedMeeting struct {
	ID    string    `json:"id"`
	Began time.Time `json:"began"`
}

type markedLife struct {
	Metadata         string        `json:"metadata,omitempty"`
	MaxParticipants  int           `json:"maxParticipants,omitempty"`
	EmptyTimeout     time.Duration `json:"emptyTimeout,omitempty"`
	DepartureTimeout time.Duration `json:"departureTimeout,omitempty"`
	Created          time.Time     `json:"created"`
}

type markedParticipant struct {
	SID         string            `json:"sid"`
	Identity    string            `json:"identity"`
	Name        string            `json:"name,omitempty"`
	Kind        auth.Kind         `json:"kind,omitempty"`
	KindDetails []string          `json:"kindDetails,omitempty"`
	Metadata    string            `json:"metadata,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Rights      []string          `json:"rights,omitempty"`
	Recorder    bool              `json:"recorder,omitempty"`
	Joined      time.Time         `json:"joined"`
	Version     uint64            `json:"version,omitempty"`
	EjectAt     time.Time         `json:"ejectAt,omitzero"`

	ReceiveFromIdentity    map[string][]string `json:"receiveFromIdentity,omitempty"`
	ReceiveFromParticipant map[string][]string `json:"receiveFromParticipant,omitempty"`
}

// key is empty when the mark is about nothing.
func (m *mark) key() string {
	switch {
	case m.About == aboutWaiting && m.Participant != nil:
		return m.RoomSID + "/waiting/" + m.Participant.SID
	case m.About == aboutMeeting && m.Meeting != nil:
		return m.RoomSID + "/meeting/" + m.Meeting.ID
	case m.About == "" && m.Participant != nil:
		return m.RoomSID + "/" + m.Participant.SID
	case m.About == "" && m.Life != nil:
		return m.RoomSID
	}
	return ""
}

func (m *mark) put() store.Change {
	return store.Change{Bucket: store.Announced, Key: m.key(), Value: encode(m)}
}

// concerns reports whether a target is told of the end of what is marked. One that
// was added is, also when it was not there at the beginning: it would have been told
// of the end by the process that was killed.
func (m *mark) concerns(t *target) bool {
	conf := t.conf.Load()
	if conf.ID == "" {
		return slices.Contains(m.Targets, t.id)
	}
	return m.Project == conf.Project && (m.About == "" || m.Daily && conf.API.Meetings)
}

func unmark(key string) store.Change { return store.Change{Bucket: store.Announced, Key: key} }

func parseMark(key string, value []byte) (*mark, error) {
	m := &mark{}
	err := json.Unmarshal(value, m)
	if err != nil || m.key() != key || m.Participant != nil && m.Life != nil {
		return nil, fmt.Errorf("%w: what webhooks have announced as %q cannot be read", store.ErrDamaged, key)
	}
	return m, nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("webhook: " + err.Error()) // the types above always encode
	}
	return b
}

// note returns the change of marks that an occurrence brings, if any.
func (s *Sender) note(o *room.Occurrence) (c store.Change, ok bool) {
	if o.Room.ID == "" {
		return store.Change{}, false // of no room's life
	}
	m := &mark{Project: o.Project, Room: o.Room.Name, RoomSID: o.Room.ID, Daily: o.Room.Daily}
	if o.Room.Daily && o.Room.Meeting.ID != "" {
		m.Meeting = &markedMeeting{o.Room.Meeting.ID, o.Room.Meeting.Began}
	}
	switch o.Occasion {
	case room.RoomStarted, room.RoomChanged, room.RoomFinished:
		m.Life = lifeOf(&o.Room)
	case room.ParticipantEntered, room.ParticipantChanged, room.ParticipantDeparted:
		m.Participant = participantOf(o.Participant)
	case room.MeetingStarted, room.MeetingEnded:
		m.About = aboutMeeting
	case room.WaitingEntered, room.WaitingDeparted:
		m.About, m.Participant = aboutWaiting, participantOf(o.Participant)
	default:
		return store.Change{}, false
	}
	key := m.key()
	switch o.Occasion {
	case room.RoomStarted, room.ParticipantEntered, room.MeetingStarted, room.WaitingEntered:
		for _, t := range s.targets.Load().projects[o.Project] {
			if m.About == "" || o.Room.Daily && t.conf.Load().API.Meetings {
				m.Targets = append(m.Targets, t.id)
			}
		}
		if key == "" || m.About != "" && !o.Room.Daily {
			return store.Change{}, false
		}
		s.marks[key] = m.Targets
	case room.RoomFinished, room.ParticipantDeparted:
		delete(s.marks, key)
		return unmark(key), true
	case room.MeetingEnded, room.WaitingDeparted:
		if _, ok = s.marks[key]; !ok {
			return store.Change{}, false
		}
		delete(s.marks, key)
		return unmark(key), true
	default:
		if m.Targets, ok = s.marks[key]; !ok || o.Occasion == room.ParticipantChanged && o.Changed&^room.ChangedState == 0 {
			return store.Change{}, false
		}
	}
	return m.put(), true
}

func lifeOf(r *room.Summary) *markedLife {
	return &markedLife{Metadata: r.Metadata, MaxParticipants: r.MaxParticipants,
		EmptyTimeout: r.EmptyTimeout, DepartureTimeout: r.DepartureTimeout, Created: r.CreatedAt}
}

func (m *mark) summary(life *markedLife) room.Summary {
	sum := room.Summary{ID: m.RoomSID, Name: m.Room, Daily: m.Daily}
	if m.Meeting != nil {
		sum.Meeting = room.Meeting{ID: m.Meeting.ID, Began: m.Meeting.Began}
	}
	if life != nil {
		sum.Metadata, sum.MaxParticipants = life.Metadata, life.MaxParticipants
		sum.EmptyTimeout, sum.DepartureTimeout, sum.CreatedAt = life.EmptyTimeout, life.DepartureTimeout, life.Created
	}
	return sum
}

func participantOf(i *room.Info) *markedParticipant {
	return &markedParticipant{SID: i.SID, Identity: i.Identity, Name: i.Name, Kind: i.Kind, KindDetails: i.KindDetails,
		Metadata: i.Metadata, Attributes: i.Attributes, Rights: i.Permission.Rights.Names(), Recorder: i.Recorder,
		Joined: i.JoinedAt, Version: i.Version, EjectAt: i.EjectAt,
		ReceiveFromIdentity: namesOf(i.Permission.ReceiveFromIdentity), ReceiveFromParticipant: namesOf(i.Permission.ReceiveFromParticipant)}
}

func namesOf(rights map[string]auth.Rights) map[string][]string {
	if len(rights) == 0 {
		return nil
	}
	names := make(map[string][]string, len(rights))
	for who, r := range rights {
		names[who] = r.Names()
	}
	return names
}

func rightsOf(names map[string][]string) map[string]auth.Rights {
	if len(names) == 0 {
		return nil
	}
	rights := make(map[string]auth.Rights, len(names))
	for who, n := range names {
		rights[who], _ = auth.ParseRights(n) // only to be told
	}
	return rights
}

func (p *markedParticipant) info() *room.Info {
	rights, _ := auth.ParseRights(p.Rights) // only to be told
	return &room.Info{SID: p.SID, Identity: p.Identity, Name: p.Name, Kind: p.Kind, KindDetails: p.KindDetails,
		State: room.Gone, Metadata: p.Metadata, Attributes: p.Attributes, Recorder: p.Recorder,
		Permission: auth.Permission{Rights: rights,
			ReceiveFromIdentity: rightsOf(p.ReceiveFromIdentity), ReceiveFromParticipant: rightsOf(p.ReceiveFromParticipant)},
		JoinedAt: p.Joined, Version: p.Version, EjectAt: p.EjectAt}
}
