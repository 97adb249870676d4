package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"usher/room/store"
	"usher/session/wire"
)

// dailyKeyOf is a key of a project's domain.
func dailyKeyOf(project string, n int) string {
	return fmt.Sprintf("%s-has-a-daily-key-of-32-characters-%d", project, n)
}

// domainOf is the id of a project's domain.
func domainOf(project string) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", []byte(project)[:4])
}

// dailyProject is a project with a domain of Daily's, and more in its section.
func dailyProject(name, more string, keys ...int) string {
	var list []string
	for _, n := range keys {
		list = append(list, dailyKeyOf(name, n))
	}
	return fmt.Sprintf("  - name: %s\n    daily:\n      domain_name: %s\n      domain_id: %s\n      api_keys: [%s]\n%s",
		name, name, domainOf(name), strings.Join(list, ", "), more)
}

// selfSigned is a token as Daily's guide has applications sign them.
func selfSigned(t *testing.T, key, domain string, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"d": domain, "iat": time.Now().Unix()}
	maps.Copy(all, claims)
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// ask returns a token that the API makes.
func (b backend) ask(t *testing.T, properties map[string]any) string {
	t.Helper()
	var answer struct{ Token string }
	text := b.call(t, 200, "POST", "/v1/meeting-tokens", string(encode(map[string]any{"properties": properties})))
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Token == "" {
		t.Fatalf("got %s", text)
	}
	return answer.Token
}

// serveDaily is serveData for Daily's API with the first key.
func serveDaily(t *testing.T, file, data string) (v *victim, api backend) {
	t.Helper()
	c, signal := startProcess(t, "serve", "--config", file, "--addr", "127.0.0.1:0", "--data", data, "--log-level", "debug")
	v = &victim{c, listenAddr(c.logs("msg=listening")), signal}
	return v, backend{"http://" + v.addr, dailyKeyOf("acme", 1)}
}

// enters joins, and fails the test when that is refused.
func (v *victim) enters(token string) *visit {
	v.t.Helper()
	in, err := v.enter(token)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(in.cut)
	return in
}

// refuses joins, which is to end with that code.
func (v *victim) refuses(what, token string, want wire.CloseCode) {
	v.t.Helper()
	in, err := v.enter(token)
	var closed *refusedError
	switch {
	case err == nil:
		in.cut()
		v.t.Errorf("%s lets in, want %d", what, want)
	case !errors.As(err, &closed):
		v.t.Fatal(err)
	case closed.code != want:
		v.t.Errorf("%s: refused with %d, want %d", what, closed.code, want)
	}
}

// §1.4, §1.9: the secret that signs the tokens which are asked for is made once, kept
// in the store before it is used, and is nowhere to be seen. Tokens of before a
// restart, of before a crash and of before all API keys were changed are good after it.
func TestDailyTokensOutliveKeysAndProcess(t *testing.T) {
	data := t.TempDir()
	file := writeConfig(t, "drain: 100ms\nprojects:\n"+dailyProject("acme", "", 1)+dailyProject("blue", "", 1))
	v, api := serveDaily(t, file, data)
	api.call(t, 200, "POST", "/v1/rooms", `{"name":"lab","privacy":"private"}`)
	token := api.ask(t, map[string]any{"room_name": "lab", "user_id": "ada"})
	own := selfSigned(t, dailyKeyOf("acme", 1), domainOf("acme"), jwt.MapClaims{"r": "lab", "ud": "bob"})
	v.enters(own).cut()
	v.signal(syscall.SIGKILL)
	v.wait()
	logged := v.err.text()
	rewrite(t, file, "drain: 100ms\nprojects:\n"+dailyProject("acme", "", 2)+dailyProject("blue", "", 1))
	for _, stop := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		v, api = serveDaily(t, file, data)
		v.enters(token).leave()
		v.refuses("a token of a key that is gone", own, wire.InvalidToken)
		api.call(t, 401, "GET", "/v1/rooms", "")
		api.key = dailyKeyOf("acme", 2)
		api.call(t, 200, "GET", "/v1/meeting-tokens/"+token, "")
		backend{api.base, dailyKeyOf("blue", 1)}.call(t, 400, "GET", "/v1/meeting-tokens/"+token, "")
		v.signal(stop)
		v.wait()
		logged += v.err.text()
	}

	kept, err := store.Open(data, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := loadTokenSecrets(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	acme, blue := secrets[dailySecret+"acme"], secrets[dailySecret+"blue"]
	if len(secrets) != 2 || string(acme) == string(blue) || len(acme) != tokenSecretBytes {
		t.Errorf("got the secrets of %d projects, want two that differ", len(secrets))
	}
	_, exported, _ := usher(t, "", "store", "export", "--data", data)
	for what, text := range map[string]string{"the log": logged, "usher store export": exported} {
		for _, secret := range []string{string(acme), fmt.Sprintf("%x", []byte(acme)), base64Of(acme), dailyKeyOf("acme", 1), dailyKeyOf("acme", 2), "eyJ"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a key, a secret or a token: %s", what, text)
			}
		}
	}
}

// §1.2, §1.9: taking an API key away refuses exactly the tokens it has signed; who is
// in with one goes on, or is put out, as the project says. Other keys, and the tokens
// that were asked for, are not concerned. So it is after a restart, too.
func TestDailyKeyRemoval(t *testing.T) {
	for _, ends := range []bool{false, true} {
		t.Run(fmt.Sprintf("end_sessions %v", ends), func(t *testing.T) {
			more := fmt.Sprintf("      end_sessions: %v\n", ends)
			data, file := t.TempDir(), writeConfig(t, "projects:\n"+dailyProject("acme", more, 1, 2))
			v, api := serveDaily(t, file, data)
			api.call(t, 200, "POST", "/v1/rooms", `{"name":"lab","privacy":"private"}`)
			signed := func(n int, user string) string {
				return selfSigned(t, dailyKeyOf("acme", n), domainOf("acme"), jwt.MapClaims{"r": "lab", "ud": user})
			}
			first, second := signed(1, "ada"), signed(2, "bob")
			asked := api.ask(t, map[string]any{"room_name": "lab", "user_id": "cy"})
			ada, bob, cy := v.enters(first), v.enters(second), v.enters(asked)

			rewrite(t, file, "projects:\n"+dailyProject("acme", more, 2))
			v.signal(syscall.SIGHUP)
			v.logs("configuration reloaded")
			api.call(t, 401, "GET", "/v1/rooms", "")
			api.key = dailyKeyOf("acme", 2)
			v.refuses("a token of the key that is gone", first, wire.InvalidToken)
			v.enters(second).cut()
			v.enters(asked).cut()
			v.refuses("a refreshed token of the key that is gone", ada.refreshed, wire.InvalidToken)
			descends := ""
			if ends {
				ada.endsWith(t, wire.KeyRevoked)
			} else {
				descends = <-ada.newer // signed with another key, as it goes on
				v.enters(descends).cut()
			}
			got := api.call(t, 200, "GET", "/v1/rooms/lab/presence", "")
			if strings.Contains(got, `"ada"`) == ends || !strings.Contains(got, `"bob"`) || !strings.Contains(got, `"cy"`) {
				t.Errorf("who is there: %s", got)
			}
			for _, in := range []*visit{bob, cy} {
				select {
				case <-in.ended:
					t.Error("somebody with another token was put out")
				default:
				}
			}

			v.signal(syscall.SIGKILL)
			v.wait()
			v, _ = serveDaily(t, file, data)
			v.refuses("a token of the key that is gone", first, wire.InvalidToken)
			v.enters(second)
			v.enters(asked)
			if ends {
				return
			}
			// With another word on it those end, too, that descend from the key.
			ada = v.enters(descends)
			rewrite(t, file, "projects:\n"+dailyProject("acme", "      end_sessions: true\n", 2))
			v.signal(syscall.SIGHUP)
			v.logs("configuration reloaded")
			ada.endsWith(t, wire.KeyRevoked)
			v.refuses("a token that descends from the key that is gone", descends, wire.TokenRevoked)
			v.signal(syscall.SIGKILL)
			v.wait()
			v, _ = serveDaily(t, file, data)
			v.refuses("a token that descends from the key that is gone", descends, wire.TokenRevoked)
			v.enters(second)
		})
	}
}

// endsWith waits for the end of a session, which is to have that code.
func (in *visit) endsWith(t *testing.T, want wire.CloseCode) {
	t.Helper()
	select {
	case <-in.ended:
	case <-time.After(patience):
		t.Fatal("the session does not end")
	}
	var closed websocket.CloseError
	if !errors.As(in.end, &closed) || wire.CloseCode(closed.Code) != want {
		t.Errorf("the session ends with %v, want %d", in.end, want)
	}
}

// The server says once of each project that it takes tokens which are good for
// too much, and which settings refuse them.
func TestLooseDailyTokensAreNamed(t *testing.T) {
	v, api := serveDaily(t, writeConfig(t, "projects:\n"+dailyProject("acme", "", 1)), t.TempDir())
	v.logs("level=WARN", "acme.daily.require_exp", "acme.daily.require_room")
	api.call(t, 200, "POST", "/v1/rooms", `{"name":"lab","privacy":"private"}`)
	token := api.ask(t, map[string]any{"room_name": "lab"})
	for range 3 {
		v.enters(token)
	}
	const came = "come in with a Daily token without exp"
	v.logs("level=WARN", came, "project=acme")
	v.enters(api.ask(t, map[string]any{"room_name": "lab", "exp": time.Now().Add(time.Hour).Unix()}))
	if n := strings.Count(v.err.text(), came); n != 1 {
		t.Errorf("it warns %d times, want once:\n%s", n, v.err.text())
	}

	strict := dailyProject("acme", "      require_exp: true\n      require_room: true\n      room_url: https://meet.example.com\n", 1)
	v, _ = serveDaily(t, writeConfig(t, "projects:\n"+strict), t.TempDir())
	v.refuses("a token without exp", selfSigned(t, dailyKeyOf("acme", 1), domainOf("acme"), jwt.MapClaims{"r": "lab"}), wire.InvalidToken)
	if log := v.err.text(); strings.Contains(log, "level=WARN") {
		t.Errorf("a strict project is warned: %s", log)
	}
}

// Who has an API key of Daily's may call usher's API, for its project.
func TestDailyKeyCallsUshersAPI(t *testing.T) {
	v, api := serveDaily(t, writeConfig(t, "projects:\n"+dailyProject("acme", "", 1)+dailyProject("blue", "", 1)), t.TempDir())
	api.call(t, 200, "POST", "/v1/rooms", `{"name":"lab","privacy":"private"}`)
	token := api.ask(t, map[string]any{"room_name": "lab", "user_id": "ada"})
	ada := v.enters(token)
	blue := backend{api.base, dailyKeyOf("blue", 1)}
	blue.call(t, 404, "GET", "/usher/v1/rooms/lab/participants", "")
	backend{api.base, dailyKeyOf("acme", 9)}.call(t, 401, "GET", "/usher/v1/rooms/lab/participants", "")
	if got := api.call(t, 200, "GET", "/usher/v1/rooms/lab/participants", ""); !strings.Contains(got, `"ada"`) {
		t.Errorf("got %s", got)
	}
	if got := api.call(t, 200, "GET", "/usher/v1/rooms/lab/participants/ada/permissions", ""); !strings.Contains(got, `"layer":"domain"`) {
		t.Errorf("no word of the layer that decides: %s", got)
	}
	api.call(t, 201, "POST", "/usher/v1/revocations", `{"room":"lab","identity":"ada"}`)
	<-ada.ended
	v.refuses("a revoked token", token, wire.TokenRevoked)
}

// The addresses of rooms are what the project says, from the next reload on.
func TestRoomURL(t *testing.T) {
	file := writeConfig(t, "projects:\n"+dailyProject("acme", "", 1))
	v, api := serveDaily(t, file, t.TempDir())
	want := func(url string) {
		t.Helper()
		if got := api.call(t, 200, "GET", "/v1/rooms/lab", ""); !strings.Contains(got, `"url":"`+url+`"`) {
			t.Errorf("got %s, want the address %s", got, url)
		}
	}
	v.logs("level=WARN", "at daily.co", "settings=acme.daily.room_url")
	api.call(t, 200, "POST", "/v1/rooms", `{"name":"lab"}`)
	want("https://acme.daily.co/lab")
	rewrite(t, file, "projects:\n"+dailyProject("acme", "      room_url: https://meet.example.com\n", 1))
	v.signal(syscall.SIGHUP)
	v.logs("configuration reloaded")
	want("https://meet.example.com/lab")
	if n := strings.Count(v.err.text(), "at daily.co"); n != 1 {
		t.Errorf("it warns %d times, want once:\n%s", n, v.err.text())
	}
}

// A domain that a reload brings is whole: its meetings are kept, and its webhooks told.
func TestDomainByReload(t *testing.T) {
	told := make(chan string, 100)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event struct{ Type string }
		_ = json.NewDecoder(r.Body).Decode(&event) // the probe has none
		told <- event.Type
	}))
	t.Cleanup(sink.Close)
	file := writeConfig(t, configWith("", "", "blue"))
	v, api := serveDaily(t, file, t.TempDir())
	rewrite(t, file, "projects:\n"+dailyProject("acme", "", 1))
	v.signal(syscall.SIGHUP)
	v.logs("configuration reloaded")
	if log := v.err.text(); strings.Contains(log, "next start") {
		t.Errorf("it wants to be started again:\n%s", log)
	}
	api.call(t, 200, "POST", "/v1/rooms", `{"name":"lab"}`)
	api.call(t, 200, "POST", "/v1/webhooks", fmt.Sprintf(`{"url":%q,"eventTypes":["meeting.started"]}`, sink.URL))
	v.enters(api.ask(t, map[string]any{"room_name": "lab", "user_id": "ada"}))
	for _, want := range []string{"", "meeting.started"} {
		select {
		case got := <-told:
			if got != want {
				t.Errorf("the webhook is told %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("the webhook is not told %q", want)
		}
	}
	if got := api.call(t, 200, "GET", "/v1/meetings", ""); !strings.Contains(got, `"user_id":"ada"`) {
		t.Errorf("no meeting: %s", got)
	}
}

// --dev has a domain with a known key, and a room in which to knock.
func TestDevDaily(t *testing.T) {
	s := serve(t)
	s.says("for Daily's REST API")
	s.says("base URL http://"+s.addr+"/v1", "daily_dev_secret")
	s.says("as Daily host")
	link := s.says("http://" + s.addr + "/call#token=")
	s.says("as somebody who knocks")
	s.says("http://" + s.addr + "/call#name=")
	_, token, _ := strings.Cut(link, "#token=")
	host := join(t, s.addr, token)
	host.says("you are daily-host (Daily host) in room call")
	api := backend{"http://" + s.addr, devDailyKey}
	var room struct {
		Privacy string
		URL     string
		Config  map[string]any
	}
	if err := json.Unmarshal([]byte(api.call(t, 200, "GET", "/v1/rooms/call", "")), &room); err != nil {
		t.Fatal(err)
	}
	if want := api.base + "/call"; room.URL != want {
		t.Errorf("the room is at %s, want %s", room.URL, want)
	}
	if room.Privacy != "private" || !slices.Equal(slices.Collect(maps.Keys(room.Config)), []string{"enable_knocking"}) {
		t.Errorf("got %+v", room)
	}
	guest := start(t, "join", "--url", "ws://"+s.addr, "--room", "call", "--name", "Guest")
	guest.says("you wait to be let in")
	host.says("Guest", "waits to be let in")
	out := start(t, "room", "waiting", "--room", "call", "--url", api.base, "--api-key", devKey, "--api-secret", devSecret)
	out.says("Guest", "anon:")
	if code := out.wait(); code != 0 {
		t.Errorf("room waiting: exit code %d", code)
	}
	host.types("/admit all")
	guest.says("you are", "Guest", "in room call")
	host.says("Guest", "joined")
}

// What --dev prints stands together: nothing that is logged comes in between.
func TestDevBannerIsWhole(t *testing.T) {
	var both bytes.Buffer
	cfg := devConfig()
	cfg.Addr = "127.0.0.1:0"
	srv, err := assemble(cfg, slog.New(slog.NewTextHandler(&both, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer srv.close()
	if err := srv.listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.announce(t.Context(), &both); err != nil {
		t.Fatal(err)
	}
	log, banner, _ := strings.Cut(both.String(), "usher serves for development")
	if !strings.Contains(log, "room created") || !strings.Contains(banner, "/call#token=") || strings.Contains(banner, "msg=") {
		t.Errorf("got:\n%s", both.String())
	}
}
