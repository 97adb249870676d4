package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"usher/auth"
)

func TestTokenScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/token*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files:               scripts,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cmpclaims": cmpClaims,
			"cmptimes":  cmpTimes,
		},
	})
}

// cmpClaims compares two files of claims. Those that tell when the test ran
// count only if both have them.
func cmpClaims(ts *testscript.TestScript, neg bool, args []string) {
	var objects [2]map[string]any
	for i, name := range args {
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(name)), &objects[i]))
	}
	for _, name := range []string{"iat", "exp"} {
		delete(objects[0], name)
	}
	if reflect.DeepEqual(objects[0], objects[1]) == neg {
		ts.Fatalf("%s has the claims\n%v, %s has\n%v", args[0], objects[0], args[1], objects[1])
	}
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \(in \w+\)`)

// cmpTimes compares two files, with TIME for the times in the first.
func cmpTimes(ts *testscript.TestScript, neg bool, args []string) {
	got, want := times.ReplaceAllString(ts.ReadFile(args[0]), "TIME"), ts.ReadFile(args[1])
	if (got == want) == neg {
		ts.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// usher runs a command line in this process.
func usher(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &streams{In: strings.NewReader(stdin), Out: &out, Err: &err})
	return code, out.String(), err.String()
}

func TestTokenExitCodes(t *testing.T) {
	t.Setenv("USHER_API_KEY", "K")
	t.Setenv("USHER_API_SECRET", "S")
	good := signed(t, `{"iss":"K","sub":"ada","exp":9999999999}`, "S")
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"token", "create", "--join", "-r", "lab", "-i", "ada"}, exitOK},
		{[]string{"token", "create", "--join"}, exitUsage},
		{[]string{"token", "create", "--no-such-flag"}, exitUsage},
		{[]string{"token", "create", "--attribute-file", "no-such-file"}, exitUsage},
		{[]string{"token", "verify"}, exitUsage},
		{[]string{"token", "verify", good}, exitOK},
		{[]string{"token", "verify", good + "x"}, exitFailure},
		{[]string{"token", "explain", good}, exitOK},
		{[]string{"token", "explain", signed(t, `{"iss":"K","exp":1}`, "other")}, exitOK},
		{[]string{"token", "explain", "nonsense"}, exitFailure},
	} {
		if code, _, stderr := usher(t, "", test.args...); code != test.want {
			t.Errorf("%v: exit code %d, want %d; %s", test.args, code, test.want, stderr)
		}
	}
}

func signed(t *testing.T, claims, secret string) string {
	t.Helper()
	token, err := auth.Sign(json.RawMessage(claims), auth.Secret(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// The clock of these stands at noon.
func TestExplain(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	const (
		exp = `"exp":1767358800` // 13:00
		in  = exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab"}`
	)
	for _, test := range []struct {
		name, claims string
		want         string // a line
		not          string // nowhere
	}{
		{name: "valid", claims: in, want: "valid:     until 2026-01-02 13:00:00 UTC (in 1h00m)", not: "wrong:"},
		{name: "valid later", claims: in + `,"nbf":1767356400`, want: "valid:     from 2026-01-02 12:20:00 UTC (in 20m00s), until 2026-01-02 13:00:00 UTC (in 1h00m)"},
		{name: "not yet valid", claims: in + `,"nbf":1767356400`, want: "wrong:     it is not valid yet (nbf): in 20m00s it will be"},
		{name: "nbf within the leeway", claims: in + `,"nbf":1767355260`, not: "wrong:"},
		{name: "expired", claims: `"exp":1767268800`, want: "           it expired 24h00m ago"},
		{name: "expired long ago", claims: `"exp":1`, want: "           it expired more than 10 years ago"},
		{name: "within the leeway", claims: `"exp":1767355170`, want: "           it expired 30s ago; for the sake of clocks that differ it is taken for 30s more"},
		{name: "no exp", claims: `"sub":"ada"`, want: "           it has no exp, and is refused for that"},
		{name: "exp in milliseconds", claims: `"exp":1767358800000`, want: "           its exp is so far away that it may be in milliseconds; it has to be in seconds"},
		{name: "iat in the future", claims: in + `,"iat":1767359000`, want: "wrong:     its iat is in the future and does not count: every revocation that is about the holder bars it"},

		{name: "no video", claims: exp, want: "wrong:     it has no video grant, so it is good for nothing here"},
		{name: "no roomJoin", claims: exp + `,"sub":"ada","video":{"room":"lab"}`, want: "wrong:     roomJoin is not set, so nobody can join with it"},
		{name: "no room", claims: exp + `,"sub":"ada","video":{"roomJoin":true}`, want: "wrong:     it names no room, so nobody can join with it"},
		{name: "the project's own", claims: exp + `,"video":{"roomAdmin":true}`, want: "may:       administer the whole project through the server APIs"},
		{name: "no identity", claims: exp + `,"video":{"roomJoin":true,"room":"lab"}`, want: "wrong:     it names no identity (sub), so nobody can join with it"},
		{name: "unknown source", claims: exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab","canPublishSources":["bogus"]}`,
			want: `wrong:     canPublishSources has "bogus", which is no source and opens nothing`},
		{name: "sources of one who may not publish", claims: exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab","canPublish":false,"canPublishSources":["camera"]}`,
			want: "wrong:     canPublishSources opens nothing, for canPublish is false"},

		{name: "may publish", claims: in, want: "           publish tracks from every source"},
		{name: "may not publish", claims: exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab","canPublish":false}`, want: "may not:   publish tracks"},
		{name: "may make the room", claims: exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab","roomCreate":true}`, want: "may:       join the room, and make it by joining"},
		{name: "hidden", claims: exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab","hidden":true}`,
			want: "           stay invisible to the others, who see nothing of its tracks and presence"},
		{name: "agent", claims: in + `,"kind":"agent"`, want: `holder:    "ada", of the kind agent; takes no place in the room, and does not keep it open`},
		{name: "refreshed", claims: in + `,"usher":{"kid":"APIold","iat":1767354900,"sid":"PA_1"}`,
			want: `refreshed: by a server, in session "PA_1"; the first token was of key "APIold", issued 2026-01-02 11:55:00 UTC (5m00s ago)`},
		{name: "without effect", claims: in + `,"sip":{"call":true},"roomPreset":"p","inference":{},"role":"host"`, want: "no effect: sip, roomPreset, inference, role"},
		{name: "without effect in video", claims: exp + `,"sub":"ada","video":{"roomJoin":true,"room":"lab","roomRecord":true,"ingressAdmin":true}`,
			want: "no effect: video.roomRecord, video.ingressAdmin"},
		{name: "nothing a terminal would obey", claims: in + `,"name":"\u001b[31m\u009b31m\u202e","\u009b31m":1`, want: `no effect: ` + "\ufffd31m", not: "\u009b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			if err := explainToken(&out, signed(t, "{"+test.claims+"}", "S"), nil, noon); err != nil {
				t.Fatal(err)
			}
			if test.want != "" && !strings.Contains("\n"+out.String(), "\n"+test.want+"\n") &&
				!strings.Contains(strings.ReplaceAll(out.String(), "wrong:  ", "        "), "\n"+test.want+"\n") {
				t.Errorf("got\n%s\nwant the line\n%s", &out, test.want)
			}
			if test.not != "" && strings.Contains(out.String(), test.not) {
				t.Errorf("got\n%s\nwith %q", &out, test.not)
			}
			if strings.ContainsAny(out.String(), "\x1b\u202e") {
				t.Errorf("got %q", &out)
			}
		})
	}
}

func TestRefusalsInWords(t *testing.T) {
	t.Setenv("USHER_API_KEY", "K")
	t.Setenv("USHER_API_SECRET", "S")
	for _, test := range []struct{ claims, want string }{
		{`{"iss":"K","sub":"ada","exp":86400}`, "the token does not hold: it was valid until 1970-01-02 00:00:00 UTC (more than 10 years ago)"},
		{`{"iss":"K","sub":"ada","exp":9999999999,"nbf":9999999000}`, "the token does not hold: it is valid from 2286-11-20 17:30:00 UTC (in more than 10 years)"},
		{`{"iss":"K","sub":"ada"}`, "the token does not hold: token without exp"},
		{`{"iss":"K","exp":9999999999,"video":{"roomJoin":true}}`, "the token does not hold: token names no identity"},
		{`{"iss":"other","sub":"ada","exp":9999999999}`, `the token does not hold: it is of another key, "other"`},
		{`{"iss":"K","exp":9999999999,"video":[]}`, "the token does not hold: malformed token: not a JSON object"},
	} {
		code, stdout, stderr := usher(t, signed(t, test.claims, "S")+"\n", "token", "verify", "-")
		if code != exitFailure || stdout != "" || !strings.HasPrefix(stderr, "usher: "+test.want+"\n") {
			t.Errorf("%s: exit code %d\n%s%s", test.claims, code, stdout, stderr)
		}
	}
}

// A token longer than any server takes is refused, not read to its end.
func TestEndlessInput(t *testing.T) {
	t.Setenv("USHER_API_SECRET", "S")
	t.Setenv("USHER_API_KEY", "K")
	code, _, stderr := usher(t, strings.Repeat("x", 4<<20), "token", "verify", "-")
	if code != exitFailure || !strings.Contains(stderr, "too large") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
