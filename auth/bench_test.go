package auth_test

import (
	"encoding/json"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/liveblocks"
	"usher/auth/livekit"
)

const (
	benchKey    = "APIbench"
	benchSecret = "a-secret-of-more-than-32-characters"
)

// benchToken is a token as an application with a few attributes makes it.
func benchToken(b *testing.B) (*auth.Verifier, string) {
	b.Helper()
	secret := auth.Secret(benchSecret)
	keys, err := auth.NewKeys([]auth.Key{{ID: benchKey, Secret: secret, Project: "acme", Format: livekit.Format{}}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	no := false
	token, err := livekit.Mint(benchKey, secret, livekit.Claims{
		Identity:   "ada",
		Name:       "Ada Lovelace",
		Metadata:   `{"avatar":"https://example.org/ada.png","team":7}`,
		Attributes: map[string]string{"role": "host", "language": "en"},
		Video: &livekit.VideoGrant{
			RoomJoin: true, Room: "analytical-engine",
			CanPublish: &no, CanPublishData: &no,
		},
	}, time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return auth.NewVerifier(keys, 0), token
}

// benchIDToken is an ID token as @liveblocks/node has it made.
func benchIDToken(b *testing.B) (*auth.Verifier, string) {
	b.Helper()
	key := liveblocks.NewKey(liveblocks.New(liveblocks.Config{ReadersBroadcast: true}), "acme", auth.Secret(benchSecret))
	keys, err := auth.NewKeys([]auth.Key{key}, nil)
	if err != nil {
		b.Fatal(err)
	}
	token, err := liveblocks.IDToken{
		User: "ada", Groups: []string{"engineering", "design"},
		Info: json.RawMessage(`{"name":"Ada Lovelace","avatar":"https://example.org/ada.png","color":"#f0f"}`),
	}.Mint(key, 0)
	if err != nil {
		b.Fatal(err)
	}
	return auth.NewVerifier(keys, 0), token
}

func BenchmarkVerify(b *testing.B) {
	v, token := benchToken(b)
	benchVerify(b, v, token)
}

func BenchmarkVerifyLiveblocks(b *testing.B) {
	v, token := benchIDToken(b)
	benchVerify(b, v, token)
}

// benchDailyTokens are a token of the REST API and one signed with the second API
// key, which is tried last.
func benchDailyTokens(b *testing.B) (v *auth.Verifier, byServer, byLast string) {
	b.Helper()
	d := daily.Domain{
		Project: "acme", Name: "acme", ID: domainID, TokenSecret: auth.Secret(benchSecret),
		APIKeys: []auth.Secret{auth.Secret("an-api-key-of-more-than-32-characters"), auth.Secret("another-api-key-of-more-than-32-chars")},
	}
	keys, err := auth.NewKeys(daily.NewDomains([]daily.Domain{d}).Keys(), nil)
	if err != nil {
		b.Fatal(err)
	}
	properties := json.RawMessage(`{"room_name":"analytical-engine","user_id":"ada","user_name":"Ada Lovelace","exp":9999999999,"start_video_off":true,"permissions":{"canSend":["audio","video"]}}`)
	if byServer, err = daily.Mint(d, properties, time.Now()); err == nil {
		byLast, err = daily.MintWith(d, d.APIKeys[1], properties, time.Now())
	}
	if err != nil {
		b.Fatal(err)
	}
	return auth.NewVerifier(keys, 0), byServer, byLast
}

func BenchmarkVerifyDaily(b *testing.B) {
	v, byServer, byLast := benchDailyTokens(b)
	b.Run("server", func(b *testing.B) { benchVerify(b, v, byServer) })
	b.Run("self", func(b *testing.B) { benchVerify(b, v, byLast) })
}

func benchVerify(b *testing.B, v *auth.Verifier, token string) {
	b.ReportAllocs()
	b.SetBytes(int64(len(token)))
	for b.Loop() {
		if _, err := v.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyForged(b *testing.B) {
	v, token := benchToken(b)
	forged := token[:len(token)-4] + "AAAA"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(forged); err == nil {
			b.Fatal("a forged token was accepted")
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	v, token := benchToken(b)
	g, err := v.Verify(token)
	if err != nil {
		b.Fatal(err)
	}
	now := auth.Current{
		Session: "PA_bench", Room: g.Room, Identity: g.Identity, Name: g.Name,
		Metadata: g.Metadata, Attributes: g.Attributes,
		Permission: auth.Resolve(append(g.Base, auth.Say{Layer: auth.Live, Allow: auth.SendMicrophone})...),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Refresh(g, now, 10*time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
