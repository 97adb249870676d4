package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"usher/auth"
	"usher/auth/livekit"
)

const (
	keyID  = "APIacme"
	secret = "a-secret-of-more-than-32-characters"
)

// newVerifier returns a Verifier with the key above.
func newVerifier(t testing.TB) *auth.Verifier {
	t.Helper()
	return auth.NewVerifier(newKeys(t, []auth.Key{acmeKey()}), 0)
}

func acmeKey() auth.Key {
	return auth.Key{ID: keyID, Secret: auth.Secret(secret), Project: "acme", Format: livekit.Format{}}
}

func newKeys(t testing.TB, keys []auth.Key, revoked ...string) *auth.Keys {
	t.Helper()
	set, err := auth.NewKeys(keys, revoked)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sign makes a token of any header and payload.
func sign(header, payload, secret string) string {
	text := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + b64(string(mac.Sum(nil)))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

const plainHeader = `{"alg":"HS256","typ":"JWT"}`

// claims returns a payload that is accepted, with more claims appended.
func claims(more string) string {
	return `{"iss":"` + keyID + `","sub":"ada","exp":9999999999,"video":{"roomJoin":true,"room":"lab"}` + more + `}`
}
