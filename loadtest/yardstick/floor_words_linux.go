package yardstick

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"usher/session/wire"
)

// What is said, put together by hand in the order of usher's fields. smallBytes
// is enough for a message without the parts that are added to it.
const smallBytes = 256

// describe makes the text by which c is told of.
func (c *conn) describe(p *person) {
	b := make([]byte, 0, 400+len(p.identity)+len(p.name)+len(p.metadata))
	b = append(b, `{"sid":`...)
	b = appendText(b, c.sid)
	b = appendField(b, "identity", p.identity)
	b = appendField(b, "name", p.name)
	b = appendField(b, "kind", p.kind)
	b = append(b, `,"state":"active"`...)
	b = appendField(b, "metadata", p.metadata)
	b = append(b, `,"attributes":`...)
	if len(p.attributes) == 0 {
		b = append(b, `{}`...)
	} else {
		b = appendJSON(b, p.attributes)
	}
	b = append(b, `,"permissions":`...)
	b = appendPermissions(b, &p.permissions)
	b = append(b, `,"tracks":[`...)
	c.text, c.tracksAt = b, int32(len(b))
	c.retell()
}

// retell makes the end of the text anew, which is what changes.
func (c *conn) retell() {
	c.version++
	b := append(make([]byte, 0, int(c.tracksAt)+56+200*len(c.tracks)), c.text[:c.tracksAt]...)
	for i, t := range c.tracks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, t.text...)
	}
	b = append(b, `],"joinedAt":`...)
	b = strconv.AppendInt(b, c.joinedAt, 10)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, int64(c.version), 10)
	c.text = append(b, '}')
}

func appendPermissions(b []byte, p *permissions) []byte {
	flag := func(name string, v bool) {
		b = append(b, name...)
		b = strconv.AppendBool(b, v)
	}
	list := func(name string, words []string) {
		b = append(b, name...)
		for i, w := range words {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, w)
		}
		b = append(b, ']')
	}
	flag(`{"canPublish":`, p.CanPublish)
	list(`,"canPublishSources":[`, p.CanPublishSources)
	flag(`,"canPublishData":`, p.CanPublishData)
	flag(`,"canSubscribe":`, p.CanSubscribe)
	flag(`,"canUpdateOwnMetadata":`, p.CanUpdateOwnMetadata)
	flag(`,"canUpdatePresence":`, p.CanUpdatePresence)
	flag(`,"hidden":`, p.Hidden)
	list(`,"admin":[`, p.Admin)
	return append(b, '}')
}

func trackText(t *track, m *wire.Message) []byte {
	b := append([]byte(nil), `{"sid":`...)
	b = appendText(b, t.sid)
	b = append(b, `,"handle":`...)
	b = strconv.AppendUint(b, uint64(t.handle), 10)
	b = appendField(b, "kind", m.Kind)
	b = appendField(b, "source", m.Source)
	name := ""
	if m.Name != nil {
		name = *m.Name
	}
	b = appendField(b, "name", name)
	b = append(b, `,"muted":`...)
	b = strconv.AppendBool(b, m.Muted != nil && *m.Muted)
	if len(m.Codec) > 0 {
		b = append(append(b, `,"codec":`...), m.Codec...)
	}
	return append(b, '}')
}

// joined is the answer to c, which is not among the members yet.
func (f *floor) joined(r *room, c *conn, whole bool) []byte {
	size := 2*smallBytes + 2*len(r.name) + len(c.text)
	if whole && r.roster == nil {
		for _, q := range r.members {
			size += len(q.text) + 1
		}
	}
	b := f.compose(size + len(r.roster))
	b = append(b, `{"type":"joined"`...)
	b = appendField(b, "session", c.sid)
	b = appendField(b, "secret", newSecret())
	b = append(b, `,"recovered":false`...)
	b = appendSeq(b, r.seq)
	b = appendField(b, "epoch", r.epoch)
	b = append(b, `,"lastRequest":0,"room":{"sid":`...)
	b = appendText(b, r.sid)
	b = appendField(b, "name", r.name)
	b = append(b, `,"metadata":"","numParticipants":`...)
	b = strconv.AppendInt(b, int64(len(r.members)+1), 10)
	b = append(b, `,"maxParticipants":0,"createdAt":`...)
	b = strconv.AppendInt(b, r.created, 10)
	b = append(b, `},"self":`...)
	b = append(b, c.text...)
	b = append(b, `,"participants":[`...)
	switch {
	case !whole:
		for i, q := range r.publishing {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, q.text...)
		}
	case r.roster != nil:
		b = append(b, r.roster...)
	default:
		b = r.list(b)
	}
	b = append(b, `],"resume":{"graceMs":`...)
	b = strconv.AppendInt(b, graceMillis, 10)
	b = append(b, `},"pingIntervalMs":`...)
	b = strconv.AppendInt(b, pingMillis, 10)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) participantJoined(r *room, c *conn) []byte {
	b := append(f.compose(smallBytes+len(c.text)), `{"type":"participantJoined"`...)
	b = appendSeq(b, r.seq)
	b = append(append(b, `,"participant":`...), c.text...)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) participantLeft(r *room, c *conn, reason string) []byte {
	b := append(f.compose(smallBytes+len(c.identity)), `{"type":"participantLeft"`...)
	b = appendSeq(b, r.seq)
	b = appendField(b, "sid", c.sid)
	b = appendField(b, "identity", c.identity)
	b = appendField(b, "reason", reason)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) trackPublished(r *room, c *conn, t track) []byte {
	b := append(f.compose(smallBytes+len(c.identity)+len(t.text)), `{"type":"trackPublished"`...)
	b = appendSeq(b, r.seq)
	b = appendField(b, "participantSid", c.sid)
	b = appendField(b, "identity", c.identity)
	b = append(append(b, `,"track":`...), t.text...)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) trackSubscribed(c *conn, t track) []byte {
	b := append(f.compose(smallBytes+len(t.text)), `{"type":"trackSubscribed"`...)
	b = appendField(b, "participantSid", c.sid)
	b = append(append(b, `,"track":`...), t.text...)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) trackUnpublished(r *room, c *conn, t track) []byte {
	b := append(f.compose(smallBytes+len(c.identity)), `{"type":"trackUnpublished"`...)
	b = appendSeq(b, r.seq)
	b = appendField(b, "participantSid", c.sid)
	b = appendField(b, "identity", c.identity)
	b = appendField(b, "trackSid", t.sid)
	return f.seal(append(b, `,"reason":"left"}`...), opText)
}

func (f *floor) data(c *conn, r *request) []byte {
	b := append(f.compose(smallBytes+len(c.identity)+len(r.topic)+len(r.payload)), `{"type":"data","from":{"sid":`...)
	b = appendText(b, c.sid)
	b = appendField(b, "identity", c.identity)
	b = append(b, `},"topic":`...)
	if r.topic == nil {
		b = append(b, `""`...)
	} else {
		b = append(b, r.topic...)
	}
	if len(r.encoding) > len(`""`) {
		b = append(append(b, `,"encoding":`...), r.encoding...)
	}
	b = append(b, `,"reliable":`...)
	b = strconv.AppendBool(b, !r.unreliable)
	b = append(append(b, `,"payload":`...), r.payload...)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) ok(id uint64, track []byte) []byte {
	b := append(f.compose(smallBytes+len(track)), `{"type":"ok"`...)
	b = appendID(b, id)
	if track != nil {
		b = append(append(b, `,"track":`...), track...)
	}
	return f.seal(append(b, '}'), opText)
}

func (f *floor) pong(id uint64) []byte {
	b := append(f.compose(smallBytes), `{"type":"pong"`...)
	b = appendID(b, id)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, time.Now().UnixMilli(), 10)
	return f.seal(append(b, '}'), opText)
}

func (f *floor) failure(id uint64, problem string) []byte {
	b := append(f.compose(smallBytes+len(problem)), `{"type":"error"`...)
	b = appendID(b, id)
	b = append(b, `,"code":"invalid_request"`...)
	b = appendField(b, "message", problem)
	return f.seal(append(b, '}'), opText)
}

func appendID(b []byte, id uint64) []byte {
	if id == 0 {
		return b
	}
	return strconv.AppendUint(append(b, `,"id":`...), id, 10)
}

func appendSeq(b []byte, seq uint64) []byte {
	return strconv.AppendUint(append(b, `,"seq":`...), seq, 10)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	return appendText(append(b, '"', ':'), value)
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendJSON(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendJSON appends v; strings and maps of strings cannot fail.
func appendJSON(b []byte, v any) []byte {
	encoded, _ := json.Marshal(v)
	return append(b, encoded...)
}
