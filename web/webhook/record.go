package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
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
}

func (s *Sender) newDelivery(t *target, o *room.Occurrence, e *Event) (*delivery, store.Change) {
	s.number++
	d := &delivery{key: fmt.Sprintf("%016x", s.number), id: e.ID, name: e.Name, room: o.Room.Name, at: o.At, body: e.Body}
	head := encode(record{ID: d.id, Event: d.name, Room: d.room, Target: t.id, At: d.at})
	value := append(append(head, '\n'), d.body...)
	return d, store.Change{Bucket: store.Deliveries, Key: d.key, Value: value}
}

func parseDelivery(key string, value []byte) (target string, d *delivery, err error) {
	head, body, ok := bytes.Cut(value, []byte{'\n'})
	var r record
	if !ok || json.Unmarshal(head, &r) != nil || r.ID == "" || r.Target == "" {
		return "", nil, fmt.Errorf("%w: the webhook event %q cannot be read", store.ErrDamaged, key)
	}
	return r.Target, &delivery{key: key, id: r.ID, name: r.Event, room: r.Room, at: r.At, body: bytes.Clone(body)}, nil
}

// A mark says that targets were told of a room, or of a participant in it, and
// not of its end. It keeps what there is to say then.
type mark struct {
	Project string   `json:"project"`
	Room    string   `json:"room"`
	RoomSID string   `json:"roomSid"`
	Targets []string `json:"targets"`

	Life        *markedLife        `json:"life,omitempty"`
	Participant *markedParticipant `json:"participant,omitempty"`
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
}

func (m *mark) key() string {
	if m.Participant != nil {
		return m.RoomSID + "/" + m.Participant.SID
	}
	return m.RoomSID
}

func (m *mark) put() store.Change {
	return store.Change{Bucket: store.Announced, Key: m.key(), Value: encode(m)}
}

func unmark(key string) store.Change { return store.Change{Bucket: store.Announced, Key: key} }

func parseMark(key string, value []byte) (*mark, error) {
	m := &mark{}
	err := json.Unmarshal(value, m)
	_, _, ofParticipant := strings.Cut(key, "/")
	if err != nil || ofParticipant != (m.Participant != nil) || ofParticipant == (m.Life != nil) || m.key() != key {
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
	m := &mark{Project: o.Project, Room: o.Room.Name, RoomSID: o.Room.ID}
	switch o.Occasion {
	case room.RoomStarted, room.RoomChanged, room.RoomFinished:
		m.Life = lifeOf(&o.Room)
	case room.ParticipantEntered, room.ParticipantChanged, room.ParticipantDeparted:
		m.Participant = participantOf(o.Participant)
	default:
		return store.Change{}, false
	}
	key := m.key()
	switch o.Occasion {
	case room.RoomStarted, room.ParticipantEntered:
		for _, t := range s.projects[o.Project] {
			m.Targets = append(m.Targets, t.id)
		}
		s.marks[key] = m.Targets
	case room.RoomFinished, room.ParticipantDeparted:
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
	sum := room.Summary{ID: m.RoomSID, Name: m.Room}
	if life != nil {
		sum.Metadata, sum.MaxParticipants = life.Metadata, life.MaxParticipants
		sum.EmptyTimeout, sum.DepartureTimeout, sum.CreatedAt = life.EmptyTimeout, life.DepartureTimeout, life.Created
	}
	return sum
}

func participantOf(i *room.Info) *markedParticipant {
	return &markedParticipant{SID: i.SID, Identity: i.Identity, Name: i.Name, Kind: i.Kind, KindDetails: i.KindDetails,
		Metadata: i.Metadata, Attributes: i.Attributes, Rights: i.Permission.Rights.Names(), Recorder: i.Recorder,
		Joined: i.JoinedAt, Version: i.Version}
}

func (p *markedParticipant) info() *room.Info {
	rights, _ := auth.ParseRights(p.Rights) // only to be told
	return &room.Info{SID: p.SID, Identity: p.Identity, Name: p.Name, Kind: p.Kind, KindDetails: p.KindDetails,
		State: room.Gone, Metadata: p.Metadata, Attributes: p.Attributes, Permission: auth.Permission{Rights: rights},
		Recorder: p.Recorder, JoinedAt: p.Joined, Version: p.Version}
}
