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
	"testing/synctest"
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
		if err := r.Remove(b, room.Target{Identity: identity}, room.Removal{}); err != nil {
			t.Fatal(err)
		}
		b.Flush()
		viewer.ExpectClose(wire.Removed)
	}
}

// A publisher learns nothing of a hidden subscriber by what it is asked, also
// when enough time has passed since the last request for the next one.
func TestHiddenSubscriberAsksForNoKeyFrame(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		ada, _ := s.Join(s.Token("lobby", "ada"))
		track := ada.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"}).Str("track.sid")
		pause := func() { time.Sleep(time.Second); synctest.Wait() }
		asked := func() (n int) {
			for _, e := range ada.Seen() {
				if e.Type() == "keyFrameRequested" {
					n++
				}
			}
			return n
		}
		pause()
		want := asked() // at once, whoever listens
		for _, listener := range []struct {
			identity string
			asks     int // at each step
		}{{"spy", 0}, {"bob", 1}} {
			c, _ := s.Join(s.Token("lobby", listener.identity, func(c *livekit.Claims) { c.Video.Hidden = listener.asks == 0 }))
			c.Expect("trackSubscribed")
			pause()
			if want += listener.asks; asked() != want {
				t.Errorf("%s joined: the publisher was asked for %d key frames, want %d", listener.identity, asked(), want)
			}
			c.OK(wire.Message{Type: "unsubscribe", TrackSID: track})
			for _, typ := range []string{"subscribe", "requestKeyFrame"} {
				c.OK(wire.Message{Type: typ, TrackSID: track})
				pause()
				if want += listener.asks; asked() != want {
					t.Errorf("%s sent %s: the publisher was asked for %d key frames, want %d", listener.identity, typ, asked(), want)
				}
			}
		}
	})
}

// Nobody hears anything of a participant before it hears that it joined, in a
// room so large that joins are told together, whatever the newcomer does first.
func TestNothingBeforeItsJoin(t *testing.T) {
	text := func(m string) []byte { return sessiontest.MaskedFrame(0x81, []byte(m)) }
	for name, first := range map[string]func(c *sessiontest.Raw){
		"presence":     func(c *sessiontest.Raw) { c.Send(text(`{"type":"updatePresence","id":1,"presence":{"x":1}}`)) },
		"data":         func(c *sessiontest.Raw) { c.Send(text(`{"type":"publishData","id":1,"payload":1}`)) },
		"lossy data":   func(c *sessiontest.Raw) { c.Send(text(`{"type":"publishData","id":1,"payload":1,"reliable":false}`)) },
		"a new name":   func(c *sessiontest.Raw) { c.Send(text(`{"type":"updateMetadata","id":1,"name":"n"}`)) },
		"leaving":      func(c *sessiontest.Raw) { c.Send(text(`{"type":"leave"}`)) },
		"being cut":    func(c *sessiontest.Raw) { _ = c.Conn.Close() },
		"a data track": func(c *sessiontest.Raw) { c.Send(text(`{"type":"publishTrack","id":1,"kind":"data","name":"t"}`)) },
		"a track and frames": func(c *sessiontest.Raw) {
			c.Send(text(`{"type":"publishTrack","id":1,"kind":"audio","source":"microphone"}`))
			var reply struct{ Track struct{ Handle uint32 } }
			if err := json.Unmarshal([]byte(c.Reply("1")), &reply); err != nil {
				t.Error(err)
			}
			h := wire.FrameHeader{Handle: reply.Track.Handle, Last: true}
			c.Send(sessiontest.MaskedFrame(0x82, append(h.Append(nil), "sound"...)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
				var quiet []*sessiontest.Client
				for i := range 41 {
					c, _ := s.Join(s.Token("lobby", fmt.Sprint("quiet", i)))
					quiet = append(quiet, c)
				}
				time.Sleep(time.Second) // all of these are announced
				synctest.Wait()
				from := make([]int, len(quiet))
				for i, c := range quiet {
					_, from[i] = c.Since(0)
				}
				began := time.Now()
				c := s.JoinRaw(s.Token("lobby", "newcomer", func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) }))
				first(c)
				synctest.Wait()
				if !time.Now().Equal(began) {
					t.Error("time has passed: the join was announced by itself")
				}
				time.Sleep(time.Second)
				synctest.Wait()
				for i, c := range quiet {
					events, _ := c.Since(from[i])
					if len(events) < 2 && name != "leaving" && name != "being cut" { // these may share the message
						t.Fatalf("a quiet one got %d messages", len(events))
					}
					if len(events) == 0 || !strings.Contains(events[0].Text, `"participantJoined"`) || !strings.Contains(events[0].Text, `"identity":"newcomer"`) {
						t.Fatalf("the first that a quiet one hears is %s %x", events[0].Text, events[0].Binary)
					}
					for _, problem := range sessiontest.Replay(c.Seen()).Problems {
						t.Error(problem)
					}
				}
			})
		})
	}
}

// Sockets that have not joined are bounded, those that are being refused
// included. A refused one counts for 2 s, which do not pass here.
func TestUnjoinedSocketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 5
		memory := sessiontest.NewMemory()
		s := sessiontest.Serve(t, sessiontest.Options{Listener: memory, Session: func(c *session.Config) { c.UnjoinedSockets = limit }})
		client := &http.Client{Transport: &http.Transport{DialContext: memory.Dial, DisableKeepAlives: true}}
		outcomes := map[string]int{}
		for range 4 * limit {
			ws, answer, err := websocket.Dial(context.Background(), s.URL, &websocket.DialOptions{HTTPClient: client})
			if err != nil {
				if answer == nil || answer.StatusCode != http.StatusServiceUnavailable {
					t.Fatalf("got %v", err)
				}
				outcomes["503"]++
				continue
			}
			t.Cleanup(func() { _ = ws.CloseNow() })
			outcomes["upgraded"]++
			synctest.Wait()
		}
		// Half of those upgraded may join, the others are told that the server is busy.
		if outcomes["503"] == 0 || outcomes["upgraded"] > 3*limit {
			t.Errorf("got %v for %d sockets, the limit is %d", outcomes, 4*limit, limit)
		}
	})
}

// Removing one participant by its sid leaves the person's others alone.
func TestRemovingBySID(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.DuplicateIdentity = room.Allow }})
	one, other := s.Token("lobby", "bob"), s.Token("lobby", "bob", func(c *livekit.Claims) { c.Name = "other" })
	first, joined := s.Join(one)
	second, _ := s.Join(other)
	r, _ := s.Rooms.Lookup("test", "lobby")
	b := s.Rooms.Batch()
	if err := r.Remove(b, room.Target{SID: joined.Str("session")}, room.Removal{}); err != nil {
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
