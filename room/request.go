package room

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"usher/auth"
)

const (
	maxDestinations = 1000      // of one data message
	maxPageBytes    = 256 << 10 // of listParticipants, but at least one participant
)

// A Call is one message of a session: which connection it came by, and the id
// its reply is to carry.
type Call struct {
	Generation uint32
	ID         uint64 // 0: no reply is wanted
	Batch      *Batch
	// Quiet says that nothing is answered. What is wrong is returned instead:
	// [ErrNotAllowed], a [LimitError] and so on.
	Quiet bool
}

// deniable is the names that permissions have in denials.
var deniable = []string{"canPublish", "canPublishSources", "canPublishData", "canSubscribe",
	"canUpdateOwnMetadata", "canUpdatePresence", "canWriteStorage", "hidden", "roomAdmin", "owner", "lobby"}

// beforeLock runs between a message's parsing and the room's lock, where
// nothing may have been decided yet. It is nil but in tests, which force a
// scheduling point here.
var beforeLock func()

// do runs a request and answers it, in one critical section. op returns what
// the reply carries besides the id. The only error is [ErrFenced], except of
// quiet calls.
func (p *Participant) do(c Call, kind string, op func() (Reply, error)) error {
	if beforeLock != nil {
		beforeLock()
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.generation != c.Generation || p.final != nil {
		return ErrFenced
	}
	var reply Reply
	err := firstOf(p.beginLocked(c), p.settledLocked(kind))
	if err == nil {
		reply, err = op()
	}
	if p.final != nil { // a leave is answered by the close
		return nil
	}
	return p.replyLocked(c, kind, reply, err)
}

// doDurably is do for what is answered once it is durable. op is called in the
// critical section, and the function that it returns when nothing is locked.
func (p *Participant) doDurably(c Call, kind string, op func() (finish func() (Reply, error), err error)) error {
	if beforeLock != nil {
		beforeLock()
	}
	r := p.room
	r.mu.Lock()
	if p.generation != c.Generation || p.final != nil {
		r.mu.Unlock()
		return ErrFenced
	}
	var finish func() (Reply, error)
	err := firstOf(p.beginLocked(c), p.settledLocked(kind))
	if err == nil {
		finish, err = op()
	}
	if err != nil {
		err = p.replyLocked(c, kind, Reply{}, err)
		r.mu.Unlock()
		return err
	}
	r.mu.Unlock()
	c.Batch.Flush() // others do not wait for the store
	c.Batch.willWait()
	reply, err := finish()
	p.room.mu.Lock()
	for p.successor != nil { // it was moved meanwhile
		p.room.mu.Unlock()
		p = p.Successor()
		p.room.mu.Lock()
	}
	defer p.room.mu.Unlock()
	if p.final != nil {
		return nil
	}
	return p.replyLocked(c, kind, reply, err)
}

// beginLocked notes that the request is being handled. Whoever resumes is told
// so in the snapshot, and does not send it again.
func (p *Participant) beginLocked(c Call) error {
	if c.ID == 0 {
		return nil
	}
	if c.ID <= p.lastRequest {
		return ErrRequestOrder
	}
	p.lastRequest = c.ID
	return nil
}

// settledLocked checks that p is in the room, and that its client knows in which.
func (p *Participant) settledLocked(kind string) error {
	switch {
	case kind == "leave":
	case p.arrival != 0:
		return ErrMoved
	case p.waiting && kind != "updateMetadata":
		return errWaits
	}
	return nil
}

// replyLocked answers a request, or returns what is wrong with it if it is quiet.
func (p *Participant) replyLocked(c Call, kind string, reply Reply, err error) error {
	if err == nil && (c.ID == 0 || c.Quiet) {
		return nil
	}
	if err != nil {
		reply = Reply{Err: err}
		var d *deniedError
		if errors.As(err, &d) {
			p.rooms.metrics.denials.WithLabelValues(d.Permission).Inc()
			reply.Err = ErrNotAllowed
			if c.Quiet {
				return err
			}
			if _, told := p.denied[kind]; !told {
				if p.denied == nil {
					p.denied = make(map[string]struct{})
				}
				p.denied[kind] = struct{}{}
				reply.Denial = &d.Denial
			}
		}
	}
	if c.Quiet {
		return err
	}
	reply.ID = c.ID
	size := 0
	for _, i := range reply.Participants {
		size += i.size()
	}
	if reply.Participant != nil {
		size += reply.Participant.size()
	}
	class := counted
	if p.waiting { // its client begins to count when it is let in
		class = control
		p.uncounted++
	}
	p.listener.send(c.Batch, newFrame(class, &reply, size))
	return nil
}

// needLocked checks that p has the right at this moment.
func (p *Participant) needLocked(right auth.Rights, name string) error {
	if p.permission.Allows(right) {
		return nil
	}
	_, layer := auth.Explain(right, p.layersLocked()...)
	return &deniedError{Denial{name, layer}}
}

// Allowed reports whether p has the right at this moment: nil, [ErrNotAllowed]
// or [ErrFenced]. name is what denials are counted by.
func (p *Participant) Allowed(c Call, right auth.Rights, name string) error {
	c.Quiet = true
	return p.do(c, name, func() (Reply, error) { return Reply{}, p.needLocked(right, name) })
}

// Reject answers a message that could not be understood.
func (p *Participant) Reject(c Call, problem error) error {
	return p.do(c, "", func() (Reply, error) { return Reply{}, problem })
}

// Ping answers a ping of the protocol.
func (p *Participant) Ping(c Call) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.generation != c.Generation || p.final != nil {
		return ErrFenced
	}
	if err := p.beginLocked(c); err != nil {
		return p.replyLocked(c, "ping", Reply{}, err)
	}
	p.listener.send(c.Batch, newFrame(control, &Pong{ID: c.ID, Time: time.Now()}, 32))
	return nil
}

// Ack takes the client's count of reliable frames received.
func (p *Participant) Ack(c Call, received uint64) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.generation != c.Generation || p.final != nil {
		return ErrFenced
	}
	if received <= p.uncounted && (p.arrival == 0 || received < p.arrival) {
		return nil // it may be about what came before p was let in; a later one tells as much
	}
	o := p.listener.outbox
	o.mu.Lock()
	ok := o.ackLocked(received)
	o.mu.Unlock()
	if !ok {
		return p.replyLocked(c, "ack", Reply{}, &InvalidError{"ack: more frames than were sent"})
	}
	p.uncounted = 0
	if received >= p.arrival {
		p.arrival = 0
	}
	return nil
}

// Leave ends the session at the participant's own wish.
func (p *Participant) Leave(c Call) error {
	return p.do(c, "leave", func() (Reply, error) {
		p.room.evictLocked(c.Batch, p, Final{Reason: ClientInitiated, Cause: CauseLeft})
		return Reply{}, nil
	})
}

// A Message is data to the room, or to those named.
type Message struct {
	Topic      string
	Payload    []byte // JSON
	Encoding   string
	Reliable   bool
	Identities []string
	SIDs       []string
}

// data returns what counts toward the limit: of bytes in base64 the bytes.
func (m *Message) data() int {
	n := len(m.Payload)
	if m.Encoding == "base64" {
		text := bytes.TrimRight(m.Payload, `="`)
		n = max(0, len(text)-1) * 3 / 4
	}
	return n
}

// PublishData sends a message to everybody else, or to the participants named.
// Naming somebody who is not there, or not to be seen, is no error.
func (p *Participant) PublishData(c Call, m Message) error {
	l := p.rooms.cfg.Limits
	problem := firstOf(l.Topic(m.Topic), l.Data(m.data()))
	if n := len(m.Identities) + len(m.SIDs); problem == nil && n > maxDestinations {
		problem = &LimitError{"destinations", maxDestinations, "participants"}
	}
	return p.do(c, "publishData", func() (Reply, error) {
		if problem != nil {
			return Reply{}, problem
		}
		if err := p.needLocked(auth.SendData, "canPublishData"); err != nil {
			return Reply{}, err
		}
		r, b := p.room, c.Batch
		class, size := lossy, len(m.Topic)+len(m.Payload)+len(p.Identity)
		if m.Reliable {
			class = counted
		}
		ev := &Data{Topic: m.Topic, Payload: m.Payload, Encoding: m.Encoding, Reliable: m.Reliable}
		if !p.permission.Hidden() {
			ev.From = &Sender{p.SID, p.Identity, p.info.Actor}
			r.listLocked(b, p)
		}
		r.announceLocked(b)
		r.rooms.metrics.messages[0].Inc()
		f := newFrame(class, ev, size)
		if len(m.Identities)+len(m.SIDs) == 0 { // an empty list is none, as with LiveKit
			r.audience.broadcast(b, f, p.listener)
			return Reply{}, nil
		}
		for _, to := range r.namedLocked(m.Identities, m.SIDs) {
			if to != p {
				to.listener.send(b, f)
			}
		}
		return Reply{}, nil
	})
}

// namedLocked returns the participants with one of the identities or sids, each once.
func (r *Room) namedLocked(identities, sids []string) []*Participant {
	var named []*Participant
	seen := make(map[*Participant]struct{}, len(identities)+len(sids))
	add := func(p *Participant) {
		if _, twice := seen[p]; !twice {
			seen[p] = struct{}{}
			named = append(named, p)
		}
	}
	for _, identity := range identities {
		if who := r.people[identity]; who != nil {
			for _, p := range who.participants {
				add(p)
			}
		}
	}
	for _, sid := range sids {
		if p := r.participants[sid]; p != nil {
			add(p)
		}
	}
	return named
}

// UpdatePresence changes p's presence: the keys given replace, or all of it.
func (p *Participant) UpdatePresence(c Call, change Presence, full bool) error {
	problem := p.rooms.cfg.Limits.Presence(change) // merging would take its time under the lock
	return p.do(c, "updatePresence", func() (Reply, error) {
		if problem != nil {
			return Reply{}, problem
		}
		if err := p.needLocked(auth.SendPresence, "canUpdatePresence"); err != nil {
			return Reply{}, err
		}
		next := change
		switch {
		case !full && len(p.presence) > 0:
			next = maps.Clone(p.presence)
			maps.Copy(next, change)
		case full && p.presence != nil && maps.EqualFunc(change, p.presence, bytes.Equal):
			return Reply{}, nil // each newcomer is greeted with one by each
		case next == nil:
			next = Presence{}
		}
		if err := p.rooms.cfg.Limits.Presence(next); err != nil {
			return Reply{}, err
		}
		p.presence = next
		if p.permission.Hidden() {
			return Reply{}, nil
		}
		p.room.listLocked(c.Batch, p)
		p.room.presentLocked(c.Batch, p)
		return Reply{}, nil
	})
}

// presentLocked tells everybody else p's present presence. Each overtakes the one
// before it, but for the first: in some dialects it is what makes p somebody, and
// what p sends next is not to come before that.
func (r *Room) presentLocked(b *Batch, p *Participant) {
	r.announceLocked(b)
	ev := &PresenceUpdated{SID: p.SID, Participant: p.info, Presence: p.presence}
	if p.presenceVersion.Add(1) == 1 {
		r.audience.broadcast(b, newFrame(control, ev, p.presence.size()), p.listener) // not counted: it is no event
		return
	}
	f := newFrame(latest, ev, p.presence.size())
	f.current, f.version = &p.presenceVersion, p.presenceVersion.Load()
	r.audience.broadcast(b, f, p.listener)
}

// UpdateMetadata changes p's own name, metadata and attributes.
func (p *Participant) UpdateMetadata(c Call, ch Change) error {
	ch.Permission = nil
	r := p.room
	var own []*Participant
	r.mu.Lock()
	if p.permission.Allows(auth.UpdateOwnMetadata) || p.renamesLocked() { // who may not costs nothing
		own = []*Participant{p}
	}
	r.mu.Unlock()
	problem := r.checkRefreshable(own, ch)
	return p.do(c, "updateMetadata", func() (Reply, error) {
		if p.waiting {
			return Reply{}, r.renameWaiterLocked(c.Batch, p, ch, problem)
		}
		if err := p.needLocked(auth.UpdateOwnMetadata, "canUpdateOwnMetadata"); err != nil {
			return Reply{}, err
		}
		if problem != nil {
			return Reply{}, problem
		}
		own := []*Participant{p}
		if err := r.checkChangeLocked(own, ch); err != nil {
			return Reply{}, err
		}
		r.changeLocked(c.Batch, own, ch)
		return Reply{}, nil
	})
}

// ListParticipants pages through those whom p may see, by sid.
func (p *Participant) ListParticipants(c Call, after string, limit int) error {
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	return p.do(c, "listParticipants", func() (Reply, error) {
		r := p.room
		sids := make([]string, 0, len(r.participants))
		for sid, q := range r.participants {
			if sid > after && visible(p, q) {
				sids = append(sids, sid)
			}
		}
		slices.SortFunc(sids, strings.Compare)
		reply := Reply{Participants: []*Info{}, Presence: map[string]Presence{}, NumParticipants: r.shown}
		size := 0
		for i, sid := range sids {
			q := r.participants[sid]
			if size += q.info.size() + q.presence.size(); i == limit || i > 0 && size > maxPageBytes {
				reply.Next = sids[i-1]
				break
			}
			q.announced = q.announced || !q.permission.Hidden() // p is to hear of q's end
			reply.Participants = append(reply.Participants, q.info)
			if q.presence != nil {
				reply.Presence[sid] = q.presence
			}
		}
		return reply, nil
	})
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
