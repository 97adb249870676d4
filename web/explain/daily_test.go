package explain_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/web/explain"
)

const domainID = "25df5057-ef0d-4d97-bde6-0cf287276cbb"

func acmeDomain() daily.Domain {
	return daily.Domain{Project: "acme", Name: "acme", ID: domainID,
		APIKeys: []auth.Secret{auth.Secret("an-api-key-of-more-than-32-characters")}, TokenSecret: auth.Secret("a-token-secret-of-more-than-32-chars")}
}

// Why a Daily token is refused, and what its holder may do in a room.
func TestDailyTokens(t *testing.T) {
	now := time.Now()
	d := acmeDomain()
	keys, err := auth.NewKeys(daily.NewDomains([]daily.Domain{d}).Keys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := auth.NewVerifier(keys, 0)
	mint := func(d daily.Domain, properties string) string {
		token, err := daily.Mint(d, json.RawMessage(properties), now)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	other := d
	other.ID = "00000000-0000-4000-8000-000000000009"
	forged := d
	forged.TokenSecret = auth.Secret("another-secret-of-more-than-32-chars")
	for name, test := range map[string]struct {
		token, want string
		err         error
	}{
		"of another domain": {mint(other, `{}`), `it is of another domain, "00000000-0000-4000-8000-000000000009", or comes from a key that holds no longer`, auth.ErrUnknownKey},
		"forged":            {mint(forged, `{}`), "signature does not match the key", auth.ErrSignature},
		"too early":         {mint(d, fmt.Sprintf(`{"nbf":%d}`, now.Unix()+3600)), "it is valid from ", auth.ErrNotYetValid},
	} {
		_, err := v.Verify(test.token)
		if got := explain.Refusal(test.token, err, now); !errors.Is(err, test.err) || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: got %q of %v, want %q", name, got, err, test.want)
		}
	}

	say, err := daily.ParsePermissions(json.RawMessage(`{"canSend":["audio"]}`), "room")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		properties string
		at         explain.Place
		want       []string
		enter      bool
	}{
		"as the room says":  {`{"room_name":"lab"}`, explain.Place{Name: "lab", Daily: &say}, []string{"may enter", "canSend video: denied by room", "canSend audio: allowed by room", "canAdmin participants: denied by domain"}, true},
		"as the token says": {`{"permissions":{"canSend":["video"]}}`, explain.Place{Name: "lab", Daily: &say}, []string{"canSend video: allowed by token", "canSend audio: denied by token"}, true},
		"an owner":          {`{"is_owner":true}`, explain.Place{Name: "lab", Daily: &say}, []string{"canSend video: allowed by owner", "owner: allowed by owner"}, true},
		"another room":      {`{"room_name":"hall"}`, explain.Place{Name: "lab", Daily: &say}, []string{`may not enter: the token is for room "hall"`}, false},
		"no room":           {`{"room_name":"lab"}`, explain.Place{Name: "lab", Missing: true}, []string{"may not enter: there is no such room"}, false},
		"a tenant's room":   {`{}`, explain.Place{Name: "lab", Organization: "o", Daily: &say}, []string{`may not enter: the room is of organization "o"`}, false},
	} {
		g, err := v.Verify(mint(d, test.properties))
		if err != nil {
			t.Fatal(err)
		}
		layers, part := explain.InRoom(g, test.at)
		text := strings.Join(part.Lines, "\n")
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: got\n%s\nwant %q", name, text, want)
			}
		}
		if (layers != nil) != test.enter {
			t.Errorf("%s: enters with %v", name, layers)
		}
	}
}

// Whether a domain is another project's or nobody's reads the same, as soon as the
// server takes it for unknown.
func TestDomainsOfOthers(t *testing.T) {
	now := time.Unix(1767358800, 0)
	said := func(domain string) string {
		token := jwt(`{"alg":"HS256","typ":"JWT"}`, `{"r":"lab","d":"`+domain+`","iat":1}`)
		_, report := explain.Any(token, []string{explain.Signature(auth.ErrUnknownKey)}, now)
		text := explain.Refusal(token, auth.ErrUnknownKey, now)
		for _, part := range report {
			text += "\n" + part.Label + ": " + strings.Join(part.Lines, "; ")
		}
		return strings.ReplaceAll(text, domain, "DOMAIN")
	}
	if a, b := said(domainID), said("00000000-0000-4000-8000-000000000009"); a != b {
		t.Errorf("got\n%s\nand\n%s", a, b)
	}
}
