package liveblocks_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
)

// sessionOf is the state of a session in a room with that list, to whose holder
// this was stated live. Its base is known.
func sessionOf(g *auth.Grant, room string, list *auth.AccessList, stated ...auth.Say) auth.Current {
	base := g.Format.Base(g, room, auth.RoomRules{List: list})
	return auth.Current{Session: "PA_1", Room: room, Identity: g.Identity, Name: g.Name, Metadata: g.Metadata, Attributes: g.Attributes,
		Permission: auth.Resolve(append(slices.Clone(base), stated...)...), Base: base}
}

func refresh(t testing.TB, g *auth.Grant, now auth.Current) *auth.Grant {
	t.Helper()
	v := newVerifier(t)
	token, err := v.Refresh(g, now, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Verify(token)
	if err != nil {
		t.Fatalf("the refreshed token %s: %v", token, err)
	}
	return again
}

func deny(rights auth.Rights) auth.Say  { return auth.Say{Layer: auth.Live, Deny: rights} }
func allow(rights auth.Rights) auth.Say { return auth.Say{Layer: auth.Live, Allow: rights} }

func TestRefreshKeepsEveryClaim(t *testing.T) {
	for _, claims := range []string{
		`,"k":"id","uid":"\u0061da","gids":["g1"],"ui":{"name":"Ada","n":1e400, "x":[ ]},"org":"o","x":123456789012345678901234567890,"X":null`,
		`,"k":"acc","uid":"ada","perms":{"lab*":["room:write"] , "*":[]},"nbf":1`,
	} {
		g, err := verify(t, claims)
		if err != nil {
			t.Fatal(err)
		}
		now := sessionOf(g, "lab", open("*:write"))
		now.Name, now.Metadata, now.Attributes = "Countess <1>", "no JSON", map[string]string{"a": "b"}
		again := refresh(t, g, now)
		before, after := members(t, g.Claims), members(t, again.Claims)
		if string(after["usher"]) == "" || string(after["live"]) != `{"room":"lab","name":"Countess <1>","metadata":"no JSON","attributes":{"a":"b"}}` {
			t.Errorf("got %s", again.Claims)
		}
		for _, name := range []string{"iat", "exp", "usher", "live"} {
			delete(before, name)
			delete(after, name)
		}
		if len(before) != len(after) {
			t.Errorf("%s became %s", g.Claims, again.Claims)
		}
		for name, value := range before {
			if string(after[name]) != string(value) {
				t.Errorf("%s became %s", value, after[name])
			}
		}
		if again.Name != "Countess <1>" || again.Metadata != "no JSON" || again.Attributes["a"] != "b" || again.Room != "lab" ||
			again.Organization != g.Organization || !slices.Equal(again.Groups, g.Groups) || again.CreateListed != g.CreateListed {
			t.Errorf("got %+v", again)
		}
		if again.TokenID != "T1" || again.FirstTokenID() != "T1" || again.FirstIssued().Unix() != 1 || again.FirstTokenHash() != g.TokenHash || again.FirstKeyID() != key.ID {
			t.Errorf("revocations do not reach %+v", again)
		}
		third := refresh(t, again, sessionOf(again, "lab", open("*:write")))
		if len(third.Claims) != len(again.Claims) || third.FirstTokenHash() != g.TokenHash {
			t.Errorf("%s became %s", again.Claims, third.Claims)
		}
	}
}

// What a session is called is told only where it differs from userInfo, nothing
// included.
func TestRefreshTellsWhatHasChanged(t *testing.T) {
	const ui = `{"name":"Ada"}`
	g := grantOf(t, liveblocks.IDToken{User: "ada", Info: []byte(ui)})
	for _, test := range []struct{ name, metadata, live string }{
		{"Ada", ui, `{"room":"lab"}`},
		{"", ui, `{"room":"lab","name":""}`},
		{"Ada", "", `{"room":"lab","metadata":""}`},
		{"Eve", "x", `{"room":"lab","name":"Eve","metadata":"x"}`},
		{"Ada", ui, `{"room":"lab"}`}, // and back
	} {
		now := sessionOf(g, "lab", open("*:write"))
		now.Name, now.Metadata = test.name, test.metadata
		g = refresh(t, g, now)
		if live := string(members(t, g.Claims)["live"]); live != test.live || g.Name != test.name || g.Metadata != test.metadata {
			t.Errorf("%q, %q was told as %s and read as %q, %q", test.name, test.metadata, live, g.Name, g.Metadata)
		}
	}
}

// A refreshed token is for the room it was refreshed in, and stays confined to
// the organization of the original.
func TestRefreshedTokensAreForOneRoom(t *testing.T) {
	for _, token := range []minter{
		liveblocks.IDToken{User: "ada"}, liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"*": {"*:write"}}},
	} {
		g := grantOf(t, token)
		if rightsIn(g, "hall", open("*:write")) == 0 {
			t.Fatalf("%+v does not enter", token)
		}
		again := refresh(t, g, sessionOf(g, "lab", open("*:write")))
		if got := rightsIn(again, "lab", open("*:write")); got != rightsIn(g, "lab", open("*:write")) {
			t.Errorf("%+v became %s", token, names(got))
		}
		if says := format.Base(again, "hall", auth.RoomRules{List: open("*:write")}); says != nil {
			t.Errorf("%+v enters another room: %+v", token, says)
		}
		if !again.Reaches("default") || !again.Reaches("") || again.Reaches("other") {
			t.Errorf("%+v reaches rooms of other organizations", token)
		}
	}
	g := grantOf(t, liveblocks.IDToken{User: "ada", Organization: "o"})
	again := refresh(t, g, sessionOf(g, "lab", open("*:write")))
	if !again.Reaches("o") || again.Reaches("default") {
		t.Error("the organization is not the original's")
	}
}

// A person whom the list has demoted is what the list says, refreshed token or
// not, and one whom it has promoted too.
func TestTheListDecidesForRefreshedIDTokens(t *testing.T) {
	g := grantOf(t, liveblocks.IDToken{User: "ada", Groups: []string{"g"}})
	for _, test := range []struct{ was, is *auth.AccessList }{
		{open("*:write"), open("*:read")},
		{open("*:read"), open("*:write")},
		{open("*:read", "storage:none"), open("*:write", "feeds:none")},
		{open("*:write"), &auth.AccessList{Default: []string{}, Groups: map[string][]string{"g": {"*:read"}}}},
		{open("*:write"), open()},
		{open("*:write"), nil},
	} {
		again := refresh(t, g, sessionOf(g, "lab", test.was))
		if got, want := rightsIn(again, "lab", test.is), rightsIn(g, "lab", test.is); got != want {
			t.Errorf("from %+v to %+v: got %s, want %s", test.was, test.is, names(got), names(want))
		}
		if len(format.Base(again, "lab", auth.RoomRules{List: test.is})) == 0 != (len(format.Base(g, "lab", auth.RoomRules{List: test.is})) == 0) {
			t.Errorf("from %+v to %+v: who may be there differs", test.was, test.is)
		}
	}
}

// What somebody was denied live, their refreshed token does not get from the
// list or from its patterns. What somebody was given live is not in the token:
// the list may take it while the token still holds.
func TestRefreshTellsWhatWasDenied(t *testing.T) {
	for _, token := range []minter{
		liveblocks.IDToken{User: "ada"}, liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"*": {"*:write"}}},
	} {
		g := grantOf(t, token)
		all := rightsIn(g, "lab", open("*:write"))

		demoted := refresh(t, g, sessionOf(g, "lab", open("*:write"), deny(auth.WriteStorage|auth.SendData|auth.SendCamera)))
		if got := rightsIn(demoted, "lab", open("*:write")); got != all&^(auth.WriteStorage|auth.SendData) {
			t.Errorf("demoted: got %s", names(got))
		}
		if allowed, layer := auth.Explain(auth.WriteStorage, format.Base(demoted, "lab", auth.RoomRules{List: open("*:write")})...); allowed || layer != liveblocks.Layer {
			t.Errorf("demoted: %v by %s", allowed, layer)
		}

		// The next session comes with that token, and is refreshed as well.
		again := refresh(t, demoted, sessionOf(demoted, "lab", open("*:write")))
		if got := rightsIn(again, "lab", open("*:write")); got != all&^(auth.WriteStorage|auth.SendData) {
			t.Errorf("demoted, and back: got %s", names(got))
		}
		restored := refresh(t, again, sessionOf(again, "lab", open("*:write"), allow(auth.WriteStorage)))
		if got := rightsIn(restored, "lab", open("*:write")); got != all&^auth.SendData {
			t.Errorf("restored: got %s", names(got))
		}

		given := refresh(t, g, sessionOf(g, "lab", open("*:write"), allow(auth.SendCamera|auth.ModerateParticipants)))
		if got := rightsIn(given, "lab", open("*:write")); got != all {
			t.Errorf("given: got %s", names(got))
		}

		hidden := refresh(t, g, sessionOf(g, "lab", open("*:write"), allow(auth.Hidden)))
		if got := rightsIn(hidden, "lab", open("*:write")); got != all|auth.Hidden {
			t.Errorf("hidden: got %s", names(got))
		}

		deaf := sessionOf(g, "lab", open("*:write"), auth.Say{Layer: auth.Live, ReceiveFromIdentity: map[string]auth.Rights{"bob": 0}})
		if got := rightsIn(refresh(t, g, deaf), "lab", open("*:write")); got != all&^auth.ReceiveTracks {
			t.Errorf("not to receive from somebody: got %s", names(got))
		}
	}
	// A denial does not let anybody in.
	g := grantOf(t, liveblocks.IDToken{User: "ada"})
	hidden := refresh(t, g, sessionOf(g, "lab", open("*:write"), allow(auth.Hidden), deny(auth.WriteStorage)))
	if says := format.Base(hidden, "lab", auth.RoomRules{List: open()}); len(says) != 0 {
		t.Errorf("without a base: %+v", says)
	}
}

// When the base is not known, the token has no more than the session had,
// whatever happens to the list.
func TestRefreshWithoutABaseIsCapped(t *testing.T) {
	g := grantOf(t, liveblocks.IDToken{User: "ada"})
	now := sessionOf(g, "lab", open("*:read"), deny(auth.SendData))
	now.Base = nil
	again := refresh(t, g, now)
	if got := rightsIn(again, "lab", open("*:write")); got != now.Permission.Rights {
		t.Errorf("got %s, want %s", names(got), names(now.Permission.Rights))
	}
}

// Whatever a token says, a list says and was stated: what it is refreshed into
// gives nothing that the session does not have, and all of it that was not a
// live statement's gift.
func TestRefreshNeverGrantsMore(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 13))
	denied, inside := 0, 0
	for range 3000 {
		var token minter = liveblocks.IDToken{User: "ada", Groups: []string{"g0", "g1"}}
		if random.IntN(2) == 0 {
			token = liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"*": randomList(random), "lab": randomList(random), "lab*": randomList(random)}}
		}
		list := &auth.AccessList{Default: randomList(random), Groups: map[string][]string{"g0": randomList(random)}, Users: map[string][]string{"ada": randomList(random)}}
		g := grantOf(t, token)
		say := auth.Say{Layer: auth.Live, Allow: auth.Rights(random.Uint64()&random.Uint64()) & auth.AllRights, Deny: auth.Rights(random.Uint64()&random.Uint64()) & auth.AllRights}
		now := sessionOf(g, "lab", list, say)
		if len(now.Base) == 0 {
			continue
		}
		inside++
		base := rightsIn(g, "lab", list)
		again := refresh(t, g, now)
		got := rightsIn(again, "lab", list)
		if more := got &^ now.Permission.Rights; more != 0 {
			t.Fatalf("%s\nwith %s\nwas refreshed as %s\nwhich adds %s", g.Claims, names(now.Permission.Rights), again.Claims, names(more))
		}
		if want := base&now.Permission.Rights | now.Permission.Rights&auth.Hidden; got != want {
			t.Fatalf("%s\nwith %s\nwas refreshed as %s\nwhich gives %s", g.Claims, names(now.Permission.Rights), again.Claims, names(got))
		}
		if got != base {
			denied++
		}
	}
	if inside < 1000 || denied < 500 {
		t.Errorf("%d were inside, %d denied something: too one-sided to mean anything", inside, denied)
	}
}

// A project that retires its key refreshes with the next one.
func TestRefreshWithAnotherKey(t *testing.T) {
	next := liveblocks.NewKey(format, "acme", auth.Secret(strings.Repeat("n", 32)))
	g := grantOf(t, liveblocks.IDToken{User: "ada"})
	keys, err := auth.NewKeys([]auth.Key{next}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := auth.NewVerifier(keys, 0)
	token, err := v.Refresh(g, sessionOf(g, "lab", open("*:write")), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Verify(token)
	if err != nil || again.KeyID != next.ID || again.FirstKeyID() != key.ID {
		t.Fatalf("got %+v, %v", again, err)
	}
	if !keys.Outdated(g, newVerifier(t).Keys()) {
		t.Error("the session's tokens are not told to be outdated")
	}
}

func TestUnverifiedTokensNameTheirKey(t *testing.T) {
	g, err := auth.ReadUnverified(sign(t, `,"k":"id","uid":"ada"`), format)
	if err != nil || g.KeyID != key.ID || g.Identity != "ada" || g.Project != "" {
		t.Errorf("got %+v, %v", g, err)
	}
	if _, err := auth.ReadUnverified(sign(t, `,"k":"id"`), format); err == nil {
		t.Error("a token without a user is somebody's")
	}
}
