package room

import (
	"testing"
	"time"

	"usher/auth"
)

// BeforeLock has f run between the parsing of each message and the room's
// lock, until the test ends. No room may be in use when it is called.
func BeforeLock(t testing.TB, f func()) {
	beforeLock = f
	t.Cleanup(func() { beforeLock = nil })
}

// Edits is how many edits of a room's Liveblocks part are on their way.
func Edits(rs *Rooms, project, name string) int {
	rec := rs.recordOf(project, name)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return len(rec.liveblocks.edits)
}

// Held is how many parts of a room take away that could not be written.
func Held(rs *Rooms, project, name string) int {
	rec := rs.recordOf(project, name)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return len(rec.liveblocks.held)
}

// Purge forgets what was before that time of names without a life.
func Purge(rs *Rooms, before time.Time) { rs.purge(before) }

const ActorBlock = actorBlock

// NextActor takes one number.
func NextActor(rs *Rooms) (uint64, error) { return rs.actors.next() }

// TakeActors takes numbers until there are none.
func TakeActors(rs *Rooms) (n int, err error) {
	for {
		if _, err = rs.actors.next(); err != nil {
			return n, err
		}
		n++
	}
}

// RememberAtMost has rooms remember what was said of so many, until the test ends.
func RememberAtMost(t testing.TB, n int) {
	was := maxSaid
	maxSaid = n
	t.Cleanup(func() { maxSaid = was })
}

// Remembered is of how many a room remembers what was said.
func Remembered(r *Room) int {
	r.record.mu.Lock()
	defer r.record.mu.Unlock()
	if r.record.said == nil {
		return 0
	}
	return r.record.said.age.Len()
}

// Lesser is what has to be said after the one permission so that nothing is permitted
// that the other does not permit.
func Lesser(p, q auth.Permission) auth.Say { return lesser(p, q) }

// MaxBanned is how many identities may be banned in one life of a room.
const MaxBanned = maxBanned
