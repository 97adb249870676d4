package sessiontest

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A Replica is what a client knows of a room by docs/protocol.md: it starts
// from "joined" and follows the events. It notes whatever the document rules out.
type Replica struct {
	Session  string
	Epoch    string
	Seq      uint64
	Number   int                // of participants
	People   map[string]*Person // by sid, with the client itself
	Log      map[uint64]string  // the text of each numbered event, by its seq
	Problems []string
	partial  bool // some people are only counted
}

// A Person is a participant as a replica knows it.
type Person struct {
	SID, Identity, Name, Metadata, State string

	Attributes  map[string]any
	Permissions map[string]any
	Presence    map[string]any
	Tracks      []map[string]any
}

// Replay makes a replica of all that a client received.
func Replay(events []Event) *Replica {
	r := &Replica{}
	for _, e := range events {
		r.Apply(e)
	}
	return r
}

func (r *Replica) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Apply takes the next message of the server.
func (r *Replica) Apply(e Event) {
	if e.Binary != nil {
		return
	}
	switch typ := e.Type(); typ {
	case "joined":
		r.open(e)
	case "participants":
		for _, c := range e.Get("changes").([]any) {
			r.change(Event{Fields: c.(map[string]any)})
		}
		if seq := number(e.Fields["seq"]); seq > r.Seq {
			r.numbered(e, seq) // only the count changed
		}
		r.Number = int(number(e.Fields["numParticipants"]))
		r.partial = true
	case "participantJoined", "participantLeft", "participantUpdated", "trackPublished", "trackUnpublished", "trackMuted", "roomUpdated":
		r.change(e)
	case "data":
		if e.Get("from") != nil {
			r.known(e, e.Str("from.sid"))
		}
	case "presence":
		if p := r.known(e, e.Str("sid")); p != nil {
			p.Presence = e.Get("presence").(map[string]any)
		}
	case "trackSubscribed":
		if p := r.known(e, e.Str("participantSid")); p != nil {
			sid := e.Str("track.sid")
			if !slices.ContainsFunc(p.Tracks, func(t map[string]any) bool { return t["sid"] == sid }) {
				r.problem("subscribed to a track that was not published: %s", e.Text)
			}
		}
	}
}

func (r *Replica) open(e Event) {
	if e.Get("recovered") == true {
		for sid, p := range e.Get("presence").(map[string]any) {
			if p, ok := p.(map[string]any); ok && r.People[sid] != nil {
				r.People[sid].Presence = p
			}
		}
		return
	}
	*r = Replica{
		Session: e.Str("session"), Epoch: e.Str("epoch"), Seq: number(e.Fields["seq"]), Number: int(number(e.Get("room.numParticipants"))),
		People: map[string]*Person{}, Log: map[uint64]string{}, Problems: r.Problems,
	}
	self := newPerson(e.Get("self"))
	r.People[self.SID] = self
	shown := 1
	if e.Get("self.permissions.hidden") == true {
		shown = 0
	}
	for _, p := range e.Get("participants").([]any) {
		p := newPerson(p)
		if r.People[p.SID] != nil {
			r.problem("joined lists %s twice", p.Identity)
		}
		r.People[p.SID] = p
		shown++
	}
	r.partial = shown < r.Number
	if shown > r.Number {
		r.problem("joined lists %d participants and counts %d", shown, r.Number)
	}
}

func newPerson(v any) *Person {
	p := new(Person)
	text, _ := json.Marshal(v)
	_ = json.Unmarshal(text, p)
	return p
}

// numbered notes an event and checks that none is missing before it.
func (r *Replica) numbered(e Event, seq uint64) {
	if seq != r.Seq+1 {
		r.problem("event %d follows event %d", seq, r.Seq)
	}
	r.Seq = seq
	text, _ := json.Marshal(e.Fields) // with sorted keys
	r.Log[seq] = string(text)
}

// known returns a participant that an event is about or comes from. There must
// be one.
func (r *Replica) known(e Event, sid string) *Person {
	p := r.People[sid]
	if p == nil {
		r.problem("%s of somebody who has not joined: %s", e.Type(), e.Text)
	}
	return p
}

func (r *Replica) change(e Event) {
	if seq := number(e.Fields["seq"]); seq != 0 {
		if seq <= r.Seq {
			return
		}
		r.numbered(e, seq)
	}
	switch e.Type() {
	case "participantJoined":
		p := newPerson(e.Get("participant"))
		if old := r.People[p.SID]; old == nil || p.SID == r.Session {
			r.Number++
		}
		r.People[p.SID] = p
	case "participantLeft":
		r.Number--
		sid := e.Str("sid")
		if r.People[sid] == nil && !r.partial {
			r.problem("somebody left who has not joined: %s", e.Str("identity"))
		}
		if sid != r.Session { // that one has become hidden
			delete(r.People, sid)
		}
	case "participantUpdated":
		p := newPerson(e.Get("participant"))
		old := r.People[p.SID]
		if old == nil {
			if !r.partial {
				r.problem("an update of somebody who has not joined: %s", p.Identity)
			}
			return // only counted
		}
		p.Presence = old.Presence
		r.People[p.SID] = p
	case "trackPublished":
		if p := r.known(e, e.Str("participantSid")); p != nil {
			p.Tracks = append(slices.Clip(p.Tracks), e.Get("track").(map[string]any))
		}
	case "trackUnpublished":
		if p := r.known(e, e.Str("participantSid")); p != nil {
			n := len(p.Tracks)
			p.Tracks = slices.DeleteFunc(slices.Clone(p.Tracks), func(t map[string]any) bool { return t["sid"] == e.Str("trackSid") })
			if len(p.Tracks) != n-1 {
				r.problem("an unknown track was unpublished")
			}
		}
	case "trackMuted":
		if p := r.known(e, e.Str("participantSid")); p != nil {
			for _, t := range p.Tracks {
				if t["sid"] == e.Str("trackSid") {
					t["muted"] = e.Get("muted")
				}
			}
		}
	}
}

func number(v any) uint64 {
	f, _ := v.(float64)
	return uint64(f)
}
