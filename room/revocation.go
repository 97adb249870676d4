package room

import (
	"sync"
	"time"

	"usher/auth"
)

// revocations is which tokens no longer let anybody in. Its mutex is a leaf:
// it is taken under a room's.
type revocations struct {
	mu     sync.Mutex
	people map[personKey]*revocation
}

// personKey names a person. Revocations follow the room's name, so that they
// hold when a room of that name is made again.
type personKey struct{ project, room, identity string }

// never is before every issue time: no token is refused for its age.
const never = -1

// revocation refuses a person's tokens of the past.
type revocation struct {
	second   int64 // tokens first issued in it or before are refused
	tokens   map[auth.TokenHash]struct{}
	sessions map[string]struct{} // tokens refreshed in these sessions are refused
}

// person revokes what a person has shown, and with a time everything issued
// until then.
func (r *revocations) person(k personKey, at time.Time, tokens []auth.TokenHash, sessions []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.people == nil {
		r.people = make(map[personKey]*revocation)
	}
	rev := r.people[k]
	if rev == nil {
		rev = &revocation{second: never, tokens: map[auth.TokenHash]struct{}{}, sessions: map[string]struct{}{}}
		r.people[k] = rev
	}
	if !at.IsZero() {
		rev.second = max(rev.second, at.Unix())
	}
	for _, h := range tokens {
		rev.tokens[h] = struct{}{}
	}
	for _, s := range sessions {
		rev.sessions[s] = struct{}{}
	}
}

// refuses reports whether the token of g was revoked for the person. For a
// refreshed token the one that it descends from counts.
func (r *revocations) refuses(k personKey, g *auth.Grant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rev := r.people[k]
	if rev == nil {
		return false
	}
	if g.FirstIssued().Unix() <= rev.second {
		return true
	}
	if _, ok := rev.tokens[g.TokenHash]; ok {
		return true
	}
	if g.Origin != nil {
		_, ok := rev.sessions[g.Origin.Session]
		return ok
	}
	return false
}

// Revoked reports whether a token has been revoked for the room and identity
// it names. Server APIs ask before they believe one.
func (rs *Rooms) Revoked(g *auth.Grant) bool {
	return rs.revocations.refuses(personKey{g.Project, g.Room, g.Identity}, g)
}
