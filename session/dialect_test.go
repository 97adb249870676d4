package session_test

import (
	"net/http"
	"testing"
	"time"

	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// parrot is a dialect that lets nobody in.
type parrot struct{ paths []string }

func (d parrot) Paths() []string                    { return d.paths }
func (parrot) Kinds() []string                      { return nil }
func (parrot) Connect(r *http.Request) session.Peer { return parrotPeer{r.URL.Query().Get("word")} }

type parrotPeer struct{ word string }

func (p parrotPeer) Open(*session.Connection) (*room.Participant, error) {
	return nil, &session.Refusal{End: wire.NotAllowed, Detail: p.word}
}

func (parrotPeer) Handle(*session.Connection, *room.Participant, bool, []byte) error { return nil }

func (parrotPeer) Closing(end wire.CloseCode, detail string) (uint16, string) {
	return 3000 + uint16(end-wire.NotAllowed), detail + "!"
}

// A dialect closes in its own words, at its own path; elsewhere the native protocol
// is spoken.
func TestDialects(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) {
		c.JoinTimeout = time.Millisecond
		c.Dialects = append(c.Dialects, parrot{[]string{"/parrot"}})
	}})
	address := func(path string) string { return s.URL[:len(s.URL)-len("/session")] + path }
	if code, reason := s.DialLiveblocksAt(address("/parrot?word=hello"), nil).Closed(); code != 3000 || reason != "hello!" {
		t.Errorf("got %d %q", code, reason)
	}
	if code, _ := s.DialLiveblocksAt(address("/parrot/"), nil).Closed(); code != int(wire.JoinTimeout) {
		t.Errorf("at another path: got %d, want the native protocol's %d", code, wire.JoinTimeout)
	}
	defer func() {
		if recover() == nil {
			t.Error("two are spoken at one path")
		}
	}()
	session.New(session.Config{Rooms: s.Rooms, Verifier: s.Verifier, Dialects: []session.Dialect{parrot{[]string{"/a"}}, parrot{[]string{"/b", "/a"}}}}).Close()
}
