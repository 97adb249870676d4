package room_test

import (
	"encoding/base64"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
)

// callFormat stands for the format of Daily's tokens: what they say is in the grant
// already. Its base is the project's, then the room's, then the token's.
type callFormat struct{ livekit.Format }

func (callFormat) Name() string           { return "daily" }
func (callFormat) NamesKey() auth.KeyName { return auth.ByDomain }
func (callFormat) RequireExpiry() bool    { return false }
func (callFormat) Leeway() time.Duration  { return 0 }

func (callFormat) Base(g *auth.Grant, _ string, rules auth.RoomRules) []auth.Say {
	if g.Claims == nil && rules.Daily == nil {
		return nil
	}
	base := []auth.Say{{Layer: "domain", Allow: auth.SendTracks | auth.ReceiveTracks | auth.SendData | auth.SendPresence | auth.UpdateOwnMetadata}}
	if rules.Daily != nil {
		base = append(base, *rules.Daily)
	}
	return append(base, g.Base...)
}

var callers atomic.Uint64

// caller is what a token of Daily's for the room "hall" grants.
func caller(identity string, change ...func(*auth.Grant)) *auth.Grant {
	n := callers.Add(1)
	g := &auth.Grant{Format: callFormat{}, Project: "test", Identity: identity, Name: identity, Room: "hall", Join: true, Kind: auth.Standard,
		Claims: []byte(`{}`), Issued: time.Now(), TokenHash: auth.TokenHash([]byte(fmt.Sprintf("%032d", n))[:32])}
	for _, f := range change {
		f(g)
	}
	return g
}

// stranger is what somebody without a token is granted. It has a hash of its own.
func stranger(change ...func(*auth.Grant)) *auth.Grant {
	g := caller(fmt.Sprint(auth.AnonymousPrefix, callers.Add(1)), change...)
	g.Claims, g.Issued, g.Name = nil, time.Time{}, "somebody"
	return g
}

func owner(g *auth.Grant) {
	g.Base = append(g.Base, auth.Say{Layer: "owner", Allow: auth.SendTracks | auth.ReceiveTracks | auth.Owner |
		auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription, Deny: auth.Hidden | auth.ReceiveOnlyOwners})
}

func admin(g *auth.Grant) {
	g.Base = append(g.Base, auth.Say{Layer: "token", Allow: auth.ModerateParticipants})
}

func knocks(g *auth.Grant) { g.Knocks = true }

func stays(s auth.Stay) func(*auth.Grant) { return func(g *auth.Grant) { g.Stay = s } }

func expires(at time.Time) func(*auth.Grant) { return func(g *auth.Grant) { g.Expires = at } }

// again is a token that was refreshed from g and tells the present state.
func again(g *auth.Grant, now auth.Current) *auth.Grant {
	next := *g
	next.Issued, next.Expires = time.Now(), time.Now().Add(10*time.Minute)
	hash := g.FirstTokenHash()
	next.Origin = &auth.Origin{Session: now.Session, Issued: g.FirstIssued().Unix(), TokenHash: base64.RawURLEncoding.EncodeToString(hash[:])}
	next.TokenHash = auth.TokenHash([]byte(fmt.Sprintf("R%031d", callers.Add(1)))[:32])
	next.Stay = auth.Stay{Fixed: true, At: now.EjectAt, AtExpiry: true, After: time.Second}
	return &next
}

// opens makes the room "hall" with a Daily part.
func (h *hall) opens(s room.DailySettings) {
	h.t.Helper()
	b := h.rooms.Batch()
	defer b.Flush()
	if _, _, err := h.rooms.CreateDaily(b, "test", []string{"hall"}, []room.DailySettings{s}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) setDaily(change func(*room.DailySettings)) {
	h.t.Helper()
	b := h.rooms.Batch()
	defer b.Flush()
	if _, err := h.rooms.UpdateDaily(b, "test", "hall", func(s room.DailySettings) (room.DailySettings, error) {
		change(&s)
		return s, nil
	}); err != nil {
		h.t.Fatal(err)
	}
}

// comes joins, and fails the test when that fails.
func (h *hall) comes(g *auth.Grant) *member {
	h.t.Helper()
	m, err := h.enter(g)
	if err != nil {
		h.t.Fatalf("%s: %v", g.Identity, err)
	}
	m.batch.Flush()
	return m
}

func (h *hall) flushed(f func(b *room.Batch)) {
	b := h.rooms.Batch()
	f(b)
	b.Flush()
	b.Wait()
}

func expectEnd(t *testing.T, m *member, want room.Cause) {
	t.Helper()
	if got := m.ended(); got == nil || *got != want {
		t.Errorf("%s ended with %v, want %d", m.p.Identity, got, want)
	}
}
