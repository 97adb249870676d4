package livekit_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

func TestMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		no := false
		for _, test := range []struct {
			name   string
			claims livekit.Claims
			want   string
		}{
			{"nothing", livekit.Claims{}, `{"iss":"APIacme","iat":946684800,"nbf":946684800,"exp":946688400}`},
			{"unset flags stay unset, false ones are false",
				livekit.Claims{Identity: "ada", Video: &livekit.VideoGrant{RoomJoin: true, Room: "<lab>", CanPublish: &no}},
				`{"iss":"APIacme","sub":"ada","iat":946684800,"nbf":946684800,"exp":946688400,"video":{"roomJoin":true,"room":"<lab>","canPublish":false}}`},
			{"everything else",
				livekit.Claims{
					Identity: "ada", TokenID: "T1", Name: "Ada", Kind: auth.SIP, KindDetails: []string{"forwarded"}, Metadata: "m",
					Attributes: map[string]string{"b": "2", "a": "1"}, RoomConfig: []byte(`{"emptyTimeout":5}`), RoomPreset: "p",
					NotBefore: now.Add(time.Minute),
				},
				`{"iss":"APIacme","sub":"ada","jti":"T1","iat":946684800,"nbf":946684860,"exp":946688400,"name":"Ada","kind":"sip",` +
					`"kindDetails":["forwarded"],"metadata":"m","attributes":{"a":"1","b":"2"},"roomConfig":{"emptyTimeout":5},"roomPreset":"p"}`},
		} {
			token, err := livekit.Mint(keyID, auth.Secret(secret), test.claims, time.Hour, now)
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			g, err := newVerifier(t).Verify(token)
			if err != nil || string(g.Claims) != test.want {
				t.Errorf("%s: %v\ngot  %s\nwant %s", test.name, err, g.Claims, test.want)
			}
		}
	})
}

func TestMintRefuses(t *testing.T) {
	for name, mint := range map[string]func() (string, error){
		"no key": func() (string, error) {
			return livekit.Mint("", auth.Secret(secret), livekit.Claims{}, time.Hour, time.Now())
		},
		"no secret": func() (string, error) { return livekit.Mint(keyID, nil, livekit.Claims{}, time.Hour, time.Now()) },
		"a room config that is not JSON": func() (string, error) {
			return livekit.Mint(keyID, auth.Secret(secret), livekit.Claims{RoomConfig: []byte("{")}, time.Hour, time.Now())
		},
	} {
		if token, err := mint(); err == nil || token != "" {
			t.Errorf("%s: got %q, %v", name, token, err)
		}
	}
}

func ExampleMint() {
	apiKey, apiSecret := "APIacme", auth.Secret("a-secret-of-more-than-32-characters")
	token, err := livekit.Mint(apiKey, apiSecret, livekit.Claims{
		Identity: "ada",
		Video:    &livekit.VideoGrant{RoomJoin: true, Room: "lab"},
	}, 6*time.Hour, time.Now())
	if err != nil {
		panic(err)
	}

	keys, err := auth.NewKeys([]auth.Key{{ID: apiKey, Secret: apiSecret, Project: "acme", Format: livekit.Format{}}}, nil)
	if err != nil {
		panic(err)
	}
	grant, err := auth.NewVerifier(keys, 0).Verify(token)
	if err != nil {
		panic(err)
	}
	fmt.Println(grant.Identity, "may enter", grant.Room)
	// Output: ada may enter lab
}
