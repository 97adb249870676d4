package yardstick

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"usher/session/wire"
)

// naiveHub holds the rooms. Its methods may be called concurrently.
type naiveHub struct {
	door *door

	mu    sync.Mutex // guards the following field, the rooms and their clients' state
	rooms map[string]*naiveRoom
}

type naiveRoom struct {
	naiveRoomInfo
	epoch   string
	seq     uint64
	clients map[string]*naiveClient // by identity
}

// naiveClient is one connection that has joined.
type naiveClient struct {
	ws     *websocket.Conn
	send   chan naiveOut      // never closed
	cancel context.CancelFunc // ends the connection

	// Guarded by the hub's mutex.
	room      *naiveRoom // nil: not in one any more
	self      naiveParticipant
	announced bool // others know of it
	listed    bool // it is in everybody's list
}

// naiveOut is a message to be written, or with a code the end.
type naiveOut struct {
	typ  websocket.MessageType
	data []byte
	code wire.CloseCode
}

// put leaves m to the client's writer. Whoever has not kept up is cut.
func (c *naiveClient) put(m naiveOut) {
	select {
	case c.send <- m:
	default:
		c.cancel()
	}
}

// tell sends v as JSON.
func (c *naiveClient) tell(v any) { c.put(encodeNaive(v)) }

func encodeNaive(v any) naiveOut {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // what was read as JSON can be written as such
	}
	return naiveOut{typ: websocket.MessageText, data: b}
}

// broadcast sends m to everybody but one. The hub's mutex must be held.
func (r *naiveRoom) broadcast(but *naiveClient, m naiveOut) {
	for _, c := range r.clients {
		if c != but {
			c.put(m)
		}
	}
}

func (h *naiveHub) join(c *naiveClient, p person) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rooms[p.room]; r != nil {
		if before := r.clients[p.identity]; before != nil {
			h.leaveLocked(before, replaced)
			before.put(naiveOut{code: wire.DuplicateIdentity})
		}
	}
	now := time.Now().UnixMilli()
	r := h.rooms[p.room]
	if r == nil {
		r = &naiveRoom{naiveRoomInfo: naiveRoomInfo{SID: roomSID(), Name: p.room, CreatedAt: now}, epoch: newEpoch(), clients: make(map[string]*naiveClient)}
		h.rooms[p.room] = r
	}
	c.self = naiveParticipant{
		SID: participantSID(), Identity: p.identity, Name: p.name, Kind: p.kind, State: "active", Metadata: p.metadata,
		Attributes: p.attributes, Permissions: p.permissions, Tracks: []naiveTrack{}, JoinedAt: now, Version: 1,
	}
	if c.self.Attributes == nil {
		c.self.Attributes = map[string]string{}
	}
	r.NumParticipants = len(r.clients) + 1
	whole := r.NumParticipants <= rosterLimit
	if whole {
		r.announce(c)
	}
	answer := joinedMessage{
		Type: "joined", Session: c.self.SID, Secret: newSecret(), Seq: r.seq, Epoch: r.epoch, Room: r.naiveRoomInfo,
		Self: c.self, Participants: make([]naiveParticipant, 0, len(r.clients)),
		Resume: naiveResume{graceMillis}, PingIntervalMillis: pingMillis,
	}
	for _, q := range r.clients {
		if whole || len(q.self.Tracks) > 0 {
			answer.Participants = append(answer.Participants, q.self)
		} else {
			q.listed = false
		}
	}
	c.tell(answer)
	for _, q := range r.clients {
		for _, t := range q.self.Tracks {
			c.tell(trackSubscribedMessage{"trackSubscribed", q.self.SID, t})
		}
	}
	c.room = r
	r.clients[p.identity] = c
}

// announce tells everybody of c. The hub's mutex must be held.
func (r *naiveRoom) announce(c *naiveClient) {
	r.seq++
	c.announced, c.listed = true, true
	r.broadcast(c, encodeNaive(participantJoinedMessage{"participantJoined", r.seq, c.self}))
}

func (h *naiveHub) leave(c *naiveClient, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveLocked(c, reason)
}

func (h *naiveHub) leaveLocked(c *naiveClient, reason string) {
	r := c.room
	if r == nil {
		return
	}
	c.room = nil
	delete(r.clients, c.self.Identity)
	if r.NumParticipants = len(r.clients); r.NumParticipants == 0 {
		delete(h.rooms, r.Name)
		return
	}
	for _, t := range c.self.Tracks {
		r.seq++
		r.broadcast(nil, encodeNaive(trackUnpublishedMessage{"trackUnpublished", r.seq, c.self.SID, c.self.Identity, t.SID, "left"}))
	}
	if c.announced {
		r.seq++
		r.broadcast(nil, encodeNaive(participantLeftMessage{"participantLeft", r.seq, c.self.SID, c.self.Identity, reason}))
	}
}

// publishData sends data to everybody else, and the answer.
func (h *naiveHub) publishData(c *naiveClient, q *naiveRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.room == nil {
		return
	}
	if !c.listed {
		c.room.announce(c)
	}
	c.room.broadcast(c, encodeNaive(dataMessage{
		"data", naiveSender{c.self.SID, c.self.Identity}, q.Topic, q.Encoding, q.Reliable == nil || *q.Reliable, q.Payload,
	}))
	if q.ID != 0 {
		c.tell(replyMessage{Type: "ok", ID: q.ID})
	}
}

func (h *naiveHub) publishTrack(c *naiveClient, q *naiveRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := c.room
	if r == nil {
		return
	}
	if !c.listed {
		r.announce(c)
	}
	t := naiveTrack{trackSID(), r.newHandle(), q.Kind, q.Source, q.Name, q.Muted, q.Codec}
	c.self.Tracks = append(slices.Clip(c.self.Tracks), t)
	c.self.Version++
	r.seq++
	r.broadcast(nil, encodeNaive(trackPublishedMessage{"trackPublished", r.seq, c.self.SID, c.self.Identity, t}))
	r.broadcast(c, encodeNaive(trackSubscribedMessage{"trackSubscribed", c.self.SID, t}))
	if q.ID != 0 {
		c.tell(replyMessage{Type: "ok", ID: q.ID, Track: &t})
	}
}

// newHandle returns a random handle that no track of the room has. The hub's
// mutex must be held.
func (r *naiveRoom) newHandle() uint32 {
	for {
		h := rand.Uint32()
		taken := h == 0
		for _, c := range r.clients {
			taken = taken || c.owns(h)
		}
		if !taken {
			return h
		}
	}
}

// owns reports whether the handle is of a track of c's. The hub's mutex must be
// held.
func (c *naiveClient) owns(handle uint32) bool {
	return slices.ContainsFunc(c.self.Tracks, func(t naiveTrack) bool { return t.Handle == handle })
}

// passFrame sends a track frame to everybody else.
func (h *naiveHub) passFrame(c *naiveClient, handle uint32, frame []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.room != nil && c.owns(handle) {
		c.room.broadcast(c, naiveOut{typ: websocket.MessageBinary, data: frame})
	}
}

// shutDown tells everybody that the server stops.
func (h *naiveHub) shutDown() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		r.broadcast(nil, naiveOut{code: wire.ServerShutdown})
	}
}
