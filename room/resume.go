package room

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"time"

	"usher/auth"
)

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
	for p.successor != nil { // it was moved: its session goes on elsewhere
		r.mu.Unlock()
		p = p.Successor()
		r = p.room
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if p.final != nil {
		final := *p.final
		return nil, 0, &final, nil
	}
	if rs.revocations.refuses(r.Project, r.Name, p.grant) {
		return nil, 0, nil, ErrRevoked
	}
	if m.Admit != nil {
		if err := m.Admit(p.grant); err != nil {
			return nil, 0, nil, err
		}
	}
	if _, err := r.entryLocked(p.grant); err != nil {
		return nil, 0, nil, err
	}
	if m.Attempt != 0 && m.Attempt <= p.attempt {
		return nil, 0, &Final{Reason: DuplicateIdentity, Cause: CauseResumed}, nil
	}
	p.attempt = max(p.attempt, m.Attempt)
	p.generation++
	p.uncounted = 0
	rs.wheel.stop(p.grace)
	back := !p.connected
	p.connected = true
	r.announceLocked(b) // the snapshot may show what is pending
	if back {
		p.setState(Active)
	}
	o := p.listener.outbox
	o.mu.Lock()
	dirty := o.detachLocked(CauseResumed, false)
	count := m.Secret.count
	if p.arrival != 0 { // what it missed is of another room
		p.arrival, count = 0, ^o.count
	}
	recovered, again := o.attachLocked(m.Conn, count, m.Received, func(recovered bool) *frame { return r.snapshotLocked(p, recovered) })
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
	p.renewLaterLocked()
	outcome := "snapshot"
	if recovered {
		outcome = "recovered"
	}
	rs.metrics.resumes.WithLabelValues(outcome).Inc()
	return p, p.generation, nil, nil
}

// awaitLocked ends p when it has not come back within the grace period.
func (p *Participant) awaitLocked() {
	if p.grace == nil {
		p.grace = &alarm{p: p, do: graceOver}
	}
	p.rooms.wheel.set(p.grace, time.Now().Add(p.rooms.cfg.Grace))
}

func graceOver(b *Batch, p *Participant) {
	p.room.evictLocked(b, p, Final{Reason: ConnectionTimeout, Cause: CausePingTimeout})
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
	for q := p.Successor(); q != nil; q = p.Successor() {
		p = q
	}
	r := p.room
	r.mu.Lock()
	if p.successor != nil { // moved at this very moment
		r.mu.Unlock()
		p.Disconnected(b, generation, cut)
		return
	}
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
	if r.rooms.stopping.Load() && !p.waiting {
		// Everybody goes. Telling each of each would be a storm for nothing.
		r.departLocked(b, p, Final{Reason: ServerShutdown, Cause: CauseShutdown})
		return
	}
	if !cut || !o.replay || p.waiting {
		r.evictLocked(b, p, Final{Reason: ClientInitiated, Cause: CauseLeft})
		return
	}
	p.generation++
	p.connected = false
	p.awaitLocked()
	p.setState(Reconnecting)
	r.stateChangedLocked(b, p)
}

// A Secret proves that a resume comes from the session's own client. It also
// says by which count the client counts what it has received: each snapshot that
// is not a recovery begins a new one and comes with a secret of its own.
type Secret struct {
	proof [32]byte
	count uint32
}

// ParseSecret reads a resume secret.
func ParseSecret(text string) (s Secret, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(s.proof)+4 {
		return s, false
	}
	return Secret{[32]byte(b), binary.BigEndian.Uint32(b[len(s.proof):])}, true
}

// String is the secret as its client sees it.
func (s Secret) String() string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(s.proof[:], s.count))
}

// proves reports whether the secret is one of the session's with that proof.
func (s Secret) proves(proof *[32]byte) bool {
	return subtle.ConstantTimeCompare(s.proof[:], proof[:]) == 1
}
