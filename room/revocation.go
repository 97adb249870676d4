package room

import (
	"cmp"
	"container/heap"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"usher/auth"
	"usher/room/store"
)

// A Revocation refuses tokens: those of an identity in a room, of an identity,
// of a room, those with a token id, or those that descend from a key. What is
// empty is not looked at.
type Revocation struct {
	ID       string
	Project  string
	Room     string
	Identity string
	TokenID  string
	KeyID    string
	// Naming says that of Room only tokens are meant that name it themselves: not
	// those that open other rooms as well, nor what was refreshed from them, see
	// [auth.Grant.Roams].
	Naming bool

	Until   time.Time // tokens issued until then are refused, besides those shown; zero: none
	Made    time.Time
	By      string
	Reason  string
	Expires time.Time // when it goes; zero: never by itself
}

// never is before every issue time: no token is refused for its age.
const never = -1

// maxIDBytes is the longest id of a token or key that can be revoked.
const maxIDBytes = 1024

// leeway is how long after its expiry a token may still be taken.
const leeway = time.Minute

// scope is which tokens a revocation is about. Rooms go by their name, so that
// it holds when a room of that name is made again. When a room gets another name
// what is refused there is refused by that name, too.
type scope struct {
	project, room, identity, tokenID, keyID string
	naming                                  bool
}

func (rv *Revocation) scope() scope {
	return scope{rv.Project, rv.Room, rv.Identity, rv.TokenID, rv.KeyID, rv.Naming}
}

// names reports whether it is the token itself that names the room.
func names(g *auth.Grant, room string) bool { return g.Room == room && !g.Roams }

// check reports what is wrong with the scope of a revocation.
func (rv *Revocation) check() error {
	named := 0
	for _, s := range []string{rv.Room + rv.Identity, rv.TokenID, rv.KeyID} {
		if s != "" {
			named++
		}
	}
	if rv.Project == "" || named != 1 {
		return &InvalidError{"a revocation names an identity, a room or both, or a token id, or a key id"}
	}
	if rv.Naming && (rv.Room == "" || rv.Identity != "") {
		return &InvalidError{"a revocation of the tokens that name a room names that room and nobody"}
	}
	if rv.Until.Year() > 9999 || rv.Expires.Year() > 9999 {
		return &InvalidError{"the times of a revocation are in this millennium or the next few"}
	}
	return nil
}

// revocations is which tokens no longer let anybody in. Its mutex is a leaf
// below a room's and a record's.
type revocations struct {
	store store.Store   // static
	life  time.Duration // static; of any token, 0: not bounded
	// refreshed is static: the life of refreshed tokens, which outlive the one
	// that they descend from.
	refreshed time.Duration

	mu    sync.Mutex // guards the following fields
	byID  map[string]*revoked
	due   dueList                       // those that run out, each once
	going []*revoked                    // that have run out, until the store has forgotten them
	index map[scope]*revoked            // one for each scope: later ones are added to it
	rooms map[key]map[*revoked]struct{} // those that name a room
}

// enterLocked puts a revocation in force.
func (rs *revocations) enterLocked(r *revoked) {
	rs.byID[r.ID], rs.index[r.scope()] = r, r
	rs.dueLocked(r)
	if r.Room == "" {
		return
	}
	k := key{r.Project, r.Room}
	if rs.rooms[k] == nil {
		rs.rooms[k] = make(map[*revoked]struct{})
	}
	rs.rooms[k][r] = struct{}{}
}

// dueLocked has a revocation that runs out be looked at then. That may be put off
// meanwhile, and is never brought forward.
func (rs *revocations) dueLocked(r *revoked) {
	if !r.due && !r.Expires.IsZero() {
		r.due = true
		heap.Push(&rs.due, dueAt{r.Expires, r})
	}
}

// dueList is a heap: what runs out first is the first.
type dueList []dueAt

type dueAt struct {
	at time.Time
	r  *revoked
}

func (l dueList) Len() int           { return len(l) }
func (l dueList) Less(i, j int) bool { return l[i].at.Before(l[j].at) }
func (l dueList) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *dueList) Push(d any)        { *l = append(*l, d.(dueAt)) }
func (l *dueList) Pop() any {
	last := len(*l) - 1
	d := (*l)[last]
	(*l)[last] = dueAt{}
	*l = (*l)[:last]
	return d
}

// leaveLocked takes one out of force.
func (rs *revocations) leaveLocked(r *revoked) {
	delete(rs.byID, r.ID)
	delete(rs.index, r.scope())
	k := key{r.Project, r.Room}
	if delete(rs.rooms[k], r); len(rs.rooms[k]) == 0 {
		delete(rs.rooms, k)
	}
}

// rename has what is refused in a room refused by its new name, too: tokens that
// name no room would come in by that. It stays in force by the old name. The ids
// are of what is to be written, see [revocations.commit].
func (rs *revocations) rename(from, to key) (ids []string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for r := range rs.rooms[from] {
		if r.gone != nil {
			continue // its time is over
		}
		s := r.scope()
		s.room = to.name
		there := rs.index[s]
		if there == nil {
			there = &revoked{Revocation: r.Revocation, second: r.second, tokens: maps.Clone(r.tokens), sessions: maps.Clone(r.sessions)}
			there.ID, there.Room = newRevocationID(), to.name
			rs.enterLocked(there)
		} else {
			there.absorb(r)
			there.gone = nil
			rs.dueLocked(there)
		}
		there.version++
		ids = append(ids, there.ID)
	}
	return ids
}

// commit hands changes to the store together with revocations as they are.
func (rs *revocations) commit(ids []string, changes ...store.Change) *store.Ticket {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, id := range ids {
		if r := rs.byID[id]; r == nil || r.gone != nil {
			changes = append(changes, (&store.Revocation{ID: id}).Delete())
		} else {
			changes = append(changes, r.record().Put())
		}
	}
	ticket := rs.store.Commit(changes...)
	for _, id := range ids {
		if r := rs.byID[id]; r != nil {
			r.ticket = ticket
		}
	}
	return ticket
}

func newRevocationID() string { return "RV_" + rand.Text()[:16] }

// revoked is a revocation with what it refuses.
type revoked struct {
	Revocation
	second   int64 // tokens first issued in it or before are refused
	tokens   map[auth.TokenHash]struct{}
	sessions map[string]struct{} // tokens refreshed in these sessions are refused
	version  uint64
	ticket   *store.Ticket // of what was written last
	gone     *store.Ticket // of its end, when it has run out
	due      bool          // it is in the list of those that run out
}

// shown is tokens that a revocation refuses whatever their times.
type shown struct {
	tokens   []auth.TokenHash
	sessions []string
}

func (rs *revocations) init(s store.Store, life, refreshed time.Duration) {
	rs.store, rs.life, rs.refreshed = s, life, refreshed
	rs.byID, rs.index, rs.rooms = make(map[string]*revoked), make(map[scope]*revoked), make(map[key]map[*revoked]struct{})
}

func (rs *revocations) load(s store.Store) error {
	return store.LoadRevocations(s, func(r *store.Revocation) error {
		rv := &revoked{Revocation: Revocation{ID: r.ID, Project: r.Project, Room: r.Room, Identity: r.Identity, TokenID: r.TokenID,
			KeyID: r.KeyID, Naming: r.Naming, Made: r.Made, By: r.By, Reason: r.Reason, Expires: r.Expires}, second: r.Until,
			tokens: setOf(r.Tokens), sessions: setOf(r.Sessions)}
		rv.tell()
		if err := rv.check(); err != nil {
			return fmt.Errorf("%w: revocation %s: %w", store.ErrDamaged, r.ID, err)
		}
		if other := rs.index[rv.scope()]; other != nil { // one was to go, and could not be deleted
			other.absorb(rv)
			s.Commit(other.record().Put(), rv.record().Delete())
			return nil
		}
		rs.enterLocked(rv)
		return nil
	})
}

// absorb adds what another of the same scope refuses.
func (r *revoked) absorb(other *revoked) {
	r.second = max(r.second, other.second)
	maps.Copy(r.tokens, other.tokens)
	maps.Copy(r.sessions, other.sessions)
	if r.Expires.IsZero() || other.Expires.IsZero() {
		r.Expires = time.Time{}
	} else {
		r.Expires = later(r.Expires, other.Expires)
	}
	r.tell()
}

func setOf[T comparable](list []T) map[T]struct{} {
	set := make(map[T]struct{}, len(list))
	for _, v := range list {
		set[v] = struct{}{}
	}
	return set
}

// tell shows the second as a time.
func (rv *revoked) tell() {
	rv.Until = time.Time{}
	if rv.second != never {
		rv.Until = time.Unix(rv.second, 0)
	}
}

// add puts a revocation in force, at once, and queues it for the store. One of
// the same scope is extended.
func (rs *revocations) add(rv Revocation, what shown) (Revocation, *store.Ticket) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.extendLocked(rv, what)
	r.ticket = rs.store.Commit(r.record().Put())
	return r.Revocation, r.ticket
}

// extend is add without the store: whoever calls it has to see to that, with commit.
func (rs *revocations) extend(rv Revocation, what shown) Revocation {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.extendLocked(rv, what).Revocation
}

func (rs *revocations) extendLocked(rv Revocation, what shown) *revoked {
	r := rs.index[rv.scope()]
	fresh := r == nil
	if fresh {
		rv.ID = newRevocationID()
		r = &revoked{Revocation: rv, second: never, tokens: map[auth.TokenHash]struct{}{}, sessions: map[string]struct{}{}}
		rs.enterLocked(r)
	}
	r.version++
	r.Made, r.By, r.Reason = rv.Made, rv.By, cmp.Or(rv.Reason, r.Reason)
	if !rv.Until.IsZero() {
		r.second = max(r.second, rv.Until.Unix())
	}
	for _, h := range what.tokens {
		r.tokens[h] = struct{}{}
	}
	for _, s := range what.sessions {
		r.sessions[s] = struct{}{}
	}
	r.tell()
	var expires time.Time
	switch {
	case r.TokenID != "" && !rv.Expires.IsZero():
		expires = later(rv.Expires, rv.Made.Add(rs.refreshed)).Add(leeway)
	case rs.life > 0:
		expires = time.Unix(max(r.second, rv.Made.Unix()), 0).Add(max(rs.life, rs.refreshed) + leeway)
	}
	switch {
	case fresh:
		r.Expires = expires
	case expires.IsZero() || r.Expires.IsZero():
		r.Expires = time.Time{} // never is the latest
	default:
		r.Expires = later(r.Expires, expires)
	}
	r.gone = nil
	rs.dueLocked(r)
	return r
}

// until is the last second in which tokens that name a room were revoked with it.
func (rs *revocations) until(k key) (second int64) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	second = never
	for r := range rs.rooms[k] {
		if r.Identity == "" {
			second = max(second, r.second)
		}
	}
	return second
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// kept reports whether a revocation is durable, as far as is known. One that
// does not exist is.
func (rs *revocations) kept(s scope) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.index[s]
	if r == nil || r.ticket == nil {
		return true
	}
	select {
	case <-r.ticket.Done():
		return r.ticket.Wait() == nil
	default:
		return true
	}
}

func (r *revoked) record() *store.Revocation {
	return &store.Revocation{ID: r.ID, Project: r.Project, Room: r.Room, Identity: r.Identity, TokenID: r.TokenID, KeyID: r.KeyID, Naming: r.Naming,
		Until: r.second, Tokens: slices.Collect(maps.Keys(r.tokens)), Sessions: slices.Collect(maps.Keys(r.sessions)),
		Made: r.Made, By: r.By, Reason: r.Reason, Expires: r.Expires}
}

// refuses reports whether a token was revoked for the room. For a refreshed
// token the one that it descends from counts.
func (rs *revocations) refuses(project, room string, g *auth.Grant) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if len(rs.index) == 0 {
		return false
	}
	if id := g.Identity; id != "" && (rs.index[scope{project: project, room: room, identity: id}].refuses(g) || rs.index[scope{project: project, identity: id}].refuses(g)) {
		return true
	}
	if room != "" && rs.index[scope{project: project, room: room}].refuses(g) {
		return true
	}
	if room != "" && names(g, room) && rs.index[scope{project: project, room: room, naming: true}].refuses(g) {
		return true
	}
	for _, id := range [...]string{g.TokenID, g.FirstTokenID()} {
		if id != "" && rs.index[scope{project: project, tokenID: id}] != nil {
			return true // whenever it was issued
		}
	}
	// Only of the last key is it known when it signed: g itself. Those before may
	// have signed as early as the first token was issued.
	for _, id := range g.KeyIDs() {
		switch r := rs.index[scope{project: project, keyID: id}]; {
		case r == nil:
		case g.Origin != nil && id != g.Origin.KeyID && !slices.Contains(g.Origin.KeyIDs, id):
			if _, ok := r.tokens[g.TokenHash]; ok || g.Issued.Unix() <= r.second {
				return true
			}
		case r.refuses(g):
			return true
		}
	}
	return false
}

func (r *revoked) refuses(g *auth.Grant) bool {
	if r == nil {
		return false
	}
	if g.FirstIssued().Unix() <= r.second {
		return true
	}
	for _, hash := range [...]auth.TokenHash{g.TokenHash, g.FirstTokenHash()} {
		if _, ok := r.tokens[hash]; ok && hash != (auth.TokenHash{}) {
			return true
		}
	}
	if g.Origin != nil {
		_, ok := r.sessions[g.Origin.Session]
		return ok
	}
	return false
}

// sweep forgets what no valid token is old enough for. It looks at nothing else, for
// whoever joins waits for it.
func (rs *revocations) sweep(now time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.going = slices.DeleteFunc(rs.going, func(r *revoked) bool {
		if r.gone == nil || rs.byID[r.ID] != r {
			return true // it was made again, or lifted
		}
		select {
		case <-r.gone.Done():
		default:
			return false // it is on its way
		}
		if r.gone.Wait() == nil {
			rs.leaveLocked(r)
			return true
		}
		r.gone = rs.store.Commit(r.record().Delete()) // again
		return false
	})
	for len(rs.due) > 0 && now.After(rs.due[0].at) {
		r := heap.Pop(&rs.due).(dueAt).r
		r.due = false
		switch {
		case rs.byID[r.ID] != r || r.gone != nil:
		case !r.Expires.IsZero() && now.After(r.Expires):
			r.gone = rs.store.Commit(r.record().Delete())
			rs.going = append(rs.going, r)
		default:
			rs.dueLocked(r)
		}
	}
}
