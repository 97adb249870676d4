package daily_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
)

const (
	apiKey      = "an-api-key-of-more-than-32-characters"
	otherAPIKey = "another-api-key-of-more-than-32-chars"
	tokenSecret = "a-token-secret-of-more-than-32-chars"
	domainID    = "25df5057-ef0d-4d97-bde6-0cf287276cbb"
)

func acme() daily.Domain {
	return daily.Domain{
		Project: "acme", Name: "acme", ID: domainID, Strict: true,
		APIKeys: []auth.Secret{auth.Secret(apiKey), auth.Secret(otherAPIKey)}, TokenSecret: auth.Secret(tokenSecret),
	}
}

// A house is domains with a verifier that knows their keys.
type house struct {
	*daily.Domains
	*auth.Verifier
}

func newHouse(t testing.TB, list ...daily.Domain) house {
	t.Helper()
	if list == nil {
		list = []daily.Domain{acme()}
	}
	h := house{Domains: daily.NewDomains(list)}
	h.Verifier = auth.NewVerifier(keysOf(t, h.Domains), 0)
	return h
}

func keysOf(t testing.TB, d *daily.Domains) *auth.Keys {
	t.Helper()
	keys, err := auth.NewKeys(d.Keys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// set is what a reload does.
func (h house) set(t testing.TB, list ...daily.Domain) {
	t.Helper()
	h.Set(list)
	h.SetKeys(keysOf(t, h.Domains))
}

// sign makes a token as an application does that signs itself: of these claims, to
// which it adds the domain and, as one never expires without, no more.
func sign(t testing.TB, claims string) string {
	t.Helper()
	return signWith(t, apiKey, `{"d":"`+domainID+`"`+claims+`}`)
}

func signWith(t testing.TB, secret, payload string) string {
	t.Helper()
	token, err := auth.Sign(json.RawMessage(payload), auth.Secret(secret))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return token
}

func (h house) grant(t testing.TB, claims string) *auth.Grant {
	t.Helper()
	g, err := h.Verify(sign(t, claims))
	if err != nil {
		t.Fatalf("%s: %v", claims, err)
	}
	return g
}

func (h house) refresh(t testing.TB, g *auth.Grant, now auth.Current) *auth.Grant {
	t.Helper()
	token, err := h.Refresh(g, now, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Verify(token)
	if err != nil {
		t.Fatalf("the refreshed token %s: %v", payloadOf(t, token), err)
	}
	return again
}

// room is the rules of a room with a Daily part that says this.
func room(t testing.TB, permissions string) auth.RoomRules {
	t.Helper()
	if permissions == "" {
		return auth.RoomRules{Daily: &auth.Say{}}
	}
	say, err := daily.ParsePermissions(json.RawMessage(permissions), "room")
	if err != nil {
		t.Fatalf("%s: %v", permissions, err)
	}
	return auth.RoomRules{Daily: &say}
}

// sessionOf is the state of a session in the lab, to whose holder this was stated
// live. Its base is known.
func sessionOf(g *auth.Grant, rules auth.RoomRules, stated ...auth.Say) auth.Current {
	base := g.Format.Base(g, "lab", rules)
	return auth.Current{
		Session: "PA_1", Room: "lab", Identity: g.Identity, Name: g.Name, Metadata: g.Metadata, Attributes: g.Attributes,
		Permission: auth.Resolve(append(slices.Clone(base), stated...)...), Base: base,
	}
}

// told is a permission in Daily's words.
func told(p auth.Permission) string { return string(daily.AppendPermissions(nil, p)) }

func payloadOf(t testing.TB, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// members returns the members of an object.
func members(t testing.TB, raw string) map[string]json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return m
}

// signHeaded makes a token with any header.
func signHeaded(header, payload, secret string) string {
	e := base64.RawURLEncoding.EncodeToString
	text := e([]byte(header)) + "." + e([]byte(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + e(mac.Sum(nil))
}
