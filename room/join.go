package room

import (
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"usher/auth"
)

// A Participant is one presence of a person in a room, and its session. Its
// methods may be called concurrently; those that take a [Call] check that the
// connection still speaks for the session.
type Participant struct {
	rooms     *Rooms        // static
	room      *Room         // static
	grant     *auth.Grant   // static
	admit     func() error  // static; Join's, nil: nobody is asked
	knocked   bool          // written by Join: it had to wait
	format    string        // static; of the token
	SID       string        // static
	Identity  string        // static
	secret    [32]byte      // static
	dependent bool          // static
	listener  *listener     // static
	ready     chan struct{} // static; of a successor: closed when it has arrived

	presenceVersion atomic.Uint64 // written under the room's mutex

	// Guarded by the room's mutex.
	person      *person
	generation  uint32 // of the connection that speaks for the session
	connected   bool
	lastRequest uint64
	attempt     uint64       // of the client, to resume
	arrival     uint64       // the count at which the client knows that it was moved; 0: it does
	final       *Final       // set when it is no member any more
	successor   *Participant // that it goes on as, in another room
	waiting     bool         // to be let in: it is no member yet
	uncounted   uint64       // replies from when it waited, which its client may still acknowledge
	doorkeeper  bool         // it is told of those who wait
	grace       *alarm       // set while it is not connected
	stay        *alarm       // when it is put out
	renewal     *alarm       // when it gets another token
	lease       *alarm       // when one without a connection goes
	base        []auth.Say
	live        auth.Say // what was stated about this participant alone
	liveAt      time.Time
	permission  auth.Permission
	denied      map[string]struct{} // what was explained since the permission changed
	info        *Info
	announced   bool // some were told that it joined: they are told of its changes and its end
	listed      bool // all were
	tracks      []*feed
	presence    Presence
	withheld    Presence // was taken with the right to have one; its client does not say it again
	claims      uint64   // counts the changes that a token tells
	owned       bool     // whether it is an owner has changed, and those who receive from it have not
	refreshDue  bool
}

// A Join is a request to enter a room.
type Join struct {
	Grant         *auth.Grant
	Room          string // the room to enter
	Conn          Conn
	Encoder       Encoder
	Replay        bool // the dialect can resume
	AutoSubscribe bool
	// Restate says that the dialect has no word for a change of oneself: its
	// listener is told by another [Snapshot], and of nothing that a snapshot
	// had already.
	Restate bool
	// Admit is asked last, under the room's mutex: whether the token's key is
	// still good. It only reads memory.
	Admit func() error
}

// Join enters a room. The answer, a [Snapshot], is queued on the connection
// together with whatever follows. Whoever has to wait to be let in is told so by
// [Waiting] in its place, see [Participant.IsWaiting]; the answer comes when it is.
//
// Its errors are [ErrNotFound], [ErrFull], [ErrIdentityTaken], [ErrRevoked],
// [ErrBanned], [ErrNotAllowed], [ErrRoomNotOpen], [ErrRoomExpired], [ErrTimeOver],
// [ErrClosed], a [LimitError], an [InvalidError], or what Admit returned.
func (rs *Rooms) Join(b *Batch, j Join) (*Participant, error) {
	p, err := rs.join(b, j)
	switch {
	case err == nil && p.knocked:
		rs.metrics.joins.WithLabelValues("waiting").Inc() // it counts again when it is let in
	case err == nil:
		rs.metrics.joined.Inc()
	default:
		rs.metrics.joins.WithLabelValues(joinOutcome(err)).Inc()
	}
	return p, err
}

// Refuse counts an attempt to join whose token does not hold.
func (rs *Rooms) Refuse(err error) {
	outcome := "invalid_token"
	if errors.Is(err, auth.ErrExpired) {
		outcome = "token_expired"
	}
	rs.metrics.joins.WithLabelValues(outcome).Inc()
}

func joinOutcome(err error) string {
	switch {
	case errors.Is(err, ErrNotFound):
		return "not_found"
	case errors.Is(err, ErrFull):
		return "full"
	case errors.Is(err, ErrIdentityTaken):
		return "identity_taken"
	case errors.Is(err, ErrNotAllowed):
		return "not_allowed"
	case errors.Is(err, ErrClosed):
		return "closed"
	case errors.Is(err, ErrRevoked), errors.Is(err, ErrBanned), errors.Is(err, auth.ErrRevokedKey):
		return "revoked"
	case errors.Is(err, ErrRoomNotOpen):
		return "room_not_open"
	case errors.Is(err, ErrRoomExpired):
		return "room_expired"
	case errors.Is(err, ErrTimeOver):
		return "time_over"
	case errors.Is(err, auth.ErrExpired):
		return "token_expired"
	}
	return "invalid"
}

func (rs *Rooms) join(b *Batch, j Join) (*Participant, error) {
	g := j.Grant
	if !g.Join {
		return nil, ErrNotAllowed
	}
	if g.Identity == "" {
		return nil, &InvalidError{"the token names no identity"}
	}
	if j.Room == "" {
		return nil, &InvalidError{"no room was named"}
	}
	l := rs.cfg.Limits
	if err := errors.Join(l.Identity(g.Identity), l.RoomName(j.Room), l.Name(g.Name), l.Metadata(g.Metadata),
		l.Attributes(g.Attributes), l.Metadata(g.RoomConfig.Metadata)); err != nil {
		return nil, firstError(err)
	}

	p := &Participant{
		rooms: rs, grant: g, admit: j.Admit, format: g.Format.Name(), Identity: g.Identity,
		SID:       rs.newSID("PA_"),
		dependent: g.Kind.Dependent() || g.Dependent,
		connected: true, generation: 1,
	}
	_, _ = rand.Read(p.secret[:]) // never fails
	p.listener = &listener{participant: p, autoSubscribe: j.AutoSubscribe, restate: j.Restate,
		outbox: &outbox{shared: rs.shared, encoder: j.Encoder, replay: j.Replay}}

	r, made, err := rs.open(g.Project, j.Room, rs.mayMake(g), g, g.RoomConfig)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	if err := r.admitLocked(b, p, j); err != nil {
		r.abandonLocked(b, made)
		return nil, err
	}
	return p, nil
}

// admitLocked decides whether p may enter, and if so lets it in, replaces whom
// it replaces and tells everybody, in one step.
func (r *Room) admitLocked(b *Batch, p *Participant, j Join) error {
	p.room = r
	if err := r.passLocked(p); err != nil {
		return err
	}
	waits, err := r.doorLocked(p.grant, false)
	if err != nil {
		return err
	}
	if waits {
		p.knocked = true
		return r.waitLocked(b, p, j)
	}
	replaced, err := r.prepareLocked(p, uint8(j.Encoder.Dialect()))
	if err != nil {
		return err
	}
	r.enterLocked(b, p, replaced)
	o := p.listener.outbox
	o.mu.Lock()
	_, dirty := o.attachLocked(j.Conn, 0, 0, func(bool) *frame { return r.snapshotLocked(p, false) })
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	r.greetLocked(b, p)
	return nil
}

// passLocked decides whether p's token is refused here, at this moment.
func (r *Room) passLocked(p *Participant) error {
	if _, ok := r.banned[p.Identity]; ok {
		return ErrBanned
	}
	if r.rooms.revocations.refuses(r.Project, r.Name, p.grant) {
		return ErrRevoked
	}
	if p.admit != nil {
		return p.admit()
	}
	return nil
}

// prepareLocked decides what p may do in the room, and whether there is a place
// and time for it. Nothing has changed in the room when it returns.
func (r *Room) prepareLocked(p *Participant, dialect uint8) (replaced []*Participant, err error) {
	g := p.grant
	if p.base, err = r.entryLocked(g); err != nil {
		return nil, err
	}
	r.recallLocked(p)
	p.permission = auth.Resolve(p.layersLocked()...)
	if replaced, err = r.placeLocked(p); err != nil {
		return nil, err
	}
	now := time.Now()
	end, err := r.stayLocked(g, now)
	if err != nil {
		return nil, err
	}
	p.info = &Info{
		SID: p.SID, Identity: p.Identity, Name: g.Name, Kind: g.Kind, KindDetails: g.KindDetails,
		State: Active, Metadata: g.Metadata, Attributes: maps.Clone(g.Attributes),
		Permission: p.permission, Recorder: g.Dependent, JoinedAt: now, EjectAt: end, Version: 1, Dialect: dialect,
	}
	if err := r.numberLocked(p); err != nil {
		return nil, err
	}
	return replaced, r.openLocked(g)
}

// enterLocked makes p, which was prepared, a member.
func (r *Room) enterLocked(b *Batch, p *Participant, replaced []*Participant) {
	r.seatLocked(b, p, replaced)
	r.rooms.touch(r.record, p.info.JoinedAt)
	if p.listener.restate {
		p.listener.since = r.seq
	}
}

// greetLocked tells p what it is to have right after its snapshot.
func (r *Room) greetLocked(b *Batch, p *Participant) {
	r.beginLocked(b, p)
	p.refreshLocked(b)
}

// seatLocked makes p a member and tells the others, before p's own snapshot,
// which then has the number of its own join.
func (r *Room) seatLocked(b *Batch, p *Participant, replaced []*Participant) {
	r.startLocked()
	r.meetLocked()
	r.arriving = true
	for _, q := range replaced {
		r.evictLocked(b, q, Final{Reason: DuplicateIdentity, Cause: CauseReplaced})
	}
	r.arriving = false
	who := r.personLocked(p.Identity) // anew: it may have gone with the last one
	p.person = who
	who.participants = append(who.participants, p)
	r.noteEarly(p)
	r.participants[p.SID] = p
	hidden := p.permission.Hidden()
	if !hidden {
		r.shown++
	}
	if p.occupies(p.permission) {
		r.occupied++
	}
	if !p.dependent {
		r.keeping++
		r.unused = time.Time{}
		r.idle.Stop()
	}
	if p.records() {
		r.recorders++
	}
	r.rooms.sessions.Store(p.SID, p)
	p.limitLocked()
	p.renewLaterLocked()
	if !hidden {
		if r.shown <= r.rooms.cfg.RosterLimit {
			p.announced, p.listed = true, true
			r.announceLaterLocked(b, &ParticipantJoined{Participant: p.info, Presence: p.presence})
		} else {
			r.partial = true
		}
		r.recountLocked()
	}
	r.audience.enter(p.listener)
	r.observeLocked(&Occurrence{Occasion: ParticipantEntered, Participant: p.info})
	if r.rooms.watched() {
		b.later(func() {
			r.rooms.cfg.Log.Debug("participant joined", "project", r.Project, "room", r.Name,
				"identity", p.Identity, "session", p.SID, "key", p.grant.KeyID, "hidden", hidden)
		})
	}
}

// beginLocked tells p, right after its snapshot, what it receives already.
func (r *Room) beginLocked(b *Batch, p *Participant) {
	for f := range p.listener.subs {
		p.listener.send(b, newFrame(counted, &TrackSubscribed{SID: f.publisher.SID, Track: f.info}, 256))
	}
	r.audience.askForKeys(b, p.listener)
}

// snapshotLocked opens a connection of a session. In a room with more people
// than are listed it holds those who publish; whoever is left out is announced
// again before the others hear from it. The outbox's mutex must be held.
func (r *Room) snapshotLocked(p *Participant, recovered bool) *frame {
	s, size := r.tellLocked(p, recovered)
	return newFrame(opening, s, size)
}

// headLocked is the snapshot without the others.
func (r *Room) headLocked(p *Participant, recovered bool) *Snapshot {
	var waiting []*Info
	if !recovered {
		waiting = r.waitingLocked(p)
	}
	return &Snapshot{
		Waiting: waiting, SessionData: r.data, Start: r.startOfLocked(p),
		Session: p.SID, Secret: Secret{p.secret, p.listener.outbox.count}.String(), Recovered: recovered, Seq: r.seq, Epoch: r.epoch,
		LastRequest: p.lastRequest, Room: r.summaryLocked(), Self: p.info, Grace: r.rooms.cfg.Grace, PingInterval: r.rooms.cfg.PingInterval,
	}
}

// tellLocked is the snapshot, and about its size.
func (r *Room) tellLocked(p *Participant, recovered bool) (s *Snapshot, size int) {
	s = r.headLocked(p, recovered)
	s.Presence = map[string]Presence{}
	everybody := r.shown <= r.rooms.cfg.RosterLimit
	size = p.info.size() + len(r.settings.Metadata)
	if !recovered {
		s.Participants = make([]*Info, 0, len(r.audience.listeners))
	}
	for _, l := range r.audience.listeners {
		q := l.participant
		if q == p || !visible(p, q) {
			continue
		}
		if !recovered {
			if !everybody && len(q.tracks) == 0 {
				q.listed, r.partial = false, true
				continue
			}
			q.announced = true
			s.Participants = append(s.Participants, q.info)
			size += q.info.size()
		}
		if q.presence != nil {
			s.Presence[q.SID] = q.presence
			size += q.presence.size()
		}
	}
	if p.presence != nil {
		s.Presence[p.SID] = p.presence
	}
	return s, size
}

// stateChangedLocked tells the others that p's connection was cut or is back.
func (r *Room) stateChangedLocked(b *Batch, p *Participant) {
	if !p.permission.Hidden() && p.announced {
		r.announceLaterLocked(b, &ParticipantUpdated{Participant: p.info, Changed: ChangedState})
	}
}

// changeInfo replaces the snapshot of p by a changed one.
func (p *Participant) changeInfo(change func(*Info)) {
	i := p.info
	next := &Info{
		SID: i.SID, Identity: i.Identity, Name: i.Name, Kind: i.Kind, KindDetails: i.KindDetails, State: i.State,
		Metadata: i.Metadata, Attributes: i.Attributes, Permission: i.Permission, Recorder: i.Recorder,
		Tracks: i.Tracks, JoinedAt: i.JoinedAt, EjectAt: i.EjectAt, Version: i.Version + 1, Actor: i.Actor, Dialect: i.Dialect,
	}
	change(next)
	p.info = next
}

func (p *Participant) setState(s State) { p.changeInfo(func(i *Info) { i.State = s }) }

// records reports whether p is a recorder.
func (p *Participant) records() bool { return p.grant.Dependent && p.grant.Kind != auth.Agent }

// layersLocked is what decides p's permission, weakest first.
func (p *Participant) layersLocked() []auth.Say {
	layers := append(slices.Clip(p.base), p.room.record.live(p.Identity, p.room.ID, p.grant)...)
	if p.live.IsZero() {
		return layers
	}
	return append(layers, p.live)
}

// firstError returns the first of joined errors, for people who are told one.
func firstError(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()[0]
	}
	return err
}

// Hint tells p that the server is about to stop and when to come back.
func (p *Participant) Hint(b *Batch, after time.Duration) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.listener.send(b, newFrame(control, &ReconnectHint{After: after}, 32))
}

// EndOf ends p's connection with the cause, if it still is this one, and leaves
// p to its grace period.
func (p *Participant) EndOf(b *Batch, c Conn, cause Cause) {
	o := p.listener.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == c && o.detachLocked(cause, true) {
		b.add(o)
	}
}

// Control queues a WebSocket control frame on the connection, between whole
// frames, if it still is p's.
func (p *Participant) Control(b *Batch, c Conn, wire []byte) {
	o := p.listener.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == c && o.putLocked(&frame{class: control, size: len(wire) + frameOverhead, at: time.Now(), raw: wire}, nil) {
		b.add(o)
	}
}

// Room returns the room that p is or was in.
func (p *Participant) Room() *Room { return p.room }

// Grant returns what p's token granted.
func (p *Participant) Grant() *auth.Grant { return p.grant }
