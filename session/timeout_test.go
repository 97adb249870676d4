package session_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// inBubble runs f with a server in virtual time.
func inBubble(t *testing.T, o sessiontest.Options, f func(t *testing.T, s *sessiontest.Server)) {
	synctest.Test(t, func(t *testing.T) {
		o.Listener = sessiontest.NewMemory()
		f(t, sessiontest.Serve(t, o))
	})
}

// after returns how long it takes until the condition holds, in virtual time.
func after(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		synctest.Wait()
		if holds() {
			return time.Since(began)
		}
		if time.Since(began) > time.Hour {
			t.Fatalf("%s: not within an hour", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func roomLives(s *sessiontest.Server, name string) bool {
	_, ok := s.Rooms.Lookup("test", name)
	return ok
}

func about(t *testing.T, what string, got, want, more time.Duration) {
	t.Helper()
	if got < want || got > want+more {
		t.Errorf("%s took %v, want %v to %v", what, got, want, want+more)
	}
}

// A participant whose connection is cut stays for the grace period, and no longer.
func TestGracePeriod(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		ada, _ := s.Join(s.Token("lobby", "ada"))
		bob, joined := s.Join(s.Token("lobby", "bob"))
		hangUp(bob, ada)
		time.Sleep(29 * time.Second)
		bob = resume(s, joined, bob.Received())
		bob.Expect("joined")
		synctest.Wait()
		hangUp(bob, ada)
		var left sessiontest.Event
		took := after(t, "leaving", func() bool {
			for _, e := range ada.Seen() {
				if e.Type() == "participantLeft" {
					left = e
				}
			}
			return left.Fields != nil
		})
		about(t, "the grace period", took, 29900*time.Millisecond, 200*time.Millisecond)
		if left.Str("identity") != "bob" || left.Str("reason") != "CONNECTION_TIMEOUT" {
			t.Errorf("got %s", left.Text)
		}
		resume(s, joined, 0).ExpectClose(wire.SessionNotFound)
	})
}

// What ends a connection decides whether the participant leaves or may come back.
func TestLeaveOrCut(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(c *sessiontest.Raw)
		leaves bool
	}{
		"1000":      {func(c *sessiontest.Raw) { c.Send(closeOf(1000)) }, true},
		"1001":      {func(c *sessiontest.Raw) { c.Send(closeOf(1001)) }, true},
		"no code":   {func(c *sessiontest.Raw) { c.Send(sessiontest.MaskedFrame(0x88, nil)) }, true},
		"4500":      {func(c *sessiontest.Raw) { c.Send(closeOf(4500)) }, true},
		"4001":      {func(c *sessiontest.Raw) { c.Send(closeOf(4001)) }, false},
		"4499":      {func(c *sessiontest.Raw) { c.Send(closeOf(4499)) }, false},
		"cut":       {func(c *sessiontest.Raw) { _ = c.Conn.Close() }, false},
		"leave":     {func(c *sessiontest.Raw) { c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"leave"}`))) }, true},
		"too large": {func(c *sessiontest.Raw) { c.Send(sessiontest.MaskedFrame(0x81, make([]byte, 2<<20))) }, true},
		"no UTF-8":  {func(c *sessiontest.Raw) { c.Send(sessiontest.MaskedFrame(0x81, []byte{0xff})) }, true},
		"framing":   {func(c *sessiontest.Raw) { c.Send([]byte{0xf1, 0x80, 0, 0, 0, 0}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
				ada, _ := s.Join(s.Token("lobby", "ada"))
				bob := s.JoinRaw(s.Token("lobby", "bob"))
				test.end(bob)
				synctest.Wait()
				got := ""
				for _, e := range ada.Seen() {
					if e.Type() == "participantLeft" || e.Type() == "participantUpdated" {
						got += e.Type() + e.Str("reason") + e.Str("participant.state")
					}
				}
				want := "participantUpdatedreconnecting"
				if test.leaves {
					want = "participantLeftCLIENT_INITIATED"
				}
				if got != want {
					t.Errorf("the other was told %q, want %q", got, want)
				}
			})
		})
	}
}

func closeOf(code uint16) []byte {
	return sessiontest.MaskedFrame(0x88, []byte{byte(code >> 8), byte(code)})
}

// A room that nobody has joined, and one that everybody has left, end by their timeouts.
func TestRoomTimeouts(t *testing.T) {
	inBubble(t, sessiontest.Options{Room: func(c *room.Config) { c.MaxParticipants = 1 }}, func(t *testing.T, s *sessiontest.Server) {
		ada, _ := s.Join(s.Token("lobby", "ada"))
		agent := func(c *livekit.Claims) { c.Kind = auth.Agent }
		robot, _ := s.Join(s.Token("lobby", "robot", agent))
		leave(ada)
		took := after(t, "the end of the room", func() bool { return !roomLives(s, "lobby") })
		about(t, "the departure timeout", took, 19900*time.Millisecond, 200*time.Millisecond)
		robot.ExpectClose(wire.RoomDeleted)

		// Whoever comes back in time keeps it open.
		ada, _ = s.Join(s.Token("lobby", "ada"))
		leave(ada)
		time.Sleep(19 * time.Second)
		ada, _ = s.Join(s.Token("lobby", "ada"))
		time.Sleep(time.Hour)
		if !roomLives(s, "lobby") {
			t.Error("the room ended with somebody in it")
		}
		leave(ada)
		time.Sleep(time.Minute)
		synctest.Wait()

		// The token's own settings, when it makes the room.
		bob, _ := s.Join(s.Token("den", "bob", func(c *livekit.Claims) {
			c.RoomConfig = []byte(`{"departureTimeout":3,"emptyTimeout":100,"maxParticipants":1}`)
		}))
		refused(s, s.Token("den", "cem"), wire.RoomFull)
		leave(bob)
		took = after(t, "the end of the room", func() bool { return !roomLives(s, "den") })
		about(t, "the token's departure timeout", took, 2900*time.Millisecond, 200*time.Millisecond)

		// While a participant may still come back the room stays.
		cem, _ := s.Join(s.Token("nook", "cem"))
		_ = cem.WS.CloseNow()
		took = after(t, "the end of the room", func() bool { return !roomLives(s, "nook") })
		about(t, "grace and departure", took, 49900*time.Millisecond, 200*time.Millisecond)
	})
}

// A connection that makes no sound for two ping intervals is closed with 4002;
// one whose pongs come is not.
func TestPingTimeout(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		ada, _ := s.Join(s.Token("lobby", "ada")) // answers pings
		silent := s.JoinRaw(s.Token("lobby", "bob"))
		_ = silent.Conn.SetDeadline(time.Time{})
		began := time.Now()
		pings := 0
		for {
			first, payload, err := silent.Next()
			if err != nil {
				t.Fatal(err)
			}
			if first == 0x89 {
				pings++
			}
			if first == 0x88 {
				about(t, "the close", time.Since(began), 30*time.Second, 2*time.Second)
				if code := wire.CloseCode(payload[0])<<8 | wire.CloseCode(payload[1]); code != wire.PingTimeout {
					t.Errorf("closed with %d", code)
				}
				break
			}
		}
		if pings < 1 || pings > 3 {
			t.Errorf("%d pings came in 30 s", pings)
		}
		// It does not answer the close either: after 5 s it is cut, and only
		// then its grace period begins.
		silentSince := time.Now()
		if _, _, err := silent.Next(); err == nil {
			t.Error("something came after the close frame")
		}
		about(t, "the cut", time.Since(silentSince), 5*time.Second, time.Second)
		time.Sleep(time.Hour)
		ada.Sync()
		if e := ada.Expect("participantLeft"); e.Str("reason") != "CONNECTION_TIMEOUT" {
			t.Errorf("got %s", e.Text)
		}
	})
}

// Whatever a client sends counts as a sign of life: a page that is busy sending
// may answer pings late.
func TestAnySoundIsLife(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		c := s.JoinRaw(s.Token("lobby", "bob"))
		_ = c.Conn.SetDeadline(time.Time{})
		for range 12 {
			time.Sleep(25 * time.Second)
			c.Send(sessiontest.MaskedFrame(0x8a, nil)) // a pong that nobody asked for
		}
		c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"ping","id":1}`)))
		c.Reply("1")
	})
}

// Whoever does not join is closed with 4008 after 5 s, also when it sends its
// first message byte by byte, and is cut when it does not answer.
func TestJoinTimeout(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		join := sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", "ada")+`"}`))
		for name, send := range map[string]func(c *sessiontest.Raw){
			"silent":              func(*sessiontest.Raw) {},
			"stops in the middle": func(c *sessiontest.Raw) { c.Send(join[:20]) },
			"slow": func(c *sessiontest.Raw) {
				for _, b := range join[:49] {
					c.Send([]byte{b})
					time.Sleep(100 * time.Millisecond)
				}
			},
			"pings": func(c *sessiontest.Raw) {
				for range 4 {
					c.Send(sessiontest.MaskedFrame(0x89, []byte("hello?")))
					time.Sleep(time.Second)
				}
			},
		} {
			c := s.DialRaw()
			_ = c.Conn.SetDeadline(time.Time{})
			began := time.Now()
			send(c)
			if code, reason := c.Closed(); code != wire.JoinTimeout || reason != code.Reason() {
				t.Errorf("%s: closed with %d (%s)", name, code, reason)
			}
			about(t, name+": the close", time.Since(began), 5*time.Second, 100*time.Millisecond)
			_, _, err := c.Next()
			if _, timeout := err.(net.Error); err == nil || timeout {
				t.Errorf("%s: after the close came %v", name, err)
			}
			about(t, name+": the cut", time.Since(began), 10*time.Second, 200*time.Millisecond)
		}
	})
}

// A ping before the join leaves nothing behind that ends the session later.
func TestPingBeforeTheJoin(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		c := s.DialRaw()
		_ = c.Conn.SetDeadline(time.Time{})
		c.Send(sessiontest.MaskedFrame(0x89, []byte("hello?")))
		if first, payload, err := c.Next(); first != 0x8a || string(payload) != "hello?" || err != nil {
			t.Fatalf("got %#x %q %v", first, payload, err)
		}
		c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"join","token":"`+s.Token("lobby", "ada")+`"}`)))
		time.Sleep(8 * time.Second)
		c.Send(sessiontest.MaskedFrame(0x81, []byte(`{"type":"ping","id":1}`)))
		c.Reply("1")
	})
}
