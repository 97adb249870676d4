package room

import "testing"

// BeforeLock has f run between the parsing of each message and the room's
// lock, until the test ends. No room may be in use when it is called.
func BeforeLock(t testing.TB, f func()) {
	beforeLock = f
	t.Cleanup(func() { beforeLock = nil })
}
