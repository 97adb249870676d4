package room

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/room/store"
)

// Policy says what happens when an identity joins a room that it is in already,
// with a token of the same kind.
type Policy string

const (
	Replace Policy = "replace" // the one who was there leaves
	Reject  Policy = "reject"  // the newcomer is refused
	Allow   Policy = "allow"   // both stay
)

// Config is how rooms behave. Zero values mean what is said with each field.
type Config struct {
	// AutoCreate lets a LiveKit join make a room that does not exist.
	AutoCreate bool
	// EmptyTimeout is how long a room nobody has joined yet stays. Default 5 min.
	EmptyTimeout time.Duration
	// DepartureTimeout is how long a room stays after the last one left. Default 20 s.
	DepartureTimeout time.Duration
	// MaxParticipants limits rooms that set no limit of their own. 0: no limit.
	MaxParticipants int
	// Grace is how long a participant whose connection was cut stays. Default 30 s.
	Grace time.Duration
	// PingInterval is told to clients; the sessions keep to it. Default 15 s.
	PingInterval time.Duration
	// RosterLimit is how many shown participants a room lists. Above it those
	// who do not publish are only counted. Default 1000.
	RosterLimit int
	// DuplicateIdentity is the policy for LiveKit tokens. Default Replace.
	DuplicateIdentity Policy
	// AccessLists reads access lists for people who are not there: what an edit
	// takes from them, and why. Optional.
	AccessLists auth.Format
	// Forgetful lets go of live permission changes when the participant leaves,
	// as LiveKit does. By default they hold as long as the room lives.
	Forgetful bool
	// Limits and Outbox bound what participants send and what waits for them.
	// The zero value means DefaultLimits and DefaultOutboxLimits.
	Limits Limits
	Outbox OutboxLimits
	// Refresh signs a token for the present state of a session. Optional.
	Refresh func(*auth.Grant, auth.Current) (token string, expires time.Time, err error)
	// RefreshInterval is how often a refreshed token is pushed, besides those that tell
	// of a change. Default 5 min.
	RefreshInterval time.Duration
	// Store is where durable state is kept. Optional: without it, in memory.
	Store store.Store
	// TokenLife bounds how long a token may live: statements and revocations
	// are kept no longer than there can be tokens that they hold against.
	// 0: for ever.
	TokenLife time.Duration
	// RefreshLife is how long refreshed tokens live. Default 10 min.
	RefreshLife time.Duration
	// Observer is told what occurs. Optional.
	Observer Observer
	// Log is where lifecycle goes. Optional.
	Log *slog.Logger
	// Metrics is where metrics are registered. Optional.
	Metrics prometheus.Registerer
}

// Rooms is all rooms of a process. Its methods may be called concurrently.
type Rooms struct {
	cfg         Config
	node        string // names this process in session ids
	shared      *outboxes
	metrics     *metrics
	flushers    flushers
	store       store.Store
	revocations revocations
	early       early
	actors      actors
	listing     listing // of rooms with a Liveblocks part
	days        listing // of rooms with a Daily part
	expiring    expiring
	touched     touched
	stays       stays
	wheel       wheel

	mu      sync.Mutex // guards the following fields
	rooms   map[key]*Room
	records map[key]*record // of those, and of names that something is remembered of
	leaving []*record       // of rooms that ended, until the store knows

	stopping atomic.Bool // nobody joins or resumes any more

	sessions sync.Map // sid → *Participant; of those that are members

	purged time.Time // when statements were last looked through; Sweep's

	pastMu sync.Mutex // guards past; a leaf
	past   map[string]*tombstone
}

type key struct{ project, name string }

// tombstone remembers how a session ended, for a resume that comes too late.
type tombstone struct {
	key      key
	record   *record // of the room, which may have another name by now
	identity string
	stranger bool // it cannot come again
	secret   [32]byte
	final    Final
	until    time.Time
}

// pastFor is how much longer than the grace period a session's end is remembered.
const pastFor = time.Minute

// New returns the rooms that the store knows of. Close releases them. Its errors
// are the store's.
func New(cfg Config) (*Rooms, error) {
	if cfg.EmptyTimeout <= 0 {
		cfg.EmptyTimeout = 5 * time.Minute
	}
	if cfg.DepartureTimeout <= 0 {
		cfg.DepartureTimeout = 20 * time.Second
	}
	if cfg.Grace <= 0 {
		cfg.Grace = 30 * time.Second
	}
	if cfg.PingInterval <= 0 {
		cfg.PingInterval = 15 * time.Second
	}
	if cfg.RosterLimit <= 0 {
		cfg.RosterLimit = 1000
	}
	if cfg.RefreshInterval <= 0 {
		cfg.RefreshInterval = 5 * time.Minute
	}
	if cfg.RefreshLife <= 0 {
		cfg.RefreshLife = 10 * time.Minute
	}
	if cfg.DuplicateIdentity == "" {
		cfg.DuplicateIdentity = Replace
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits
	}
	if cfg.Outbox == (OutboxLimits{}) {
		cfg.Outbox = DefaultOutboxLimits
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	rs := &Rooms{
		cfg:     cfg,
		node:    rand.Text()[:4],
		store:   cfg.Store,
		rooms:   make(map[key]*Room),
		records: make(map[key]*record),
		past:    make(map[string]*tombstone),
		metrics: newMetrics(cfg.Metrics),
		days:    listing{made: make(map[string]map[string]int64)},
	}
	if rs.store == nil {
		rs.store = store.NewMemory()
	}
	rs.shared = &outboxes{limits: cfg.Outbox, metrics: rs.metrics}
	rs.wheel.init(rs)
	rs.metrics.observe(rs)
	rs.revocations.init(rs.store, cfg.TokenLife, cfg.RefreshLife)
	if err := rs.actors.load(rs.store); err != nil {
		return nil, err
	}
	if err := rs.load(); err != nil {
		return nil, err
	}
	rs.flushers.start(runtime.GOMAXPROCS(0))
	return rs, nil
}

// WaitingBytes is how much waits to be written in all outboxes; what several
// wait for counts once.
func (rs *Rooms) WaitingBytes() int64 { return rs.shared.total.Load() }

// Limits returns the limits in force.
func (rs *Rooms) Limits() Limits { return rs.cfg.Limits }

// Grace is how long a participant whose connection was cut stays.
func (rs *Rooms) Grace() time.Duration { return rs.cfg.Grace }

// Stop makes every later join and resume fail with [ErrClosed].
func (rs *Rooms) Stop() { rs.stopping.Store(true) }

// Close ends all rooms and waits for what the package started. The sessions
// should have ended; those that have not are put out.
func (rs *Rooms) Close() {
	rs.Stop()
	b := rs.Batch()
	for _, r := range rs.all() {
		r.close(b, Final{Reason: ServerShutdown, Cause: CauseShutdown})
	}
	b.Flush()
	b.Wait()
	rs.wheel.close()
	rs.flushers.end()
	rs.touched.write()
}

// Lookup returns the room with that name, if it lives.
func (rs *Rooms) Lookup(project, name string) (*Room, bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r, ok := rs.rooms[key{project, name}]
	return r, ok
}

func (rs *Rooms) all() []*Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := make([]*Room, 0, len(rs.rooms))
	for _, r := range rs.rooms {
		list = append(list, r)
	}
	return list
}

// open returns the room, locked, bringing it to life when it exists, or when it
// may be made: by a server API, without a grant, or with one, which is a token's.
func (rs *Rooms) open(project, name string, create bool, g *auth.Grant, cfg auth.RoomConfig) (r *Room, made bool, err error) {
	k := key{project, name}
	for {
		if rs.stopping.Load() {
			return nil, false, ErrClosed
		}
		rs.mu.Lock()
		var revived bool
		r, made = rs.rooms[k], false
		if r != nil && r.record.key != k { // the room has another name, and this life ends
			rs.mu.Unlock()
			b := rs.Batch()
			rs.endFormer(b, r.record)
			b.Flush()
			continue
		}
		if r == nil {
			rec := rs.records[k]
			if !(rec != nil && (rec.listed() || rec.daily.stays())) && !(create && rec.makable(g)) {
				rs.mu.Unlock()
				return nil, false, ErrNotFound
			}
			if rec == nil {
				rec = rs.newRecord(k)
				rs.records[k] = rec
			}
			if part := rec.liveKit(); part != nil { // between the end of a life and the next
				r, revived = rs.bringLocked(k, rec, part, newRoomID()), true
			} else {
				r, made = newRoom(rs, k, rec, cfg), true
				rs.rooms[k] = r
			}
		}
		rs.mu.Unlock()
		if beforeLock != nil {
			beforeLock()
		}
		r.mu.Lock()
		if revived && !r.closed {
			r.beginAgainLocked()
		}
		if !r.closed {
			return r, made, nil
		}
		r.mu.Unlock()
		rs.forget(r) // it ended in between
	}
}

// lifeOf returns the life of a room with that record, if it has one. A life under
// a name that the room had before is over when it returns: nobody acts in a life
// that is not found. No room may be locked.
func (rs *Rooms) lifeOf(b *Batch, rec *record) *Room {
	rs.endFormer(b, rec)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.rooms[rec.key]; r != nil && r.record == rec {
		return r
	}
	return nil
}

// forget takes a closed room out of the index.
func (rs *Rooms) forget(r *Room) {
	r.record.forgetSaid(r.ID)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if k := r.key(); rs.rooms[k] == r {
		delete(rs.rooms, k)
		rs.leaving = append(rs.leaving, r.record)
		rs.tidyLocked(r.record)
	}
}

// sweepLeaving forgets the records of rooms that have ended, once the store has
// forgotten them. What could not be written is tried again.
func (rs *Rooms) sweepLeaving() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.leaving = slices.DeleteFunc(rs.leaving, func(rec *record) bool {
		renamed := rec.renamedDurably()
		if rs.rooms[rec.key] != nil {
			return renamed // it lives again
		}
		_, left := rec.leave()
		rs.tidyLocked(rec)
		return renamed && !left
	})
}

// Delete is [Room.Delete] of the room with that name. One that could not be
// deleted durably can be deleted again.
func (rs *Rooms) Delete(b *Batch, project, name string) error {
	if r, ok := rs.Lookup(project, name); ok {
		return r.Delete(b)
	}
	rs.mu.Lock()
	rec := rs.records[key{project, name}]
	rs.mu.Unlock()
	if rec != nil {
		if t, left := rec.leave(); left {
			return durable(t)
		}
	}
	return ErrNotFound
}

// tidyLocked forgets a record without a life of which there is nothing to remember.
func (rs *Rooms) tidyLocked(rec *record) {
	if rs.rooms[rec.key] == nil && rs.records[rec.key] == rec && rec.empty() {
		delete(rs.records, rec.key)
	}
}

// bury remembers how a session ended.
func (rs *Rooms) bury(p *Participant, final Final) {
	now := time.Now()
	rs.pastMu.Lock()
	defer rs.pastMu.Unlock()
	rs.past[p.SID] = &tombstone{p.room.key(), p.room.record, p.Identity, p.stranger(), p.secret, final, now.Add(rs.cfg.Grace + pastFor)}
}

// leftBehind remembers that p has moved out of a room. Its session has not ended.
func (rs *Rooms) leftBehind(p *Participant) {
	var nobody [32]byte
	_, _ = rand.Read(nobody[:]) // never fails; no resume proves it
	rs.pastMu.Lock()
	defer rs.pastMu.Unlock()
	rs.past[p.SID+" in "+p.room.ID] = &tombstone{p.room.key(), p.room.record, p.Identity, p.stranger(), nobody, *p.final, time.Now().Add(rs.cfg.Grace + pastFor)}
}

// justLeft returns the record of the room that somebody has left a moment ago, or
// was removed from when the store does not know; nil when nobody has. The name is
// one that the room has or had then.
func (rs *Rooms) justLeft(project, room, identity string) *record {
	kept := rs.revocations.kept(scope{project: project, room: room, identity: identity})
	var had, has []*record
	rs.pastMu.Lock()
	for _, t := range rs.past {
		if t.key.project != project || t.identity != identity || t.stranger || t.final.Cause == CauseRemoved && kept {
			continue
		}
		if has = append(has, t.record); t.key.name == room {
			had = append(had, t.record)
		}
	}
	rs.pastMu.Unlock()
	for _, rec := range has {
		if rec.name().name == room {
			return rec
		}
	}
	if len(had) > 0 {
		return had[0]
	}
	return nil
}

// Sweep forgets what has run out and ends connections whose client does not
// keep up. Its owner calls it about once a second.
func (rs *Rooms) Sweep(b *Batch) {
	now := time.Now()
	rs.pastMu.Lock()
	for sid, t := range rs.past {
		if now.After(t.until) {
			delete(rs.past, sid)
		}
	}
	rs.pastMu.Unlock()
	rs.revocations.sweep(now)
	rs.sweepLeaving()
	rs.touched.sweep(now)
	rs.early.sweep(now)
	rs.stays.sweep(now)
	rs.expiring.sweep(rs, now)
	if life := rs.cfg.TokenLife; life > 0 && now.Sub(rs.purged) > time.Minute {
		rs.purged = now
		rs.purge(now.Add(-max(life, rs.cfg.RefreshLife) - leeway))
	}
	rs.sessions.Range(func(_, v any) bool {
		v.(*Participant).sweep(b, now)
		return true
	})
}

// purge forgets what was stated before that time of names without a life.
func (rs *Rooms) purge(before time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for k, rec := range rs.records {
		if rs.rooms[k] == nil {
			rec.purge(before)
			rs.tidyLocked(rec)
		}
	}
}

// sweep ends the connection of a client that does not keep up.
func (p *Participant) sweep(b *Batch, now time.Time) {
	o := p.listener.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.overdueLocked(now) {
		p.rooms.metrics.overdue.Inc()
		if o.detachLocked(CauseSlow, false) {
			b.add(o)
		}
	}
}

// EndWhere ends every session that match picks, with the same final word, of those
// who wait to be let in as well.
// match is called under locks and only reads.
func (rs *Rooms) EndWhere(b *Batch, final Final, match func(*auth.Grant) bool) {
	for _, r := range rs.all() {
		r.mu.Lock()
		for _, p := range r.membersLocked() {
			if p.grant.Format != nil && match(p.grant) {
				r.evictLocked(b, p, final)
			}
		}
		for _, p := range r.waitersLocked() {
			if match(p.grant) {
				r.dismissWaiterLocked(b, p, final)
			}
		}
		r.mu.Unlock()
	}
}

// Each calls f for every participant there is at the moment.
func (rs *Rooms) Each(f func(*Participant)) {
	rs.sessions.Range(func(_, v any) bool {
		f(v.(*Participant))
		return true
	})
}

// newSID returns an id that needs no asking: prefix, node, random.
func (rs *Rooms) newSID(prefix string) string { return prefix + rs.node + rand.Text()[:14] }

// IsNotFound reports whether err says that a participant, track or room does
// not exist, as far as the asker may see.
func IsNotFound(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoParticipant) || errors.Is(err, ErrNoTrack)
}
