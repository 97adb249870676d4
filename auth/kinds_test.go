package auth_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/liveblocks"
	"usher/auth/livekit"
)

// A house is a project with keys of all kinds, whose secrets may be one: then
// nothing but the way to the key tells its tokens apart.
type house struct {
	*auth.Verifier
	domains                    *daily.Domains
	livekit, liveblocks, other auth.Key
}

// newHouse returns one with these secrets. Daily's keys are the API key and the
// token secret.
func newHouse(t testing.TB, livekitSecret, liveblocksSecret, apiKey, tokenSecret string) house {
	t.Helper()
	f := liveblocks.New(liveblocks.Config{ReadersBroadcast: true})
	h := house{
		livekit:    auth.Key{ID: keyID, Secret: auth.Secret(livekitSecret), Project: "acme", Format: livekit.Format{}},
		liveblocks: auth.Key{ID: "lb_acme", Secret: auth.Secret(liveblocksSecret), Project: "acme", Format: f},
		other:      auth.Key{ID: "lb_other", Secret: auth.Secret(liveblocksSecret), Project: "other", Format: f},
	}
	h.domains = daily.NewDomains([]daily.Domain{{Project: "acme", Name: "acme", ID: domainID, APIKeys: []auth.Secret{auth.Secret(apiKey)}, TokenSecret: auth.Secret(tokenSecret)}})
	keys := append([]auth.Key{h.livekit, h.liveblocks, h.other}, h.domains.Keys()...)
	h.Verifier = auth.NewVerifier(newKeys(t, keys, "lb_revoked"), 0)
	return h
}

const domainID = "25df5057-ef0d-4d97-bde6-0cf287276cbb"

const (
	idClaims     = `"k":"id","pid":"acme","uid":"ada","iat":1,"exp":9999999999`
	accessClaims = `"k":"acc","pid":"acme","uid":"ada","perms":{"*":["*:write"]},"iat":1,"exp":9999999999`
	videoClaims  = `"sub":"ada","exp":9999999999,"video":{"roomJoin":true,"room":"lab"}`
	issued       = `"iss":"` + keyID + `",`
	lbHeader     = `{"alg":"HS256","kid":"lb_acme","typ":"JWT"}`
	dailyClaims  = `"r":"lab","d":"` + domainID + `","ud":"ada","iat":1`
)

// No token passes for one of another kind, whatever is changed about its header
// and claims by somebody who knows the other key's secret. The empty kind is a
// refusal.
func TestNoTokenPassesForAnotherKind(t *testing.T) {
	const (
		lk, lb = "the-secret-of-the-livekit-key-32-bytes", "the-secret-of-the-liveblocks-key-32-by"
		dk, dt = "the-api-key-of-the-daily-domain-32-byt", "the-token-secret-of-the-daily-domain-3"
	)
	for _, test := range []struct {
		name, header, payload, secret string
		kind                          string
		want                          error
	}{
		{"a LiveKit token", plainHeader, "{" + issued + videoClaims + "}", lk, "livekit", nil},
		{"an ID token", lbHeader, "{" + idClaims + "}", lb, "id", nil},
		{"an access token", lbHeader, "{" + accessClaims + "}", lb, "acc", nil},
		{"a Daily token signed by its application", plainHeader, "{" + dailyClaims + "}", dk, "daily", nil},
		{"a Daily token of the REST API", plainHeader, "{" + dailyClaims + "}", dt, "daily", nil},

		{"a LiveKit token with the others' domain", plainHeader, "{" + issued + videoClaims + "," + dailyClaims + "}", lk, "livekit", nil},
		{"with two domains", plainHeader, "{" + issued + videoClaims + `,"d":1,"d":"x","D":[]}`, lk, "livekit", nil},
		{"with the domain, signed with the API key", plainHeader, "{" + issued + videoClaims + "," + dailyClaims + "}", dk, "", auth.ErrSignature},
		{"with the domain and an unknown iss, signed with the API key", plainHeader, `{"iss":"x",` + videoClaims + "," + dailyClaims + "}", dk, "daily", nil},
		{"the same, signed with its own secret", plainHeader, `{"iss":"x",` + videoClaims + "," + dailyClaims + "}", lk, "", auth.ErrSignature},
		{"without iss, with the domain", plainHeader, "{" + videoClaims + "," + dailyClaims + "}", lk, "", auth.ErrSignature},
		{"an ID token with the others' domain", lbHeader, "{" + idClaims + `,"d":"` + domainID + `"}`, lb, "id", nil},
		{"with the domain, signed with the API key", lbHeader, "{" + idClaims + `,"d":"` + domainID + `"}`, dk, "", auth.ErrSignature},
		{"without kid, with the domain", plainHeader, "{" + idClaims + `,"d":"` + domainID + `"}`, lb, "", auth.ErrSignature},
		{"the same, signed with the API key", plainHeader, "{" + idClaims + `,"d":"` + domainID + `"}`, dk, "", auth.ErrMalformed}, // k is a text

		{"a Daily token with a LiveKit issuer", plainHeader, "{" + issued + dailyClaims + "}", dk, "", auth.ErrSignature},
		{"the same, signed for that", plainHeader, "{" + issued + dailyClaims + `,"exp":9999999999}`, lk, "?", nil}, // no grant at all
		{"with a Liveblocks kid", lbHeader, "{" + dailyClaims + "}", dk, "", auth.ErrSignature},
		{"the same, signed for that", lbHeader, "{" + dailyClaims + `,"exp":9999999999}`, lb, "", auth.ErrMalformed},
		{"with a revoked kid", `{"alg":"HS256","kid":"lb_revoked"}`, "{" + dailyClaims + "}", dk, "", auth.ErrRevokedKey},
		{"with an unknown kid", `{"alg":"HS256","kid":"x"}`, "{" + dailyClaims + "}", dk, "daily", nil},
		{"with a Liveblocks key as iss", plainHeader, `{"iss":"lb_acme",` + dailyClaims + "}", dk, "daily", nil},
		{"with another domain", plainHeader, `{"r":"lab","d":"00000000-0000-4000-8000-000000000001","ud":"ada","iat":1}`, dk, "", auth.ErrUnknownKey},
		{"with the domain twice", plainHeader, "{" + dailyClaims + `,"d":"x"}`, dk, "", auth.ErrMalformed},
		{"with the domain's name", plainHeader, `{"r":"lab","d":"acme","ud":"ada","iat":1}`, dk, "", auth.ErrUnknownKey},
		{"with its own key's id as iss", plainHeader, "{" + dailyClaims + `,"iss":"DAILY"}`, dk, "daily", nil},
		{"with its own key's id and no domain", `{"alg":"HS256","kid":"DAILY"}`, `{"iss":"","r":"lab","ud":"ada","iat":1}`, dk, "", auth.ErrUnknownKey},
		{"with the LiveKit secret", plainHeader, "{" + dailyClaims + "}", lk, "", auth.ErrSignature},
		{"with the Liveblocks secret", plainHeader, "{" + dailyClaims + "}", lb, "", auth.ErrSignature},
		{"with the domain id as the secret", plainHeader, "{" + dailyClaims + "}", domainID, "", auth.ErrSignature},
		{"with alg none, signed", `{"alg":"none"}`, "{" + dailyClaims + "}", dk, "", auth.ErrAlgorithm},
		{"with alg HS512", `{"alg":"HS512"}`, "{" + dailyClaims + "}", dk, "", auth.ErrAlgorithm},
		{"with the claim of refreshed ones alone", plainHeader, "{" + dailyClaims + `,"live":{"room":"x"}}`, dk, "", auth.ErrMalformed},

		{"a LiveKit token with the other's kid", lbHeader, "{" + issued + videoClaims + "}", lk, "livekit", nil},
		{"with a kid of two meanings", `{"alg":"HS256","kid":"lb_acme","kid":7}`, "{" + issued + videoClaims + "}", lk, "livekit", nil},
		{"with the other's kid, signed with the other's secret", lbHeader, "{" + issued + videoClaims + "}", lb, "", auth.ErrSignature},
		{"with the other's claims too", plainHeader, "{" + issued + videoClaims + "," + `"k":"id","pid":"acme","uid":"eve"}`, lk, "livekit", nil},
		{"the same, found by kid", lbHeader, `{"iss":"",` + videoClaims + "," + `"k":"id","pid":"acme","uid":"eve"}`, lk, "", auth.ErrSignature},
		{"without iss, with the other's kid", lbHeader, "{" + videoClaims + "}", lk, "", auth.ErrSignature},
		{"and the other's secret", lbHeader, "{" + videoClaims + "}", lb, "", auth.ErrMalformed},
		{"iss names the other's key", plainHeader, `{"iss":"lb_acme",` + videoClaims + "}", lb, "", auth.ErrUnknownKey},
		{"kid names its own key", `{"alg":"HS256","kid":"` + keyID + `"}`, "{" + videoClaims + "}", lk, "", auth.ErrUnknownKey},

		{"an ID token with its own key as iss", lbHeader, `{"iss":"lb_acme",` + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with the other's key as iss", lbHeader, "{" + issued + idClaims + "}", lb, "", auth.ErrSignature},
		{"with an unknown iss", lbHeader, `{"iss":"x",` + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with iss twice", lbHeader, `{"iss":"","ISS":"` + keyID + `",` + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with an iss of another type", lbHeader, `{"iss":["lb_acme"],` + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with the other's claims", lbHeader, "{" + idClaims + `,"sub":"eve","video":{"roomJoin":true,"room":"lab","roomAdmin":true}}`, lb, "id", nil},
		{"with perms", lbHeader, "{" + idClaims + `,"perms":{"*":["*:write"]}}`, lb, "", auth.ErrMalformed},
		{"an access token with gids", lbHeader, "{" + accessClaims + `,"gids":["staff"]}`, lb, "", auth.ErrMalformed},
		{"an ID token of another project's key", `{"alg":"HS256","kid":"lb_other"}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"a key id as a refreshed token's", lbHeader, "{" + idClaims + `,"usher":{"kid":"lb_acme","iat":1,"sid":"PA_1"}}`, lb, "", auth.ErrMalformed},

		{"an ID token without kid", plainHeader, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with an unknown kid", `{"alg":"HS256","kid":"lb_acm"}`, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with a kid in another case", `{"alg":"HS256","kid":"LB_ACME"}`, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with a revoked kid", `{"alg":"HS256","kid":"lb_revoked"}`, "{" + idClaims + "}", lb, "", auth.ErrRevokedKey},
		{"with kid last", `{"typ":"JWT","alg":"HS256","kid":"lb_acme"}`, "{" + idClaims + "}", lb, "id", nil},
		{"with kid escaped", `{"alg":"HS256","kid":"\u006cb_acme"}`, "{" + idClaims + "}", lb, "id", nil},
		{"with more in the header", `{"alg":"HS256","kid":"lb_acme","jku":"https://evil.example","x":{"kid":"x"}}`, "{" + idClaims + "}", lb, "id", nil},
		{"with kid null", `{"alg":"HS256","kid":null}`, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with kid empty", `{"alg":"HS256","kid":""}`, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with kid a number", `{"alg":"HS256","kid":7}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid a list", `{"alg":"HS256","kid":["lb_acme"]}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid an object", `{"alg":"HS256","kid":{"kid":"lb_acme"}}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid twice", `{"alg":"HS256","kid":"lb_other","kid":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid twice, alike", `{"alg":"HS256","kid":"lb_acme","kid":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid twice, once null", `{"alg":"HS256","kid":"lb_acme","kid":null}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid twice, escaped", `{"alg":"HS256","kid":"lb_acme","k\u0069d":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with kid twice, in two cases", `{"alg":"HS256","kid":"lb_acme","KID":"lb_other"}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with KID alone", `{"alg":"HS256","KID":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with alg twice", `{"alg":"none","alg":"HS256","kid":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with a kid that is no text", "{\"alg\":\"HS256\",\"kid\":\"lb_acme\",\"x\":\"\xff\"}", "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with a critical extension", `{"alg":"HS256","kid":"lb_acme","crit":["kid"]}`, "{" + idClaims + "}", lb, "", auth.ErrMalformed},
		{"with a kid of 512 KiB", `{"alg":"HS256","kid":"` + strings.Repeat("k", 512<<10) + `"}`, "{" + idClaims + "}", lb, "", auth.ErrUnknownKey},
		{"with alg none, signed", `{"alg":"none","kid":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrAlgorithm},
		{"with alg HS384", `{"alg":"HS384","kid":"lb_acme"}`, "{" + idClaims + "}", lb, "", auth.ErrAlgorithm},
		{"with the LiveKit secret", lbHeader, "{" + idClaims + "}", lk, "", auth.ErrSignature},
		{"with the key's id as the secret", lbHeader, "{" + idClaims + "}", "lb_acme", "", auth.ErrSignature},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, lk, lb, dk, dt)
			own := h.domains.Keys()[1].ID
			test.header, test.payload = strings.ReplaceAll(test.header, "DAILY", own), strings.ReplaceAll(test.payload, "DAILY", own)
			expect(t, h, sign(test.header, test.payload, test.secret), test.kind, test.want)
			// With one secret for all, the signature tells nothing. Then what
			// would fail by it fails by something else, or the signer's right to
			// that key makes it a token of that kind, never of another.
			g, err := newHouse(t, lk, lk, lk, lk).Verify(sign(test.header, test.payload, lk))
			switch {
			case test.want == auth.ErrSignature:
				if err == nil && ((g.Format.Name() == "livekit") != strings.Contains(test.payload, issued) ||
					g.Format.Name() == "liveblocks" && test.header != lbHeader) {
					t.Errorf("with one secret: a token of %s", g.Format.Name())
				}
			case test.want == nil:
				if err != nil || kindOf(g) != test.kind {
					t.Errorf("with one secret: %v", err)
				}
			case !errors.Is(err, test.want):
				t.Errorf("with one secret: got %v, want %v", err, test.want)
			}
		})
	}
	for _, payload := range []string{idClaims, accessClaims, dailyClaims} {
		unsigned := b64(`{"alg":"none","kid":"lb_acme"}`) + "." + b64("{"+payload+"}") + "."
		expect(t, newHouse(t, lk, lb, dk, dt), unsigned, "", auth.ErrAlgorithm)
		expect(t, newHouse(t, lk, lb, dk, dt), b64(lbHeader)+"."+b64("{"+payload+"}")+".", "", auth.ErrSignature)
	}
	for _, key := range []string{"sk_dev_secret", "pk_dev_public", "lb_acme", lb, dk, dt, domainID} {
		expect(t, newHouse(t, lk, lb, dk, dt), key, "", auth.ErrMalformed)
	}
}

func expect(t *testing.T, h house, token, kind string, want error) {
	t.Helper()
	g, err := h.Verify(token)
	if !errors.Is(err, want) || (err == nil) != (g != nil) {
		t.Fatalf("got %v, want %v", err, want)
	}
	if g != nil && kind == "?" {
		if g.Format.Name() != "livekit" || g.Join || g.RoomAdmin || g.CreateRoom || g.ListRooms {
			t.Errorf("got a token that is good for something: %+v", g)
		}
		return
	}
	if g != nil && (kindOf(g) != kind || g.Identity != "ada" || g.Project != "acme") {
		t.Errorf("got a token of kind %q: %+v", kindOf(g), g)
	}
}

// kindOf tells by what they grant which kind a token is of.
func kindOf(g *auth.Grant) string {
	switch {
	case g.Format.Name() == "livekit" && g.KeyID == keyID && g.Room == "lab" && len(g.Base) == 1:
		return "livekit"
	case g.Format.Name() == "liveblocks" && g.KeyID == "lb_acme" && g.Room == "" && g.CreateListed && !g.RoomAdmin:
		return "acc"
	case g.Format.Name() == "liveblocks" && g.KeyID == "lb_acme" && g.Room == "" && !g.CreateListed && !g.RoomAdmin:
		return "id"
	case g.Format.Name() == "daily" && strings.HasPrefix(g.KeyID, "daily_") && g.Room == "lab" && !g.Roams && g.Groups == nil && !g.CreateListed && !g.CreateRoom && !g.RoomAdmin && !g.ListRooms:
		return "daily"
	}
	return "?"
}

// A refreshed token is of the kind it was refreshed from, and no other.
func TestRefreshedTokensKeepTheirKind(t *testing.T) {
	h := newHouse(t, "the-secret-of-the-livekit-key-32-bytes", "the-secret-of-the-liveblocks-key-32-by", "the-api-key-of-the-daily-domain-32-byt", "the-token-secret-of-the-daily-domain-3")
	for _, test := range []struct{ header, payload, secret, kind string }{
		{plainHeader, "{" + dailyClaims + "}", string(h.domains.Keys()[0].Secret), "daily"},
		{plainHeader, "{" + dailyClaims + "}", string(h.domains.Keys()[1].Secret), "daily"},
		{plainHeader, "{" + issued + videoClaims + "}", string(h.livekit.Secret), "livekit"},
		{lbHeader, "{" + idClaims + "}", string(h.liveblocks.Secret), "id"},
		{lbHeader, "{" + accessClaims + "}", string(h.liveblocks.Secret), "acc"},
	} {
		g, err := h.Verify(sign(test.header, test.payload, test.secret))
		if err != nil {
			t.Fatal(err)
		}
		token, err := h.Refresh(g, auth.Current{Session: "PA_1", Room: "lab", Identity: "ada", Permission: auth.Resolve(g.Base...)}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		again, err := h.Verify(token)
		if err != nil {
			t.Fatalf("%s: %v", test.kind, err)
		}
		if again.Room != "lab" || again.Origin == nil || again.Format.Name() != g.Format.Name() || again.CreateListed != g.CreateListed || again.KeyID != g.KeyID {
			t.Errorf("%s became %+v", test.kind, again)
		}
		head, _, _ := strings.Cut(token, ".")
		if want := b64(test.header); head != want {
			t.Errorf("%s: the header is %s, want %s", test.kind, head, want)
		}
	}
}

// Nobody without a token comes to have one.
func TestWithoutTokenThereIsNoToken(t *testing.T) {
	h := newHouse(t, secret, secret, secret, "the-token-secret-of-the-daily-domain-3")
	public := liveblocks.PublicGrant(liveblocks.New(liveblocks.Config{}), "acme", "pk_1")
	for _, g := range []*auth.Grant{h.domains.Anyone("acme", "lab", ""), public} {
		if token, err := h.Refresh(g, auth.Current{Session: "PA_1", Room: "lab", Identity: g.Identity}, time.Minute); !errors.Is(err, auth.ErrNoToken) || token != "" {
			t.Errorf("%s: got %v", g.Format.Name(), err)
		}
		if h.Keys().Refuses(g) || g.Barred(time.Now()) != nil {
			t.Errorf("%s: refused", g.Format.Name())
		}
	}
}

func TestKeysSign(t *testing.T) {
	h := newHouse(t, secret, secret, secret, secret)
	for _, test := range []struct {
		key    auth.Key
		claims string
	}{{h.livekit, "{" + issued + videoClaims + "}"}, {h.liveblocks, "{" + idClaims + "}"}, {h.domains.Keys()[0], "{" + dailyClaims + "}"}} {
		token, err := test.key.Sign(json.RawMessage(test.claims))
		if err != nil {
			t.Fatal(err)
		}
		g, err := h.Verify(token)
		if err != nil || string(g.Claims) != test.claims || g.KeyID != test.key.ID {
			t.Errorf("%s: got %+v, %v", test.claims, g, err)
		}
		for _, claims := range []string{"", "null", "[]", `{"a":1`, "{}x"} {
			if token, err := test.key.Sign(json.RawMessage(claims)); err == nil {
				t.Errorf("%q was signed: %s", claims, token)
			}
		}
	}
	if _, err := (auth.Key{ID: "A", Secret: auth.Secret(secret)}).Sign(json.RawMessage("{}")); err == nil {
		t.Error("a key without a format signs")
	}
}

// An organization confines whoever names one.
func TestReaches(t *testing.T) {
	for _, test := range []struct {
		room, organization string // of the token
		reaches            string
	}{
		{"", "", "default"},
		{"", "default", "default"},
		{"", "o", "o"},
		{"lab", "", "default o p"},
		{"lab", "default", "default"},
		{"lab", "o", "o"},
	} {
		g := &auth.Grant{Room: test.room, Organization: test.organization}
		var reached []string
		for _, o := range []string{"default", "o", "p"} {
			if g.Reaches(o) {
				reached = append(reached, o)
			}
		}
		if strings.Join(reached, " ") != test.reaches || g.Reaches("") != g.Reaches(auth.DefaultOrganization) {
			t.Errorf("%+v reaches %q", test, reached)
		}
	}
}

// FuzzKinds: whatever the holder of one key signs, it is a token of that key's
// kind or none.
func FuzzKinds(f *testing.F) {
	const lk, lb, dk = "the-secret-of-the-livekit-key-32-bytes", "the-secret-of-the-liveblocks-key-32-by", "the-api-key-of-the-daily-domain-32-byt"
	for _, header := range []string{plainHeader, lbHeader, `{"alg":"HS256","kid":"lb_other"}`, `{"alg":"HS256","kid":"` + keyID + `"}`, `{"kid":"lb_acme","kid":"lb_other","alg":"HS256"}`} {
		for _, payload := range []string{idClaims, accessClaims, issued + videoClaims, `"iss":"lb_acme",` + idClaims, issued + idClaims + `,"sub":"ada"`, dailyClaims, issued + dailyClaims, idClaims + `,"d":"` + domainID + `"`} {
			for of := range byte(3) {
				f.Add(header, "{"+payload+"}", of)
			}
		}
	}
	h := newHouse(f, lk, lb, dk, "the-token-secret-of-the-daily-domain-3")
	f.Fuzz(func(t *testing.T, header, payload string, of byte) {
		secret, kind, id := lb, "liveblocks", "lb_"
		switch of % 3 {
		case 1:
			secret, kind, id = lk, "livekit", keyID
		case 2:
			secret, kind, id = dk, "daily", "daily_"
		}
		g, err := h.Verify(sign(header, payload, secret))
		if err == nil && (g.Format.Name() != kind || !strings.HasPrefix(g.KeyID, id)) {
			t.Fatalf("%s %s signed with a key of %s is a token of %s, of the key %s", header, payload, kind, g.Format.Name(), g.KeyID)
		}
		if err == nil && kind == "liveblocks" && (!strings.Contains(header, "kid") && !strings.Contains(header, `\u`) || g.RoomAdmin || g.CreateRoom || g.ListRooms) {
			t.Fatalf("%s %s: got %+v", header, payload, g)
		}
	})
}
