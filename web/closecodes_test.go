package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/browsertest"
)

// page is a tab that opens WebSockets and remembers how they end.
type page struct {
	t   *testing.T
	ctx context.Context
}

const pageScript = `
	window.frames_ = 0;
	window.open_ = (url, first, protocols) => new Promise((resolve) => {
		const ws = new WebSocket(url, protocols || ["usher.v1"]);
		ws.binaryType = "arraybuffer";
		window.ws_ = ws;
		window.joined_ = new Promise((joined) => {
			ws.onmessage = (e) => {
				window.frames_++;
				if (typeof e.data === "string" && e.data.startsWith('{"type":"joined"')) joined(JSON.parse(e.data));
			};
		});
		ws.onopen = () => { if (first) ws.send(first); resolve(true); };
		window.closed_ = new Promise((closed) => { ws.onclose = (e) => closed({code: e.code, reason: e.reason}); });
	});
`

// call evaluates an expression, waits for the promise it returns, and decodes
// what that brings.
func (p *page) call(expression string, into any) {
	p.t.Helper()
	b, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]byte](expression, chromedp.EvalAwaitPromise))
	if err == nil && into != nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
}

// open connects and sends the first message.
func (p *page) open(url, first string, protocols ...string) {
	p.t.Helper()
	offered := "null"
	if protocols != nil {
		b, _ := json.Marshal(protocols)
		offered = string(b)
	}
	p.call(fmt.Sprintf("open_(%q, %q, %s)", url, first, offered), nil)
}

func (p *page) expectClose(code wire.CloseCode) {
	p.t.Helper()
	var got struct {
		Code   int
		Reason string
	}
	p.call("closed_", &got)
	if got.Code != int(code) || got.Reason != code.Reason() {
		p.t.Errorf("the page read %d %q, want %d %q", got.Code, got.Reason, code, code.Reason())
	}
}

// fixture is a server whose pages may connect to it.
type fixture struct {
	*sessiontest.Server
	page          *page
	holding, hold chan struct{} // a request to /hold has come, may be answered
}

func serveBrowser(t *testing.T, ctx context.Context, o sessiontest.Options) *fixture {
	t.Helper()
	f := &fixture{holding: make(chan struct{}), hold: make(chan struct{})}
	o.Handler = func(_ *sessiontest.Server, sessions http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/session", sessions)
		mux.HandleFunc("/hold", func(http.ResponseWriter, *http.Request) {
			f.holding <- struct{}{}
			<-f.hold
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html><title>close codes</title>")
		})
		return mux
	}
	s := sessiontest.Serve(t, o)
	p := &page{t, ctx}
	if _, err := chromedp.Run(ctx, chromedp.Navigate(s.HTTP.URL)); err != nil {
		t.Fatal(err)
	}
	p.call(pageScript+"true", nil)
	f.Server, f.page = s, p
	return f
}

func (f *fixture) join(token string) sessiontest.Event {
	f.page.t.Helper()
	first, _ := json.Marshal(wire.Message{Type: "join", Token: token})
	f.page.open(f.URL, string(first))
	var e sessiontest.Event
	f.page.call("joined_", &e.Fields)
	return e
}

// flood sends data and video frames to the room until stop is called, and
// returns when the page has received some.
func (f *fixture) flood(roomName string) (stop func()) {
	t := f.page.t
	t.Helper()
	publisher, _ := f.Join(f.Token(roomName, "publisher"))
	track := publisher.OK(wire.Message{Type: "publishTrack", Kind: "video", Source: "camera"})
	handle := uint32(track.Get("track.handle").(float64))
	var over atomic.Bool
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		payload := strings.Repeat("x", 8000)
		data, _ := json.Marshal(wire.Message{Type: "publishData", Payload: json.RawMessage(`"` + payload + `"`), Reliable: new(bool)})
		for n := uint16(0); !over.Load(); n++ {
			frame := append(wire.FrameHeader{Handle: handle, Key: n%30 == 0, Last: true, Counter: n}.Append(nil), payload...)
			if publisher.WS.Write(context.Background(), websocket.MessageBinary, frame) != nil ||
				publisher.WS.Write(context.Background(), websocket.MessageText, data) != nil {
				return
			}
		}
	}()
	f.page.call(`new Promise((r) => { const wait = () => window.frames_ > 50 ? r(true) : setTimeout(wait, 1); wait(); })`, nil)
	return func() {
		over.Store(true)
		<-done
	}
}

// jam stops the page from reading, until release: its script waits for an
// answer that the server withholds. jam returns when frames for the page wait
// on the server, because its socket takes no more.
func (f *fixture) jam() (release func()) {
	f.page.t.Helper()
	f.page.call(`setTimeout(() => { const r = new XMLHttpRequest(); r.open("GET", "/hold", false); r.send(); }, 0); true`, nil)
	<-f.holding
	for f.Rooms.WaitingBytes() <= 100<<10 { // the page's own time-out ends this
		if f.page.ctx.Err() != nil {
			f.page.t.Fatal("the page reads on, however busy it is")
		}
		time.Sleep(time.Millisecond)
	}
	return func() { f.hold <- struct{}{} }
}

// Every code that a server ends a session with reaches a page: at rest, during
// a flood, and while its socket is jammed.
func TestPagesReadTheCloseCode(t *testing.T) {
	browser := browsertest.Open(t)
	target := room.Target{Identity: "page"}
	ends := map[wire.CloseCode]func(t *testing.T, f *fixture, r *room.Room, b *room.Batch){
		wire.Removed: func(t *testing.T, f *fixture, r *room.Room, b *room.Batch) {
			if err := r.Remove(b, target, room.Removal{}); err != nil {
				t.Error(err)
			}
		},
		wire.DuplicateIdentity: func(t *testing.T, f *fixture, r *room.Room, b *room.Batch) {
			f.Join(f.Token("stage", "page"))
		},
		wire.KeyRevoked: func(t *testing.T, f *fixture, r *room.Room, b *room.Batch) {
			keys, err := auth.NewKeys([]auth.Key{{ID: "other", Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}}}, []string{sessiontest.Key})
			if err != nil {
				t.Error(err)
			}
			f.Verifier.SetKeys(keys)
			f.Sessions.KeysChanged()
		},
		wire.ServerShutdown: func(t *testing.T, f *fixture, r *room.Room, b *room.Batch) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			t.Cleanup(cancel)
			go f.Sessions.Drain(ctx) // ends with the server
		},
		wire.RoomDeleted: func(t *testing.T, f *fixture, r *room.Room, b *room.Batch) { r.Delete(b) },
	}
	for code, end := range ends {
		for _, state := range []string{"at rest", "in a flood", "jammed"} {
			t.Run(fmt.Sprintf("%d/%s", code, state), func(t *testing.T) {
				f := serveBrowser(t, browser, sessiontest.Options{})
				f.page.t = t
				f.join(f.Token("stage", "page"))
				if state != "at rest" {
					defer f.flood("stage")()
				}
				release := func() {}
				if state == "jammed" {
					release = f.jam()
				}
				r, _ := f.Rooms.Lookup("test", "stage")
				b := f.Rooms.Batch()
				end(t, f, r, b)
				b.Flush()
				release()
				f.page.expectClose(code)
			})
		}
	}
	t.Run("by the page's own doing", func(t *testing.T) {
		f := serveBrowser(t, browser, sessiontest.Options{Session: func(c *session.Config) { c.MessageBytes = 20000 }})
		f.page.t = t
		for script, code := range map[string]wire.CloseCode{
			`ws_.send('{"type":"leave"}')`: wire.Left,
			`ws_.send("x".repeat(30000))`:  wire.MessageTooBig,
		} {
			f.join(f.Token("stage", "page"))
			stop := f.flood("stage")
			f.page.call(script+";true", nil)
			f.page.expectClose(code)
			stop()
		}
	})
}

// Every refusal reaches a page, because it comes after the upgrade.
func TestPagesReadRefusals(t *testing.T) {
	f := serveBrowser(t, browsertest.Open(t), sessiontest.Options{
		Room: func(c *room.Config) { c.MaxParticipants = 1 },
	})
	f.Join(f.Token("full", "first"))
	join := func(token string) string {
		b, _ := json.Marshal(wire.Message{Type: "join", Token: token})
		return string(b)
	}
	mint := func(from time.Time, validFor time.Duration, c livekit.Claims) string {
		token, err := livekit.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), c, validFor, from)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	claims := livekit.Claims{Identity: "page", Video: &livekit.VideoGrant{RoomJoin: true, Room: "stage"}}
	long := claims
	long.Name = strings.Repeat("n", 300)
	for name, c := range map[string]struct {
		first string
		code  wire.CloseCode
	}{
		"no token":        {`{"type":"join","token":"nonsense"}`, wire.InvalidToken},
		"expired":         {join(mint(time.Now().Add(-2*time.Hour), time.Hour, claims)), wire.TokenExpired},
		"not yet":         {join(mint(time.Now().Add(time.Hour), time.Hour, claims)), wire.TokenNotYetValid},
		"not allowed":     {join(mint(time.Now(), time.Hour, livekit.Claims{Identity: "page", Video: &livekit.VideoGrant{Room: "stage"}})), wire.NotAllowed},
		"full":            {join(f.Token("full", "page")), wire.RoomFull},
		"limit":           {join(mint(time.Now(), time.Hour, long)), wire.LimitExceeded},
		"too large":       {join(strings.Repeat("x", 1<<20+1)), wire.TokenTooLarge},
		"unknown session": {`{"type":"resume","session":"PA_x","secret":"x"}`, wire.SessionNotFound},
		"no join":         {`{"type":"ping"}`, wire.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			f.page.t = t
			f.page.open(f.URL, c.first)
			f.page.expectClose(c.code)
		})
	}
	t.Run("token in the subprotocol", func(t *testing.T) {
		f.page.t = t
		f.page.open(f.URL, `{"type":"join"}`, wire.Subprotocol, wire.BearerPrefix+f.Token("stage", "page"))
		var joined map[string]any
		f.page.call("joined_", &joined)
		if joined["type"] != "joined" {
			t.Errorf("got %v", joined)
		}
	})
	t.Run("another origin", func(t *testing.T) {
		f.page.t = t
		other := strings.Replace(f.HTTP.URL, "127.0.0.1", "localhost", 1)
		if _, err := chromedp.Run(f.page.ctx, chromedp.Navigate(other)); err != nil {
			t.Fatal(err)
		}
		f.page.call(pageScript+"true", nil)
		f.page.open(f.URL, join(f.Token("stage", "page")))
		f.page.expectClose(wire.OriginNotAllowed)
	})
}
