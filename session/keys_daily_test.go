package session_test

import (
	"context"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// §1.9: what an API key has signed is refused once the key is not listed any more.
// Sessions go on, refreshed with the project's own secret, or end, as the project says;
// tokens that the server has signed stay good.
func TestRemovingAnAPIKey(t *testing.T) {
	for name, ends := range map[string]bool{"sessions go on": false, "sessions end": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, sessiontest.Options{Domain: func(d *daily.Domain) { d.EndSessions = ends }}, func(t *testing.T, s *sessiontest.Server) {
				s.DailyRoom("lobby", knocking)
				own := s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "lobby", "ud": "own"})
				issued := s.DailyToken("lobby", "issued")
				knocks := s.SelfSigned(sessiontest.DailyAPIKey, map[string]any{"r": "lobby", "ud": "knocks", "k": true})
				host, _ := s.Join(s.DailyToken("lobby", "host", owner))
				self, _ := s.Join(own)
				refreshed := self.Expect("refreshToken").Str("token")
				other, _ := s.Join(issued)
				waiter, waiting := s.JoinAs(wire.Message{Token: knocks})
				stranger, _ := knock(s, "lobby", "Stranger")

				d := sessiontest.Domain()
				d.EndSessions = ends
				d.APIKeys = []auth.Secret{auth.Secret("the-next-api-key-of-32-bytes-and-a-few-more")}
				time.Sleep(2 * time.Second)
				s.SetDomain(d)

				refused(s, own, wire.InvalidToken)
				again, _ := s.Join(issued)
				again.Sync()
				other.Sync()
				stranger.Sync()
				s.Join(s.SelfSigned("the-next-api-key-of-32-bytes-and-a-few-more", map[string]any{"r": "lobby", "ud": "next"}))
				// Whoever waits has no session yet that could go on.
				if ends {
					waiter.ExpectClose(wire.KeyRevoked)
				} else {
					host.Ask(wire.Message{Type: "admitParticipant", SID: waiting.Str("session")})
					if code, _ := waiter.Closed(); code != wire.KeyRevoked && code != wire.InvalidToken {
						t.Errorf("the one who waited is closed with %d", code)
					}
				}
				if ends {
					self.ExpectClose(wire.KeyRevoked)
					for _, token := range []string{refreshed} {
						if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.TokenRevoked && got != wire.InvalidToken && got != wire.KeyRevoked {
							t.Errorf("the refreshed token: got close code %d", got)
						}
					}
					return
				}
				newer := self.Expect("refreshToken").Str("token") // at once, by the secret
				self.Sync()
				leave(self)
				back, _ := s.Join(newer)
				back.Sync()
				time.Sleep(6 * time.Minute)
				back.Expect("refreshToken")
				host.Sync()
			})
		})
	}
}

// Whoever waits is reached by all that ends sessions, in the same words.
func TestWhatReachesThoseWhoWait(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(t *testing.T, s *sessiontest.Server, r *room.Room, b *room.Batch) error
		want wire.CloseCode
	}{
		"shutdown": {func(t *testing.T, s *sessiontest.Server, _ *room.Room, _ *room.Batch) error {
			return s.Sessions.Drain(context.Background())
		}, wire.ServerShutdown},
		"removal": {func(_ *testing.T, _ *sessiontest.Server, r *room.Room, b *room.Batch) error {
			return r.Remove(b, room.Target{Identity: "ada"}, room.Removal{})
		}, wire.Removed},
		"ejection": {func(_ *testing.T, _ *sessiontest.Server, r *room.Room, b *room.Batch) error {
			_, err := r.Eject(b, []room.Target{{Identity: "ada"}}, false, "")
			return err
		}, wire.Ejected},
		"revocation": {func(_ *testing.T, s *sessiontest.Server, _ *room.Room, b *room.Batch) error {
			_, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", Room: "lobby", Identity: "ada", Until: time.Now()})
			return err
		}, wire.TokenRevoked},
		"deletion": {func(_ *testing.T, s *sessiontest.Server, _ *room.Room, b *room.Batch) error {
			_, err := s.Rooms.DeleteDaily(b, "test", "lobby")
			return err
		}, wire.RoomDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{})
			s.DailyRoom("lobby", knocking)
			ada, first := s.JoinAs(wire.Message{Token: s.DailyToken("lobby", "ada", sessiontest.Properties{"knocking": true})})
			if first.Type() != "waiting" {
				t.Fatalf("got %s", first.Text)
			}
			r, ok := s.Rooms.Lookup("test", "lobby")
			if !ok {
				t.Fatal("the room does not live")
			}
			b := s.Rooms.Batch()
			if err := test.do(t, s, r, b); err != nil {
				t.Fatal(err)
			}
			b.Flush()
			ada.ExpectClose(test.want)
		})
	}
}
