package daily

// Narrower is what holds while a domain's permissions change.
var Narrower = narrower

// LockMeetings holds what a list of meetings holds while it is made.
func LockMeetings(m *Meetings) (unlock func()) {
	m.mu.Lock()
	return m.mu.Unlock
}
