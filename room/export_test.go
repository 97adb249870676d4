package room

import (
	"testing"
	"time"
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
	return len(rec.edits)
}

// Held is how many parts of a room take away that could not be written.
func Held(rs *Rooms, project, name string) int {
	rec := rs.recordOf(project, name)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return len(rec.held)
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
