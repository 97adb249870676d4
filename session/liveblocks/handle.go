package liveblocks

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"

	"usher/auth"
	"usher/room"
	"usher/session"
	"usher/session/internal/text"
	"usher/session/wire"
)

// Codes of a client's messages.
const (
	msgUpdatePresence = 100
	msgBroadcast      = 103
	msgFetchStorage   = 200
	msgUpdateStorage  = 201
	msgFetchYDoc      = 300
	msgUpdateYDoc     = 301
	msgFirstOfFeeds   = 510
	msgLastOfFeeds    = 517
)

// presenceSeed is of the hashes by which a presence that comes again is known.
var presenceSeed = maphash.MakeSeed()

// The words by which messages are counted. The native protocol's are used for what
// is the same there.
const (
	kindPing          = "ping"
	kindPresence      = "updatePresence"
	kindBroadcast     = "broadcastEvent"
	kindFetchStorage  = "fetchStorage"
	kindUpdateStorage = "updateStorage"
	kindFetchYDoc     = "fetchYdoc"
	kindUpdateYDoc    = "updateYdoc"
	kindFeeds         = "feeds"
	kindUnknown       = "unknown"
)

// batchMessages is how many messages of one frame are done at most before what they
// left to be written is written.
const batchMessages = 64

// invalid ends a connection whose client does not keep to the protocol.
func invalid(format string, args ...any) error {
	return &session.Refusal{End: wire.ProtocolError, Detail: fmt.Sprintf(format, args...)}
}

// A message is one element of a client's frame.
type message struct {
	typ       int
	targeted  bool       // UPDATE_PRESENCE with a targetActor: it is the whole presence
	data      text.Value // UPDATE_PRESENCE
	event     text.Value // BROADCAST_EVENT
	ops       text.Value // UPDATE_STORAGE
	guid      text.Value // FETCH_YDOC
	v2        bool       // FETCH_YDOC
	requestID text.Value // feeds
}

// Handle implements [session.Peer].
func (p *peer) Handle(c *session.Connection, from *room.Participant, binary bool, frame []byte) error {
	if binary {
		c.Count(kindUnknown)
		return invalid("messages are text")
	}
	if string(frame) == "ping" {
		c.Count(kindPing)
		if !c.Allow() {
			return &session.Refusal{End: wire.RateLimited}
		}
		return from.Ping(c.Call())
	}
	list, ok := text.Parse(frame)
	if !ok || !list.IsArray() {
		c.Count(kindUnknown)
		return invalid("a frame is an array of messages")
	}
	var problem error
	done, whole := 0, uint64(0)
	list.Elements(func(v text.Value) bool {
		var m message
		if m, problem = read(v); problem != nil {
			c.Count(kindUnknown)
			return false
		}
		if m.typ == msgUpdatePresence {
			// On account of each newcomer a client says its whole presence again,
			// in one frame. Once is enough, and is all that counts.
			before := whole
			if whole = 0; m.targeted {
				whole = maphash.Bytes(presenceSeed, m.data)
			}
			if m.targeted && whole == before {
				c.Count(kindPresence)
				return true
			}
		}
		if done++; done%batchMessages == 0 {
			c.Batch().Flush()
		}
		if !c.Allow() {
			problem = &session.Refusal{End: wire.RateLimited}
			return false
		}
		problem = p.do(c, from, &m)
		return problem == nil
	})
	if problem == nil && done == 0 && !c.Allow() { // an empty frame is a message, too
		problem = &session.Refusal{End: wire.RateLimited}
	}
	return problem
}

// read reads one message.
func read(v text.Value) (m message, err error) {
	if !v.IsObject() {
		return m, invalid("a message is an object")
	}
	typed := false
	v.Fields(func(name []byte, value text.Value) bool {
		switch string(name) {
		case "type":
			m.typ, typed = value.Number()
		case "targetActor":
			_, m.targeted = value.Number()
		case "data":
			m.data = value
		case "event":
			m.event = value
		case "ops":
			m.ops = value
		case "guid":
			m.guid = value
		case "v2":
			m.v2 = value.IsTrue()
		case "requestId":
			m.requestID = value
		}
		return true
	})
	switch {
	case !typed:
		err = invalid("a message has a type, which is a number")
	case m.typ == msgUpdatePresence && !m.data.IsObject():
		err = invalid("UPDATE_PRESENCE has data, which is an object")
	case m.typ == msgBroadcast && m.event == nil:
		err = invalid("BROADCAST_EVENT has an event")
	case m.typ == msgUpdateStorage && !m.ops.IsArray():
		err = invalid("UPDATE_STORAGE has ops, which is an array")
	case m.typ >= msgFirstOfFeeds && m.typ <= msgLastOfFeeds && !m.requestID.IsString():
		err = invalid("a request about feeds has a requestId")
	}
	return m, err
}

// do has one message done.
func (p *peer) do(c *session.Connection, from *room.Participant, m *message) error {
	call := c.Call()
	call.Quiet = true
	switch m.typ {
	case msgUpdatePresence:
		c.Count(kindPresence)
		return unlessDenied(from.UpdatePresence(call, presenceOf(m.data), m.targeted))
	case msgBroadcast:
		c.Count(kindBroadcast)
		return unlessDenied(from.PublishData(call, room.Message{Payload: bytes.Clone(m.event), Reliable: true}))
	case msgFetchStorage:
		c.Count(kindFetchStorage)
		if p.old {
			c.Send(from, emptyStorageV7)
		} else {
			c.Send(from, emptyStorage)
		}
		return nil
	case msgUpdateStorage:
		c.Count(kindUpdateStorage)
		reason := notKept
		switch err := from.Allowed(call, auth.WriteStorage, "canWriteStorage"); {
		case errors.Is(err, room.ErrNotAllowed):
			reason = readOnly
		case err != nil:
			return err
		}
		if frame := rejection(m.ops, reason); frame != nil {
			c.Send(from, frame)
		}
		return nil
	case msgFetchYDoc:
		c.Count(kindFetchYDoc)
		c.Send(from, emptyYDoc(m.guid, m.v2))
		return nil
	case msgUpdateYDoc:
		c.Count(kindUpdateYDoc)
		return nil // there is no answer to it
	}
	if m.typ >= msgFirstOfFeeds && m.typ <= msgLastOfFeeds {
		c.Count(kindFeeds)
		c.Send(from, noFeeds(m.requestID))
		return nil
	}
	c.Count(kindUnknown)
	return invalid("there is no message of type %d", m.typ)
}

// unlessDenied passes over a denial: the protocol has no word for it, and the room
// has counted it.
func unlessDenied(err error) error {
	var wrong *room.InvalidError
	switch {
	case errors.Is(err, room.ErrNotAllowed):
		return nil
	case errors.As(err, &wrong):
		return invalid("%s", wrong.Problem)
	}
	return err
}

// presenceOf copies a presence out of a message.
func presenceOf(data text.Value) room.Presence {
	presence := make(room.Presence, 4)
	data.Fields(func(name []byte, value text.Value) bool {
		presence[string(name)] = bytes.Clone(value)
		return true
	})
	return presence
}
