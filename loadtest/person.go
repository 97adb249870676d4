package loadtest

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"
)

// A person is one participant of the load test: what it is sent is checked
// here. A room knows its members by their places.
type person struct {
	run      *run
	index    int // in the run
	group    *group
	place    int // in the group
	identity string
	shown    atomic.Uint32 // the highest number of its messages so far

	mu       sync.Mutex // guards the following fields
	conn     *connection
	now      int64 // when the chunk that is being read was read
	token    string
	session  string // with secret, what a resume needs
	secret   string
	came     int64 // when it was to come, by the clock
	joined   bool
	leaving  bool
	slow     bool // does not read
	cutAt    int64
	back     bool // is in again after a cut
	away     bool // cut, and not back: the server may keep the session
	resuming bool
	attempt  int
	received uint64 // reliable frames
	acked    uint64
	seq      uint64 // of the room's events, the last that is known
	people   peopleSet
	number   int         // as the server counts the room
	sent     uint32      // messages of its own
	from     []seqWindow // by the place of the sender; empty: nothing is followed
	due      []uint32    // like from: what follows that number must come; only where people join late
	tokens   int         // refreshed ones that came
	tokenAt  int64       // when the last one did
	asked    int64       // when something was asked for that brings one; 0: nothing is
}

// A group is the people of one room.
type group struct {
	name    string
	members []*person
}

// come opens a connection. at is when it was to happen.
func (p *person) come(at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came = at
	c := &connection{person: p}
	p.conn = c
	c.sock = p.run.transport.dial(c, p.index)
}

// connected sends the handshake.
func (p *person) connected(c *connection) {
	if p.conn != c {
		c.sock.end(true)
		return
	}
	token := p.token
	if p.resuming {
		token = ""
	}
	c.sock.send(appendRequest(nil, p.run.path, p.run.host, token))
}

// opened says the first message.
func (p *person) opened(c *connection) {
	if !p.resuming {
		c.sock.send(appendFrame(nil, opText, []byte(`{"type":"join"}`)))
		return
	}
	p.attempt++
	b := append([]byte(nil), `{"type":"resume","session":"`+p.session+`","secret":"`+p.secret+`","received":`...)
	b = strconv.AppendUint(b, p.received, 10)
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(p.attempt), 10)
	c.sock.send(appendFrame(nil, opText, append(b, '}')))
}

// send sends a text message.
func (p *person) send(text []byte) bool {
	if p.conn == nil || !p.conn.open {
		return false
	}
	p.conn.sock.send(appendFrame(nil, opText, text))
	return true
}

// publish sends the next data message, stamped with when it was to be sent.
func (p *person) publish(at int64) bool {
	if p.conn == nil || !p.joined {
		return false
	}
	p.sent++
	p.shown.Store(max(p.shown.Load(), p.sent))
	p.conn.sock.send(appendPublishData(nil, stamp{uint32(p.index), p.sent, at}, p.run.cfg.Size, p.run.answered))
	return true
}

var unreliable = []byte(`"reliable":false`)

// text takes a message of the server.
func (p *person) text(b []byte) {
	kind := messageType(b)
	reliable := true
	switch string(kind) {
	case "data":
		if i := bytes.Index(b, payloadMark); i < 0 || bytes.Contains(b[:i], unreliable) {
			reliable = !bytes.Contains(b, unreliable)
		}
		p.data(b)
	case "participantJoined", "participantLeft", "participantUpdated", "participants":
		p.changed(kind, b)
	case "joined":
		reliable = false
		p.welcome(b)
	case "waiting", "pong", "presence", "sessionData", "reconnect":
		reliable = false
	case "trackPublished", "trackUnpublished", "trackMuted", "roomUpdated":
		if seq, ok := numberField(b, fieldSeq); ok {
			p.numbered(uint64(seq))
		}
	case "error":
		code, _, _ := stringField(b, fieldCode)
		if p.run.hooks.refused == nil || !p.run.hooks.refused(p, string(code), b) {
			p.run.fail(string(code))
		}
	case "":
		p.run.fail("a message that is none")
	}
	if reliable {
		p.received++
		if p.received-p.acked >= ackEvery {
			p.ack()
		}
	}
	if hook := p.run.hooks.text; hook != nil {
		hook(p, string(kind), b)
	}
}

// ackEvery is how many reliable frames are acknowledged in one, as the
// protocol wants it.
const ackEvery = 32

func (p *person) ack() {
	if p.received == p.acked || p.conn == nil {
		return
	}
	p.acked = p.received
	var b [64]byte
	text := append(b[:0], `{"type":"ack","received":`...)
	text = strconv.AppendUint(text, p.received, 10)
	p.conn.sock.send(appendFrame(nil, opText, append(text, '}')))
}

// data checks a message of somebody else.
func (p *person) data(b []byte) {
	s, size, ok := dataStamp(b)
	if !ok {
		p.run.counts.foreign.Add(1)
		return
	}
	if size != p.run.cfg.Size {
		p.run.fail("a payload of another size")
	}
	p.take(s)
}

// take notes a stamped message, of either kind.
func (p *person) take(s stamp) {
	r := p.run
	if int(s.sender) >= len(r.people) || r.people[s.sender].group != p.group || int(s.sender) == p.index {
		r.counts.misdirected.Add(1)
		return
	}
	sender := r.people[s.sender]
	if sender.place >= len(p.from) {
		return // this scenario does not follow the sender
	}
	w := &p.from[sender.place]
	if r.joinsLate && w.got == 0 && s.seq > 0 {
		// What was sent before one came is none of one's business.
		w.last = min(s.seq-1, p.due[sender.place])
	}
	v, missed := w.take(s.seq)
	r.counts.missed.Add(int64(missed))
	switch v {
	case doubled:
		r.counts.doubled.Add(1)
		return
	case misordered:
		r.counts.misordered.Add(1)
		r.counts.missed.Add(-1)
	}
	r.counts.delivered.Add(1)
	if hook := r.hooks.data; hook != nil {
		hook(p, sender, s)
	}
}

// binary checks a track frame.
func (p *person) binary(b []byte) {
	if hook := p.run.hooks.frame; hook != nil && len(b) >= frameStamped {
		hook(p, binary.BigEndian.Uint32(b), b)
	}
}

// welcome takes joined.
func (p *person) welcome(b []byte) {
	recovered := bytes.Contains(b[:min(len(b), 400)], []byte(`"recovered":true`))
	if text, _, ok := stringField(b, fieldSession); ok {
		p.session = string(text)
	}
	if text, _, ok := stringField(b, fieldSecret); ok {
		p.secret = string(text)
	}
	if !recovered {
		p.received, p.acked = 0, 0
		seq, _ := numberField(b, fieldSeq)
		p.seq = uint64(seq)
		p.people.clear()
		p.people.set(p.place, true)
		for rest := b; ; {
			identity, more, ok := stringField(rest, fieldIdentity)
			if !ok {
				break
			}
			p.sees(identity, true)
			rest = more
		}
	}
	if n, ok := numberField(b, fieldNumber); ok {
		p.number = int(n)
	}
	if p.resuming && p.run.answered {
		// What the server did not handle is sent again, under its number.
		if last, ok := numberField(b, fieldLast); ok {
			p.sent = min(p.sent, uint32(last))
		}
	}
	if !recovered && p.run.joinsLate {
		clear(p.from)
		for place := range p.due {
			p.due[place] = p.group.members[place].shown.Load()
		}
	}
	again := p.joined
	p.joined = true
	if !again {
		p.run.arrived(p, recovered)
	}
	p.resuming = false
}

// changed takes joins, leaves and updates of others.
func (p *person) changed(kind, b []byte) {
	eachChange(b, func(c change) {
		if c.seq != 0 {
			if c.seq <= p.seq {
				return
			}
			p.numbered(c.seq)
		}
		switch c.kind {
		case 'J':
			p.sees(c.identity, true)
		case 'L':
			p.sees(c.identity, false)
		}
	})
	if string(kind) != "participants" {
		if seq, ok := numberField(b[:min(len(b), 120)], fieldSeq); ok {
			p.seq = max(p.seq, uint64(seq))
		}
		return
	}
	if seq, ok := numberField(b[:min(len(b), 120)], fieldSeq); ok {
		p.seq = max(p.seq, uint64(seq))
	}
	if i := bytes.LastIndex(b, []byte(fieldNumber)); i >= 0 {
		n, _ := numberField(b[i:], fieldNumber)
		p.number = int(n)
	}
}

// numbered notes the number of one of the room's events: there are no gaps
// between them where everybody is listed.
func (p *person) numbered(seq uint64) {
	if seq > p.seq+1 && len(p.group.members) <= p.run.cfg.RosterLimit {
		p.run.counts.gaps.Add(1)
	}
	p.seq = max(p.seq, seq)
}

func (p *person) sees(identity []byte, in bool) {
	index, ok := personIndex(identity, p.run.prefix)
	if !ok || index >= len(p.run.people) || p.run.people[index].group != p.group {
		p.run.counts.strangers.Add(1)
		return
	}
	p.people.set(p.run.people[index].place, in)
}

// readDone comes when all of a chunk was read.
func (p *person) readDone() {
	if hook := p.run.hooks.readDone; hook != nil {
		hook(p)
	}
}

// ended takes the end of the connection.
func (p *person) ended(c *connection, err error) {
	wasIn := p.joined
	p.joined = false
	p.run.departed(p, c, err, wasIn)
}

// cut ends the connection as a broken network would.
func (p *person) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		p.conn.sock.end(true)
	}
}

// state says how far somebody is who does not get on.
func (p *person) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.conn == nil:
		return "no connection"
	case !p.conn.open:
		return "the handshake is not answered"
	case p.joined:
		return "in"
	case p.resuming:
		return "the resume is not answered"
	}
	return "the join is not answered"
}

// socket is what carries the person's connection, or nil.
func (p *person) socket() socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	return p.conn.sock
}

// leave ends the session.
func (p *person) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
	if p.conn == nil {
		return
	}
	if !p.conn.open {
		p.conn.sock.end(true)
		return
	}
	p.conn.sock.send(appendFrame(nil, opClose, []byte{1000 >> 8, 1000 & 0xff}))
}
