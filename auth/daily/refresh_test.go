package daily_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
)

// A refreshed token has every claim of the original but for iat and exp, byte for
// byte, and two of ours.
func TestRefreshKeepsEveryClaim(t *testing.T) {
	for _, claims := range []string{
		``, `,"r":"lab","ud":"ada","u":"Ada","o":true`, `,"k":true,"ejt":true,"eje":9e0,"nbf":7`,
		`,"x":[{"y":123456789012345678901234567890.10}],"Live":1,"R":{},"jti":"j"`, `,"p":{"cs":"v","cr":{"b":true}},"otcd":"\u0041"`,
		`,"exp":9999999999,"EXT": [ 1 , 2 ]`, `,"iat":1548722207`,
	} {
		h := newHouse(t)
		g := h.grant(t, claims)
		first := h.refresh(t, g, sessionOf(g, room(t, "")))
		second := h.refresh(t, first, sessionOf(first, room(t, "")))
		for i, again := range []*auth.Grant{first, second} {
			want, got := members(t, string(g.Claims)), members(t, string(again.Claims))
			for _, name := range []string{"iat", "exp", "live", "usher"} {
				if got[name] == nil {
					t.Errorf("%s: no %s", claims, name)
				}
				delete(want, name)
				delete(got, name)
			}
			if !maps.EqualFunc(want, got, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
				t.Errorf("%s: refreshed %d times it is %s", claims, i+1, again.Claims)
			}
			if again.Identity != g.Identity || again.Knocks != g.Knocks || again.Roams != g.Roams || again.Room != "lab" ||
				again.Organization != g.Organization || !again.FirstIssued().Equal(g.Issued) || again.FirstKeyID() != g.KeyID || again.KeyID != g.KeyID {
				t.Errorf("%s: got %+v, of %+v", claims, again, g)
			}
		}
	}
}

// What a session was given besides rights goes along.
func TestRefreshTellsTheSession(t *testing.T) {
	h := newHouse(t)
	g := h.grant(t, `,"ud":"ada","u":"Ada"`)
	now := sessionOf(g, room(t, ""))
	now.Name, now.Metadata, now.Attributes = "", `{"x":"<é>"}`, map[string]string{"a": "b", "": "c"}
	again := h.refresh(t, g, now)
	if again.Name != "" || again.Metadata != now.Metadata || !maps.Equal(again.Attributes, now.Attributes) {
		t.Errorf("got %+v", again)
	}
	now.Name, now.Metadata, now.Attributes = "Ada", "", nil
	again = h.refresh(t, again, now)
	if again.Name != "Ada" || again.Metadata != "" || again.Attributes != nil {
		t.Errorf("got %+v", again)
	}
}

// §1.7: exp of the original bars the refreshed tokens, too, however long they hold;
// and when the session is put out is settled.
func TestRefreshKeepsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		start := time.Now()
		g := h.grant(t, fmt.Sprintf(`,"ud":"ada","ejt":true,"eje":30,"exp":%d`, start.Unix()+60))
		now := sessionOf(g, room(t, ""))
		now.EjectAt = start.Add(30*time.Second + 250*time.Millisecond)
		again := h.refresh(t, g, now)
		again = h.refresh(t, again, now)
		if want := (auth.Stay{At: time.UnixMilli(now.EjectAt.UnixMilli()), Fixed: true}); again.Stay != want {
			t.Errorf("got %+v, want %+v", again.Stay, want)
		}
		now.EjectAt = time.Time{}
		if never := h.refresh(t, again, now); never.Stay != (auth.Stay{Fixed: true}) {
			t.Errorf("got %+v, want never", never.Stay)
		}
		token, err := h.Refresh(again, now, 10*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - time.Millisecond)
		if g, err := h.Verify(token); err != nil || g.Barred(time.Now()) != nil {
			t.Errorf("before the original's end: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := h.Verify(token); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("after the original's end: %v", err)
		}
		if !errors.Is(g.Barred(time.Now()), auth.ErrExpired) || !errors.Is(again.Barred(time.Now()), auth.ErrExpired) {
			t.Error("they are not barred")
		}
		// Without exp there is no such end.
		forever := h.grant(t, `,"ud":"ada"`)
		if token, err = h.Refresh(forever, now, time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Second)
		if _, err := h.Verify(token); err != nil {
			t.Errorf("refreshed of a token without exp: %v", err)
		}
		if forever.Barred(time.Now()) != nil {
			t.Error("a token without exp is barred")
		}
	})
}

// Nobody but a server writes what a refreshed token has.
func TestRefreshedThatIsNone(t *testing.T) {
	h := newHouse(t)
	const ours = `,"usher":{"kid":"x","iat":1,"sid":"s"}`
	for _, claims := range []string{
		`,"live":1`, `,"live":{}`, `,"live":{"room":""}`, `,"live":{"room":"lab"}`, // nobody's identity
		`,"live":{"room":"lab","identity":"ada"}`, `,"ud":"ada","live":{"room":"lab","identity":"anon:x"}`,
		`,"ud":"ada","live":{"room":"lab","denied":["fly"]}`, `,"ud":"ada","live":{"room":"lab","restricted":["owner"]}`,
		`,"ud":"ada","live":{"room":"lab","receive":{"rights":["fly"]}}`, `,"ud":"ada","live":{"room":"lab","receive":[]}`,
		`,"ud":"ada","live":{"room":"lab","receive":{"user":{"x":["fly"]}}}`, `,"ud":"ada","live":{"room":"lab","room":"x"}`,
		`,"ud":"ada"`,
	} {
		if _, err := h.Verify(sign(t, ours+claims)); !errors.Is(err, auth.ErrMalformed) {
			t.Errorf("%s: got %v", claims, err)
		}
	}
	for _, claims := range []string{`,"ud":"ada","live":{"room":"lab"}`, `,"live":{"room":"lab","identity":"anon:x"}`} {
		h.grant(t, ours+claims)
	}
	for _, limits := range []string{`"enter":-1`, `"eject":-1`, `"enter":"x"`} {
		if _, err := h.Verify(sign(t, `,"ud":"ada","live":{"room":"lab"},"usher":{"kid":"x","iat":1,"sid":"s",`+limits+`}`)); !errors.Is(err, auth.ErrMalformed) {
			t.Errorf("%s: got %v", limits, err)
		}
	}
}

// Whatever a token says, a room says and somebody stated: a refreshed token gives
// nothing that the session has not, in the room as it is and in one that has opened
// since; and where nothing was stated it gives all that the session has.
func TestRefreshNeverGrantsMore(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	h := newHouse(t)
	defer func() {
		if t.Failed() {
			t.Logf("the seed was %d", seed)
		}
	}()
	for range 3000 {
		claims := `,"ud":"ada"`
		if random.IntN(2) == 0 {
			claims += `,"p":` + randomPermissions(random, true)
		}
		if random.IntN(8) == 0 {
			claims += `,"o":true`
		}
		g := h.grant(t, claims)
		inRoom := randomPermissions(random, false)
		rules := room(t, inRoom)
		var stated []auth.Say
		for range random.IntN(3) {
			stated = append(stated, randomSay(random))
		}
		now := sessionOf(g, rules, stated...)
		if random.IntN(4) == 0 {
			now.Base = nil
		}
		again := h.refresh(t, g, now)
		if random.IntN(2) == 0 { // by way of another session
			was := sessionOf(again, rules, stated...)
			atMost(t, was.Permission, now.Permission, "its next session", "", "")
			again = h.refresh(t, again, was)
		}
		got := auth.Resolve(again.Format.Base(again, "lab", rules)...)
		if stated == nil && now.Base != nil && !same(got, now.Permission) {
			t.Fatalf("%s in %s\nhad %s, and with the refreshed token %s", g.Claims, inRoom, told(now.Permission), told(got))
		}
		atMost(t, got, now.Permission, string(again.Claims), inRoom, fmt.Sprint(stated))
		// What was stated it does not bring along: no more than the original gives,
		// here and in a room that has changed since.
		for _, later := range []string{inRoom, randomPermissions(random, false)} {
			rules := room(t, later)
			atMost(t, auth.Resolve(again.Format.Base(again, "lab", rules)...), auth.Resolve(g.Format.Base(g, "lab", rules)...), string(again.Claims), later, "and told again")
		}
		if stated == nil || now.Base == nil {
			continue
		}
		// What was denied stays so, whatever the room gives since.
		for _, open := range []string{`{}`, `{"canSend":true,"canReceive":{"base":true},"hasPresence":true,"canAdmin":true}`} {
			denied := auth.Resolve(now.Base...).Rights &^ now.Permission.Rights &^ (auth.Hidden | auth.ReceiveOnlyOwners)
			if got := auth.Resolve(again.Format.Base(again, "lab", room(t, open))...); got.Rights.Any(denied) {
				t.Fatalf("%s\nin a room that opened has %s, which was denied", again.Claims, (got.Rights & denied).Names())
			}
		}
	}
}

var everybodyThere = []string{"bob", "eve", "zoe"}

// atMost fails the test when p permits something that limit does not.
func atMost(t *testing.T, p, limit auth.Permission, claims, inRoom, stated string) {
	t.Helper()
	const narrowing = auth.Hidden | auth.ReceiveOnlyOwners
	if more := p.Rights &^ limit.Rights &^ narrowing; more&^auth.ReceiveTracks != 0 || limit.Rights&narrowing&^p.Rights != 0 {
		t.Fatalf("%s in %s, stated %s:\n%s is more than %s", claims, inRoom, stated, told(p), told(limit))
	}
	for _, who := range everybodyThere {
		for _, sid := range []string{"PA_1", "PA_2", "PA_3"} {
			for source := auth.NoSource; source <= auth.CustomAudio; source++ {
				for _, owner := range []bool{false, true} {
					if p.Receives(source, who, sid, owner) && !limit.Receives(source, who, sid, owner) {
						t.Fatalf("%s in %s, stated %s:\n%s receives %s of %s as %s, unlike %s", claims, inRoom, stated, told(p), source, who, sid, told(limit))
					}
				}
			}
		}
	}
}

func same(p, q auth.Permission) bool { return p.Rights == q.Rights && p.Equal(q) }

// randomPermissions returns permissions as a token has them, or as a room does.
func randomPermissions(random *rand.Rand, short bool) string {
	words := map[bool][]string{
		false: {"hasPresence", "canSend", "canReceive", "canAdmin", "base", "byUserId", "byParticipantId", "video", "participants"},
		true:  {"hp", "cs", "cr", "ca", "b", "u", "p", "v", "p"},
	}[short]
	one := func(values ...string) string { return values[random.IntN(len(values))] }
	out := map[string]json.RawMessage{}
	maybe := func(name, value string) {
		if random.IntN(2) == 0 {
			out[name] = json.RawMessage(value)
		}
	}
	people := func(names []string) string {
		by := map[string]bool{}
		for _, name := range append([]string{"*"}, names...) {
			if random.IntN(3) == 0 {
				by[name] = random.IntN(2) == 0
			}
		}
		raw, _ := json.Marshal(by)
		return string(raw)
	}
	maybe(words[0], one("true", "false"))
	maybe(words[1], one("true", "false", `"`+words[7]+`"`))
	maybe(words[3], one("true", "false", `"`+words[8]+`"`))
	receive := map[string]json.RawMessage{}
	for name, value := range map[string]string{words[4]: one("true", "false"), words[5]: people(everybodyThere), words[6]: people([]string{"PA_1", "PA_2"})} {
		if random.IntN(2) == 0 {
			receive[name] = json.RawMessage(value)
		}
	}
	raw, _ := json.Marshal(receive)
	maybe(words[2], string(raw))
	raw, _ = json.Marshal(out)
	return string(raw)
}

func randomSay(random *rand.Rand) auth.Say {
	say := auth.Say{Layer: auth.Live, Allow: auth.Rights(random.Uint64()) & auth.AllRights & auth.Rights(random.Uint64())}
	say.Deny = auth.Rights(random.Uint64()) & auth.AllRights & auth.Rights(random.Uint64())
	exceptions := func(names []string) map[string]auth.Rights {
		by := map[string]auth.Rights{}
		for _, name := range append([]string{"*"}, names...) {
			if random.IntN(3) == 0 {
				by[name] = auth.Rights(random.Uint64()) & auth.ReceiveTracks
			}
		}
		return by
	}
	if random.IntN(2) == 0 {
		say.ReceiveFromIdentity, say.AllFromIdentity = exceptions(everybodyThere), random.IntN(2) == 0
	}
	if random.IntN(2) == 0 {
		say.ReceiveFromParticipant, say.AllFromParticipant = exceptions([]string{"PA_1", "PA_2"}), random.IntN(2) == 0
	}
	return say
}

// FuzzDecode: an application may sign anything. Nothing panics, and a token that is
// accepted can be refreshed into one that is accepted, for the same person with the
// same rights.
func FuzzDecode(f *testing.F) {
	for _, claims := range []string{
		``, `,"r":"lab","ud":"ada","u":"A","o":true,"k":false`, `,"exp":9999999999,"nbf":1,"iat":1.5e9`, `,"eje":"5","ejt":null`,
		`,"p":{"hp":false,"cs":"v,a","cr":{"b":{"v":true,"a":true,"sv":true,"sa":false,"cv":{"*":true},"ca":{"*":true}},"u":{"*":false}},"ca":"p"}`,
		`,"p":{"cr":{"b":true,"p":{"x":{"v":false}}}}`, `,"live":{"room":"lab"},"usher":{"kid":"A","iat":1,"sid":"s"},"ud":"x"`, `,"LIVE":1,"IAT":5,"Exp":9999999999`,
		`,"ss":true,"vo":false,"ao":null`, `,"jti":"x","iss":"a","sub":{}`, `,"eje":1e308`, `,"\u0072":"lab"`,
	} {
		f.Add(claims)
	}
	h := newHouse(f)
	rules := auth.RoomRules{Daily: &auth.Say{Layer: "room", Deny: auth.SendCamera}}
	f.Fuzz(func(t *testing.T, claims string) {
		payload := `{"d":"` + domainID + `"` + claims + `}`
		if !json.Valid([]byte(payload)) {
			return
		}
		g, err := h.Verify(signWith(t, apiKey, payload))
		if err != nil {
			return
		}
		if g.Identity == "" || g.Project != "acme" || g.CreateRoom || g.CreateListed || g.RoomAdmin || g.Stay.After < 0 {
			t.Fatalf("%s: got %+v", payload, g)
		}
		now := sessionOf(g, rules)
		token, err := h.Refresh(g, now, time.Minute)
		if err != nil {
			t.Fatalf("refreshing %s: %v", payload, err)
		}
		again, err := h.Verify(token)
		if err != nil {
			t.Fatalf("%s\nwas refreshed as\n%s\nwhich is refused: %v", payload, payloadOf(t, token), err)
		}
		if again.Identity != g.Identity || again.Name != g.Name || !auth.Resolve(slices.Clone(again.Format.Base(again, "lab", rules))...).Equal(now.Permission) {
			t.Fatalf("%s\nwas refreshed as\n%s", payload, again.Claims)
		}
	})
}
