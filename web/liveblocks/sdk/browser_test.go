package sdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"usher/web/browsertest"
	"usher/web/npmtest"
)

// An application is what one written for Liveblocks consists of: a page with the
// client, bundled, and a backend with a secret key. It is of another origin than
// usher.
type application struct {
	*httptest.Server
	t     *testing.T
	usher *npmtest.Server
}

// startApplication starts one whose page has that script.
func startApplication(t *testing.T, usher *npmtest.Server, page string) *application {
	t.Helper()
	esbuild := exec.Command(suite.Node(t), filepath.Join("node_modules", "esbuild", "bin", "esbuild"),
		page, "--bundle", "--format=esm", "--define:process.env.NODE_ENV=\"development\"")
	var complaints bytes.Buffer
	esbuild.Stderr = &complaints
	script, err := esbuild.Output()
	if err != nil {
		t.Fatalf("esbuild: %v\n%s", err, &complaints)
	}
	a := &application{t: t, usher: usher}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<!doctype html><title>test</title><link rel="icon" href="data:,"><body></body><script type="module" src="/page.js"></script>`)
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(script)
	})
	mux.HandleFunc("POST /auth", func(w http.ResponseWriter, r *http.Request) {
		user := r.FormValue("user")
		status, body := a.ask(http.MethodPost, "/v2/identify-user", map[string]any{
			"userId": user, "groupIds": []string{"of " + user}, "userInfo": map[string]string{"name": strings.ToUpper(user)},
		})
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// ask calls usher's REST API as the backend.
func (a *application) ask(method, path string, body any) (status int, answer []byte) {
	text, _ := json.Marshal(body)
	req, err := http.NewRequest(method, a.usher.URL()+path, bytes.NewReader(text))
	if err != nil {
		a.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer sk_dev_secret")
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Error(err)
		return 0, nil
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		a.t.Error(err)
	}
	return res.StatusCode, answer
}

// must is ask for what has to succeed.
func (a *application) must(method, path string, body any) {
	a.t.Helper()
	if status, answer := a.ask(method, path, body); status/100 != 2 {
		a.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
}

// A tab is the page, for one user.
type tab struct {
	*browsertest.Tab
	t *testing.T
}

// open opens the page, which enters a room.
func (a *application) open(room, user string, expected ...string) *tab {
	a.t.Helper()
	query := url.Values{"server": {a.usher.URL()}, "room": {room}, "user": {user}}
	return &tab{browsertest.Fresh(a.t, a.URL+"/page?"+query.Encode(), expected), a.t}
}

// has waits until an expression about the page's state is true.
func (p *tab) has(expression string) {
	p.t.Helper()
	p.Until(fmt.Sprintf("((s) => %s)(state())", expression))
}

// What pages say in their console, and may.
const (
	putOut     = "Connection to WebSocket closed permanently"
	reactTools = "Download the React DevTools"
)

// stayed fails the test unless the page was connected all the time.
func (p *tab) stayed() {
	p.t.Helper()
	if got := p.Eval(`JSON.stringify(state().statuses.slice(state().statuses.indexOf("connected")))`); got != `["connected"]` {
		p.t.Errorf("the page's statuses were %s, want it connected all the time", got)
	}
}

// The client in a real browser, in a page of another origin.
func TestBrowser(t *testing.T) {
	a := startApplication(t, suite.Server(t, t.TempDir()), "page.mjs")
	const room = "browser: room/1"
	path := "/v2/rooms/" + url.PathEscape(room)
	a.must(http.MethodPost, "/v2/rooms", map[string]any{"id": room, "defaultAccesses": []string{"room:write"}})

	ada := a.open(room, "ada")
	ada.has(`s.status === "connected" && s.me?.canWrite && s.me.id === "ada" && s.me.info.name === "ADA"`)
	bob := a.open(room, "bob",
		putOut,               // at the end
		"404", "not offered") // what the browser and the client say of comments
	bob.has(`s.others[0]?.id === "ada" && s.others[0].presence.at === "ada" && s.others[0].info.name === "ADA"`)
	ada.has(`s.others[0]?.id === "bob" && s.others[0].presence.at === "bob" && s.others[0].canWrite`)

	// Presence, both ways.
	ada.Eval(`room.updatePresence({ cursor: { x: 1 } }), ""`)
	bob.Eval(`room.updatePresence({ cursor: { y: 2 }, at: null }), ""`)
	bob.has(`s.others[0].presence.cursor?.x === 1 && s.others[0].presence.at === "ada"`)
	ada.has(`s.others[0].presence.cursor?.y === 2 && s.others[0].presence.at === null`)

	// Events, from people and from the backend.
	bob.Eval(`room.broadcastEvent({ reaction: "👏" }), ""`)
	ada.has(`s.events[0]?.event.reaction === "👏" && s.events[0].id === "bob"`)
	a.must(http.MethodPost, path+"/broadcast-event", "from the backend")
	for _, p := range []*tab{ada, bob} {
		p.has(`s.events.at(-1)?.event === "from the backend" && s.events.at(-1).from === -1`)
	}

	// Storage is empty and read-only in effect; comments say that there are none.
	if got := bob.Eval(`outcome(room.getStorage().then(({ root }) => root.toJSON()))`); got != "{}" {
		t.Errorf("storage is %s", got)
	}
	if got := bob.Eval(`outcome(room.createThread({ body: { version: 1, content: [] } }))`); !strings.Contains(got, "not offered") {
		t.Errorf("a thread: %s", got)
	}
	if got := bob.Eval(`outcome(client.getInboxNotifications())`); !strings.Contains(got, "not offered") {
		t.Errorf("notifications: %s", got)
	}

	// Demoted and promoted, by default, group and user.
	for _, step := range []struct {
		change   map[string]any
		canWrite bool
	}{
		{map[string]any{"defaultAccesses": []string{"room:read", "room:presence:write"}, "usersAccesses": map[string]any{"ada": []string{"room:write"}}}, false},
		{map[string]any{"groupsAccesses": map[string]any{"of bob": []string{"*:write"}}}, true},
		{map[string]any{"usersAccesses": map[string]any{"bob": []string{"*:read"}}}, false},
		{map[string]any{"usersAccesses": map[string]any{"bob": nil}}, true},
	} {
		a.must(http.MethodPost, path, step.change)
		bob.has(fmt.Sprintf(`s.me.canWrite === %t`, step.canWrite))
		ada.has(fmt.Sprintf(`s.me.canWrite && s.others[0].canWrite === %t`, step.canWrite))
	}
	// A tab that comes to the front asks whether its connection lives.
	ada.Eval(`document.dispatchEvent(new Event("visibilitychange")), ""`)
	bob.Eval(`room.updatePresence({ after: true }), ""`)
	ada.has(`s.others[0].presence.after`)
	ada.stayed()
	bob.stayed()

	// Put out.
	a.must(http.MethodPost, path, map[string]any{"defaultAccesses": []string{}, "groupsAccesses": nil})
	bob.has(`s.status === "disconnected" && s.errors[0]?.code === 4001 && s.errors[0].known && s.errors[0].message.length > 10`)
	ada.has(`s.others.length === 0`)
	ada.stayed()
}

// A page with a public key needs no backend.
func TestBrowserWithPublicKey(t *testing.T) {
	a := startApplication(t, suite.Server(t, t.TempDir()), "page.mjs")
	query := url.Values{"server": {a.usher.URL()}, "room": {"public"}, "key": {"pk_dev_public"}}
	var tabs [2]*tab
	for i := range tabs {
		tabs[i] = &tab{browsertest.Fresh(t, a.URL+"/page?"+query.Encode(), nil), t}
	}
	for _, p := range tabs {
		p.has(`s.status === "connected" && s.me.canWrite && s.me.id === undefined && s.others.length === 1 && s.others[0].id === undefined`)
	}
	tabs[0].Eval(`room.broadcastEvent("hello"), ""`)
	tabs[1].has(`s.events[0]?.event === "hello"`)
	tabs[0].Eval(`leave(), ""`)
	tabs[1].has(`s.others.length === 0`)
}

// A page with @liveblocks/react.
func TestBrowserWithReact(t *testing.T) {
	a := startApplication(t, suite.Server(t, t.TempDir()), "react.mjs")
	const room = "react"
	a.must(http.MethodPost, "/v2/rooms", map[string]any{"id": room, "defaultAccesses": []string{"*:write"}})
	ada, bob := a.open(room, "ada", reactTools), a.open(room, "bob", reactTools, putOut)
	ada.has(`s.status === "connected" && s.me.canWrite && s.others[0]?.id === "bob" && s.others[0].presence.at === "bob" && s.others[0].info.name === "BOB"`)
	bob.has(`s.others?.[0]?.presence.at === "ada"`)
	bob.Eval(`updatePresence({ cursor: 1 }), broadcast("hello"), ""`)
	ada.has(`s.others[0].presence.cursor === 1 && s.events[0]?.event === "hello" && s.events[0].id === "bob"`)
	a.must(http.MethodPost, "/v2/rooms/"+room, map[string]any{"defaultAccesses": []string{"*:read"}})
	bob.has(`s.status === "connected" && !s.me.canWrite && !s.others[0].canWrite`)
	a.must(http.MethodPost, "/v2/rooms/"+room, map[string]any{"defaultAccesses": []string{}, "usersAccesses": map[string]any{"ada": []string{"*:write"}}})
	bob.has(`s.errors?.[0]?.code === 4001`)
	ada.has(`s.me.canWrite && s.others.length === 0`)
}
