package session_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// tokenOf is the newest token that a client was given.
func tokenOf(t *testing.T, c *sessiontest.Client) string {
	t.Helper()
	newest := ""
	for _, e := range c.Seen() {
		if e.Type() == "refreshToken" {
			newest = e.Str("token")
		}
	}
	if newest == "" {
		t.Fatal("no refreshed token has come")
	}
	return newest
}

// A session's token may descend from a chain of keys, each retired after it had
// signed. Revoking any of them ends the session and refuses its tokens, however
// the key is revoked.
func TestRevokingAnyKeyOfAChain(t *testing.T) {
	chain := []string{sessiontest.Key, "K2", "K3", "K4"}
	for _, key := range chain[:3] {
		for _, by := range []string{"configuration", "server API"} {
			t.Run(by+" "+key, func(t *testing.T) {
				inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
					keys := keyring{t, s}
					token := s.Token("lobby", "ada")
					var ada *sessiontest.Client
					for i := range chain {
						if i > 0 {
							keys.set(chain[i : i+1])
							synctest.Wait()
							token = tokenOf(t, ada)
							leave(ada)
						}
						ada, _ = s.Join(token)
						ada.Expect("refreshToken")
						synctest.Wait()
					}
					token = tokenOf(t, ada)
					g, err := s.Verifier.Verify(token)
					if err != nil || g.KeyID != "K4" || strings.Join(g.KeyIDs(), " ") != strings.Join(chain, " ") {
						t.Fatalf("the token descends from %v, %v", g.KeyIDs(), err)
					}
					time.Sleep(2 * time.Second)
					if by == "configuration" {
						keys.set([]string{"K4"}, key)
						ada.ExpectClose(wire.KeyRevoked)
					} else {
						b := s.Rooms.Batch()
						if _, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", KeyID: key, Until: time.Now()}); err != nil {
							t.Fatal(err)
						}
						b.Flush()
						ada.ExpectClose(wire.TokenRevoked)
					}
					refused(s, token, wire.TokenRevoked)
				})
			})
		}
	}
}

// A key that is revoked for what it signed until some time is good for what it
// signs later, also of sessions that are older.
func TestRevokedKeyMayRefreshLater(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		keys := keyring{t, s}
		ada, _ := s.Join(s.Token("lobby", "ada"))
		ada.Expect("refreshToken")
		keys.set([]string{"K2"})
		before := ada.Expect("refreshToken").Str("token")
		time.Sleep(2 * time.Second)
		b := s.Rooms.Batch()
		if _, err := s.Rooms.Revoke(b, room.Revocation{Project: "test", KeyID: "K2", Until: time.Now()}); err != nil {
			t.Fatal(err)
		}
		b.Flush()
		refused(s, before, wire.TokenRevoked)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if g, err := s.Verifier.Verify(tokenOf(t, ada)); err != nil || g.KeyID != "K2" {
			t.Fatalf("got %+v, %v", g, err)
		}
		s.Join(tokenOf(t, ada))
	})
}

// A session whose token was signed by one key and descends from another ends
// with either.
func TestRevokingTheOriginKeyEndsLiveSessions(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		keys := keyring{t, s}
		ada, _ := s.Join(s.Token("lobby", "ada"))
		ada.Expect("refreshToken")
		keys.set([]string{"newer"})
		token := ada.Expect("refreshToken").Str("token")
		again, _ := s.Join(token)
		ada.ExpectClose(wire.DuplicateIdentity)
		bob, _ := s.Join(sign(t, "newer", "bob"))
		if g, err := s.Verifier.Verify(token); err != nil || g.KeyID != "newer" || g.FirstKeyID() != sessiontest.Key {
			t.Fatalf("got %+v, %v", g, err)
		}
		keys.set([]string{"newer"}, sessiontest.Key)
		again.ExpectClose(wire.KeyRevoked)
		bob.Sync()
	})
}

// sign makes a token for the lobby with another key.
func sign(t *testing.T, key, identity string) string {
	t.Helper()
	token, err := livekit.Mint(key, auth.Secret(sessiontest.Secret), livekit.Claims{
		Identity: identity, Video: &livekit.VideoGrant{RoomJoin: true, Room: "lobby"},
	}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// When the key that signed their last tokens is retired, sessions are given
// others at once, and only those.
func TestRetiringAKeyRefreshesAtOnce(t *testing.T) {
	inBubble(t, sessiontest.Options{}, func(t *testing.T, s *sessiontest.Server) {
		keys := keyring{t, s}
		keys.set([]string{sessiontest.Key, "second"})
		const people = 150 // some chunks
		var clients []*sessiontest.Client
		for i := range people {
			c, _ := s.Join(s.Token("lobby", fmt.Sprint(i)))
			clients = append(clients, c)
		}
		bob, _ := s.Join(sign(t, "second", "bob"))
		synctest.Wait()
		tokens := func(c *sessiontest.Client) int {
			n := 0
			for _, e := range c.Seen() {
				if e.Type() == "refreshToken" {
					n++
				}
			}
			return n
		}
		for i, step := range []struct {
			listed []string
			want   int // tokens so far, of each but bob
			key    string
		}{
			{[]string{"other", sessiontest.Key, "second"}, 1, sessiontest.Key}, // one more
			{[]string{"third", "second"}, 2, "third"},                          // retired
			{[]string{"third", "second", "more"}, 2, "third"},
			{[]string{"fourth", "second"}, 3, "fourth"}, // and that one, which they did not come with
		} {
			keys.set(step.listed)
			synctest.Wait()
			for _, c := range clients {
				if n := tokens(c); n != step.want {
					t.Fatalf("step %d: a client has %d tokens, want %d", i, n, step.want)
				}
				if g, err := s.Verifier.Verify(tokenOf(t, c)); err != nil || g.KeyID != step.key {
					t.Fatalf("step %d: a client's token: %+v, %v", i, g, err)
				}
			}
			if n := tokens(bob); n != 1 {
				t.Errorf("step %d: one whose key is still listed has %d tokens", i, n)
			}
		}
	})
}

// Removing one participant by its sid revokes the token that everything
// descends from with which it has come.
func TestRemovingBySIDRevokesTheFirstToken(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.DuplicateIdentity = room.Allow }})
	first, between := s.Token("lobby", "bob"), ""
	token := first
	var bob *sessiontest.Client
	var joined sessiontest.Event
	for i := range 3 {
		bob, joined = s.Join(token)
		token = bob.Expect("refreshToken").Str("token")
		if i == 0 {
			between = token
		}
		if i < 2 {
			leave(bob)
		}
	}
	other := s.Token("lobby", "bob", func(c *livekit.Claims) { c.Name = "other" })
	second, _ := s.Join(other)
	r, _ := s.Rooms.Lookup("test", "lobby")
	b := s.Rooms.Batch()
	if err := r.Remove(b, room.Target{SID: joined.Str("session")}, room.Removal{}); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	bob.ExpectClose(wire.Removed)
	for name, token := range map[string]string{"the first": first, "one in between": between, "the last": token} {
		if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.TokenRevoked {
			t.Errorf("%s: got close code %d, want %d", name, got, wire.TokenRevoked)
		}
	}
	second.Sync()
	s.Join(other)
}

// Whoever joins can be refreshed: a token for which that would be too long is
// refused, and no other.
func TestTokenTooLargeToBeRefreshed(t *testing.T) {
	const limit = 2000
	s := sessiontest.Serve(t, sessiontest.Options{TokenBytes: limit})
	joined, refusedCount := 0, 0
	for n := 0; ; n += 20 {
		token := s.Token("lobby", fmt.Sprint(n), func(c *livekit.Claims) { c.Metadata = strings.Repeat("m", n) })
		if len(token) > limit {
			break
		}
		g, err := s.Verifier.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		c := s.Dial(nil)
		switch code := c.Refused(wire.Message{Type: "join", Token: token}); code {
		case 0:
			joined++
			again := c.Expect("refreshToken").Str("token")
			leave(c)
			c, _ = s.Join(again)
			c.Expect("refreshToken")
			leave(c)
		case wire.TokenTooLarge:
			refusedCount++
			_, err := s.Verifier.Refresh(g, auth.Current{Session: "PA_123412345678901234", Room: "lobby", Identity: g.Identity,
				Metadata: g.Metadata, Permission: auth.Resolve(g.Base...)}, time.Minute)
			if !errors.Is(err, auth.ErrTooLarge) {
				t.Errorf("a token of %d bytes was refused, and could be refreshed: %v", len(token), err)
			}
		default:
			t.Fatalf("%d bytes: got close code %d", len(token), code)
		}
	}
	if joined < 10 || refusedCount < 3 {
		t.Errorf("%d tokens were accepted and %d refused", joined, refusedCount)
	}
}

// A token that lives for longer than is allowed is an invalid one; a refreshed
// one is not held to it.
func TestTooLongLivedToken(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.Verifier.LimitLife(time.Hour)
	ada, _ := s.Join(s.Token("lobby", "ada"))
	s.Verifier.LimitLife(5 * time.Minute)
	refused(s, s.Token("lobby", "ada"), wire.InvalidToken)
	s.Join(ada.Expect("refreshToken").Str("token"))
}
