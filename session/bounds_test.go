package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A frame or a call that is larger than an outbox's bound is no fault of those
// who receive it.
func TestLargeFramesPutNobodyOut(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		c.DuplicateIdentity = room.Allow
		c.Outbox = room.DefaultOutboxLimits
		c.Outbox.ReliableBytes = 100 << 10
	}})
	viewer, _ := s.Join(s.Token("lobby", "viewer"))
	for range 10 {
		s.Join(s.Token("lobby", "many"))
	}
	r, _ := s.Rooms.Lookup("test", "lobby")
	b := s.Rooms.Batch()
	if _, err := r.Update(b, room.Target{Identity: "many"}, room.Change{Metadata: ptr(strings.Repeat("m", 40<<10))}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	for range 10 {
		viewer.Expect("participantUpdated")
	}
	listed := 0
	for after := ""; ; {
		page := viewer.OK(wire.Message{Type: "listParticipants", After: after})
		listed += len(page.Get("participants").([]any))
		if after = page.Str("next"); after == "" {
			break
		}
	}
	if listed != 11 {
		t.Errorf("got %d participants on all pages, want 11", listed)
	}
}

func TestDestinationsAreBounded(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	bob, _ := s.Join(s.Token("lobby", "bob"))
	to := make([]string, 1001)
	for i := range to {
		to[i] = "bob"
	}
	if e := ada.Ask(wire.Message{Type: "publishData", Payload: json.RawMessage(`1`), DestinationIdentities: to}); e.Str("code") != "limit_exceeded" {
		t.Errorf("1001 destinations: got %s", e.Text)
	}
	ada.OK(wire.Message{Type: "publishData", Payload: json.RawMessage(`2`), DestinationIdentities: to[:1000]})
	if e := bob.Expect("data"); e.Str("payload") != "2" {
		t.Errorf("got %s", e.Text)
	}
	bob.Sync()
	got := 0
	for _, e := range bob.Seen() {
		if e.Type() == "data" {
			got++
		}
	}
	if got != 1 {
		t.Errorf("bob was named a thousand times and got the message %d times, want once", got)
	}
}

// Over TLS, too, the code of a close arrives in the middle of a flood.
func TestCloseCodesOverTLS(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	secure := httptest.NewUnstartedServer(s.Sessions)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	client := secure.Client()
	t.Cleanup(client.CloseIdleConnections)

	sender, _ := s.Join(s.Token("lobby", "sender"))
	var over atomic.Bool
	done := make(chan struct{})
	go func() { // ends with the test
		defer close(done)
		data := []byte(`{"type":"publishData","reliable":false,"payload":"` + strings.Repeat("x", 30000) + `"}`)
		for !over.Load() && sender.WS.Write(context.Background(), websocket.MessageText, data) == nil {
		}
	}()
	defer func() { over.Store(true); <-done }()
	r, _ := s.Rooms.Lookup("test", "lobby")
	for i := range 10 {
		ws, _, err := websocket.Dial(t.Context(), "wss"+strings.TrimPrefix(secure.URL, "https")+"/session",
			&websocket.DialOptions{HTTPClient: client, Subprotocols: []string{wire.Subprotocol}})
		if err != nil {
			t.Fatal(err)
		}
		viewer := sessiontest.NewClient(t, ws)
		identity := fmt.Sprint("viewer", i)
		viewer.Send(wire.Message{Type: "join", Token: s.Token("lobby", identity)})
		viewer.Expect("joined")
		for range 3 {
			viewer.Expect("data")
		}
		b := s.Rooms.Batch()
		if err := r.Remove(b, room.Target{Identity: identity}); err != nil {
			t.Fatal(err)
		}
		b.Flush()
		viewer.ExpectClose(wire.Removed)
	}
}

// A publisher learns nothing of a hidden subscriber by what it is asked.
func TestHiddenSubscriberAsksForNoKeyFrame(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	track := ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	ada.Expect("keyFrameRequested") // at once, whoever listens
	spy, _ := s.Join(s.Token("lobby", "spy", func(c *livekit.Claims) { c.Video.Hidden = true }))
	spy.Expect("trackSubscribed")
	spy.OK(wire.Message{Type: "unsubscribe", TrackSID: track.Str("track.sid")})
	spy.OK(wire.Message{Type: "subscribe", TrackSID: track.Str("track.sid")})
	spy.OK(wire.Message{Type: "requestKeyFrame", TrackSID: track.Str("track.sid")})
	ada.Sync()
	asked := 0
	for _, e := range ada.Seen() {
		if e.Type() == "keyFrameRequested" {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("the publisher was asked for %d key frames, want 1", asked)
	}
}

// Sockets that have not joined are bounded, those that are being refused included.
func TestUnjoinedSocketsAreBounded(t *testing.T) {
	const limit = 5
	s := sessiontest.Serve(t, sessiontest.Options{Session: func(c *session.Config) { c.UnjoinedSockets = limit }})
	outcomes := map[string]int{}
	for range 4 * limit {
		ws, answer, err := websocket.Dial(t.Context(), s.URL, nil)
		if err != nil {
			if answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("got %v", err)
			}
			outcomes["503"]++
			continue
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
		outcomes["upgraded"]++
	}
	// Half of those upgraded may join, the others are told that the server is busy.
	if outcomes["503"] == 0 || outcomes["upgraded"] > 3*limit {
		t.Errorf("got %v for %d sockets, the limit is %d", outcomes, 4*limit, limit)
	}
}

// Removing one participant by its sid leaves the person's others alone.
func TestRemovingBySID(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.DuplicateIdentity = room.Allow }})
	one, other := s.Token("lobby", "bob"), s.Token("lobby", "bob", func(c *livekit.Claims) { c.Name = "other" })
	first, joined := s.Join(one)
	second, _ := s.Join(other)
	r, _ := s.Rooms.Lookup("test", "lobby")
	b := s.Rooms.Batch()
	if err := r.Remove(b, room.Target{SID: joined.Str("session")}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	first.ExpectClose(wire.Removed)
	second.Sync()
	again := s.Dial(nil)
	again.Send(wire.Message{Type: "join", Token: one})
	again.ExpectClose(wire.TokenRevoked)
	s.Join(other)
}

// What a session may not do costs the server no signature.
func TestDeniedChangesSignNothing(t *testing.T) {
	var signed atomic.Int64
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) {
		sign := c.Refresh
		c.Refresh = func(g *auth.Grant, now auth.Current) (string, time.Time, error) {
			signed.Add(1)
			return sign(g, now)
		}
	}})
	s.Join(s.Token("lobby", "ada"))
	bob, _ := s.Join(s.Token("lobby", "bob"))
	bob.Expect("refreshToken")
	before := signed.Load()
	for _, m := range []wire.Message{
		{Type: "updateMetadata", Metadata: ptr("x")},
		{Type: "updateParticipant", Identity: "ada", Metadata: ptr("x")},
	} {
		if e := bob.Ask(m); e.Str("code") != "not_allowed" {
			t.Errorf("%s: got %s", m.Type, e.Text)
		}
	}
	if n := signed.Load() - before; n != 0 {
		t.Errorf("%d tokens were signed", n)
	}
}
