package explain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/web/explain"
)

// The name of a key is something that anybody can write into a token. Whether a key
// of that name was revoked, is another project's, or is none at all reads the same.
func TestKeysOfOthers(t *testing.T) {
	const secret = "a-secret-of-no-less-than-32-bytes"
	keys, err := auth.NewKeys([]auth.Key{{ID: "K", Secret: auth.Secret(secret), Project: "b", Format: livekit.Format{}}}, []string{"R"})
	if err != nil {
		t.Fatal(err)
	}
	v := auth.NewVerifier(keys, 0)
	now := time.Unix(1767358800, 0)
	// said is what a server says of a token with a signature of nobody's. It takes
	// another project's key for unknown, as far as it can read the token.
	said := func(issuer, claims string) string {
		t.Helper()
		token := jwt(`{"alg":"HS256","typ":"JWT"}`, `{"iss":"`+issuer+`",`+claims+`}`)
		_, err := v.Verify(token)
		if err == nil {
			t.Fatalf("the token of %s holds", issuer)
		}
		if g, _ := auth.ReadUnverified(token, livekit.Format{}); g != nil && issuer == "K" {
			err = auth.ErrUnknownKey
		}
		_, report := explain.Any(token, []string{explain.Signature(err)}, now)
		text := explain.Refusal(token, err, now)
		for _, part := range report {
			text += "\n" + part.Label + ": " + strings.Join(part.Lines, "; ")
		}
		return strings.ReplaceAll(text, `"`+issuer+`"`, "ISSUER")
	}
	for name, claims := range map[string]string{
		"in order":            `"sub":"ada","exp":1767358900,"video":{"roomJoin":true,"room":"lab"}`,
		"without an identity": `"exp":1767358900,"video":{"roomAdmin":true}`,
		"refreshed":           `"sub":"ada","exp":1767358900,"video":{"roomJoin":true,"room":"lab"},"usher":{"kid":"F","iat":1,"sid":"s"}`,
		"of no time":          `"sub":"ada","exp":"tomorrow","video":{"roomJoin":true}`,
		"of no grant":         `"sub":"ada","exp":1767358900,"video":[]`,
	} {
		unknown := said("U", claims)
		for _, issuer := range []string{"R", "K"} {
			if got := said(issuer, claims); got != unknown {
				t.Errorf("%s: key %s reads\n%s\nand an unknown one\n%s", name, issuer, got, unknown)
			}
		}
	}
	if _, err := v.Verify(jwt(`{"alg":"HS256"}`, `{"iss":"R","exp":1767358900}`)); !errors.Is(err, auth.ErrRevokedKey) {
		t.Errorf("got %v, want that the verifier tells revoked keys apart", err)
	}
}
