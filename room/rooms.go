package room

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
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
	// Forgetful lets go of live permission changes when the participant leaves,
	// as LiveKit does. By default they hold as long as the room lives.
	Forgetful bool
	// Limits and Outbox bound what participants send and what waits for them.
	// The zero value means DefaultLimits and DefaultOutboxLimits.
	Limits Limits
	Outbox OutboxLimits
	// Refresh signs a token for the present state of a session. Optional.
	Refresh func(*auth.Grant, auth.Current) (token string, expires time.Time, err error)
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
	revocations revocations

	mu    sync.Mutex // guards the following field
	rooms map[key]*Room

	stopping atomic.Bool // nobody joins or resumes any more

	sessions sync.Map // sid → *Participant; of those that are members

	pastMu sync.Mutex // guards past; a leaf
	past   map[string]*tombstone
}

type key struct{ project, name string }

// tombstone remembers how a session ended, for a resume that comes too late.
type tombstone struct {
	secret [32]byte
	final  Final
	until  time.Time
}

// pastFor is how much longer than the grace period a session's end is remembered.
const pastFor = time.Minute

// New returns a set of no rooms. Close releases it.
func New(cfg Config) *Rooms {
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
		rooms:   make(map[key]*Room),
		past:    make(map[string]*tombstone),
		metrics: newMetrics(cfg.Metrics),
	}
	rs.shared = &outboxes{limits: cfg.Outbox, metrics: rs.metrics}
	rs.metrics.observe(rs)
	rs.flushers.start(runtime.GOMAXPROCS(0))
	return rs
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
		r.close(b, Final{ServerShutdown, CauseShutdown})
	}
	b.Flush()
	b.Wait()
	rs.flushers.end()
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

// open returns the room, locked, making it when that is allowed.
func (rs *Rooms) open(project, name string, create bool, cfg auth.RoomConfig) (r *Room, made bool, err error) {
	k := key{project, name}
	for {
		if rs.stopping.Load() {
			return nil, false, ErrClosed
		}
		rs.mu.Lock()
		r, made = rs.rooms[k], false
		if r == nil {
			if !create {
				rs.mu.Unlock()
				return nil, false, ErrNotFound
			}
			r, made = newRoom(rs, k, cfg), true
			rs.rooms[k] = r
		}
		rs.mu.Unlock()
		r.mu.Lock()
		if !r.closed {
			return r, made, nil
		}
		r.mu.Unlock()
		rs.forget(r) // it ended in between
	}
}

// forget takes a closed room out of the index.
func (rs *Rooms) forget(r *Room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if k := (key{r.Project, r.Name}); rs.rooms[k] == r {
		delete(rs.rooms, k)
	}
}

// bury remembers how a session ended.
func (rs *Rooms) bury(p *Participant, final Final) {
	now := time.Now()
	rs.pastMu.Lock()
	defer rs.pastMu.Unlock()
	rs.past[p.SID] = &tombstone{p.secret, final, now.Add(rs.cfg.Grace + pastFor)}
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
	rs.sessions.Range(func(_, v any) bool {
		v.(*Participant).sweep(b, now)
		return true
	})
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

// EndWhere ends every session that match picks, with the same final word.
// match is called under locks and only reads.
func (rs *Rooms) EndWhere(b *Batch, final Final, match func(*auth.Grant) bool) {
	for _, r := range rs.all() {
		r.mu.Lock()
		for _, p := range r.membersLocked() {
			if p.grant != nil && match(p.grant) {
				r.evictLocked(b, p, final)
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
