package session_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// A keyring is the server's keys while they change.
type keyring struct {
	t *testing.T
	s *sessiontest.Server
}

// set puts other keys in force, with the same secret.
func (k keyring) set(ids []string, revoked ...string) {
	k.t.Helper()
	var list []auth.Key
	for _, id := range ids {
		list = append(list, auth.Key{ID: id, Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}})
	}
	keys, err := auth.NewKeys(list, revoked)
	if err != nil {
		k.t.Fatal(err)
	}
	k.s.Verifier.SetKeys(keys)
	k.s.Sessions.KeysChanged()
}

// unchanging is the claims of a token without those that a refresh renews.
func unchanging(t *testing.T, token string) string {
	t.Helper()
	claims := payloadOf(t, token)
	for _, name := range []string{"iss", "iat", "nbf", "exp", "usher"} {
		delete(claims, name)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRefreshedForADay keeps a session for 24 hours by the virtual clock. At
// least every 5 minutes a token arrives that holds at that moment, lives for 10
// minutes, says what the original said and where it descends from. Then its key
// is retired, and later revoked.
func TestRefreshedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessiontest.Serve(t, sessiontest.Options{Listener: sessiontest.NewMemory()})
		keys := keyring{t, s}
		token := s.Token("lobby", "ada", func(c *livekit.Claims) {
			c.TokenID, c.Name, c.Metadata = "first", "Ada", `{"x":1}`
			c.Attributes = map[string]string{"role": "host"}
			c.KindDetails, c.RoomPreset = []string{"FORWARDED"}, "preset"
			c.Video.CanPublishSources = []string{"camera"}
			c.Video.RoomAdmin, c.Video.RoomRecord = true, true
		})
		token = resign(t, token, func(claims map[string]any) {
			claims["custom"] = map[string]any{"a": []any{1, "two", nil}, "b": true}
			claims["video"].(map[string]any)["unheardOf"] = 7
			claims["sha256"] = "abc"
		})
		want := unchanging(t, token)
		began := time.Now()
		ada, joined := s.Join(token)
		original, err := s.Verifier.Verify(token)
		if err != nil {
			t.Fatal(err)
		}

		seen, last, count := 0, began, 0
		check := func(day string, key string) {
			t.Helper()
			events, n := ada.Since(seen)
			seen = n
			for _, e := range events {
				if e.Type() != "refreshToken" {
					continue
				}
				now := time.Now()
				if since := now.Sub(last); since > 5*time.Minute {
					t.Fatalf("%s: %v without a token", day, since)
				}
				last = now
				count++
				g, err := s.Verifier.Verify(e.Str("token"))
				if err != nil {
					t.Fatalf("%s: the token does not hold: %v", day, err)
				}
				if life := g.Expires.Sub(now); life > 10*time.Minute || life < 10*time.Minute-2*time.Second {
					t.Fatalf("%s: the token lives for %v", day, life)
				}
				if ms := int64(e.Get("expiresAt").(float64)); ms/1000 != g.Expires.Unix() {
					t.Fatalf("%s: expiresAt is %d, the token says %v", day, ms, g.Expires)
				}
				if got := unchanging(t, e.Str("token")); got != want {
					t.Fatalf("%s: the token says\n%s\nthe original said\n%s", day, got, want)
				}
				if g.KeyID != key {
					t.Fatalf("%s: the token was signed by %s, want %s", day, g.KeyID, key)
				}
				if o := g.Origin; o == nil || o.KeyID != sessiontest.Key || o.Issued != original.Issued.Unix() || o.TokenID != "first" || o.Session != joined.Str("session") {
					t.Fatalf("%s: the token's origin is %+v", day, o)
				}
			}
			if since := time.Since(last); since > 5*time.Minute {
				t.Fatalf("%s: %v without a token", day, since)
			}
		}
		pass := func(day string, hours int, key string) {
			for range hours * 3600 {
				time.Sleep(time.Second)
				synctest.Wait()
				check(day, key)
			}
		}

		synctest.Wait()
		check("the first token", sessiontest.Key)
		pass("the first half", 12, sessiontest.Key)
		keys.set([]string{"newer", "newest"}) // the original's is retired
		pass("the second half", 12, "newer")
		if count < 24*12 || count > 24*15 {
			t.Errorf("%d tokens came in a day", count)
		}
		if _, err := s.Verifier.Verify(token); err == nil {
			t.Error("the original token still holds")
		}
		ada.Sync()

		// The newest token lets one in.
		var newest string
		for _, e := range ada.Seen() {
			if e.Type() == "refreshToken" {
				newest = e.Str("token")
			}
		}
		again, _ := s.Join(newest)
		ada.ExpectClose(wire.DuplicateIdentity)
		newest = again.Expect("refreshToken").Str("token")

		// With its key revoked the session ends, and nothing that descends from it joins.
		keys.set([]string{"newer"}, sessiontest.Key)
		again.ExpectClose(wire.KeyRevoked)
		refused(s, newest, wire.TokenRevoked)
		refused(s, token, wire.TokenRevoked)
	})
}

// resign changes a token's claims.
func resign(t *testing.T, token string, change func(map[string]any)) string {
	t.Helper()
	claims := map[string]any{}
	for name, raw := range payloadOf(t, token) {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		claims[name] = v
	}
	change(claims)
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := auth.Sign(b, auth.Secret(sessiontest.Secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Refreshes of those who joined together are spread.
func TestRefreshesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sessiontest.Serve(t, sessiontest.Options{Listener: sessiontest.NewMemory()})
		var clients []*sessiontest.Client
		for i := range 30 {
			c, _ := s.Join(s.Token("lobby", fmt.Sprint(i)))
			clients = append(clients, c)
		}
		synctest.Wait()
		moments := map[time.Time]int{}
		tokens := make([]int, len(clients))
		for range 300 {
			time.Sleep(time.Second)
			synctest.Wait()
			for i, c := range clients {
				n := 0
				for _, e := range c.Seen() {
					if e.Type() == "refreshToken" {
						n++
					}
				}
				if n > tokens[i] && tokens[i] > 0 {
					moments[time.Now()]++
				}
				tokens[i] = n
			}
		}
		for i, n := range tokens {
			if n != 2 {
				t.Errorf("client %d has %d tokens after 5 minutes, want 2", i, n)
			}
		}
		if len(moments) < 8 {
			t.Errorf("30 refreshes came in %d different seconds", len(moments))
		}
	})
}

// One call makes one token, whatever it changes; of several changes in one step
// the last state wins, in one token.
func TestOneTokenForOneChange(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	ada, _ := s.Join(s.Token("lobby", "ada"))
	ada.Sync()
	n := len(ada.Seen())
	r, _ := s.Rooms.Lookup("test", "lobby")
	b := s.Rooms.Batch()
	for i := range 5 {
		change := room.Change{Name: ptr(fmt.Sprint(i)), Metadata: ptr(fmt.Sprint(i)), Attributes: map[string]string{"i": fmt.Sprint(i)}}
		if i == 4 {
			say := livekit.StatementOf(livekit.Permission{CanSubscribe: true})
			change.Permission = &say
		}
		if _, err := r.Update(b, room.Target{Identity: "ada"}, change); err != nil {
			t.Fatal(err)
		}
	}
	b.Flush()
	ada.Sync()
	events, _ := ada.Since(n)
	tokens := 0
	for _, e := range events {
		if e.Type() == "refreshToken" {
			tokens++
			if g, err := s.Verifier.Verify(e.Str("token")); err != nil || g.Name != "4" || g.Metadata != "4" || g.Attributes["i"] != "4" {
				t.Errorf("the token says %+v, %v", g, err)
			}
		}
	}
	if tokens != 1 {
		t.Errorf("%d tokens came, want 1", tokens)
	}
}
