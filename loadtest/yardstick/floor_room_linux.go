package yardstick

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"usher/session/wire"
)

// cacheFrom is the number of members from which a room keeps its list of
// participants ready. In a small one that would be memory for nothing.
const cacheFrom = 64

// room is what its members share. Whoever changes it walks through all of them,
// and removes nobody while doing so: see floor.end.
type room struct {
	name, sid, epoch string
	created          int64 // Unix ms
	seq              uint64

	members    []*conn
	byIdentity map[string]*conn
	publishing []*conn
	roster     []byte // all texts with commas between; nil: not kept

	// partials is how often a list was given out that left somebody out. Who was
	// announced before the last of them is not in everybody's list.
	partials uint32
}

// enter makes c a member of the room that its token names.
func (f *floor) enter(c *conn, p *person) {
	if r := f.rooms[p.room]; r != nil {
		if before := r.byIdentity[p.identity]; before != nil {
			f.dismiss(before, wire.DuplicateIdentity, replaced)
		}
	}
	now := time.Now().UnixMilli()
	r := f.rooms[p.room] // it may have gone with the one replaced
	if r == nil {
		r = &room{name: p.room, sid: roomSID(), epoch: newEpoch(), created: now, byIdentity: make(map[string]*conn, 1)}
		f.rooms[p.room] = r
	}
	c.sid, c.identity, c.joinedAt, c.due, c.token = participantSID(), p.identity, now, 0, ""
	c.describe(p)
	whole := len(r.members) < rosterLimit
	if whole {
		f.announce(r, c)
	} else {
		r.partials++
	}
	if !whole {
		r.roster = nil // nobody is given it
	} else if r.roster == nil && len(r.members) >= cacheFrom {
		r.roster = r.list(nil)
	}
	f.queue(c, f.joined(r, c, whole))
	for _, q := range r.publishing {
		for _, t := range q.tracks {
			f.queue(c, f.trackSubscribed(q, t))
		}
	}
	if r.roster != nil {
		r.roster = append(append(r.roster, ','), c.text...)
	}
	c.room, c.at = r, int32(len(r.members))
	r.members = append(r.members, c)
	r.byIdentity[c.identity] = c
}

// list appends the members' texts, with commas between.
func (r *room) list(b []byte) []byte {
	for i, q := range r.members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, q.text...)
	}
	return b
}

// announce tells the members of c.
func (f *floor) announce(r *room, c *conn) {
	r.seq++
	c.announced, c.listedIn = true, r.partials
	if len(r.members) > 0 {
		f.tell(r, c, f.participantJoined(r, c))
	}
}

// introduce announces c anew when somebody's list may be without it.
func (f *floor) introduce(c *conn) {
	if !c.announced || c.listedIn != c.room.partials && len(c.tracks) == 0 {
		f.announce(c.room, c)
	}
}

// tell queues the frame for all members but one.
func (f *floor) tell(r *room, but *conn, frame []byte) {
	for _, q := range r.members {
		if q != but {
			f.queue(q, frame)
		}
	}
}

// leave takes c out of its room, if it is in one, and tells the others.
func (f *floor) leave(c *conn, reason string) {
	r := c.room
	if r == nil {
		return
	}
	c.room = nil
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[c.at], moved.at = moved, c.at
	r.members[last] = nil
	r.members = r.members[:last]
	r.roster = nil
	delete(r.byIdentity, c.identity) // whoever takes the identity puts this one out before
	if last == 0 {
		delete(f.rooms, r.name)
		return
	}
	if len(c.tracks) > 0 {
		r.publishing = slices.DeleteFunc(r.publishing, func(q *conn) bool { return q == c })
		for _, t := range c.tracks {
			r.seq++
			f.tell(r, nil, f.trackUnpublished(r, c, t))
		}
	}
	if c.announced {
		r.seq++
		f.tell(r, nil, f.participantLeft(r, c, reason))
	}
}

// newHandle returns a random handle that no track of the room has.
func (r *room) newHandle() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		h := binary.BigEndian.Uint32(b[:])
		taken := func(q *conn) bool {
			return slices.ContainsFunc(q.tracks, func(t track) bool { return t.handle == h })
		}
		if h != 0 && !slices.ContainsFunc(r.publishing, taken) {
			return h
		}
	}
}
