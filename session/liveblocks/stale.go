package liveblocks

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// staleFor is within what time an expired token that comes again is taken for
	// one that its client holds for fresh: after 4109 it comes back at once.
	staleFor = 10 * time.Second
	maxStale = 4096
)

// stale remembers expired tokens for a while, by a hash that is good for nothing
// else. Its methods may be called concurrently.
type stale struct {
	seed maphash.Seed // static

	mu   sync.Mutex // guards the following field
	seen map[uint64]time.Time
}

func newStale() *stale { return &stale{seed: maphash.MakeSeed(), seen: make(map[uint64]time.Time)} }

// again notes that an expired token came for a room, and reports whether it did a
// moment ago. The rooms of one client share a token: each may come with it once.
func (s *stale) again(token, room string, now time.Time) bool {
	h := maphash.Comparable(s.seed, [2]string{token, room})
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.seen[h]; ok && now.Sub(at) < staleFor {
		s.seen[h] = now
		return true
	}
	if len(s.seen) >= maxStale {
		for h, at := range s.seen {
			if now.Sub(at) >= staleFor {
				delete(s.seen, h)
			}
		}
		if len(s.seen) >= maxStale {
			clear(s.seen) // then some come back once more
		}
	}
	s.seen[h] = now
	return false
}
