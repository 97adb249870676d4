package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/room/store"
)

// A backend calls Liveblocks' API and usher's with a secret key.
type backend struct{ base, key string }

// try sends a request and returns the answer, or that there was none.
func (b backend) try(method, path, body string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.base+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	req.Header.Set("Authorization", "Bearer "+b.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// call is try for a server that answers, with that status.
func (b backend) call(t *testing.T, want int, method, path, body string) string {
	t.Helper()
	status, answer, err := b.try(method, path, body)
	if err != nil || status != want {
		t.Fatalf("%s %s: got %d %s %v, want %d", method, path, status, answer, err, want)
	}
	return answer
}

// identify returns an ID token.
func (b backend) identify(t *testing.T, user string) string {
	t.Helper()
	var answer struct{ Token string }
	text := b.call(t, 200, "POST", "/v2/identify-user", string(encode(map[string]string{"userId": user})))
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Token == "" {
		t.Fatalf("got %s", text)
	}
	return answer.Token
}

// accepts reports whether the server takes a token, and what it says about it.
func (b backend) accepts(t *testing.T, token string) (bool, string) {
	t.Helper()
	var answer struct{ Accepted bool }
	text := b.call(t, 200, "POST", "/usher/v1/tokens/explain", string(encode(map[string]string{"token": token})))
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("got %s", text)
	}
	return answer.Accepted, text
}

// A user is a connection of Liveblocks' protocol.
type user struct {
	t      *testing.T
	ws     *websocket.Conn
	state  map[string]any // ROOM_STATE
	actor  int64
	closed chan websocket.CloseError
	frames chan string
}

// dialUser connects, from a page of origin unless that is empty. It reads ROOM_STATE, or
// the close code with which the server refuses.
func dialUser(t *testing.T, addr, room, token, origin string) (*user, *websocket.CloseError) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	q := url.Values{"roomId": {room}, "version": {"3.24.2"}}
	if strings.HasPrefix(token, "pk_") {
		q.Set("pubkey", token)
	} else {
		q.Set("tok", token)
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+"/v8?"+q.Encode(), &websocket.DialOptions{HTTPHeader: header,
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	u := &user{t: t, ws: ws, closed: make(chan websocket.CloseError, 1), frames: make(chan string, 1024)}
	go func() { // ends with the connection
		defer close(u.frames)
		for {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				var end websocket.CloseError
				_ = errors.As(err, &end)
				u.closed <- end
				return
			}
			u.frames <- string(text)
		}
	}()
	t.Cleanup(func() {
		_ = ws.CloseNow()
		for range u.frames { // until it has ended
		}
	})
	for text := range u.frames {
		if err := json.Unmarshal([]byte(text), &u.state); err == nil && u.state["type"] == 104.0 {
			u.actor = int64(u.state["actor"].(float64))
			return u, nil
		}
	}
	end := <-u.closed
	return nil, &end
}

// end waits for the close code.
func (u *user) end() websocket.CloseError {
	u.t.Helper()
	select {
	case end := <-u.closed:
		return end
	case <-time.After(patience):
		u.t.Fatal("the connection does not end")
		return websocket.CloseError{}
	}
}

// liveblocksProject is a project with Liveblocks' keys, and more in its section.
func liveblocksProject(name, more string) string {
	return fmt.Sprintf("  - name: %s\n    liveblocks:\n      secret_key: %s\n      public_key: pk_%s\n%s", name, secretKeyOf(name), name, more)
}

func secretKeyOf(project string) string {
	return "sk_" + project + "-has-a-secret-key-of-32-characters"
}

// serveData is serveConfig with a directory for what is durable.
func serveData(t *testing.T, file, data string) (s *terminal, api backend, signal func(os.Signal)) {
	t.Helper()
	s, signal = startProcess(t, "serve", "--config", file, "--addr", "127.0.0.1:0", "--data", data, "--log-level", "debug")
	return s, backend{"http://" + listenAddr(s.logs("msg=listening")), secretKeyOf("acme")}, signal
}

// The secret that signs is made once, kept in the store before it is used, and is
// nowhere to be seen; tokens and rooms of before a restart, and of before a crash,
// are good after it.
func TestTokensOutliveTheProcess(t *testing.T) {
	data, file := t.TempDir(), writeConfig(t, "drain: 100ms\nprojects:\n"+liveblocksProject("acme", "")+liveblocksProject("blue", ""))
	s, api, signal := serveData(t, file, data)
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":[],"usersAccesses":{"ada":["room:write"]}}`)
	token := api.identify(t, "ada")
	signal(syscall.SIGKILL)
	s.wait()
	logged := s.err.text()
	for _, stop := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		s, api, signal = serveData(t, file, data)
		if ok, why := api.accepts(t, token); !ok {
			t.Fatalf("after a restart: %s", why)
		}
		if ok, _ := (backend{api.base, secretKeyOf("blue")}).accepts(t, token); ok {
			t.Error("another project takes the token")
		}
		if _, refused := dialUser(t, strings.TrimPrefix(api.base, "http://"), "lab", token, ""); refused != nil {
			t.Errorf("after a restart ada is refused: %v", refused)
		}
		signal(stop)
		s.wait()
		logged += s.err.text()
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
	acme, blue := secrets[liveblocksSecret+"acme"], secrets[liveblocksSecret+"blue"]
	if len(secrets) != 2 || string(acme) == string(blue) || len(acme) != tokenSecretBytes {
		t.Errorf("got the secrets of %d projects, want two that differ", len(secrets))
	}
	_, exported, _ := usher(t, "", "store", "export", "--data", data)
	_, checked, _ := usher(t, "", "store", "check", "--data", data)
	if !strings.Contains(checked, "settings: ") || !strings.Contains(checked, "is sound") {
		t.Errorf("usher store check prints %s", checked)
	}
	for what, text := range map[string]string{"the log": logged, "usher store export": exported, "usher store check": checked} {
		for _, secret := range []string{string(acme), fmt.Sprintf("%x", []byte(acme)), base64Of(acme), secretKeyOf("acme"), "eyJ"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a key, a secret or a token: %s", what, text)
			}
		}
	}
}

func base64Of(secret auth.Secret) string {
	text, _ := json.Marshal([]byte(secret))
	return strings.Trim(string(text), `"`)
}

// A secret that cannot be kept is not used: the next start would not know it.
func TestTokenSecretIsKeptFirst(t *testing.T) {
	c, err := (&serveCmd{Config: writeConfig(t, "projects:\n"+liveblocksProject("acme", "")+liveblocksProject("blue", "      token_secret: "+goodSecret+"\n"))}).settings()
	if err != nil {
		t.Fatal(err)
	}
	kept := store.NewMemory()
	secrets := tokenSecrets{}
	if err := secrets.complete(c, kept); err != nil || len(secrets) != 1 {
		t.Fatalf("made %d secrets, error %v; want one, for acme", len(secrets), err)
	}
	first := string(secrets[liveblocksSecret+"acme"])
	again, err := loadTokenSecrets(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.complete(c, kept); err != nil || string(again[liveblocksSecret+"acme"]) != first {
		t.Errorf("another secret was made, error %v", err)
	}
	if got := c.liveblocks(again)[1].Key.Secret; string(got) != goodSecret {
		t.Error("the configuration's own secret does not count")
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	none := tokenSecrets{}
	if err := none.complete(c, kept); !errors.Is(err, store.ErrClosed) || len(none) != 0 {
		t.Errorf("kept nowhere: got %d secrets, error %v", len(none), err)
	}
}

// Promise 8: what is not as it was written stops the start.
func TestDamagedTokenSecret(t *testing.T) {
	data := t.TempDir()
	kept, err := store.Open(data, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Commit(store.Setting{Key: liveblocksSecret + "acme", Value: []byte("short")}.Put()).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, "serve", "--config", writeConfig(t, "projects:\n"+liveblocksProject("acme", "")), "--addr", "127.0.0.1:0", "--data", data)
	if code := s.wait(); code != exitFailure {
		t.Errorf("got exit code %d, want %d", code, exitFailure)
	}
	s.logs(`damaged`, `the setting "liveblocks/secret/acme" is no secret`)
}

// Keys change while the server runs; people inside and their tokens stay, except
// that another token_secret ends the tokens of the one before.
func TestReloadLiveblocksKeys(t *testing.T) {
	const old, next = "the-old-token-secret-of-32-characters", "the-new-token-secret-of-32-characters"
	file := writeConfig(t, "projects:\n"+liveblocksProject("acme", "      token_secret: "+old+"\n"))
	s, api, hangup := serveData(t, file, t.TempDir())
	addr := strings.TrimPrefix(api.base, "http://")
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:read"]}`)
	token := api.identify(t, "ada")
	ada, refused := dialUser(t, addr, "lab", token, "")
	if refused != nil {
		t.Fatal(refused)
	}
	guest, refused := dialUser(t, addr, "lab", "pk_acme", "")
	if refused != nil {
		t.Fatal(refused)
	}

	text := strings.ReplaceAll(liveblocksProject("acme", "      token_secret: "+old+"\n"), "sk_acme", "sk_other")
	text = strings.ReplaceAll(text, "pk_acme", "pk_other")
	rewrite(t, file, "projects:\n"+text+liveblocksProject("late", ""))
	hangup(syscall.SIGHUP)
	s.logs("configuration reloaded")
	api.call(t, 403, "GET", "/v2/rooms", "")
	api.call(t, 401, "GET", "/usher/v1/rooms", "")
	rotated := backend{api.base, strings.ReplaceAll(secretKeyOf("acme"), "sk_acme", "sk_other")}
	rotated.call(t, 200, "GET", "/v2/rooms", "")
	if ok, why := rotated.accepts(t, token); !ok {
		t.Errorf("with other keys for the API: %s", why)
	}
	if _, refused := dialUser(t, addr, "lab", "pk_acme", ""); refused == nil || refused.Code != 4001 {
		t.Errorf("the old public key: got %v, want 4001", refused)
	}
	if _, refused := dialUser(t, addr, "lab", "pk_other", ""); refused != nil {
		t.Errorf("the new public key: %v", refused)
	}
	backend{api.base, secretKeyOf("late")}.identify(t, "ada") // of a project that came with the reload

	rewrite(t, file, "projects:\n"+strings.ReplaceAll(text, old, next))
	hangup(syscall.SIGHUP)
	s.logs("configuration reloaded")
	if ok, _ := rotated.accepts(t, token); ok {
		t.Error("a token of the old secret is good")
	}
	if ok, why := rotated.accepts(t, rotated.identify(t, "ada")); !ok {
		t.Errorf("a token of the new secret: %s", why)
	}
	// Nobody was put out by all that: what the room is told now, both hear.
	rotated.call(t, 204, "POST", "/v2/rooms/lab/broadcast-event", `{"last":true}`)
	for name, u := range map[string]*user{"ada": ada, "the guest": guest} {
		heard := false
		for text := range u.frames {
			if heard = strings.Contains(text, `"last":true`); heard {
				break
			}
		}
		if !heard {
			t.Errorf("%s was put out: %v", name, u.end())
		}
	}
	// Revoking the keys of before does that.
	g, err := auth.ReadUnverified(token, liveblocks.New(liveblocks.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	for id, u := range map[string]*user{g.KeyID: ada, "pk_acme": guest} {
		rotated.call(t, 201, "POST", "/usher/v1/revocations", `{"keyId":"`+id+`"}`)
		if end := u.end(); end.Code != 4001 || !strings.Contains(end.Reason, "the token or key was revoked") {
			t.Errorf("%s is revoked: got %v, want 4001", id, end)
		}
	}
	for _, secret := range []string{old, next, "sk_", "eyJ"} {
		if strings.Contains(s.err.text(), secret) {
			t.Errorf("the log shows a key, a secret or a token: %s", s.err.text())
		}
	}
}

// Revoking a public key puts out who came with it, and the kid of a token whoever
// came with one of that secret.
func TestRevokeLiveblocksKeys(t *testing.T) {
	_, api, _ := serveData(t, writeConfig(t, "projects:\n"+liveblocksProject("acme", "")), t.TempDir())
	addr := strings.TrimPrefix(api.base, "http://")
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:read"]}`)
	token := api.identify(t, "ada")
	g, err := auth.ReadUnverified(token, liveblocks.New(liveblocks.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	ada, _ := dialUser(t, addr, "lab", token, "")
	guest, _ := dialUser(t, addr, "lab", "pk_acme", "")
	if ada == nil || guest == nil {
		t.Fatal("they cannot enter")
	}
	api.call(t, 201, "POST", "/usher/v1/revocations", `{"keyId":"pk_acme"}`)
	if end := guest.end(); end.Code != 4001 {
		t.Errorf("the guest: got %v, want 4001", end)
	}
	if _, refused := dialUser(t, addr, "lab", "pk_acme", ""); refused == nil || refused.Code != 4001 {
		t.Errorf("the next guest: got %v, want 4001", refused)
	}
	api.call(t, 201, "POST", "/usher/v1/revocations", `{"keyId":"`+g.KeyID+`"}`)
	if end := ada.end(); end.Code != 4001 {
		t.Errorf("ada: got %v, want 4001", end)
	}
	if ok, why := api.accepts(t, token); ok || !strings.Contains(why, "it was revoked") {
		t.Errorf("got %s", why)
	}
}

// Somebody is kept out of a room that is open to all: also with the tokens of later.
func TestBan(t *testing.T) {
	_, api, _ := serveData(t, writeConfig(t, "projects:\n"+liveblocksProject("acme", "")), t.TempDir())
	addr := strings.TrimPrefix(api.base, "http://")
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:write"],"usersAccesses":{"bob":[]}}`)
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"hall","defaultAccesses":["room:write"]}`)
	bob, refused := dialUser(t, addr, "lab", api.identify(t, "bob"), "")
	if refused != nil {
		t.Fatalf("[] states nothing, and bob is refused: %v", refused)
	}
	until := time.Now().Add(24 * 365 * time.Hour).Unix()
	text := api.call(t, 201, "POST", "/usher/v1/revocations", fmt.Sprintf(`{"room":"lab","identity":"bob","until":%d}`, until))
	if end := bob.end(); end.Code != 4001 {
		t.Errorf("bob: got %v, want 4001", end)
	}
	later := api.identify(t, "bob")
	if _, refused := dialUser(t, addr, "lab", later, ""); refused == nil || refused.Code != 4001 {
		t.Errorf("bob with another token: got %v, want 4001", refused)
	}
	if _, refused := dialUser(t, addr, "hall", later, ""); refused != nil {
		t.Errorf("bob in another room: %v", refused)
	}
	if _, refused := dialUser(t, addr, "lab", api.identify(t, "ada"), ""); refused != nil {
		t.Errorf("ada: %v", refused)
	}
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	api.call(t, 200, "DELETE", "/usher/v1/revocations/"+made.ID, "")
	if _, refused := dialUser(t, addr, "lab", later, ""); refused != nil {
		t.Errorf("bob, when it was lifted: %v", refused)
	}
}

// With auto_create: false tokens and the public key enter the rooms that the backend
// has made, and no other, although LiveKit's tokens make theirs.
func TestNoAutoCreate(t *testing.T) {
	file := writeConfig(t, "projects:\n"+liveblocksProject("acme", "      auto_create: false\n"))
	s, api, hangup := serveData(t, file, t.TempDir())
	addr := strings.TrimPrefix(api.base, "http://")
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:read"]}`)
	var access struct{ Token string }
	text := api.call(t, 200, "POST", "/v2/authorize-user", `{"userId":"ada","permissions":{"*":["room:write"]}}`)
	if err := json.Unmarshal([]byte(text), &access); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"an access token": access.Token, "a public key": "pk_acme", "an ID token": api.identify(t, "ada")} {
		if _, refused := dialUser(t, addr, "lab", token, ""); refused != nil {
			t.Errorf("%s, a room that exists: %v", name, refused)
		}
		if _, refused := dialUser(t, addr, "none", token, ""); refused == nil || refused.Code != 4001 {
			t.Errorf("%s, a missing room: got %v, want 4001", name, refused)
		}
	}
	api.call(t, 404, "GET", "/v2/rooms/none", "")
	if text := api.call(t, 200, "POST", "/usher/v1/tokens/explain", string(encode(map[string]string{"token": access.Token, "room": "none"}))); !strings.Contains(text, "may not enter: there is no such room, and this token does not make one") {
		t.Errorf("got %s", text)
	}

	rewrite(t, file, "projects:\n"+liveblocksProject("acme", ""))
	hangup(syscall.SIGHUP)
	s.logs("configuration reloaded")
	if _, refused := dialUser(t, addr, "none", "pk_acme", ""); refused != nil {
		t.Errorf("when it is on again: %v", refused)
	}
	api.call(t, 200, "GET", "/v2/rooms/none", "")
}

// Origins hold for Liveblocks' clients, too, and a page can read why.
func TestLiveblocksOrigins(t *testing.T) {
	_, api, _ := serveData(t, writeConfig(t, "origins: [https://app.example.com]\nprojects:\n"+liveblocksProject("acme", "")), t.TempDir())
	addr := strings.TrimPrefix(api.base, "http://")
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:read"]}`)
	token := api.identify(t, "ada")
	for origin, want := range map[string]websocket.StatusCode{"": 0, "https://app.example.com": 0, "http://" + addr: 4001, "https://evil.example.com": 4001} {
		_, refused := dialUser(t, addr, "lab", token, origin)
		switch {
		case want == 0 && refused != nil:
			t.Errorf("%q is refused: %v", origin, refused)
		case want != 0 && (refused == nil || refused.Code != want || !strings.Contains(refused.Reason, "origin")):
			t.Errorf("%q: got %v, want %d and a word about the origin", origin, refused, want)
		}
	}
}

// With an address for operators the API is there, and what pages ask for is not.
func TestLiveblocksAdminAddr(t *testing.T) {
	s := serve(t, "--admin-addr", "127.0.0.1:0")
	public, admin := backend{"http://" + s.addr, devLiveblocksSecret}, backend{"http://" + s.admin, devLiveblocksSecret}
	s.says("for Liveblocks' SDKs:")
	s.says("baseUrl http://"+s.addr, "in the backend http://"+s.admin, "secret sk_dev_secret", "publicApiKey pk_dev_public")
	public.call(t, 404, "GET", "/v2/rooms", "")
	admin.call(t, 200, "GET", "/v2/rooms", "")
	if text := public.call(t, 404, "GET", "/v2/c/rooms/lab/threads", ""); !strings.Contains(text, "NOT_OFFERED") {
		t.Errorf("got %s", text)
	}
	token := admin.identify(t, "ada")
	admin.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:read"]}`)
	if _, refused := dialUser(t, s.addr, "lab", token, ""); refused != nil {
		t.Error(refused)
	}
}

// A public key lets into usher's own protocol, too: a room of Liveblocks' API, not one
// of LiveKit's.
func TestPublicKeyInOurProtocol(t *testing.T) {
	s := serve(t)
	join(t, s.addr, mint(t, "ada", nil), "--json").says(`"type":"joined"`)
	backend{"http://" + s.addr, devLiveblocksSecret}.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":[]}`)
	for room, want := range map[string]string{"lab": `"type":"joined"`, "lobby": `"code":4504`} {
		guest := start(t, "join", "--url", "ws://"+s.addr, "--public-key", devLiveblocksPublic, "--room", room, "--name", "Guest", "--json")
		if line := guest.says(want); room == "lab" && !strings.Contains(line, `"identity":"anon:`) {
			t.Errorf("got %s", line)
		}
	}
	if code, _, stderr := usher(t, "", "join", "--public-key", "pk_x", "--token", "x"); code != exitUsage || !strings.Contains(stderr, "in place of a token") {
		t.Errorf("got exit code %d, %s", code, stderr)
	}
}

// The secret of --dev is fixed: a page that is open comes back to the server that is
// started again.
func TestDevTokensOutliveTheProcess(t *testing.T) {
	first := serve(t)
	token := backend{"http://" + first.addr, devLiveblocksSecret}.identify(t, "ada")
	first.stop()
	first.wait()
	again := serve(t)
	if ok, why := (backend{"http://" + again.addr, devLiveblocksSecret}).accepts(t, token); !ok {
		t.Errorf("got %s", why)
	}
}

// usher token reads Liveblocks' tokens, whoever they are for.
func TestLiveblocksTokensAtTheTerminal(t *testing.T) {
	key := liveblocks.NewKey(liveblocks.New(liveblocks.Config{}), "acme", auth.Secret(goodSecret))
	id, err := liveblocks.IDToken{User: "ada", Groups: []string{"eng"}, Info: json.RawMessage(`{"name":"Ada"}`), Organization: "org1"}.Mint(key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	access, err := liveblocks.AccessToken{User: "bob", Permissions: map[string][]string{"acme:*": {"room:write"}, "acme:x": {"*:read", "feeds:none"}}}.Mint(key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"explained", []string{"explain", id}, 0, []string{`key:       "` + key.ID + `"`, "signature: not checked", `holder:    "ada", called "Ada"`, `project:   "acme"`,
			`tenant:    "org1"`, `groups:    "eng"`, `info:      {"name":"Ada"}`, "may:       enter rooms, and do there what their access lists say", "may not:   make a room"}},
		{"access", []string{"explain", access}, 0, []string{`*:read, feeds:none in "acme:x"`, `room:write in "acme:*"`, "make such a room by entering it"}},
		{"a key", []string{"explain", "sk_" + goodSecret}, 1, []string{"this is no token, but a Liveblocks secret key"}},
		{"checked", []string{"explain", "--api-secret", goodSecret, id}, 0, []string{"signature: holds"}},
		{"of another secret", []string{"explain", "--api-secret", "x" + goodSecret, id}, 0, []string{"signature: DOES NOT HOLD", "nothing as it stands"}},
		{"verified", []string{"verify", "--api-secret", goodSecret, id}, 0, []string{`"uid": "ada"`, `"gids": [`}},
		{"not verified", []string{"verify", "--api-secret", "x" + goodSecret, id}, 1, []string{"the token does not hold: signature does not match the key"}},
		{"changed", []string{"verify", "--api-secret", goodSecret, id[:len(id)-4] + "AAAA"}, 1, []string{"the token does not hold"}},
		{"with LiveKit's key in the environment", []string{"verify", "--api-key", "devkey", "--api-secret", goodSecret, id}, 0, []string{`"uid": "ada"`}},
		{"of another key", []string{"verify", "--api-key", "lb_other", "--api-secret", "x" + goodSecret, id}, 1, []string{`it is of another key, "` + key.ID + `"`}},
	} {
		code, out, stderr := usher(t, "", append([]string{"token"}, test.args...)...)
		for _, want := range test.want {
			if !strings.Contains(out+stderr, want) {
				t.Errorf("%s: got %s%s, without %q", test.name, out, stderr, want)
			}
		}
		if code != test.code || strings.Contains(out+stderr, goodSecret) {
			t.Errorf("%s: exit code %d, want %d: %s%s", test.name, code, test.code, out, stderr)
		}
	}

	var request revocationRequest
	if err := request.readToken(access, time.Now()); err != nil || request.TokenID == "" || request.Identity != "" {
		t.Errorf("usher revoke --token: got %+v, error %v; want the token's id", request, err)
	}
}

// A LiveKit key in a Liveblocks project opens the command line to its rooms and
// people: who may do what, and why.
func TestExplainLiveblocksPerson(t *testing.T) {
	s := serve(t)
	api := backend{"http://" + s.addr, devLiveblocksSecret}
	api.call(t, 200, "POST", "/v2/rooms", `{"id":"lab","defaultAccesses":["room:write"],"usersAccesses":{"bob":["*:read","comments:write"]}}`)
	if _, refused := dialUser(t, s.addr, "lab", api.identify(t, "bob"), ""); refused != nil {
		t.Fatal(refused)
	}
	at := []string{"--url", "http://" + s.addr, "--api-key", devKey, "--api-secret", devSecret, "--room", "lab"}
	_, out, stderr := usher(t, "", append([]string{"participant", "explain", "--identity", "bob"}, at...)...)
	for _, want := range []string{"bob is in room lab", "write the room's document, feeds ", "usersAccesses.bob", "write public comments, private comments "} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s%s, without %q", out, stderr, want)
		}
	}
	text := api.call(t, 200, "POST", "/usher/v1/tokens/explain", string(encode(map[string]string{"token": api.identify(t, "bob"), "room": "lab"})))
	for _, want := range []string{`"enter":true`, "canWrite: denied by usersAccesses.bob", "comments:public:write: allowed by usersAccesses.bob", "broadcastEvent: allowed by usersAccesses.bob"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, without %q", text, want)
		}
	}
}
