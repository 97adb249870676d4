package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"usher/auth"
)

// FuzzVerify: whatever comes in, nothing panics, and what is accepted was
// signed with the key and names an identity.
func FuzzVerify(f *testing.F) {
	good := sign(plainHeader, claims(""), secret)
	head, rest, _ := strings.Cut(good, ".")
	body, mac, _ := strings.Cut(rest, ".")
	for _, token := range []string{
		good, "", ".", "..", "...", head, head + "." + body, head + "." + body + ".", good + ".", good + "\n",
		b64(`{"alg":"none"}`) + "." + body + ".",
		b64(`{"alg":"none","alg":"HS256"}`) + "." + body + "." + mac,
		sign(`{"alg":"HS256"}`, claims(""), secret),
		sign(`{"alg":"HS256","crit":[]}`, claims(""), secret),
		sign(plainHeader, claims(`,"usher":{"kid":"A"}`), secret),
		sign(plainHeader, `{"iss":"`+keyID+`"`, secret),
		sign(plainHeader, claims(`,"EXP":1`), secret),
	} {
		f.Add(token)
	}
	v := newVerifier(f)
	f.Fuzz(func(t *testing.T, token string) {
		g, err := v.Verify(token)
		if err != nil {
			if g != nil {
				t.Error("a grant came with an error")
			}
			return
		}
		i := strings.LastIndexByte(token, '.')
		signature, err := base64.RawURLEncoding.DecodeString(token[i+1:])
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(token[:i]))
		if err != nil || !hmac.Equal(signature, mac.Sum(nil)) {
			t.Fatalf("accepted, and not signed: %q", token)
		}
		if g.Join && g.Identity == "" || g.KeyID != keyID || g.Project != "acme" {
			t.Errorf("got %+v", g)
		}
	})
}

// FuzzSignedClaims: an application may sign anything. Nothing panics, and a
// token that is accepted can be refreshed into one that is accepted, for the
// same person with the same rights.
func FuzzSignedClaims(f *testing.F) {
	for _, more := range []string{
		``, `,"jti":"x"`, `,"iat":1.5e9,"nbf":"1"`, `,"name":"\u00e9\ud800","metadata":"<>"`, `,"VIDEO":null`, `,"Name":"x"`,
		`,"attributes":{"a":"b","a":"c","":null}`, `,"kind":"AGENT","kindDetails":["forwarded","x"]`,
		`,"roomConfig":{"emptyTimeout":"30","max_participants":4e0}`, `,"sip":{"call":true}`, `,"usher":{"kid":"A","iat":1}`,
		`,"x":[{"y":123456789012345678901234567890.10}]`, "\t , \"x\" : { } ",
	} {
		f.Add(claims(more))
	}
	for _, video := range []string{
		`{"canPublish":false}`, `{"canPublishSources":["bogus"]}`, `{"canPublishSources":["unknown","camera"],"hidden":true}`,
		`{"CanPublishData":false,"roomAdmin":true,"canpublishdata":null}`, `[]`, `{"canPublishSources":[null]}`,
	} {
		f.Add(`{"iss":"` + keyID + `","sub":"ada","exp":9e9,"video":` + video + `}`)
	}
	v := newVerifier(f)
	f.Fuzz(func(t *testing.T, payload string) {
		g, err := v.Verify(sign(plainHeader, payload, secret))
		if err != nil {
			return
		}
		now := auth.Current{
			Session: "PA_1", Room: g.Room, Identity: g.Identity, Name: g.Name, Metadata: g.Metadata,
			Attributes: g.Attributes, Permission: auth.Resolve(g.Base...),
		}
		token, err := v.Refresh(g, now, time.Minute)
		if err != nil {
			t.Fatalf("refreshing %s: %v", payload, err)
		}
		again, err := v.Verify(token)
		if errors.Is(err, auth.ErrNoIdentity) && g.Identity == "" {
			return // a server API's token, which no session comes with
		}
		if err != nil {
			t.Fatalf("%s\nwas refreshed as\n%s\nwhich is refused: %v", payload, token, err)
		}
		if again.Identity != g.Identity || again.Room != g.Room || !auth.Resolve(again.Base...).Equal(now.Permission) {
			t.Fatalf("%s\nwas refreshed as\n%s", payload, again.Claims)
		}
	})
}
