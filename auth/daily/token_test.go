package daily_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/daily"
)

// §1.2, §1.3: what a self-signed token grants.
func TestSelfSigned(t *testing.T) {
	h := newHouse(t)
	full := h.grant(t, `,"iat":1548722207,"exp":9999999999,"nbf":5,"r":"room-0253","ud":"u1","u":"Ada","o":true,"k":true,`+
		`"ss":false,"vo":true,"ao":false,"ejt":true,"eje":90,"er":"cloud","erui":true,"sr":true,"sro":{"a":[1]},"ast":false,`+
		`"uil":"de","ctoe":true,"rome":"https://x","ij":true,"mjh":"https://y","enable_prejoin_ui":true,"otcd":{"x":1}`)
	for _, check := range []struct {
		name      string
		got, want any
	}{
		{"identity", full.Identity, "u1"}, {"name", full.Name, "Ada"}, {"room", full.Room, "room-0253"},
		{"project", full.Project, "acme"}, {"format", full.Format.Name(), "daily"}, {"kind", full.Kind, auth.Standard},
		{"join", full.Join, true}, {"makes rooms", full.CreateRoom || full.CreateListed || full.ListRooms || full.RoomAdmin, false},
		{"organization", full.Organization, ""}, {"roams", full.Roams, false}, {"knocks", full.Knocks, true},
		{"issued", full.Issued.Unix(), int64(1548722207)}, {"expires", full.Expires.Unix(), int64(9999999999)},
		{"stay", full.Stay, auth.Stay{AtExpiry: true, After: 90 * time.Second}},
		{"start", fmt.Sprint(*full.Start.VideoOff, *full.Start.AudioOff, *full.Start.ScreenShare), "true false false"},
	} {
		if check.got != check.want {
			t.Errorf("%s: got %v, want %v", check.name, check.got, check.want)
		}
	}
	// §1.2: r, iat and exp are not needed; without r it is for every room.
	bare := h.grant(t, "")
	if bare.Room != "" || !bare.Roams || bare.Organization != auth.DefaultOrganization || !bare.Expires.IsZero() || bare.Issued.Unix() != 0 {
		t.Errorf("got %+v", bare)
	}
	if bare.Start != (auth.Start{}) || bare.Stay != (auth.Stay{}) || bare.Knocks {
		t.Errorf("a token that says nothing says something: %+v", bare)
	}
	if words := daily.Warnings(bare); len(words) != 2 || daily.Warnings(full) != nil {
		t.Errorf("warnings: %q, %q", words, daily.Warnings(full))
	}
}

// §1.1: without a user id somebody is nobody known, the same one with the same token.
func TestNobodyKnown(t *testing.T) {
	h := newHouse(t)
	first, again, other := h.grant(t, `,"r":"lab"`), h.grant(t, `,"r":"lab"`), h.grant(t, `,"r":"lab","iat":7`)
	if !strings.HasPrefix(first.Identity, auth.AnonymousPrefix) || len(first.Identity) < 25 ||
		first.Identity != again.Identity || first.Identity == other.Identity {
		t.Errorf("got %q, %q, and of another token %q", first.Identity, again.Identity, other.Identity)
	}
	if empty := h.grant(t, `,"ud":""`); !strings.HasPrefix(empty.Identity, auth.AnonymousPrefix) {
		t.Errorf("an empty user id is %q", empty.Identity)
	}
	refreshed := h.refresh(t, first, sessionOf(first, room(t, "")))
	if refreshed.Identity != first.Identity {
		t.Errorf("%q was refreshed as %q", first.Identity, refreshed.Identity)
	}
}

// A token without an id can be revoked by one all the same, with what descends from it.
func TestTokenIDs(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, `,"ud":"ada"`)
	if !strings.HasPrefix(g.TokenID, "sha256:") || g.TokenID == h.grant(t, `,"ud":"bob"`).TokenID {
		t.Errorf("got %q", g.TokenID)
	}
	again := h.refresh(t, g, sessionOf(g, room(t, "")))
	if again.FirstTokenID() != g.TokenID || again.TokenID == g.TokenID {
		t.Errorf("%q was refreshed as %q, which descends from %q", g.TokenID, again.TokenID, again.FirstTokenID())
	}
	if own := h.grant(t, `,"jti":"mine"`); own.TokenID != "mine" {
		t.Errorf("got %q", own.TokenID)
	}
}

// §1.1–§1.3, §1.6: what makes a token one that is not taken.
func TestRefusedTokens(t *testing.T) {
	h := newHouse(t)
	for _, test := range []struct {
		name, claims string
		want         error
	}{
		{"expired", `,"exp":1`, auth.ErrExpired},
		{"not yet valid", `,"nbf":9999999999`, auth.ErrNotYetValid},
		{"user id of 37", `,"ud":"` + strings.Repeat("é", 37) + `"`, auth.ErrMalformed},
		{"user id of the server's", `,"ud":"anon:x"`, auth.ErrMalformed},
		{"user id a number", `,"ud":7`, auth.ErrMalformed},
		{"room empty", `,"r":""`, auth.ErrMalformed},
		{"room a list", `,"r":["a"]`, auth.ErrMalformed},
		{"room twice", `,"r":"a","r":"b"`, auth.ErrMalformed},
		{"domain twice", `,"d":"x"`, auth.ErrMalformed},
		{"owner a number", `,"o":1`, auth.ErrMalformed},
		{"owner a text", `,"o":"true"`, auth.ErrMalformed},
		{"knocking a text", `,"k":"id"`, auth.ErrMalformed},
		{"eje a text", `,"eje":"soon"`, auth.ErrMalformed},
		{"eje negative", `,"eje":-5`, auth.ErrMalformed},
		{"exp in milliseconds", `,"exp":1790000000000`, auth.ErrMalformed},
		{"ejt a number", `,"ejt":5`, auth.ErrMalformed},
		{"exp a text", `,"exp":"soon"`, auth.ErrMalformed},
		{"p a text", `,"p":"v"`, auth.ErrMalformed},
		{"p with a long name", `,"p":{"canSend":false}`, auth.ErrMalformed},
		{"p with an unknown letter", `,"p":{"cs":"v,x"}`, auth.ErrMalformed},
		{"p with a list", `,"p":{"cs":["v"]}`, auth.ErrMalformed},
		{"p twice in one", `,"p":{"cs":true,"cs":false}`, auth.ErrMalformed},
		{"the server's claim", `,"live":{"room":"lab"}`, auth.ErrMalformed},
		{"the server's other claim", `,"usher":{"kid":"x","iat":1,"sid":"s"}`, auth.ErrMalformed},
	} {
		if g, err := h.Verify(sign(t, test.claims)); !errors.Is(err, test.want) || g != nil {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	for name, payload := range map[string]string{
		"no domain": `{"r":"lab"}`, "another domain": `{"r":"lab","d":"other"}`, "the domain in another case": `{"d":"` + strings.ToUpper(domainID) + `"}`,
		"the name in another case": `{"D":"` + domainID + `"}`, "domain null": `{"d":null}`, "domain a list": `{"d":["` + domainID + `"]}`,
	} {
		if _, err := h.Verify(signWith(t, apiKey, payload)); !errors.Is(err, auth.ErrUnknownKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := h.Verify(signWith(t, "another-secret-of-more-than-32-chars", `{"d":"`+domainID+`"}`)); !errors.Is(err, auth.ErrSignature) {
		t.Errorf("with another secret: %v", err)
	}
}

// §1.2: what nobody knows here is nobody's business.
func TestUnknownClaims(t *testing.T) {
	h := newHouse(t)
	for _, claims := range []string{
		`,"otcd":{"x":1}`, `,"iss":"my-backend"`, `,"sub":"7","aud":["x"]`, `,"iss":"","O":true`, `,"R":"other"`, `,"LIVE":{}`, `,"UD":3`,
		`,"room_name":"lab"`, `,"enable_terse_logging":true`, `,"er":7`, `,"uil":"xx"`, `,"sro":null`,
	} {
		if g := h.grant(t, claims); g.Room != "" || auth.Resolve(g.Format.Base(g, "lab", room(t, ""))...).Allows(auth.Owner) {
			t.Errorf("%s: got %+v", claims, g)
		}
	}
	for _, header := range []string{`{"alg":"HS256","kid":"mine","typ":"JWT"}`, `{"typ":"JWT","alg":"HS256","x":1}`} {
		if _, err := h.Verify(signHeaded(header, `{"d":"`+domainID+`","iss":"me"}`, apiKey)); err != nil {
			t.Errorf("%s: %v", header, err)
		}
		if _, err := h.Verify(signHeaded(header, `{"d":"`+domainID+`"}`, apiKey)); err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// §1.2, §1.4: each of a domain's keys signs, and none of another's.
func TestEveryKeyOfTheDomainSigns(t *testing.T) {
	other := daily.Domain{Project: "other", Name: "other", ID: "00000000-0000-4000-8000-000000000002",
		APIKeys: []auth.Secret{auth.Secret("the-api-key-of-the-other-domain-32-ch")}, TokenSecret: auth.Secret("the-token-secret-of-the-other-domain")}
	h := newHouse(t, acme(), other)
	ids := map[string]bool{}
	for _, secret := range []string{tokenSecret, apiKey, otherAPIKey} {
		g, err := h.Verify(signWith(t, secret, `{"d":"`+domainID+`"}`))
		if err != nil || g.Project != "acme" {
			t.Fatalf("%v, %+v", err, g)
		}
		ids[g.KeyID] = true
		if _, err := h.Verify(signWith(t, secret, `{"d":"`+other.ID+`"}`)); !errors.Is(err, auth.ErrSignature) {
			t.Errorf("in the other's name: %v", err)
		}
	}
	if len(ids) != 3 {
		t.Errorf("the keys are called %v", ids)
	}
	// The order in the configuration does not matter to what they are called.
	turned := acme()
	turned.APIKeys[0], turned.APIKeys[1] = turned.APIKeys[1], turned.APIKeys[0]
	for _, key := range daily.NewDomains([]daily.Domain{turned}).Keys() {
		if !ids[key.ID] {
			t.Errorf("a key has become %s", key.ID)
		}
	}
}

// §1.7.1: exp and nbf are exact, to the second; ignoreNbf of §1.5 is about nbf alone.
func TestTimesAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		now := time.Now().Unix()
		token := sign(t, fmt.Sprintf(`,"nbf":%d,"exp":%d`, now+10, now+20))
		for _, step := range []struct {
			wait        time.Duration
			want, early error
		}{
			{10*time.Second - time.Millisecond, auth.ErrNotYetValid, nil},
			{time.Millisecond, nil, nil},
			{10*time.Second - time.Millisecond, nil, nil},
			{time.Millisecond, auth.ErrExpired, auth.ErrExpired},
		} {
			time.Sleep(step.wait)
			if _, err := h.Verify(token); !errors.Is(err, step.want) {
				t.Errorf("after %d s: got %v, want %v", time.Now().Unix()-now, err, step.want)
			}
			if _, err := h.VerifyEarly(token); !errors.Is(err, step.early) {
				t.Errorf("after %d s, ignoring nbf: got %v, want %v", time.Now().Unix()-now, err, step.early)
			}
		}
	})
}

// Settings of a project refuse what Daily takes, and count at once.
func TestRequired(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, "")
	strict := acme()
	strict.RequireExpiry, strict.RequireRoom = true, true
	h.set(t, strict)
	for claims, want := range map[string]error{
		`,"exp":9999999999`: auth.ErrNoRoom, `,"r":"lab"`: auth.ErrNoExpiry, `,"r":"lab","exp":9999999999`: nil,
	} {
		if _, err := h.Verify(sign(t, claims)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", claims, err, want)
		}
	}
	h.refresh(t, g, sessionOf(g, room(t, ""))) // who is there goes on
	for properties, want := range map[string]string{`{"room_name":"lab"}`: "exp is missing", `{"exp":9999999999}`: "room_name is missing"} {
		if _, err := daily.Mint(strict, json.RawMessage(properties), time.Now()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", properties, err, want)
		}
	}
	h.set(t, acme())
	h.grant(t, "")
}

// Removing an API key kills its tokens, and no other.
func TestAKeyIsRemoved(t *testing.T) {
	for _, end := range []bool{false, true} {
		h := newHouse(t)
		g := h.grant(t, `,"ud":"ada","exp":9999999999`)
		now := sessionOf(g, room(t, ""))
		refreshed := h.refresh(t, g, now)
		byServer := signWith(t, tokenSecret, `{"d":"`+domainID+`"}`)
		byOther := signWith(t, otherAPIKey, `{"d":"`+domainID+`"}`)

		earlier := h.Verifier.Keys()
		less := acme()
		less.APIKeys, less.EndSessions = less.APIKeys[1:], end
		h.set(t, less)
		if _, err := h.Verify(sign(t, `,"ud":"ada"`)); !errors.Is(err, auth.ErrSignature) {
			t.Errorf("a token of the key: %v", err)
		}
		for _, token := range []string{byServer, byOther} {
			if g, err := h.Verify(token); err != nil || h.Verifier.Keys().Refuses(g) {
				t.Errorf("a token of another key: %v", err)
			}
		}
		if h.Verifier.Keys().Refuses(g) != end || h.Verifier.Keys().Refuses(refreshed) != end {
			t.Errorf("end_sessions %v: sessions of the key end: %v", end, h.Verifier.Keys().Refuses(g))
		}
		if h.Verifier.Keys().Refuses(h.Anyone("acme", "lab", "")) {
			t.Error("somebody without a token is refused")
		}
		if end {
			if _, err := h.Refresh(g, now, time.Minute); !errors.Is(err, auth.ErrRevokedKey) {
				t.Errorf("refreshing: %v", err)
			}
			continue
		}
		if !h.Verifier.Keys().Outdated(g, earlier) {
			t.Error("what the sessions have been given is not replaced")
		}
		again := h.refresh(t, g, now)
		if again.KeyID != h.Domains.Keys()[0].ID || again.FirstKeyID() != g.KeyID {
			t.Errorf("refreshed with %s, from %s", again.KeyID, again.FirstKeyID())
		}
		// What was signed by the token secret meanwhile is refused when the setting
		// says so, whatever became of the process in between.
		token, err := h.Refresh(g, now, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		less.EndSessions = true
		if _, err := newHouse(t, less).Verify(token); !errors.Is(err, auth.ErrRevokedKey) {
			t.Errorf("with end_sessions: %v", err)
		}
	}
}

// §1.8: who is let in without a token when a token does not hold.
func TestIgnores(t *testing.T) {
	lax := acme()
	lax.Strict = false
	for _, test := range []struct {
		name, token string
	}{
		{"forged", signWith(t, "another-secret-of-more-than-32-chars", `{"d":"`+domainID+`"}`)},
		{"cut", sign(t, "")[:100]},
		{"of another domain", signWith(t, apiKey, `{"d":"x"}`)},
		{"of none", signWith(t, apiKey, `{"r":"lab"}`)},
		{"of two", signWith(t, apiKey, `{"d":"`+domainID+`","d":"x"}`)},
		{"nonsense", "a.b.c"},
	} {
		project, ok := daily.NewDomains([]daily.Domain{lax}).Ignores(test.token, "acme")
		if !ok || project != "acme" {
			t.Errorf("%s: got %q, %v", test.name, project, ok)
		}
		if _, ok := newHouse(t).Ignores(test.token, ""); ok {
			t.Errorf("%s: ignored, though strict", test.name)
		}
	}
}

func TestAnyone(t *testing.T) {
	h := newHouse(t)
	a, b := h.Anyone("acme", "lab", "Ada"), h.Anyone("", "lab", "")
	if a == nil || b == nil || a.Identity == b.Identity || !strings.HasPrefix(a.Identity, auth.AnonymousPrefix) ||
		a.Name != "Ada" || a.Project != "acme" || b.Project != "acme" || !a.Join || a.CreateRoom || a.CreateListed {
		t.Fatalf("got %+v, %+v", a, b)
	}
	if h.Anyone("nobody", "lab", "") != nil || daily.NewDomains(nil).Anyone("", "lab", "") != nil {
		t.Error("somebody without a domain")
	}
	if _, err := h.Refresh(a, auth.Current{Session: "PA_1", Room: "lab"}, time.Minute); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("refreshing: %v", err)
	}
	if a.Format.Base(a, "lab", auth.RoomRules{}) != nil {
		t.Error("in a room without a Daily part")
	}
	got := told(auth.Resolve(a.Format.Base(a, "lab", room(t, `{"canSend":["audio"]}`))...))
	if want := `{"hasPresence":true,"canSend":["audio"],"canReceive":{"base":true},"canAdmin":false}`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestDomainsByAPIKey(t *testing.T) {
	h := newHouse(t)
	for _, key := range []string{apiKey, otherAPIKey} {
		if d, ok := h.ByAPIKey(key); !ok || d.Project != "acme" {
			t.Errorf("got %v", ok)
		}
	}
	for _, key := range []string{"", tokenSecret, apiKey + "x", apiKey[:10], domainID} {
		if d, ok := h.ByAPIKey(key); ok || d.Project != "" {
			t.Errorf("%q opens", key)
		}
	}
	if d, ok := h.ByProject(""); !ok || d.ID != domainID {
		t.Error("no project is not the first one")
	}
	if _, ok := h.ByProject("x"); ok {
		t.Error("a project that there is not")
	}
}

// A reload replaces settings, not the format that sessions have.
func TestSetKeepsFormats(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, "")
	h.SetPermissions("acme", auth.Say{Deny: auth.SendTracks})
	changed := acme()
	changed.Name = "other"
	h.set(t, changed)
	if g.Format != h.Format("acme") || h.Permissions("acme").Deny != auth.SendTracks || h.Format("x") != nil {
		t.Error("the format is another one")
	}
	if auth.Resolve(g.Format.Base(g, "lab", room(t, ""))...).Rights.Any(auth.SendTracks) {
		t.Error("what the domain says is not in force")
	}
	// What was set stays while the project is away, or not here yet.
	h.SetPermissions("later", auth.Say{Deny: auth.SendCamera})
	h.set(t, daily.Domain{Project: "later", ID: "L", TokenSecret: auth.Secret(tokenSecret)})
	if h.Format("acme") != nil || h.Anyone("acme", "lab", "") != nil {
		t.Error("a project that is not listed lets people in")
	}
	h.set(t, acme())
	if h.Format("acme") != g.Format || h.Permissions("acme").Deny != auth.SendTracks || h.Permissions("later").Deny != auth.SendCamera || !h.Permissions("x").IsZero() {
		t.Error("what was set is lost")
	}
}

// A domain that is taken out as a whole ends its sessions like one whose keys change,
// if it ends any.
func TestDomainTakenOut(t *testing.T) {
	for _, ends := range []bool{false, true} {
		d := acme()
		d.EndSessions = ends
		keys, err := auth.NewKeys(daily.NewDomains([]daily.Domain{d}).Keys(), nil)
		if err != nil {
			t.Fatal(err)
		}
		g, err := auth.NewVerifier(keys, 0).Verify(sign(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		none, err := auth.NewKeys(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := none.After(keys)
		if keys.Refuses(g) || next.Refuses(g) != ends {
			t.Errorf("end_sessions %t: refused %t", ends, next.Refuses(g))
		}
		if none.After(next).Refuses(g) != ends {
			t.Errorf("end_sessions %t: another reload forgets it", ends)
		}
	}
}
