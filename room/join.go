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
	rooms     *Rooms      // static
	room      *Room       // static
	grant     *auth.Grant // static
	format    string      // static; of the token
	SID       string      // static
	Identity  string      // static
	secret    [32]byte    // static
	dependent bool        // static
	listener  *listener   // static

	presenceVersion atomic.Uint64 // written under the room's mutex

	// Guarded by the room's mutex.
	person      *person
	generation  uint32 // of the connection that speaks for the session
	connected   bool
	lastRequest uint64
	attempt     uint64      // of the client, to resume
	final       *Final      // set when it is no member any more
	grace       *time.Timer // runs while it is not connected
	base        []auth.Say
	live        auth.Say // what was stated about this participant alone
	permission  auth.Permission
	denied      map[string]struct{} // what was explained since the permission changed
	info        *Info
	announced   bool // some were told that it joined: they are told of its changes and its end
	listed      bool // all were
	tracks      []*feed
	presence    Presence
	claims      uint64 // counts the changes that a token tells
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
	// Admit is asked last, under the room's mutex: whether the token's key is
	// still good. It only reads memory.
	Admit func() error
}

// Join enters a room. The answer, a [Snapshot], is queued on the connection
// together with whatever follows. Its errors are [ErrNotFound], [ErrFull],
// [ErrIdentityTaken], [ErrRevoked], [ErrNotAllowed], [ErrClosed], a
// [LimitError], an [InvalidError], or what Admit returned.
func (rs *Rooms) Join(b *Batch, j Join) (*Participant, error) {
	p, err := rs.join(b, j)
	rs.metrics.joins.WithLabelValues(joinOutcome(err)).Inc()
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
	case err == nil:
		return "ok"
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
	case errors.Is(err, ErrRevoked), errors.Is(err, auth.ErrRevokedKey):
		return "revoked"
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
		rooms: rs, grant: g, format: g.Format.Name(), Identity: g.Identity,
		SID:       rs.newSID("PA_"),
		dependent: g.Kind.Dependent() || g.Dependent,
		base:      g.Base,
		connected: true, generation: 1,
	}
	_, _ = rand.Read(p.secret[:]) // never fails
	p.listener = &listener{participant: p, autoSubscribe: j.AutoSubscribe,
		outbox: &outbox{shared: rs.shared, encoder: j.Encoder, replay: j.Replay}}

	r, made, err := rs.open(g.Project, j.Room, rs.cfg.AutoCreate || g.CreateRoom, g.RoomConfig)
	if err != nil {
		return nil, err
	}
	defer r.mu.Unlock()
	if err := r.admitLocked(b, p, j); err != nil {
		if made {
			r.closeLocked(b, Final{RoomDeleted, CauseRoomDeleted})
		}
		return nil, err
	}
	return p, nil
}

// admitLocked decides whether p may enter, and if so lets it in, replaces whom
// it replaces and tells everybody, in one step.
func (r *Room) admitLocked(b *Batch, p *Participant, j Join) error {
	rs, g := r.rooms, p.grant
	if rs.revocations.refuses(personKey{r.Project, r.Name, p.Identity}, g) {
		return ErrRevoked
	}
	if j.Admit != nil {
		if err := j.Admit(); err != nil {
			return err
		}
	}
	var replaced []*Participant
	if who := r.people[p.Identity]; who != nil {
		for _, q := range who.participants {
			switch {
			case q.format != p.format:
			case !q.connected, rs.cfg.DuplicateIdentity == Replace:
				replaced = append(replaced, q)
			case rs.cfg.DuplicateIdentity == Reject:
				return ErrIdentityTaken
			}
		}
	}
	who := r.personLocked(p.Identity)
	p.person, p.room = who, r
	p.permission = auth.Resolve(p.layersLocked()...)
	hidden := p.permission.Hidden()
	if !p.dependent && !hidden && r.settings.MaxParticipants > 0 {
		staying := r.occupied
		for _, q := range replaced {
			if !q.dependent && !q.permission.Hidden() {
				staying--
			}
		}
		if staying >= r.settings.MaxParticipants {
			r.tidyLocked(who)
			return ErrFull
		}
	}

	for _, q := range replaced {
		r.evictLocked(b, q, Final{DuplicateIdentity, CauseReplaced})
	}
	r.people[p.Identity] = who // it may have been tidied away with the last one
	who.participants = append(who.participants, p)
	if g.FirstIssued().After(time.Now()) && len(who.tokens) < 64 {
		who.tokens = append(who.tokens, g.TokenHash)
		who.sessions = append(who.sessions, p.SID)
	}
	r.participants[p.SID] = p
	if !hidden {
		r.shown++
		if !p.dependent {
			r.occupied++
		}
	}
	if !p.dependent {
		r.keeping++
		r.idle.Stop()
	}
	p.info = &Info{
		SID: p.SID, Identity: p.Identity, Name: g.Name, Kind: g.Kind, KindDetails: g.KindDetails,
		State: Active, Metadata: g.Metadata, Attributes: maps.Clone(g.Attributes),
		Permission: p.permission, Recorder: g.Dependent, JoinedAt: time.Now(), Version: 1,
	}
	rs.sessions.Store(p.SID, p)

	// The others first, so that p's snapshot has the number of its own join.
	if !hidden {
		if r.shown <= rs.cfg.RosterLimit {
			p.announced, p.listed = true, true
			r.announceLaterLocked(b, &ParticipantJoined{Participant: p.info})
		} else {
			r.partial = true
		}
		r.recountLocked()
	}
	r.audience.enter(p.listener)
	o := p.listener.outbox
	o.mu.Lock()
	_, dirty := o.attachLocked(j.Conn, 0, 0, func(bool) *frame { return r.snapshotLocked(p, false) })
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	// What p receives already it learns right after the snapshot.
	for f := range p.listener.subs {
		p.listener.send(b, newFrame(counted, &TrackSubscribed{SID: f.publisher.SID, Track: f.info}, 256))
	}
	r.audience.askForKeys(b, p.listener)
	p.refreshLocked(b)
	b.later(func() {
		rs.cfg.Log.Info("participant joined", "project", r.Project, "room", r.Name,
			"identity", p.Identity, "session", p.SID, "key", g.KeyID, "hidden", hidden)
	})
	return nil
}

// snapshotLocked opens a connection of a session. In a room with more people
// than are listed it holds those who publish; whoever is left out is announced
// again before the others hear from it. The outbox's mutex must be held.
func (r *Room) snapshotLocked(p *Participant, recovered bool) *frame {
	s := &Snapshot{
		Session: p.SID, Secret: Secret{p.secret, p.listener.outbox.count}.String(), Recovered: recovered, Seq: r.seq, Epoch: r.epoch,
		LastRequest: p.lastRequest, Room: r.summaryLocked(), Self: p.info, Grace: r.rooms.cfg.Grace, PingInterval: r.rooms.cfg.PingInterval,
		Presence: map[string]Presence{},
	}
	everybody := r.shown <= r.rooms.cfg.RosterLimit
	size := p.info.size() + len(r.settings.Metadata)
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
		if len(q.presence) > 0 {
			s.Presence[q.SID] = q.presence
			size += q.presence.size()
		}
	}
	if len(p.presence) > 0 {
		s.Presence[p.SID] = p.presence
	}
	return newFrame(opening, s, size)
}

// A Resumption is a request to give a session a new connection.
type Resumption struct {
	Session  string
	Secret   Secret // proves that the session is the client's own
	Received uint64 // how many reliable frames the client has had
	// Attempt grows with each attempt of the client, when it is not 0. One that
	// was overtaken by a later one on its way is refused: it would take the
	// session from the connection that the client uses.
	Attempt uint64
	Conn    Conn
	Admit   func(*auth.Grant) error // as in [Join]
}

// Resume gives a session a new connection.
// The answer, a [Snapshot], is queued on the connection, then whatever the
// client has missed. The final word is set when the session has ended.
func (rs *Rooms) Resume(b *Batch, m Resumption) (p *Participant, generation uint32, ended *Final, err error) {
	defer func() {
		if err != nil || ended != nil {
			rs.metrics.resumes.WithLabelValues("refused").Inc()
		}
	}()
	if rs.stopping.Load() {
		return nil, 0, nil, ErrClosed
	}
	v, ok := rs.sessions.Load(m.Session)
	if !ok {
		final, err := rs.epitaph(m.Session, m.Secret)
		return nil, 0, final, err
	}
	p = v.(*Participant)
	if !m.Secret.proves(&p.secret) {
		return nil, 0, nil, ErrNoSession
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.final != nil {
		final := *p.final
		return nil, 0, &final, nil
	}
	if rs.revocations.refuses(personKey{r.Project, r.Name, p.Identity}, p.grant) {
		return nil, 0, nil, ErrRevoked
	}
	if m.Admit != nil {
		if err := m.Admit(p.grant); err != nil {
			return nil, 0, nil, err
		}
	}
	if m.Attempt != 0 && m.Attempt <= p.attempt {
		return nil, 0, &Final{DuplicateIdentity, CauseResumed}, nil
	}
	p.attempt = max(p.attempt, m.Attempt)
	p.generation++
	if p.grace != nil {
		p.grace.Stop()
		p.grace = nil
	}
	back := !p.connected
	p.connected = true
	r.announceLocked(b) // the snapshot may show what is pending
	if back {
		p.setState(Active)
	}
	o := p.listener.outbox
	o.mu.Lock()
	dirty := o.detachLocked(CauseResumed, false)
	recovered, again := o.attachLocked(m.Conn, m.Secret.count, m.Received, func(recovered bool) *frame { return r.snapshotLocked(p, recovered) })
	o.mu.Unlock()
	if dirty || again {
		b.add(o)
	}
	if !recovered {
		for f := range p.listener.subs {
			p.listener.send(b, newFrame(counted, &TrackSubscribed{SID: f.publisher.SID, Track: f.info}, 256))
		}
	}
	for _, s := range p.listener.subs { // what was lost in between was not replayed
		s.restart()
	}
	r.audience.askForKeys(b, p.listener)
	for _, f := range p.tracks { // nor is what it sent itself
		f.interrupted(b)
	}
	if back {
		r.stateChangedLocked(b, p)
	}
	p.refreshLocked(b)
	outcome := "snapshot"
	if recovered {
		outcome = "recovered"
	}
	rs.metrics.resumes.WithLabelValues(outcome).Inc()
	return p, p.generation, nil, nil
}

// epitaph says how a session that is no more ended.
func (rs *Rooms) epitaph(sid string, secret Secret) (*Final, error) {
	rs.pastMu.Lock()
	defer rs.pastMu.Unlock()
	t := rs.past[sid]
	if t == nil || !secret.proves(&t.secret) {
		return nil, ErrNoSession
	}
	final := t.final
	return &final, nil
}

// Disconnected says that the connection of that generation has ended. After a
// leave the participant is gone at once, after a cut when the grace period
// ends. It does nothing when another connection has taken over.
func (p *Participant) Disconnected(b *Batch, generation uint32, cut bool) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.final != nil || p.generation != generation {
		return
	}
	o := p.listener.outbox
	o.mu.Lock()
	dirty := o.detachLocked(CauseLeft, false)
	o.mu.Unlock()
	if dirty {
		b.add(o)
	}
	if r.rooms.stopping.Load() {
		// Everybody goes. Telling each of each would be a storm for nothing.
		r.dismissLocked(b, p, Final{ServerShutdown, CauseShutdown})
		return
	}
	if !cut || !o.replay {
		r.evictLocked(b, p, Final{ClientInitiated, CauseLeft})
		return
	}
	p.generation++
	p.connected = false
	waiting := p.generation
	p.grace = time.AfterFunc(r.rooms.cfg.Grace, func() {
		b := r.rooms.Batch()
		r.mu.Lock()
		if p.final == nil && p.generation == waiting {
			r.evictLocked(b, p, Final{ConnectionTimeout, CausePingTimeout})
		}
		r.mu.Unlock()
		b.Flush()
	})
	p.setState(Reconnecting)
	r.stateChangedLocked(b, p)
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
		Tracks: i.Tracks, JoinedAt: i.JoinedAt, Version: i.Version + 1,
	}
	change(next)
	p.info = next
}

func (p *Participant) setState(s State) { p.changeInfo(func(i *Info) { i.State = s }) }

// layersLocked is what decides p's permission, weakest first.
func (p *Participant) layersLocked() []auth.Say {
	return append(slices.Clip(p.base), p.person.live, p.live)
}

// firstError returns the first of joined errors, for people who are told one.
func firstError(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()[0]
	}
	return err
}
