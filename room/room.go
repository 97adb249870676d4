package room

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"usher/auth"
	"usher/room/store"
)

const (
	// announceAtOnce is the number of listeners up to which each join and leave
	// is an event of its own; in larger rooms those of a tick are one.
	announceAtOnce = 32
	announceTick   = 20 * time.Millisecond
	// announceShare is what a tick takes for each listener at least, so that it
	// does not cost more than a fraction of a core to tell them, however many
	// they are.
	announceShare = 20 * time.Microsecond
	maxTick       = time.Second
)

// tickOf is how long a room with so many listeners gathers joins and leaves.
func tickOf(listeners int) time.Duration {
	return min(max(announceTick, time.Duration(listeners)*announceShare), maxTick)
}

// A Room is a set of participants that see the same events in the same order.
// Its methods may be called concurrently.
type Room struct {
	rooms         *Rooms  // static
	record        *record // static
	ID            string  // static, never reused; of this life
	Project, Name string  // static

	mu       sync.Mutex // guards the following fields
	closed   bool
	started  bool          // somebody has joined, or an API made it
	unused   time.Time     // until then it stays open for the first member; zero: somebody has come
	ended    *store.Ticket // when it was closed: that the next start knows of it
	settings auth.RoomConfig
	created  time.Time // when it was started: nobody is to know that somebody waited before

	participants map[string]*Participant // by sid; all members
	people       map[string]*person      // by identity
	recorders    int                     // members that record
	occupied     int                     // members that count toward the limit
	reserved     int                     // places kept for those who are being moved here
	keeping      int                     // members that keep the room open
	shown        int                     // members that are not hidden
	publishers   int                     // shown members with tracks

	occurrences uint64 // told to the observer
	nonces      map[string]time.Time
	calls       map[string]*remoteCall // that wait for their reply
	lobby       lobby
	meeting     Meeting
	data        SessionData
	shared      atomic.Uint64       // counts the changes of data
	banned      map[string]struct{} // identities
	arriving    bool                // somebody is about to be a member
	daily       bool                // it has had a Daily part

	epoch   string
	seq     uint64
	pending []Event // numbered, not announced yet
	recount bool    // the number of participants is to be announced
	partial bool    // not everybody has everybody in its list, so the number is told
	ticking bool
	idle    *time.Timer // ends the room when nobody keeps it open

	audience audience
}

// A person is what a room remembers of an identity, with or without
// participants.
type person struct {
	identity     string
	participants []*Participant
}

func newRoom(rs *Rooms, k key, rec *record, cfg auth.RoomConfig) *Room {
	if cfg.EmptyTimeout <= 0 {
		cfg.EmptyTimeout = rs.cfg.EmptyTimeout
	}
	if cfg.DepartureTimeout <= 0 {
		cfg.DepartureTimeout = rs.cfg.DepartureTimeout
	}
	if cfg.MaxParticipants <= 0 {
		cfg.MaxParticipants = rs.cfg.MaxParticipants
	}
	r := &Room{
		rooms: rs, record: rec, ID: newRoomID(), Project: k.project, Name: k.name,
		settings: cfg, created: time.Now(), epoch: rand.Text()[:8],
		participants: make(map[string]*Participant), people: make(map[string]*person),
	}
	r.mu.Lock()
	r.unused = r.created.Add(cfg.EmptyTimeout)
	r.idle = time.AfterFunc(cfg.EmptyTimeout, r.expire)
	r.mu.Unlock()
	return r
}

func newRoomID() string { return "RM_" + rand.Text()[:16] }

// Summary returns a snapshot of the room.
func (r *Room) Summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summaryLocked()
}

func (r *Room) summaryLocked() Summary {
	return Summary{
		ID: r.ID, Name: r.Name, Metadata: r.settings.Metadata,
		NumParticipants: r.shown, NumPublishers: r.publishers, MaxParticipants: r.capLocked(),
		EmptyTimeout: r.settings.EmptyTimeout, DepartureTimeout: r.settings.DepartureTimeout,
		CreatedAt: r.created, Recording: r.recorders > 0, Meeting: r.meeting, Daily: r.hadDailyLocked(),
	}
}

// expire ends the room if nobody has come in the meantime.
func (r *Room) expire() {
	b := r.rooms.Batch()
	r.mu.Lock()
	if !r.closed && r.keeping == 0 {
		r.closeLocked(b, Final{Reason: RoomClosed, Cause: CauseRoomDeleted})
	}
	r.mu.Unlock()
	b.Flush()
}

// Delete ends the room's life, with what LiveKit's API made of it, and puts
// everybody out. Their tokens stay good. It returns when that is durable.
func (r *Room) Delete(b *Batch) error {
	r.close(b, Final{Reason: RoomDeleted, Cause: CauseRoomDeleted})
	b.Flush()
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	return durable(ended)
}

// abandonLocked ends a room that whoever made it may not enter, unless others
// have come in the meantime.
func (r *Room) abandonLocked(b *Batch, made bool) {
	if made && !r.started && r.reserved == 0 && len(r.lobby.waiters) == 0 {
		r.closeLocked(b, Final{Reason: RoomDeleted, Cause: CauseRoomDeleted})
	}
}

// startLocked notes that there is something in the room.
func (r *Room) startLocked() {
	if r.started {
		return
	}
	r.started, r.created = true, time.Now()
	r.unused = r.created.Add(r.settings.EmptyTimeout)
	if r.keeping == 0 {
		r.idle.Reset(r.settings.EmptyTimeout)
	}
	r.observeLocked(&Occurrence{Occasion: RoomStarted})
}

// close ends the room's life and all sessions in it.
func (r *Room) close(b *Batch, final Final) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closeLocked(b, final)
	}
}

func (r *Room) closeLocked(b *Batch, final Final) {
	if k := r.record.name(); k != r.key() && final.Cause != CauseShutdown { // by that name it goes on
		r.endLocked(b, Final{Reason: RoomClosed, Cause: CauseRenamed, Detail: k.name}, true)
		return
	}
	goesOn := final.Cause == CauseShutdown && r.record.hasLiveKit() // after the restart
	r.endLocked(b, final, !goesOn)
	if !goesOn {
		r.ended = r.record.setLiveKit(nil)
	}
}

// endLocked ends the room's life; the parts of its record stay.
func (r *Room) endLocked(b *Batch, final Final, told bool) {
	r.closed = true
	r.idle.Stop()
	for _, p := range r.waitersLocked() {
		r.dismissWaiterLocked(b, p, final)
	}
	for _, p := range r.membersLocked() {
		r.departLocked(b, p, final)
	}
	r.pending = nil
	if told && r.started {
		r.observeLocked(&Occurrence{Occasion: RoomFinished, Reason: final.Reason})
	}
	b.later(func() { r.rooms.forget(r) }) // Rooms.mu comes before r.mu
}

// key is what the room's life is found by.
func (r *Room) key() key { return key{r.Project, r.Name} }

func (r *Room) membersLocked() []*Participant {
	members := make([]*Participant, 0, len(r.participants))
	for _, l := range r.audience.listeners {
		members = append(members, l.participant)
	}
	return members
}

// restLocked arms the timer that ends an abandoned room, when p was the last
// one to keep it open.
func (r *Room) restLocked(p *Participant) {
	if !p.dependent {
		r.idleLocked()
	}
}

// idleLocked arms that timer, unless somebody keeps the room open. Whoever waited, or
// was on its way here, leaves a room in which nobody has been the time that it had.
func (r *Room) idleLocked() {
	if r.keeping == 0 && !r.closed {
		r.idle.Reset(max(time.Until(r.unused), r.settings.DepartureTimeout))
	}
}

// personLocked returns the person with that identity, making it when needed.
func (r *Room) personLocked(identity string) *person {
	who := r.people[identity]
	if who == nil {
		who = &person{identity: identity}
		r.people[identity] = who
	}
	return who
}

// tidyLocked forgets a person of whom there is nothing to remember.
func (r *Room) tidyLocked(who *person) {
	if len(who.participants) == 0 {
		delete(r.people, who.identity)
	}
}

// departLocked takes p out of the room without telling the others, when nobody
// is left to hear of it.
func (r *Room) departLocked(b *Batch, p *Participant, final Final) {
	for _, t := range p.info.Tracks {
		r.observeLocked(&Occurrence{Occasion: TrackEnded, Participant: p.info, Track: t})
	}
	r.dismissLocked(b, p, final)
}

// dismissLocked takes p out of the room without telling the others, and ends its
// session.
func (r *Room) dismissLocked(b *Batch, p *Participant, final Final) {
	r.unseatLocked(p, final)
	o := p.listener.outbox
	o.mu.Lock()
	dirty := o.detachForLocked(final, true)
	o.forgetLocked()
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	r.rooms.bury(p, final) // first, so that a resume finds the one or the other
	r.rooms.sessions.Delete(p.SID)
	r.goneLocked(b, p, final)
}

// unseatLocked takes p out of the room.
func (r *Room) unseatLocked(p *Participant, final Final) {
	p.final = &final
	p.generation++
	r.rooms.wheel.stop(p.grace)
	r.rooms.wheel.stop(p.stay)
	r.rooms.wheel.stop(p.renewal)
	r.rooms.wheel.stop(p.lease)
	delete(r.participants, p.SID)
	p.person.participants = slices.DeleteFunc(p.person.participants, func(q *Participant) bool { return q == p })
	r.tidyLocked(p.person)
	if !p.permission.Hidden() {
		r.shown--
		if len(p.tracks) > 0 {
			r.publishers--
		}
	}
	if p.occupies(p.permission) {
		r.occupied--
	}
	if !p.dependent {
		r.keeping--
	}
	if p.records() {
		r.recorders--
	}
	p.setState(Gone)
	r.hangUpLocked(p)
	r.audience.leave(p.listener)
}

// goneLocked notes that p is gone.
func (r *Room) goneLocked(b *Batch, p *Participant, final Final) {
	r.rooms.metrics.leaves.WithLabelValues(string(final.Reason)).Inc()
	r.observeLocked(&Occurrence{Occasion: ParticipantDeparted, Participant: p.info, Reason: final.Reason})
	r.partLocked()
	if r.rooms.watched() {
		b.later(func() {
			r.rooms.cfg.Log.Debug("participant left", "project", r.Project, "room", r.Name,
				"identity", p.Identity, "session", p.SID, "reason", string(final.Reason))
		})
	}
}

// evictLocked takes p out of the room and tells the others.
func (r *Room) evictLocked(b *Batch, p *Participant, final Final) {
	if p.final != nil {
		return
	}
	if p.waiting {
		r.dismissWaiterLocked(b, p, final)
		return
	}
	for _, f := range slices.Clone(p.tracks) {
		r.unpublishLocked(b, p, f, "left")
	}
	r.dismissLocked(b, p, final)
	r.missLocked(b, p, final)
}

// missLocked tells the others that p is gone.
func (r *Room) missLocked(b *Batch, p *Participant, final Final) {
	if !p.permission.Hidden() {
		if p.announced {
			r.announceLaterLocked(b, &ParticipantLeft{SID: p.SID, Identity: p.Identity, Actor: p.info.Actor, Reason: final.Reason})
		}
		r.recountLocked()
	}
	r.restLocked(p)
}

// emitLocked tells everybody except one, which may be nil, of an event, after
// what is still to be announced.
func (r *Room) emitLocked(b *Batch, ev numbered, except *listener) {
	r.announceLocked(b)
	r.seq++
	ev.number(r.seq)
	r.audience.broadcast(b, newFrame(counted, ev, ev.size()), except)
}

// emitAboutLocked tells everybody of a change of p, or only p when the others
// do not see p.
func (r *Room) emitAboutLocked(b *Batch, p *Participant, ev numbered) {
	unseen := p.permission.Hidden() || !p.announced
	if !unseen {
		r.emitLocked(b, ev, p.listener.others())
	}
	switch {
	case p.listener.restate:
		r.announceLocked(b)
		r.restateLocked(b, p, r.rosterLocked())
	case unseen:
		p.listener.send(b, newFrame(counted, ev, ev.size()))
	}
}

// announceLaterLocked tells everybody of a join, a leave or a cut connection:
// at once in a small room, with the others of the same tick in a large one.
func (r *Room) announceLaterLocked(b *Batch, ev numbered) {
	if len(r.audience.listeners) <= announceAtOnce && len(r.pending) == 0 {
		r.emitLocked(b, ev, nil)
		return
	}
	r.seq++
	ev.number(r.seq)
	r.pending = append(r.pending, ev)
	r.tickLocked()
}

// recountLocked notes that somebody came or went, or is listed now who was only
// counted. Where all have a whole list they can count for themselves.
func (r *Room) recountLocked() {
	if r.partial {
		r.recount = true
		r.tickLocked()
	}
}

func (r *Room) tickLocked() {
	if !r.ticking {
		r.ticking = true
		time.AfterFunc(tickOf(len(r.audience.listeners)), r.tick)
	}
}

func (r *Room) tick() {
	b := r.rooms.Batch()
	r.mu.Lock()
	r.ticking = false
	r.announceLocked(b)
	r.mu.Unlock()
	b.Flush()
}

// announceLocked appends what is pending to all outboxes. It comes before any
// frame from or about a participant, so that nobody hears of a stranger.
func (r *Room) announceLocked(b *Batch) {
	if r.closed || len(r.pending) == 0 && !r.recount {
		return
	}
	events, recount := r.pending, r.recount
	r.pending, r.recount = nil, false
	if len(events) == 0 {
		r.seq++
	}
	r.broadcastChangesLocked(b, events, recount)
}

// publishLocked announces a new track of p.
func (r *Room) publishLocked(b *Batch, p *Participant, f *feed) {
	r.listLocked(b, p)
	if len(p.tracks) == 0 {
		r.publishers++
	}
	p.tracks = append(p.tracks, f)
	p.changeInfo(func(i *Info) { i.Tracks = append(slices.Clip(i.Tracks), f.info) })
	r.emitLocked(b, &TrackPublished{SID: p.SID, Identity: p.Identity, Track: f.info}, nil)
	r.observeLocked(&Occurrence{Occasion: TrackAdded, Participant: p.info, Track: f.info})
	r.audience.open(b, f)
	f.askLocked(b) // whoever listens, so that it tells nothing
}

// unpublishLocked ends a track of p.
func (r *Room) unpublishLocked(b *Batch, p *Participant, f *feed, reason string) {
	p.tracks = slices.DeleteFunc(slices.Clone(p.tracks), func(g *feed) bool { return g == f })
	if len(p.tracks) == 0 {
		r.publishers--
	}
	p.changeInfo(func(i *Info) {
		i.Tracks = slices.DeleteFunc(slices.Clone(i.Tracks), func(t *TrackInfo) bool { return t.SID == f.info.SID })
	})
	r.emitLocked(b, &TrackUnpublished{SID: p.SID, Identity: p.Identity, TrackSID: f.info.SID, Reason: reason}, nil)
	r.observeLocked(&Occurrence{Occasion: TrackEnded, Participant: p.info, Track: f.info})
	r.audience.close(f)
}

// changeTrackLocked replaces the snapshot of a track.
func (p *Participant) changeTrackLocked(f *feed, change func(*TrackInfo)) {
	next := *f.info
	change(&next)
	f.info = &next
	p.changeInfo(func(i *Info) {
		i.Tracks = slices.Clone(i.Tracks)
		for n, t := range i.Tracks {
			if t.SID == next.SID {
				i.Tracks[n] = f.info
			}
		}
	})
}

// listLocked announces a shown participant that some have not in their list,
// before they hear from it.
func (r *Room) listLocked(b *Batch, p *Participant) {
	if p.listed || p.permission.Hidden() {
		return
	}
	r.introduceLocked(b, p)
}

// introduceLocked tells everybody of p as of a newcomer.
func (r *Room) introduceLocked(b *Batch, p *Participant) {
	p.announced, p.listed = true, true
	r.emitLocked(b, &ParticipantJoined{Participant: p.info, Presence: p.presence}, p.listener.others())
	if p.presence != nil {
		r.presentLocked(b, p)
	}
	r.recountLocked()
}

// feedLocked finds a track by its sid, as far as viewer may see it.
func (r *Room) feedLocked(viewer *Participant, sid string) *feed {
	for _, f := range r.audience.feeds {
		if f.info.SID == sid && visible(viewer, f.publisher) {
			return f
		}
	}
	return nil
}

// newHandle returns a random handle that no track of the room has.
func (r *Room) newHandle() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		h := binary.BigEndian.Uint32(b[:])
		if h != 0 && !slices.ContainsFunc(r.audience.feeds, func(f *feed) bool { return f.info.Handle == h }) {
			return h
		}
	}
}

// visible reports whether a participant may know of another. Every list,
// count, event and error goes by it.
func visible(viewer, other *Participant) bool {
	return viewer == other || !other.permission.Hidden()
}
