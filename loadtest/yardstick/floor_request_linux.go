package yardstick

import (
	"slices"

	"usher/session/wire"
)

// handle does what a message asks for.
func (f *floor) handle(c *conn, m message) {
	switch {
	case m.op == opPing:
		f.queue(c, f.frame(opPong, m.payload))
	case m.op == opPong:
	case m.op == opClose && len(m.payload) == 1:
		f.dismiss(c, wire.ProtocolBroken, leftByItself)
	case m.op == opClose:
		f.part(c, f.frame(opClose, m.payload[:min(2, len(m.payload))]), leftByItself)
	case c.room == nil:
		f.open(c, m)
	case m.op == opBinary:
		f.passFrame(c, m.payload)
	default:
		f.request(c, m.payload)
	}
}

// open takes the first message, by which somebody joins.
func (f *floor) open(c *conn, m message) {
	r, problem := scan(m.payload)
	switch {
	case m.op == opText && problem == "" && string(r.typ) == "join":
	case m.op == opText && problem == "" && string(r.typ) == "resume":
		f.dismiss(c, wire.SessionNotFound, leftByItself)
		return
	default:
		f.dismiss(c, wire.ProtocolError, leftByItself)
		return
	}
	token := c.token
	if len(r.token) > 0 {
		token = string(r.token)
	}
	p, refusal := f.door.admit(token)
	if refusal != 0 {
		f.dismiss(c, refusal, leftByItself)
		return
	}
	f.enter(c, &p)
}

func (f *floor) request(c *conn, b []byte) {
	r, problem := scan(b)
	if problem != "" {
		f.queue(c, f.failure(r.id, problem))
		return
	}
	switch string(r.typ) {
	case "publishData":
		f.publishData(c, &r)
	case "publishTrack":
		f.publishTrack(c, b, r.id)
	case "ping":
		f.queue(c, f.pong(r.id))
	case "leave":
		f.dismiss(c, wire.Left, leftByItself)
	case "ack":
	case "join", "resume":
		f.queue(c, f.failure(r.id, string(r.typ)+" comes first, and once"))
	default:
		f.acknowledge(c, r.id)
	}
}

// acknowledge answers a request that asked for an answer.
func (f *floor) acknowledge(c *conn, id uint64) {
	if id != 0 {
		f.queue(c, f.ok(id, nil))
	}
}

func (f *floor) publishData(c *conn, r *request) {
	switch {
	case r.payload == nil:
		f.queue(c, f.failure(r.id, "payload is missing"))
		return
	case r.encoding != nil && string(r.encoding) != `"base64"` && string(r.encoding) != `""`:
		f.queue(c, f.failure(r.id, `encoding is "base64" or absent`))
		return
	case r.destinations:
		f.queue(c, f.failure(r.id, "a yardstick knows no destinations"))
		return
	}
	f.introduce(c)
	f.tell(c.room, c, f.data(c, r))
	f.acknowledge(c, r.id)
}

// publishTrack is rare, so it is read by package json.
func (f *floor) publishTrack(c *conn, b []byte, id uint64) {
	var m wire.Message
	if err := wire.Decode(b, &m); err != nil {
		f.queue(c, f.failure(id, err.Error()))
		return
	}
	if problem := trackProblem(m.Kind, m.Source); problem != "" {
		f.queue(c, f.failure(id, problem))
		return
	}
	f.introduce(c)
	r := c.room
	t := track{handle: r.newHandle(), sid: trackSID()}
	t.text = trackText(&t, &m)
	if len(c.tracks) == 0 {
		r.publishing = append(r.publishing, c)
	}
	c.tracks = append(c.tracks, t)
	c.retell()
	r.roster = nil
	r.seq++
	f.tell(r, nil, f.trackPublished(r, c, t)) // the publisher, too
	f.tell(r, c, f.trackSubscribed(c, t))
	if id != 0 {
		f.queue(c, f.ok(id, t.text))
	}
}

// passFrame passes a track frame on as it is, when it is of a track of c's.
func (f *floor) passFrame(c *conn, b []byte) {
	h, ok := wire.ParseFrameHeader(b)
	if !ok || len(b) > wire.FrameHeaderBytes+wire.MaxFragmentBytes {
		f.queue(c, f.failure(0, "a binary message is a track frame: a header of 15 bytes, and at most 16 KiB"))
		return
	}
	if slices.ContainsFunc(c.tracks, func(t track) bool { return t.handle == h.Handle }) {
		f.tell(c.room, c, f.frame(opBinary, b))
	}
}
