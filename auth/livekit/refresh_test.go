package livekit_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// current is the state of a session right after it came with g.
func current(g *auth.Grant) auth.Current {
	return auth.Current{
		Session: "PA_1", Room: g.Room, Identity: g.Identity, Name: g.Name,
		Metadata: g.Metadata, Attributes: g.Attributes, Permission: auth.Resolve(g.Base...),
	}
}

func members(t testing.TB, object json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatalf("%v in %s", err, object)
	}
	return m
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
		t.Fatalf("the refreshed token is refused: %v", err)
	}
	return again
}

// everything is a claim set with all that has to come through.
const everything = `"sub":"ada","jti":"T1","name":"Ada","metadata":"m","attributes":{"a":"1"},"kind":"agent","kindDetails":["forwarded","x"],` +
	`"sip":{"call":true},"roomPreset":"p","sha256":"s","roomConfig":{"emptyTimeout":"30","egress":{"x":1e2}},"aud":["a"],` +
	`"deep":{"n":123456789012345678901234567890.10,"e":1E400,"l":[{"\u0061":" "}],"s":"<&>\u2028"},"big":18446744073709551616,` +
	`"video":{"room":"lab","roomJoin":true,"roomCreate":true,"recorder":true,"destinationRoom":"d","future":{"n":1.0000000000000000000001},"canPublish":true}`

func TestRefreshKeepsEveryClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := verify(t, everything)
		if err != nil {
			t.Fatal(err)
		}
		now := current(g)
		now.Name, now.Metadata, now.Attributes = "Countess", "", map[string]string{"b": "<2>"}
		now.Permission = auth.Resolve(g.Base[0], auth.Say{Deny: auth.SendCamera})
		again := refresh(t, g, now)

		issued := fmt.Sprint(time.Now().Unix())
		want := members(t, g.Claims)
		delete(want, "metadata")
		maps.Copy(want, map[string]json.RawMessage{
			"iss": json.RawMessage(`"` + keyID + `"`), "sub": json.RawMessage(`"ada"`), "name": json.RawMessage(`"Countess"`),
			"attributes": json.RawMessage(`{"b":"<2>"}`),
			"iat":        json.RawMessage(issued), "nbf": json.RawMessage(issued),
			"exp":   json.RawMessage(fmt.Sprint(time.Now().Add(10 * time.Minute).Unix())),
			"usher": json.RawMessage(`{"kid":"APIacme","iat":0,"jti":"T1","hash":"` + base64.RawURLEncoding.EncodeToString(g.TokenHash[:]) + `","sid":"PA_1"}`),
		})
		wantVideo := members(t, want["video"])
		maps.Copy(wantVideo, map[string]json.RawMessage{
			"canPublish": json.RawMessage("true"), "canSubscribe": json.RawMessage("true"), "canPublishData": json.RawMessage("true"),
			"canPublishSources":    json.RawMessage(`["microphone","screen_share","screen_share_audio","unknown"]`),
			"canUpdateOwnMetadata": json.RawMessage("false"), "canSubscribeMetrics": json.RawMessage("false"),
			"canManageAgentSession": json.RawMessage("false"), "hidden": json.RawMessage("false"), "roomAdmin": json.RawMessage("false"),
		})
		got := members(t, again.Claims)
		gotVideo := members(t, got["video"])
		delete(got, "video")
		delete(want, "video")
		compare(t, got, want)
		compare(t, gotVideo, wantVideo)

		if again.Kind != g.Kind || again.TokenID != g.TokenID || again.Identity != g.Identity || !again.Dependent || !again.CreateRoom ||
			!reflect.DeepEqual(again.KindDetails, g.KindDetails) || again.RoomConfig != g.RoomConfig || again.Name != "Countess" || again.Metadata != "" {
			t.Errorf("got %+v", again)
		}
	})
}

func compare(t *testing.T, got, want map[string]json.RawMessage) {
	t.Helper()
	for name := range want {
		if string(got[name]) != string(want[name]) {
			t.Errorf("%s: got %s, want %s", name, got[name], want[name])
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("%s was added: %s", name, got[name])
		}
	}
}

// Flags that already say what is so are left alone, unset ones unset.
func TestRefreshLeavesFlagsThatHold(t *testing.T) {
	for _, flags := range []string{
		``, `,"canPublishSources":["bogus"]`, `,"canPublishSources":["bogus","camera"]`, `,"canPublish":false,"canPublishSources":["camera"]`,
		`,"canPublishSources":["custom_video","custom_audio"]`, `,"canPublishData":null`, `,"hidden":true,"roomAdmin":true`,
		`,"canPublish":false,"canSubscribe":false,"canPublishData":true,"canUpdateOwnMetadata":true`, `,"CanPublish":false`,
	} {
		video := `{"room":"lab","roomJoin":true` + flags + `}`
		g, err := verify(t, `"sub":"ada","video":`+video)
		if err != nil {
			t.Fatal(err)
		}
		again := refresh(t, g, current(g))
		if got := string(members(t, again.Claims)["video"]); got != video {
			t.Errorf("%s became %s", video, got)
		}
	}
}

func TestRefreshTellsTheRoomOfNow(t *testing.T) {
	g, err := verify(t, `"jti":"ada","Video":{"ROOM":"lab","roomJoin":true}`)
	if err != nil {
		t.Fatal(err)
	}
	now := current(g)
	now.Room = `hall "2"`
	again := refresh(t, g, now)
	if again.Room != now.Room || again.Identity != "ada" || again.TokenID != "ada" {
		t.Errorf("got %+v", again)
	}
}

// Whatever the token said and whatever was said since: a refreshed token grants
// nothing that the session does not have, and all of it that LiveKit's words
// can tell. What is not about the present state comes through to the byte.
func TestRefreshTellsThePermissionOfNow(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	told, rounded := 0, 0
	for range 3000 {
		claims := randomClaims(random)
		g, err := verify(t, claims)
		if err != nil {
			t.Fatalf("%s: %v", claims, err)
		}
		now := current(g)
		now.Permission = auth.Resolve(append(g.Base, randomSay(random))...)
		again := refresh(t, g, now)

		live := now.Permission.Rights &^ foreign
		got := auth.Resolve(again.Base...).Rights
		if more := got &^ live; more != 0 {
			t.Fatalf("%s\nwith %v\nwas refreshed as %s\nwhich adds %v", claims, named(live), again.Claims, named(more))
		}
		if got.Has(auth.ReceiveTracks) && !oneRuleForAll(now.Permission) {
			t.Fatalf("%s\nwas refreshed as %s\nwhich receives from everybody", claims, again.Claims)
		}
		if tellable(live) && oneRuleForAll(now.Permission) {
			told++
			if got != live {
				t.Fatalf("%s\nwith %v\nwas refreshed as %s\nwhich lacks %v", claims, named(live), again.Claims, named(live&^got))
			}
		} else {
			rounded++
		}

		before, after := members(t, g.Claims), members(t, again.Claims)
		videoBefore, videoAfter := members(t, before["video"]), members(t, after["video"])
		for _, name := range strings.Fields("iss sub iat nbf exp name metadata attributes video usher") {
			delete(before, name)
			delete(after, name)
		}
		for _, name := range strings.Fields("room roomJoin canPublish canPublishSources canSubscribe canPublishData canUpdateOwnMetadata " +
			"canSubscribeMetrics canManageAgentSession hidden roomAdmin") {
			delete(videoBefore, name)
			delete(videoAfter, name)
		}
		compare(t, after, before)
		compare(t, videoAfter, videoBefore)
	}
	if told < 500 || rounded < 500 {
		t.Errorf("%d permissions had words, %d had none: too one-sided to mean anything", told, rounded)
	}
}

var groups = []auth.Rights{
	auth.ReceiveTracks, auth.SendData | auth.SendPresence,
	auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription,
}

// tellable reports whether LiveKit's words are fine enough for the rights.
func tellable(rights auth.Rights) bool {
	for _, group := range groups {
		if rights.Any(group) && !rights.Has(group) {
			return false
		}
	}
	return true
}

// oneRuleForAll reports whether everything is received, or there are no
// exceptions for some: LiveKit's canSubscribe is about everybody.
func oneRuleForAll(p auth.Permission) bool {
	for source := auth.NoSource; source <= auth.CustomAudio; source++ {
		if !p.Receives(source, "bob", "PA_bob", false) || !p.Receives(source, "eve", "PA_eve", false) || !p.Receives(source, "", "", false) {
			return len(p.ReceiveFromIdentity)+len(p.ReceiveFromParticipant) == 0
		}
	}
	return true
}

func randomSay(random *rand.Rand) auth.Say {
	say := auth.Say{Layer: auth.Live}
	pick := func() auth.Rights { return auth.Rights(random.Uint64()&random.Uint64()) & auth.AllRights }
	say.Allow, say.Deny = pick(), pick()
	if random.IntN(3) > 0 { // in words LiveKit has
		for _, group := range groups {
			say.Allow &^= group
			say.Deny &^= group
			switch random.IntN(3) {
			case 0:
				say.Allow |= group
			case 1:
				say.Deny |= group
			}
		}
	}
	if random.IntN(8) == 0 {
		say.ReceiveFromIdentity = map[string]auth.Rights{"bob": pick() & auth.ReceiveTracks}
	}
	if random.IntN(8) == 0 {
		say.ReceiveFromParticipant = map[string]auth.Rights{"PA_eve": pick() & auth.ReceiveTracks}
	}
	return say
}

func randomClaims(random *rand.Rand) string {
	var video []string
	for _, flag := range strings.Fields("canPublish canSubscribe canPublishData canUpdateOwnMetadata canSubscribeMetrics canManageAgentSession hidden roomAdmin") {
		if value := []string{"", "null", "true", "false"}[random.IntN(4)]; value != "" {
			video = append(video, `"`+flag+`":`+value)
		}
	}
	if random.IntN(2) == 0 {
		var sources []string
		for _, source := range strings.Fields("camera microphone screen_share screen_share_audio custom_video custom_audio unknown bogus CAMERA") {
			if random.IntN(3) == 0 {
				sources = append(sources, `"`+source+`"`)
			}
		}
		video = append(video, `"canPublishSources":[`+strings.Join(sources, ",")+`]`)
	}
	video = append(video, `"room":"lab"`, `"roomJoin":true`)
	if random.IntN(2) == 0 {
		video = append(video, `"future":`+randomJSON(random, 3))
	}
	random.Shuffle(len(video), func(i, k int) { video[i], video[k] = video[k], video[i] })
	all := []string{`"sub":"ada"`, `"video":{` + strings.Join(video, ",") + `}`}
	for i := range random.IntN(4) {
		all = append(all, fmt.Sprintf(`"x%d":%s`, i, randomJSON(random, 4)))
	}
	random.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	return strings.Join(all, ",")
}

func randomJSON(random *rand.Rand, depth int) string {
	scalars := []string{`null`, `true`, `-0.0`, `1e-400`, `123456789012345678901234567890`, `"\u0041\/<é"`, `"}]\\"`, `{}`, `[ ]`}
	switch n := random.IntN(4); {
	case depth == 0 || n < 2:
		return scalars[random.IntN(len(scalars))]
	case n == 2:
		return "[" + randomJSON(random, depth-1) + " , " + randomJSON(random, depth-1) + "]"
	default:
		return `{"a" : ` + randomJSON(random, depth-1) + `,"a\"b":` + randomJSON(random, depth-1) + `}`
	}
}

// A session of a day, refreshed every 5 minutes, that comes back every hour
// with its newest token: where it descends from is never forgotten.
func TestADayOfRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t)
		joined := time.Now()
		token, err := livekit.Mint(keyID, auth.Secret(secret), livekit.Claims{
			Identity: "ada", TokenID: "T1", Metadata: "<m>", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lab"},
		}, time.Minute, joined)
		if err != nil {
			t.Fatal(err)
		}
		first, err := v.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		came, newest := first, token
		for i := range 24 * 12 {
			time.Sleep(5 * time.Minute)
			if i%12 == 11 { // back after a cut
				if came, err = v.Verify(newest); err != nil {
					t.Fatalf("after %v: %v", time.Since(joined), err)
				}
			}
			if newest, err = v.Refresh(came, current(came), 10*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		last, err := v.Verify(newest)
		if err != nil {
			t.Fatal(err)
		}
		want := &auth.Origin{KeyID: keyID, Issued: joined.Unix(), TokenID: "T1", Session: "PA_1",
			TokenHash: base64.RawURLEncoding.EncodeToString(first.TokenHash[:])}
		if !reflect.DeepEqual(last.Origin, want) || last.FirstTokenHash() != first.TokenHash || !last.FirstIssued().Equal(joined) || last.FirstKeyID() != keyID || last.FirstTokenID() != "T1" {
			t.Errorf("got %+v, want %+v", last.Origin, want)
		}
		if got := last.Issued.Sub(joined); got != 24*time.Hour {
			t.Errorf("the last token was issued after %v", got)
		}
		if _, err := v.Verify(token); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("the first token: %v", err)
		}
		time.Sleep(10*time.Minute + auth.Leeway)
		if _, err := v.Verify(newest); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("the last token, later: %v", err)
		}
		a, b := members(t, first.Claims), members(t, last.Claims)
		delete(b, "usher")
		for _, name := range []string{"exp", "iat", "nbf"} {
			delete(a, name)
			delete(b, name)
		}
		compare(t, b, a)
	})
}

func TestRefreshAndKeys(t *testing.T) {
	key := func(id, project string) auth.Key {
		return auth.Key{ID: id, Secret: auth.Secret(id + secret), Project: project, Format: livekit.Format{}}
	}
	keysOf := func(revoked []string, keys ...auth.Key) *auth.Keys {
		set, err := auth.NewKeys(keys, revoked)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	v := auth.NewVerifier(keysOf(nil, key("B", "acme"), key("A", "acme"), key("X", "other")), 0)
	token, err := livekit.Mint("A", auth.Secret("A"+secret), livekit.Claims{
		Identity: "ada", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lab"},
	}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	g, err := v.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		keys     *auth.Keys
		signedBy string
		err      error
	}{
		{"the key it came with", v.Keys(), "A", nil},
		{"retired: one of the project", keysOf(nil, key("X", "other"), key("C", "acme")), "C", nil},
		{"retired, and none left", keysOf(nil, key("X", "other")), "", auth.ErrUnknownKey},
		{"moved to another project", keysOf(nil, key("A", "other"), key("C", "acme")), "C", nil},
		{"revoked", keysOf([]string{"A"}, key("C", "acme")), "", auth.ErrRevokedKey},
	} {
		v.SetKeys(test.keys)
		refreshed, err := v.Refresh(g, current(g), time.Minute)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.err)
		}
		if err != nil {
			continue
		}
		again, err := v.Verify(refreshed)
		if err != nil || again.KeyID != test.signedBy || again.FirstKeyID() != "A" {
			t.Errorf("%s: got %+v, %v", test.name, again, err)
		}
		// A revoked key's work is not carried on by another one, whatever its
		// token says it descends from.
		if again.KeyID != "A" {
			v.SetKeys(keysOf([]string{again.KeyID}, key("A", "acme")))
			if _, err := v.Refresh(again, current(again), time.Minute); !errors.Is(err, auth.ErrRevokedKey) {
				t.Errorf("%s, then that one revoked: refreshed with %v", test.name, err)
			}
		}
		// What descends from a key that is revoked later is refused.
		v.SetKeys(keysOf([]string{"A"}, key("C", "acme"), key("B", "acme")))
		if _, err := v.Verify(refreshed); !errors.Is(err, auth.ErrRevokedKey) {
			t.Errorf("%s, then revoked: got %v", test.name, err)
		}
		if _, err := v.Refresh(again, current(again), time.Minute); !errors.Is(err, auth.ErrRevokedKey) {
			t.Errorf("%s, then revoked: refreshed with %v", test.name, err)
		}
	}
}

// chain is a token that was refreshed with one key after the other, each time
// retiring the one before, and brought back in between.
func chain(t *testing.T, ids ...string) (*auth.Verifier, *auth.Grant, string) {
	t.Helper()
	var v *auth.Verifier
	var g *auth.Grant
	var token string
	for i, id := range ids {
		keys, err := auth.NewKeys([]auth.Key{{ID: id, Secret: auth.Secret(id + secret), Project: "acme", Format: livekit.Format{}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			v = auth.NewVerifier(keys, 0)
			token, err = livekit.Mint(id, auth.Secret(id+secret), livekit.Claims{
				Identity: "ada", Video: &livekit.VideoGrant{RoomJoin: true, Room: "lab"},
			}, time.Hour, time.Now())
		} else {
			v.SetKeys(keys)
			token, err = v.Refresh(g, current(g), time.Minute)
		}
		if err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
		if g, err = v.Verify(token); err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	return v, g, token
}

// No key of a chain is forgotten: with any of them revoked, what descends from
// it is refused.
func TestRefreshKeepsTheKeyChain(t *testing.T) {
	ids := []string{"K1", "K2", "K3", "K2", "K4"}
	for _, revoked := range []string{"K1", "K2", "K3", "K4"} {
		v, g, token := chain(t, ids...)
		if got := strings.Join(g.KeyIDs(), " "); got != "K1 K2 K3 K4" {
			t.Errorf("the token descends from %s", got)
		}
		listed := []auth.Key{{ID: "K4", Secret: auth.Secret("K4" + secret), Project: "acme", Format: livekit.Format{}}}
		if revoked == "K4" {
			listed = nil
		}
		keys, err := auth.NewKeys(listed, []string{revoked})
		if err != nil {
			t.Fatal(err)
		}
		v.SetKeys(keys)
		if _, err := v.Verify(token); !errors.Is(err, auth.ErrRevokedKey) {
			t.Errorf("%s revoked: got %v", revoked, err)
		}
		if _, err := v.Refresh(g, current(g), time.Minute); !errors.Is(err, auth.ErrRevokedKey) {
			t.Errorf("%s revoked: refreshed with %v", revoked, err)
		}
	}
}

// Whoever has a key can sign any origin, but not hide the key.
func TestForgedOriginDoesNotHideTheKey(t *testing.T) {
	key := func(id string) auth.Key {
		return auth.Key{ID: id, Secret: auth.Secret(id + secret), Project: "acme", Format: livekit.Format{}}
	}
	keysOf := func(revoked []string, keys ...auth.Key) *auth.Keys {
		set, err := auth.NewKeys(keys, revoked)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	v := auth.NewVerifier(keysOf(nil, key("stolen")), 0)
	forged, err := auth.Sign(json.RawMessage(fmt.Sprintf(`{"iss":"stolen","sub":"eve","iat":%d,"exp":9999999999,`+
		`"video":{"roomJoin":true,"room":"lab"},"usher":{"kid":"K0","iat":%d,"sid":"x"}}`, time.Now().Unix(), int64(9999999999))), auth.Secret("stolen"+secret))
	if err != nil {
		t.Fatal(err)
	}
	g, err := v.Verify(forged)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.FirstIssued().Unix(); got != 0 {
		t.Errorf("an origin issued in the future counts: %d", got)
	}
	v.SetKeys(keysOf(nil, key("K9"))) // the stolen one is retired
	laundered, err := v.Refresh(g, current(g), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(laundered); err != nil {
		t.Fatal(err)
	}
	v.SetKeys(keysOf([]string{"stolen"}, key("K9")))
	if _, err := v.Verify(laundered); !errors.Is(err, auth.ErrRevokedKey) {
		t.Errorf("got %v, want %v", err, auth.ErrRevokedKey)
	}
}

// The chain is bounded: beyond that a token of the application is wanted.
func TestKeyChainIsBounded(t *testing.T) {
	var ids []string
	for i := range auth.MaxKeyIDs {
		ids = append(ids, fmt.Sprint("K", i))
	}
	v, g, _ := chain(t, ids...)
	if n := len(g.KeyIDs()); n != auth.MaxKeyIDs {
		t.Fatalf("the token descends from %d keys", n)
	}
	if _, err := v.Refresh(g, current(g), time.Minute); err != nil {
		t.Errorf("by the key that it came with: %v", err)
	}
	keys, err := auth.NewKeys([]auth.Key{{ID: "more", Secret: auth.Secret(secret), Project: "acme", Format: livekit.Format{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.SetKeys(keys)
	if _, err := v.Refresh(g, current(g), time.Minute); !errors.Is(err, auth.ErrTooLarge) {
		t.Errorf("by another one: got %v, want %v", err, auth.ErrTooLarge)
	}
}

// What a refreshed token says of the first one is the same, however often it
// was refreshed and brought back.
func TestRefreshKeepsTheFirstHash(t *testing.T) {
	_, first, _ := chain(t, "K1")
	_, last, _ := chain(t, "K1", "K2", "K1", "K3")
	if first.FirstTokenHash() != first.TokenHash {
		t.Error("the first token is not its own first")
	}
	if last.FirstTokenHash() == last.TokenHash {
		t.Error("a refreshed token is its own first")
	}
	again := refresh(t, first, current(first))
	if again.FirstTokenHash() != first.TokenHash || refresh(t, again, current(again)).FirstTokenHash() != first.TokenHash {
		t.Error("the hash of the first token was forgotten")
	}
}

// A token that no one could send back is not made.
func TestRefreshKeepsToTheLimit(t *testing.T) {
	keys := newVerifier(t).Keys()
	v := auth.NewVerifier(keys, 2048)
	g, err := v.Verify(sign(t, `"sub":"ada","video":{"roomJoin":true,"room":"lab"}`))
	if err != nil {
		t.Fatal(err)
	}
	now := current(g)
	now.Metadata = strings.Repeat("<", 1200)
	if _, err := v.Refresh(g, now, time.Minute); err != nil {
		t.Errorf("1200 bytes of metadata: %v", err)
	}
	now.Metadata = strings.Repeat("<", 1600)
	if _, err := v.Refresh(g, now, time.Minute); !errors.Is(err, auth.ErrTooLarge) {
		t.Errorf("1600 bytes of metadata: %v", err)
	}
}
