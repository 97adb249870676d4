package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/auth/livekit"
)

// A hub is a small server on coder/websocket that can be told to be wrong.
type hub struct {
	verifier *auth.Verifier

	drop, double, swap int  // every so many deliveries; 0: never
	lax                bool // a demotion is told and not enforced
	hide               int  // every so many joins are not announced

	mu    sync.Mutex // guards the following fields
	rooms map[string]map[string]*guest
	n     int
	seq   int
}

type guest struct {
	ws       *websocket.Conn
	identity string
	muted    bool
	held     []byte // a message that the next one of its sender overtakes
	heldFrom *guest
}

func serveHub(t *testing.T, change func(*hub)) (Target, http.Handler) {
	t.Helper()
	keys, err := auth.NewKeys([]auth.Key{{ID: "devkey", Secret: auth.Secret("secret"), Project: "test", Format: livekit.Format{}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{verifier: auth.NewVerifier(keys, 0), rooms: map[string]map[string]*guest{}}
	if change != nil {
		change(h)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/session", h.session)
	mux.HandleFunc("/twirp/livekit.RoomService/UpdateParticipant", h.update)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return Target{Name: "hub", URL: s.URL, Key: "devkey", Secret: "secret"}, mux
}

func (h *hub) session(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"usher.v1"}})
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	ctx := context.Background()
	grant, err := h.verifier.Verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		_ = ws.Close(4500, "invalid_token")
		return
	}
	if _, _, err := ws.Read(ctx); err != nil {
		return
	}
	g := &guest{ws: ws, identity: grant.Identity}
	h.mu.Lock()
	if h.rooms[grant.Room] == nil {
		h.rooms[grant.Room] = map[string]*guest{}
	}
	members := h.rooms[grant.Room]
	members[g.identity] = g
	var list []map[string]string
	for identity := range members {
		list = append(list, map[string]string{"identity": identity})
	}
	// Type and identity are not first here: a reader must not rely on it.
	joined, _ := json.Marshal(map[string]any{"type": "joined", "session": "S", "secret": "x", "recovered": false, "participants": list})
	_ = ws.Write(ctx, websocket.MessageText, joined)
	h.seq++
	if h.hide == 0 || h.seq%h.hide != 0 {
		for _, other := range members {
			if other != g {
				_ = other.ws.Write(ctx, websocket.MessageText, []byte(`{"type":"participantJoined","participant":{"identity":"`+g.identity+`"}}`))
			}
		}
	}
	h.mu.Unlock()
	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			h.mu.Lock()
			delete(members, g.identity)
			h.mu.Unlock()
			return
		}
		var m struct {
			Type    string
			ID      int
			Payload json.RawMessage
		}
		if json.Unmarshal(b, &m) != nil || m.Type != "publishData" {
			continue
		}
		h.mu.Lock()
		if g.muted && !h.lax {
			_ = ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"error","id":%d,"code":"not_allowed"}`, m.ID))
		} else {
			for _, other := range members {
				if other != g {
					h.deliver(g, other, append([]byte(`{"type":"data","reliable":true,"payload":`), append(m.Payload, '}')...))
				}
			}
			if m.ID != 0 {
				_ = ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"ok","id":%d}`, m.ID))
			}
		}
		h.mu.Unlock()
	}
}

// deliver delivers, more or less.
func (h *hub) deliver(from, to *guest, b []byte) {
	ctx := context.Background()
	h.n++
	switch {
	case h.drop > 0 && h.n%h.drop == 0:
		return
	case h.swap > 0 && h.n%h.swap == 0 && to.held == nil:
		to.held, to.heldFrom = b, from
		return
	}
	_ = to.ws.Write(ctx, websocket.MessageText, b)
	if to.held != nil && to.heldFrom == from {
		_ = to.ws.Write(ctx, websocket.MessageText, to.held)
		to.held = nil
	}
	if h.double > 0 && h.n%h.double == 0 {
		_ = to.ws.Write(ctx, websocket.MessageText, b)
	}
}

// update tells everybody of a permission.
func (h *hub) update(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Room, Identity string
		Permission     permission
	}
	body, _ := io.ReadAll(r.Body)
	_ = json.NewDecoder(bytes.NewReader(body)).Decode(&call)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.rooms[call.Room] {
		if g.identity == call.Identity {
			g.muted = !call.Permission.CanPublishData
		}
		_ = g.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil,
			`{"type":"participantUpdated","participant":{"identity":%q,"permissions":{"canPublishData":%t}}}`, call.Identity, call.Permission.CanPublishData))
	}
	_, _ = io.WriteString(w, "{}")
}

var (
	steady = Config{Scenario: "rooms", Rooms: 2, RoomSize: 4, Rate: 100, Duration: 300 * time.Millisecond, Drain: 300 * time.Millisecond}
	flips  = Config{Scenario: "roles", Rooms: 1, RoomSize: 3, Rate: 300, Duration: 500 * time.Millisecond, Drain: 300 * time.Millisecond}
)

// The load test speaks with a server on another WebSocket library, and finds
// nothing wrong with one that is right.
func TestHonestHub(t *testing.T) {
	t.Parallel()
	target, _ := serveHub(t, nil)
	for _, cfg := range []Config{steady, {Scenario: "join", People: 30, RoomSize: 6},
		{Scenario: "fanout", People: 5, Window: 4, Size: 3000, Duration: 200 * time.Millisecond}} {
		result, err := Run(t.Context(), cfg, target)
		if err != nil {
			t.Fatal(err)
		}
		flawless(t, result)
		if result.Counts["delivered"] == 0 {
			t.Errorf("%s: nothing was delivered", cfg.Scenario)
		}
	}
	target.API = true // as much of it as this needs
	result, err := Run(t.Context(), flips, target)
	if err != nil {
		t.Fatal(err)
	}
	flawless(t, result)
	if result.Counts["refused"] == 0 {
		t.Error("nothing was refused")
	}
}

// A checker that cannot fail is none: each fault is found, and only that one.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault func(*hub)
		cfg   Config
		found string
	}{
		"drops":     {func(h *hub) { h.drop = 10 }, steady, "lost"},
		"doubles":   {func(h *hub) { h.double = 10 }, steady, "doubled"},
		"reorders":  {func(h *hub) { h.swap = 10 }, steady, "misordered"},
		"is lax":    {func(h *hub) { h.lax = true }, flips, "late"},
		"hides one": {func(h *hub) { h.hide = 10 }, Config{Scenario: "join", People: 30, RoomSize: 6, Drain: 200 * time.Millisecond}, "roster_wrong"},
		"drops in fanout": {func(h *hub) { h.drop = 100 },
			Config{Scenario: "fanout", People: 5, Window: 2, Size: 64, Duration: 300 * time.Millisecond, Drain: 200 * time.Millisecond}, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, _ := serveHub(t, test.fault)
			target.API = test.cfg.Scenario == "roles"
			result, err := Run(t.Context(), test.cfg, target)
			if err != nil {
				t.Fatal(err)
			}
			if result.Counts[test.found] == 0 {
				t.Errorf("no %s was found: %v", test.found, result.Counts)
			}
			for _, other := range []string{"lost", "doubled", "misordered", "late", "misdirected"} {
				// Who hears nothing of somebody has lost an announcement; a
				// message that is held back for ever, when no other follows, is lost.
				if other != test.found && result.Counts[other] > 0 && !(other == "lost" && (test.found == "roster_wrong" || test.found == "misordered")) {
					t.Errorf("%s: got %d, want 0", other, result.Counts[other])
				}
			}
			if len(result.Findings) == 0 {
				t.Error("the findings do not tell")
			}
		})
	}
}

// The goroutine-per-connection transport does the same; TLS needs it.
func TestPortableTransport(t *testing.T) {
	t.Parallel()
	target, handler := serveHub(t, nil)
	target = secured(t, target, handler)
	result, err := Run(t.Context(), steady, target)
	if err != nil {
		t.Fatal(err)
	}
	flawless(t, result)
	if result.Counts["delivered"] == 0 {
		t.Error("nothing was delivered")
	}
}

// What was measured until an interruption is not thrown away.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(1500*time.Millisecond, cancel)
	cfg := steady
	cfg.Duration = time.Hour
	results, err := Compare(ctx, cfg, 3, []Server{Running(serveUsher(t))}, nil)
	if err != ErrInterrupted || len(results) != 1 || results[0].Counts["delivered"] == 0 {
		t.Errorf("got %v, %v", results, err)
	}
}
