package room_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// A slowStore is a store in a file. While it is held each write waits for its
// verdict, and fails when that is an error.
type slowStore struct {
	*store.File
	t       *testing.T
	began   chan struct{} // gets one for each write that waits
	verdict chan error
	over    chan struct{} // closed when the test is over

	mu      sync.Mutex // guards the following fields
	held    bool
	fails   func() bool
	commits int
	writes  int // transactions
}

var errDisk = errors.New("the disk is broken")

func newSlowStore(t *testing.T) *slowStore {
	t.Helper()
	s := &slowStore{t: t, began: make(chan struct{}), verdict: make(chan error), over: make(chan struct{})}
	f, err := store.Open(t.TempDir(), store.Options{Around: s.around})
	if err != nil {
		t.Fatal(err)
	}
	s.File = f
	t.Cleanup(func() {
		close(s.over)
		_ = f.Close()
	})
	return s
}

func (s *slowStore) around(write func() error) error {
	s.mu.Lock()
	held, fails := s.held, s.fails != nil && s.fails()
	s.writes++
	s.mu.Unlock()
	if fails {
		return errDisk
	}
	if held {
		select {
		case s.began <- struct{}{}:
		case <-s.over:
		}
		select {
		case err := <-s.verdict:
			if err != nil {
				return err
			}
		case <-s.over:
		}
	}
	return write()
}

// Commit implements [store.Store].
func (s *slowStore) Commit(changes ...store.Change) *store.Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	return s.File.Commit(changes...)
}

// committed is how often something was committed.
func (s *slowStore) committed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

func (s *slowStore) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = on
}

// settle lets the next write succeed or fail.
func (s *slowStore) settle(err error) { s.verdict <- err }

// Stores of either kind, on which the same has to hold.
func stores(t *testing.T, f func(*testing.T, store.Store)) {
	t.Run("memory", func(t *testing.T) { f(t, store.NewMemory()) })
	t.Run("file", func(t *testing.T) { f(t, newSlowStore(t)) })
}

// A run is a hall that can be stopped before the test ends. The next run on the
// same store is a server's next start: after a kill when this one was not stopped.
type run struct {
	*hall
	once sync.Once
}

func start(t *testing.T, cfg room.Config) *run {
	t.Helper()
	rooms, err := room.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{hall: &hall{t: t, rooms: rooms, events: new(events)}}
	t.Cleanup(r.stop)
	return r
}

func (r *run) stop() { r.once.Do(r.rooms.Close) }

// issued is a token of that time, and another one than those of other times.
func issued(at time.Time) func(*auth.Grant) {
	return func(g *auth.Grant) {
		g.Issued = at
		g.TokenHash = auth.TokenHash([]byte(fmt.Sprintf("%-8.8s%024d", g.Identity, at.UnixNano())))
	}
}

// refreshed is a token of that time which descends from one of an earlier time.
func refreshed(first, at time.Time, session string) func(*auth.Grant) {
	return func(g *auth.Grant) {
		issued(at)(g)
		g.TokenHash[0] = 'R'
		g.Origin = &auth.Origin{Session: session, Issued: first.Unix()}
	}
}

func without(rights auth.Rights) func(*auth.Grant) {
	return func(g *auth.Grant) {
		g.Base[0].Allow &^= rights
		g.Base[0].Deny |= rights
	}
}

func allow(r auth.Rights) room.Change {
	return room.Change{Permission: &auth.Say{Layer: auth.Live, Allow: r}, By: "allower"}
}

func deny(r auth.Rights) room.Change {
	return room.Change{Permission: &auth.Say{Layer: auth.Live, Deny: r}, By: "denier"}
}

// may is what somebody who joins with that token may do. It leaves again, unless
// somebody has to keep the room.
func (h *hall) may(identity string, change ...func(*auth.Grant)) auth.Permission {
	h.t.Helper()
	m := h.join(identity, change...)
	p := last[*room.Snapshot](h.t, m).Self.Permission
	m.leave()
	return p
}

func (m *member) leave() {
	m.hall.t.Helper()
	if err := m.p.Leave(m.call(0)); err != nil {
		m.hall.t.Fatal(err)
	}
	m.batch.Flush()
}

// now is what the server says that somebody may do at this moment.
func (h *hall) now(identity string) auth.Permission {
	h.t.Helper()
	info, err := h.room().Participant(room.Target{Identity: identity})
	if err != nil {
		h.t.Fatal(err)
	}
	return info.Permission
}
