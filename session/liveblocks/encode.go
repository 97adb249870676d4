package liveblocks

import (
	"crypto/rand"
	"encoding/json"
	"strconv"
	"sync"
	"unicode/utf8"

	authlb "usher/auth/liveblocks"
	"usher/room"
	"usher/session"
	"usher/session/internal/text"
)

// encoder encodes events for Liveblocks' clients, by hand as the native one does.
type encoder struct{ legacy bool }

// Indices of the dialect among those of package room: by the words that a client
// has for permissions.
const (
	dialectNow    = room.LiveblocksDialect
	dialectLegacy = room.LiveblocksDialect + 1
)

// Dialect implements [room.Encoder].
func (e encoder) Dialect() int {
	if e.legacy {
		return dialectLegacy
	}
	return dialectNow
}

// speaks reports whether a participant came by this dialect, or is one that
// Liveblocks' API has made.
func speaks(i *room.Info) bool { return i.Dialect == dialectNow || i.Dialect == dialectLegacy }

var (
	scratches = sync.Pool{New: func() any { return new([]byte) }}
	pong      = textFrame([]byte("pong"))
)

// keepBytes is the largest scratch buffer that is used again.
const keepBytes = 64 << 10

// Encode implements [room.Encoder].
func (e encoder) Encode(ev room.Event) []byte {
	if _, ok := ev.(*room.Pong); ok {
		return pong
	}
	s := scratches.Get().(*[]byte)
	b := (*s)[:0]
	var frame []byte
	switch ev := ev.(type) {
	case *room.Snapshot:
		frame, b = e.opening(b, ev)
	case *room.Moved:
		frame, b = e.opening(b, &ev.Snapshot)
	default:
		// Most events are one message, and most of these a presence.
		if b = e.appendEvent(append(b, '['), ev); len(b) > 1 {
			frame = textFrame(append(b, ']'))
		}
	}
	if cap(b) <= keepBytes {
		*s = b
		scratches.Put(s)
	}
	return frame
}

// opening is two frames: ROOM_STATE, which a client takes only by itself, and the
// presences of those who are there. b is what they are put together in.
func (e encoder) opening(b []byte, s *room.Snapshot) (frames, scratch []byte) {
	b = append(b, `{"type":104,"actor":`...)
	b = strconv.AppendUint(b, s.Self.Actor, 10)
	b = append(b, `,"nonce":"`...)
	b = append(b, rand.Text()...)
	b = append(b, `","scopes":`...)
	b = appendStrings(b, e.scopes(s.Self))
	b = append(b, `,"users":{`...)
	for n, i := range s.Participants {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = strconv.AppendUint(b, i.Actor, 10)
		b = append(b, `":{`...)
		b = append(e.appendUser(b, i), '}')
	}
	b = append(b, `},"meta":{}}`...)
	state := len(b)
	b = append(b, '[')
	for _, i := range s.Participants {
		b = e.appendFull(b, i, s.Presence[i.SID])
	}
	if len(b) == state+1 {
		return textFrame(b[:state]), b
	}
	b = append(b, ']')
	frames = make([]byte, 0, session.TextFrameBytes(state)+session.TextFrameBytes(len(b)-state))
	return session.AppendText(session.AppendText(frames, b[:state]), b[state:]), b
}

// appendEvent appends an event's messages to an array that has been opened.
func (e encoder) appendEvent(b []byte, ev room.Event) []byte {
	switch ev := ev.(type) {
	case *room.PresenceUpdated:
		if ev.Presence == nil && speaks(ev.Participant) {
			// It has lost its presence, which there is no word for: as a newcomer
			// it shows when it has one again.
			return e.appendJoined(appendLeft(b, ev.Participant.Actor), ev.Participant)
		}
		return e.appendFull(b, ev.Participant, ev.Presence)
	case *room.Data:
		b = append(next(b), `{"type":103,"actor":`...)
		if ev.From != nil {
			b = strconv.AppendUint(b, ev.From.Actor, 10)
		} else {
			b = append(b, `-1`...)
		}
		b = append(b, `,"event":`...)
		return append(appendData(b, ev), '}')
	case *room.ParticipantJoined:
		b = e.appendJoined(b, ev.Participant)
		if ev.Presence != nil {
			return b // it follows
		}
		return e.appendFull(b, ev.Participant, nil)
	case *room.ParticipantLeft:
		return appendLeft(b, ev.Actor)
	case *room.ParticipantUpdated:
		if ev.Changed&(room.ChangedName|room.ChangedMetadata|room.ChangedPermission) != 0 {
			b = e.appendJoined(b, ev.Participant)
		}
		if ev.Changed&room.ChangedAttributes != 0 {
			b = e.appendFull(b, ev.Participant, ev.Presence)
		}
		return b
	case *room.Changes:
		for _, change := range ev.Changes {
			b = e.appendEvent(b, change)
		}
		return b
	}
	return b // there is no word for it
}

// next separates a message from the one before.
func next(b []byte) []byte {
	if b[len(b)-1] != '[' {
		b = append(b, ',')
	}
	return b
}

// appendJoined appends USER_JOINED. The whole info is told each time: a client
// forgets what it is not told.
func (e encoder) appendJoined(b []byte, i *room.Info) []byte {
	b = append(next(b), `{"type":101,"actor":`...)
	b = strconv.AppendUint(b, i.Actor, 10)
	return append(e.appendUser(append(b, ','), i), '}')
}

// appendLeft appends USER_LEFT.
func appendLeft(b []byte, actor uint64) []byte {
	b = append(next(b), `{"type":102,"actor":`...)
	return append(strconv.AppendUint(b, actor, 10), '}')
}

// appendFull appends a whole presence: a client shows nobody before it has one. A
// user of Liveblocks' shows once there is one of its own, everybody else at once.
func (e encoder) appendFull(b []byte, i *room.Info, p room.Presence) []byte {
	if p == nil && speaks(i) {
		return b
	}
	b = append(next(b), `{"type":100,"actor":`...)
	b = strconv.AppendUint(b, i.Actor, 10)
	b = append(b, `,"targetActor":-1,"data":`...)
	return append(appendPresence(b, i.Attributes, p), '}')
}

// appendPresence appends attributes, which for others than Liveblocks' users are a
// part of it, and the presence, which comes first where both have a key.
func appendPresence(b []byte, attributes map[string]string, p room.Presence) []byte {
	b = append(b, '{')
	comma := false
	for k, v := range attributes {
		if _, ok := p[k]; ok {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		b, comma = text.AppendString(append(text.AppendString(b, k), ':'), v), true
	}
	for k, v := range p {
		if comma {
			b = append(b, ',')
		}
		b, comma = append(append(text.AppendString(b, k), ':'), v...), true
	}
	return append(b, '}')
}

// appendData appends a message as an event. Bytes that are JSON are that: LiveKit's
// APIs know nothing but bytes. Other bytes, and a message with a topic, cannot have
// been an event, and tell what they are.
func appendData(b []byte, d *room.Data) []byte {
	if d.Topic == "" {
		if d.Encoding == "" {
			return append(b, d.Payload...)
		}
		if event := jsonOf(d); event != nil {
			return append(b, event...)
		}
	}
	b = append(b, '{')
	if d.Topic != "" {
		b = append(text.AppendString(append(b, `"topic":`...), d.Topic), ',')
	}
	if d.Encoding != "" {
		b = append(text.AppendString(append(b, `"encoding":`...), d.Encoding), ',')
	}
	b = append(b, `"payload":`...)
	return append(append(b, d.Payload...), '}')
}

// jsonOf returns the JSON that a message has as bytes, nil for other bytes.
func jsonOf(d *room.Data) []byte {
	var raw []byte
	if d.Encoding != "base64" || json.Unmarshal(d.Payload, &raw) != nil || !json.Valid(raw) || !utf8.Valid(raw) {
		return nil
	}
	return raw
}

// scopes are the permissions in words that the client knows: of one it does not
// know, it drops the whole frame.
func (e encoder) scopes(i *room.Info) []string {
	if e.legacy {
		return authlb.LegacyScopes(i.Permission)
	}
	return authlb.Scopes(i.Permission)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for n, s := range list {
		if n > 0 {
			b = append(b, ',')
		}
		b = text.AppendString(b, s)
	}
	return append(b, ']')
}
