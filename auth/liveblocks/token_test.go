package liveblocks_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
)

func TestMintedTokensAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, test := range []struct {
			name   string
			token  minter
			claims string // without iat, exp and jti
			want   auth.Grant
		}{
			{"an ID token with everything",
				liveblocks.IDToken{User: "ada", Groups: []string{"g1", "g<2>"}, Info: json.RawMessage(` {"name" : "Ada L.", "avatar":"<x>", "n": 1e400 } `), Organization: "org1"},
				`{"k":"id","pid":"acme","uid":"ada","gids":["g1","g<2>"],"ui":{"name":"Ada L.","avatar":"<x>","n":1e400},"org":"org1"`,
				auth.Grant{Identity: "ada", Name: "Ada L.", Metadata: `{"name":"Ada L.","avatar":"<x>","n":1e400}`, Groups: []string{"g1", "g<2>"}, Organization: "org1"}},
			{"an ID token with nothing",
				liveblocks.IDToken{User: "a", Info: json.RawMessage(" null "), Groups: []string{}},
				`{"k":"id","pid":"acme","uid":"a"`,
				auth.Grant{Identity: "a", Organization: "default"}},
			{"an access token",
				liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"lab*": {"*:read"}, "hall": nil}, Info: json.RawMessage(`{}`)},
				`{"k":"acc","pid":"acme","uid":"ada","perms":{"hall":[],"lab*":["*:read"]},"ui":{}`,
				auth.Grant{Identity: "ada", Metadata: "{}", Organization: "default", CreateListed: true}},
			{"an access token for nothing",
				liveblocks.AccessToken{User: "ada", Organization: "org1"},
				`{"k":"acc","pid":"acme","uid":"ada","perms":{},"org":"org1"`,
				auth.Grant{Identity: "ada", Organization: "org1", CreateListed: true}},
		} {
			token := mint(t, test.token)
			parts := strings.Split(token, ".")
			header, _ := base64.RawURLEncoding.DecodeString(parts[0])
			if want := `{"alg":"HS256","kid":"` + key.ID + `","typ":"JWT"}`; string(header) != want {
				t.Errorf("%s: the header is %s, want %s", test.name, header, want)
			}
			g, err := newVerifier(t).Verify(token)
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			want := fmt.Sprintf(`%s,"iat":%d,"exp":%d,"jti":"%s"}`, test.claims, now.Unix(), now.Add(time.Hour).Unix(), g.TokenID)
			if string(g.Claims) != want || len(g.TokenID) < 26 {
				t.Errorf("%s: the claims are\n%s, want\n%s", test.name, g.Claims, want)
			}
			w := test.want
			w.Format, w.Project, w.KeyID, w.Kind, w.Join = format, "acme", key.ID, auth.Standard, true
			w.Roams = true
			w.TokenID, w.TokenHash, w.Claims, w.Read = g.TokenID, g.TokenHash, g.Claims, g.Read
			w.Issued, w.Expires = time.Unix(now.Unix(), 0), time.Unix(now.Add(time.Hour).Unix(), 0)
			if !reflect.DeepEqual(*g, w) {
				t.Errorf("%s: got\n%+v, want\n%+v", test.name, *g, w)
			}
			if again := mint(t, test.token); again == token {
				t.Errorf("%s: two tokens are alike, which the client refuses", test.name)
			}
		}
	})
}

func TestMintRefuses(t *testing.T) {
	long := strings.Repeat("é", 129)
	wide := func(n int) json.RawMessage { return json.RawMessage(`{"x":"` + strings.Repeat("é", n-8) + `"}`) }
	for _, test := range []struct {
		name  string
		token minter
		want  string
	}{
		{"no user", liveblocks.IDToken{}, "1 to 128 characters"},
		{"no user", liveblocks.AccessToken{}, "1 to 128 characters"},
		{"the longest user", liveblocks.IDToken{User: long[2:]}, ""},
		{"a longer one", liveblocks.IDToken{User: long}, "1 to 128 characters"},
		{"a very long one", liveblocks.IDToken{User: strings.Repeat("x", 1<<20)}, "1 to 128 characters"},
		{"an anonymous one", liveblocks.IDToken{User: "anon:x"}, "anon:"},
		{"one that is no text", liveblocks.IDToken{User: "\xff"}, "UTF-8"},
		{"an empty group", liveblocks.IDToken{User: "ada", Groups: []string{"a", ""}}, "id of a group"},
		{"the longest group", liveblocks.IDToken{User: "ada", Groups: []string{strings.Repeat("é", 256)}}, ""},
		{"a longer one", liveblocks.IDToken{User: "ada", Groups: []string{strings.Repeat("g", 257)}}, "id of a group"},
		{"a group that is no text", liveblocks.IDToken{User: "ada", Groups: []string{"\xff"}}, "UTF-8"},
		{"as many groups as may be", liveblocks.IDToken{User: "ada", Groups: groups(1000)}, ""},
		{"one more", liveblocks.IDToken{User: "ada", Groups: groups(1001)}, "up to 1000 groups"},
		{"the longest organization", liveblocks.IDToken{User: "ada", Organization: long[2:]}, ""},
		{"a longer one", liveblocks.IDToken{User: "ada", Organization: long}, "organization"},
		{"an info of 1024 characters", liveblocks.IDToken{User: "ada", Info: wide(1024)}, ""},
		{"and with spaces", liveblocks.IDToken{User: "ada", Info: json.RawMessage(strings.Repeat(" ", 1<<12) + string(wide(1024)))}, ""},
		{"and escaped", liveblocks.IDToken{User: "ada", Info: json.RawMessage(strings.ReplaceAll(string(wide(1024)), "é", `\u00e9`))}, ""},
		{"of 1025", liveblocks.IDToken{User: "ada", Info: wide(1025)}, "up to 1024 characters"},
		{"of 1025, escaped", liveblocks.IDToken{User: "ada", Info: json.RawMessage(strings.ReplaceAll(string(wide(1025)), "é", `\u00e9`))}, "up to 1024 characters"},
		{"an info of 90008 bytes of backslashes and u", liveblocks.IDToken{User: "ada", Info: info(`\\u`, 30000)}, "up to 1024 characters"},
		{"of 1022 characters", liveblocks.IDToken{User: "ada", Info: info(`\\u`, 338)}, ""},
		{"of 1025", liveblocks.IDToken{User: "ada", Info: info(`\\u`, 339)}, "up to 1024 characters"},
		{"of 1024 with separators", liveblocks.IDToken{User: "ada", Info: info("\u2028", 1016)}, ""},
		{"and escaped", liveblocks.IDToken{User: "ada", Info: info(`\u2029`, 1016)}, ""},
		{"of 1025", liveblocks.IDToken{User: "ada", Info: info(`\u2029`, 1017)}, "up to 1024 characters"},
		{"of 1024 with what looks like one", liveblocks.IDToken{User: "ada", Info: info(`\\u2028`, 145)}, ""},
		{"of 1030", liveblocks.IDToken{User: "ada", Info: info(`\\u2028`, 146)}, "up to 1024 characters"},
		{"of 1022 with what has to be escaped", liveblocks.IDToken{User: "ada", Info: info(`\u0001`, 169)}, ""},
		{"of 1028", liveblocks.IDToken{User: "ada", Info: info(`\u0001`, 170)}, "up to 1024 characters"},
		{"an info that is no object", liveblocks.IDToken{User: "ada", Info: json.RawMessage(`"ada"`)}, "JSON object"},
		{"an info that is no JSON", liveblocks.IDToken{User: "ada", Info: json.RawMessage(`{"a":1`)}, "JSON object"},
		{"an info that is no text", liveblocks.IDToken{User: "ada", Info: json.RawMessage("{\"a\":\"\xff\"}")}, "JSON object"},
		{"a pattern that is none", liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"a*b": nil}}, "pattern"},
		{"a pattern that is no text", liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"\xff": nil}}, "UTF-8"},
		{"an unknown permission", liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"*": {"x"}}}, "not a permission"},
	} {
		token, err := test.token.Mint(key, time.Minute)
		check(t, test.name, err, test.want)
		if err == nil {
			if _, err := newVerifier(t).Verify(token); err != nil {
				t.Errorf("%s: was made, and %v", test.name, err)
			}
		}
	}
	for name, k := range map[string]auth.Key{
		"no key": {}, "no secret": {ID: "lb_x", Project: "acme", Format: format}, "no project": {ID: "lb_x", Secret: auth.Secret(secret), Format: format},
		"no id": {Project: "acme", Secret: auth.Secret(secret), Format: format},
	} {
		var invalid *liveblocks.InvalidError
		if token, err := (liveblocks.IDToken{User: "ada"}).Mint(k, 0); err == nil || errors.As(err, &invalid) || token != "" {
			t.Errorf("%s: got %q, %v", name, token, err)
		}
	}
}

// info is an info of 8 bytes and n texts.
func info(text string, n int) json.RawMessage {
	return json.RawMessage(`{"x":"` + strings.Repeat(text, n) + `"}`)
}

func groups(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

// Whoever has the secret can sign anything.
func TestDecodeRefuses(t *testing.T) {
	const id, access = `,"k":"id","uid":"ada"`, `,"k":"acc","uid":"ada"`
	for _, test := range []struct {
		name, claims string
		want         error
	}{
		{"an ID token", id, nil},
		{"an access token", access + `,"perms":{}`, nil},
		{"claims nobody knows", id + `,"mcpr":3,"mcpr":4,"nbf":1,"sub":7,"video":{"roomJoin":true,"room":"lab"}`, nil},
		{"empty ones", id + `,"gids":[],"ui":{},"org":""`, nil},
		{"null is absent", id + `,"gids":null,"ui":null,"org":null,"perms":null,"live":null,"usher":null`, nil},
		{"a list twice in userInfo", id + `,"ui":{"name":"a","Name":"b","name":"c"}`, nil},

		{"no k", `,"uid":"ada"`, auth.ErrMalformed},
		{"another k", `,"k":"sec-legacy","uid":"ada"`, auth.ErrMalformed},
		{"k in another case", `,"k":"ID","uid":"ada"`, auth.ErrMalformed},
		{"k of another type", `,"k":1,"uid":"ada"`, auth.ErrMalformed},
		{"k twice", id + `,"k":"id"`, auth.ErrMalformed},
		{"k twice, in another case", id + `,"K":"acc"`, auth.ErrMalformed},
		{"no uid", `,"k":"id"`, auth.ErrNoIdentity},
		{"an empty one", `,"k":"id","uid":""`, auth.ErrNoIdentity},
		{"no uid in an access token", `,"k":"acc","perms":{}`, auth.ErrNoIdentity},
		{"uid of another type", `,"k":"id","uid":7`, auth.ErrMalformed},
		{"uid twice", id + `,"uid":"eve"`, auth.ErrMalformed},
		{"an anonymous uid", `,"k":"id","uid":"anon:1"`, auth.ErrMalformed},
		{"an anonymous uid, escaped", `,"k":"id","uid":"\u0061non:1"`, auth.ErrMalformed},
		{"a long uid", `,"k":"id","uid":"` + strings.Repeat("é", 129) + `"`, auth.ErrMalformed},
		{"the longest", `,"k":"id","uid":"` + strings.Repeat("é", 128) + `"`, nil},

		{"perms in an ID token", id + `,"perms":{"*":["*:write"]}`, auth.ErrMalformed},
		{"gids in an access token", access + `,"perms":{},"gids":["g"]`, auth.ErrMalformed},
		{"no perms", access, auth.ErrMalformed},
		{"perms null", access + `,"perms":null`, auth.ErrMalformed},
		{"perms of another type", access + `,"perms":["*:write"]`, auth.ErrMalformed},
		{"perms twice", access + `,"perms":{},"perms":{}`, auth.ErrMalformed},
		{"a pattern twice", access + `,"perms":{"a":["*:read"],"\u0061":["*:write"]}`, auth.ErrMalformed},
		{"patterns in two cases", access + `,"perms":{"a":["*:read"],"A":["*:write"]}`, nil},
		{"a pattern that is none", access + `,"perms":{"a*b":["*:read"]}`, auth.ErrMalformed},
		{"an empty pattern", access + `,"perms":{"":["*:read"]}`, auth.ErrMalformed},
		{"a list that is none", access + `,"perms":{"a":"*:read"}`, auth.ErrMalformed},
		{"a list that is null", access + `,"perms":{"a":null}`, auth.ErrMalformed},
		{"null in a list", access + `,"perms":{"a":[null]}`, auth.ErrMalformed},
		{"an unknown permission", access + `,"perms":{"a":["*:admin"]}`, auth.ErrMalformed},
		{"ten patterns", access + `,"perms":{` + patterns(10) + `}`, nil},
		{"eleven patterns", access + `,"perms":{` + patterns(11) + `}`, auth.ErrMalformed},

		{"gids of another type", id + `,"gids":"g"`, auth.ErrMalformed},
		{"a group of another type", id + `,"gids":[7]`, auth.ErrMalformed},
		{"a group that is null", id + `,"gids":[null]`, auth.ErrMalformed},
		{"an empty group", id + `,"gids":[""]`, auth.ErrMalformed},
		{"a long group", id + `,"gids":["` + strings.Repeat("g", 257) + `"]`, auth.ErrMalformed},
		{"1001 groups", id + `,"gids":["g"` + strings.Repeat(`,"g"`, 1000) + `]`, auth.ErrMalformed},
		{"ui of another type", id + `,"ui":"ada"`, auth.ErrMalformed},
		{"ui a list", id + `,"ui":[]`, auth.ErrMalformed},
		{"a long ui", id + `,"ui":{"x":"` + strings.Repeat("x", 1017) + `"}`, auth.ErrMalformed},
		{"the longest", id + `,"ui":{"x":"` + strings.Repeat("x", 1016) + `"}`, nil},
		{"a very long ui, of backslashes and u", id + `,"ui":` + string(info(`\\u`, 30000)), auth.ErrMalformed},
		{"org of another type", id + `,"org":7`, auth.ErrMalformed},
		{"a long org", id + `,"org":"` + strings.Repeat("o", 129) + `"`, auth.ErrMalformed},

		{"live without usher", id + `,"live":{"room":"lab"}`, auth.ErrMalformed},
		{"usher without live", id + `,"usher":` + origin, auth.ErrMalformed},
		{"both", id + `,"live":{"room":"lab"},"usher":` + origin, nil},
		{"usher of another make", id + `,"live":{"room":"lab"},"usher":{}`, auth.ErrMalformed},
		{"live without a room", id + `,"live":{},"usher":` + origin, auth.ErrMalformed},
		{"live of another type", id + `,"live":"lab","usher":` + origin, auth.ErrMalformed},
		{"a room of another type", id + `,"live":{"room":7},"usher":` + origin, auth.ErrMalformed},
		{"a room twice", id + `,"live":{"room":"lab","ROOM":"hall"},"usher":` + origin, auth.ErrMalformed},
		{"a denied right that is none", id + `,"live":{"room":"lab","denied":["breathe"]},"usher":` + origin, auth.ErrMalformed},
	} {
		g, err := verify(t, test.claims)
		if !errors.Is(err, test.want) || (err == nil) != (g != nil) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	for _, payload := range []string{
		`{"k":"id","uid":"ada","exp":9999999999}`,                // no pid
		`{"k":"id","uid":"ada","exp":9999999999,"pid":"emca"}`,   // another project's
		`{"k":"id","uid":"ada","exp":9999999999,"pid":["acme"]}`, // none
	} {
		if _, err := newVerifier(t).Verify(signAll(t, payload)); !errors.Is(err, auth.ErrMalformed) {
			t.Errorf("%s: got %v", payload, err)
		}
	}
}

const origin = `{"kid":"lb_old","iat":7,"jti":"T0","sid":"PA_1"}`

func patterns(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"room%d":[]`, i))
	}
	return strings.Join(list, ",")
}

// The name is what userInfo calls so, if that is a text; of several the last
// one, as a page would read it.
func TestNames(t *testing.T) {
	for _, test := range []struct{ ui, name string }{
		{`{"name":"Ada"}`, "Ada"},
		{`{"name":"\u0041da \"x\""}`, `Ada "x"`},
		{`{"name":7}`, ""},
		{`{"name":{"first":"Ada"}}`, ""},
		{`{"name":null}`, ""},
		{`{"Name":"Ada"}`, ""},
		{`{"user":{"name":"Ada"}}`, ""},
		{`{"name":"a","Name":"b","name":"c"}`, "c"},
		{`{}`, ""},
	} {
		g, err := verify(t, `,"k":"id","uid":"ada","ui":`+test.ui)
		if err != nil || g.Name != test.name || g.Metadata != test.ui {
			t.Errorf("%s: got %q, %q, %v", test.ui, g.Name, g.Metadata, err)
		}
	}
}

// Times are held to as those of any token, and a limit of a token's life counts
// for those made here.
func TestTokensHaveTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t)
		token, err := liveblocks.IDToken{User: "ada"}.Mint(key, 30*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		v.LimitLife(30 * time.Minute)
		if _, err := v.Verify(token); err != nil {
			t.Errorf("within the limit: %v", err)
		}
		v.LimitLife(30*time.Minute - time.Second)
		if _, err := v.Verify(token); !errors.Is(err, auth.ErrTooLongLived) {
			t.Errorf("over the limit: %v", err)
		}
		v.LimitLife(0)
		time.Sleep(30*time.Minute + auth.Leeway - time.Second)
		if _, err := v.Verify(token); err != nil {
			t.Errorf("within the leeway: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := v.Verify(token); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("after it: %v", err)
		}
		if _, err := v.Verify(signAll(t, `{"k":"id","pid":"acme","uid":"ada"}`)); !errors.Is(err, auth.ErrNoExpiry) {
			t.Errorf("without exp: %v", err)
		}
	})
}

func TestKeyIDs(t *testing.T) {
	again := liveblocks.NewKey(liveblocks.New(liveblocks.Config{}), "acme", auth.Secret(secret))
	if again.ID != key.ID {
		t.Errorf("%q became %q", key.ID, again.ID)
	}
	if !regexp.MustCompile(`^lb_[0-9a-f]{20}$`).MatchString(key.ID) {
		t.Errorf("got %q", key.ID)
	}
	for _, other := range []auth.Key{
		liveblocks.NewKey(format, "emca", auth.Secret(secret)), liveblocks.NewKey(format, "acme", auth.Secret(secret+"!")),
	} {
		if other.ID == key.ID {
			t.Error("two keys have one id")
		}
	}
}

// What is wrong is told without a piece of the token.
func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	v := newVerifier(t)
	refused := 0
	for _, kind := range []string{`,"k":"id"`, `,"k":"acc","perms":{}`, `,"k":"acc"`, ``} {
		for _, name := range []string{"k", "pid", "uid", "gids", "ui", "org", "perms", "live", "usher", "iat"} {
			for _, value := range []string{`"MARKER"`, `["MARKER"]`, `{"MARKER":["MARKER"]}`, `{"MARKER*":"MARKER"}`, `"anon:MARKER"`, `{"room":"MARKER","denied":["MARKER"]}`,
				`"` + strings.Repeat("MARKER", 200) + `"`, `["` + strings.Repeat("MARKER", 200) + `"]`, `{"x":"` + strings.Repeat("MARKER", 200) + `"}`} {
				_, err := v.Verify(sign(t, kind+`,"uid":"ada","`+name+`":`+value))
				if _, twice := v.Verify(sign(t, kind+`,"`+name+`":`+value)); err == nil {
					err = twice
				}
				if err == nil {
					continue
				}
				refused++
				if strings.Contains(err.Error(), "MARKER") {
					t.Fatalf("%s of %s: %v", value, name, err)
				}
			}
		}
	}
	if refused < 200 {
		t.Errorf("only %d tokens were refused", refused)
	}
}

// FuzzDecode: whatever is signed, nothing panics, and a token that is accepted
// is somebody's, gives nothing but Liveblocks' rights, and can be refreshed into
// one that is accepted for the same person and gives no more, in one room.
func FuzzDecode(f *testing.F) {
	for _, claims := range []string{
		`,"k":"id","uid":"ada"`, `,"k":"id","uid":"ada","gids":["g","h"],"ui":{"name":"x","y":[1e400]},"org":"o"`,
		`,"k":"acc","uid":"ada","perms":{"*":["*:write"],"lab*":["*:read","storage:none"],"lab":[]}`,
		`,"k":"id","uid":"ada","live":{"room":"lab","denied":["writeStorage"],"hidden":true,"attributes":{"a":"b"}},"usher":` + origin,
		`,"k":"acc","uid":"\ud800","perms":{"\u0000":["room:write"]}`, `,"K":"id","UID":"ada","Ui":{"name":"\ud800"}`,
		`,"k":"id","uid":"ada","ui":{"a":{}} , "x" : [ ]`,
	} {
		f.Add(claims)
	}
	v := newVerifier(f)
	list := &auth.AccessList{Default: []string{"*:read"}, Groups: map[string][]string{"g": {"*:write"}}, Users: map[string][]string{"ada": {"*:write", "feeds:none"}}}
	f.Fuzz(func(t *testing.T, claims string) {
		payload := `{"pid":"acme","iat":1,"exp":9999999999,"jti":"T1"` + claims + `}`
		if !json.Valid([]byte(payload)) {
			return
		}
		g, err := v.Verify(signAll(t, payload))
		if err != nil {
			return
		}
		if g.Identity == "" || strings.HasPrefix(g.Identity, auth.AnonymousPrefix) || g.Organization == "" || !g.Join {
			t.Fatalf("%s: got %+v", payload, g)
		}
		base := format.Base(g, "lab", auth.RoomRules{List: list})
		permission := auth.Resolve(base...)
		if permission.Rights.Any(auth.SendTracks | auth.ModerateParticipants | auth.Owner | auth.UpdateOwnMetadata) {
			t.Fatalf("%s gives %s", payload, names(permission.Rights))
		}
		if len(base) == 0 {
			return // not to be there
		}
		token, err := v.Refresh(g, auth.Current{Session: "PA_1", Room: "lab", Identity: g.Identity, Name: g.Name, Metadata: g.Metadata,
			Attributes: g.Attributes, Permission: permission, Base: base}, time.Minute)
		if err != nil {
			t.Fatalf("refreshing %s: %v", payload, err)
		}
		again, err := v.Verify(token)
		if err != nil {
			t.Fatalf("%s\nwas refreshed as\n%s\nwhich is refused: %v", payload, token, err)
		}
		if again.Identity != g.Identity || again.Room != "lab" || again.Organization != g.Organization || again.Name != g.Name ||
			again.Metadata != g.Metadata || again.TokenID != g.TokenID || rightsIn(again, "lab", list) != permission.Rights {
			t.Fatalf("%s\nwas refreshed as\n%s", payload, again.Claims)
		}
		if format.Base(again, "hall", auth.RoomRules{List: list}) != nil {
			t.Fatalf("%s\nwas refreshed as\n%s\nwhich enters another room", payload, again.Claims)
		}
	})
}
