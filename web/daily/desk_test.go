package daily_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/daily"
	"usher/room"
	"usher/room/store"
	"usher/session/sessiontest"
	"usher/web/daily"
	"usher/web/webhook"
)

// A delivery is a request that a backend got.
type delivery struct {
	header http.Header
	body   string
}

// event returns the type of a delivery's event.
func (d delivery) event() string {
	var e struct{ Type string }
	_ = json.Unmarshal([]byte(d.body), &e)
	return e.Type
}

// A backend takes webhooks on a port of its own.
type backend struct {
	t *testing.T
	*httptest.Server

	mu      sync.Mutex
	changed *sync.Cond
	got     []delivery
	status  func(delivery) int
}

func newBackend(t *testing.T) *backend {
	b := &backend{t: t}
	b.changed = sync.NewCond(&b.mu)
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d := delivery{r.Header, string(body)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, d)
	b.changed.Broadcast()
	if b.status != nil {
		w.WriteHeader(b.status(d))
	}
}

func (b *backend) requests() []delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func (b *backend) answers(status func(delivery) int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

// events waits for so many requests that are no probes.
func (b *backend) events(n int) (events []delivery) {
	b.t.Helper()
	watch := time.AfterFunc(time.Minute, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.t.Errorf("got %d events after a minute, want %d", len(events), n)
		n = 0
		b.changed.Broadcast()
	})
	defer watch.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		events = slices.DeleteFunc(slices.Clone(b.got), func(d delivery) bool { return d.body == `{"test":"test"}` })
		if len(events) >= n {
			return events
		}
		b.changed.Wait()
	}
}

// signed checks a delivery as Daily's guide does (§5): over the bytes, and with the
// base64 of the secret decoded.
func (d delivery) signed(t *testing.T, secret string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	at := d.header.Get("X-Webhook-Timestamp")
	if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		t.Errorf("the time is %q", at)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(at + "." + d.body))
	if got, want := d.header.Get("X-Webhook-Signature"), base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(d.body)); err != nil || compact.String() != d.body {
		t.Errorf("the body is no compact JSON: %s", d.body)
	}
}

// A desk is Daily's API with webhooks and meetings, without anybody in a room.
type desk struct {
	t        *testing.T
	store    store.Store
	log      *logged
	sender   *webhook.Sender
	hooks    *daily.Hooks
	meetings *daily.Meetings
	domains  *tokens.Domains
	api      http.Handler
}

// newDesk starts one on what the store has. Change may be nil.
func newDesk(t *testing.T, s store.Store, change func(*webhook.Config)) *desk {
	t.Helper()
	d := &desk{t: t, store: s, log: new(logged)}
	log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := webhook.Config{Store: s, Log: log, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond,
		Encode: func(*room.Occurrence, func() string) []webhook.Event { return nil }}
	if change != nil {
		change(&c)
	}
	var err error
	if d.sender, err = webhook.New(c); err != nil {
		t.Fatal(err)
	}
	d.hooks = daily.NewHooks(daily.HooksConfig{Sender: d.sender, Store: s, Log: log})
	d.meetings = daily.NewMeetings(s, log)
	for _, start := range []func() error{d.hooks.Load, d.sender.Start, d.meetings.Load} {
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	rooms, err := room.New(room.Config{Store: store.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rooms.Close)
	domain := sessiontest.Domain()
	d.domains = tokens.NewDomains([]tokens.Domain{domain, {Project: "other", Name: "other", ID: otherDomain,
		APIKeys: []auth.Secret{auth.Secret(otherKey)}, TokenSecret: auth.Secret(otherSecret)}})
	if d.api, err = daily.New(daily.Config{Rooms: rooms, Domains: d.domains, Store: s, Webhooks: d.hooks, Meetings: d.meetings, Log: log}); err != nil {
		t.Fatal(err)
	}
	return d
}

// stop ends it in good order, but does not wait for what is not delivered.
func (d *desk) stop() {
	d.t.Helper()
	d.meetings.Close()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = d.sender.Stop(now)
	d.hooks.Close()
}

func (d *desk) with(key, method, path, body string) answer {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, "/v1"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	d.api.ServeHTTP(w, r)
	a := answer{sessiontest.Event{Text: w.Body.String()}, w.Code, w.Header()}
	if strings.HasPrefix(a.Text, "{") {
		if err := json.Unmarshal(w.Body.Bytes(), &a.Fields); err != nil {
			d.t.Fatalf("%s %s: %q: %v", method, path, a.Text, err)
		}
	}
	return a
}

func (d *desk) call(method, path, body string) answer {
	d.t.Helper()
	return d.with(apiKey, method, path, body)
}

func (d *desk) must(method, path, body string) answer {
	d.t.Helper()
	a := d.call(method, path, body)
	if a.status != http.StatusOK {
		d.t.Fatalf("%s %s %s: got %d %s", method, path, body, a.status, a.Text)
	}
	return a
}

// occur has something occur in a room with a Daily part.
func (d *desk) occur(name string, o room.Occurrence) {
	o.At, o.Project = time.Now(), "test"
	if o.Room.Name == "" {
		o.Room = room.Summary{ID: "RM_" + name, Name: name, Daily: true, Meeting: room.Meeting{ID: "m-" + name, Began: time.Unix(1700000000, 0)}}
	}
	d.sender.Observe(&o)
	d.meetings.Observe(&o)
}

func (d *desk) enter(name, who string) {
	d.occur(name, room.Occurrence{Occasion: room.ParticipantEntered, Participant: &room.Info{SID: "PA_" + who, Identity: who, Name: who, JoinedAt: time.Now()}})
}

// create makes a webhook for all that is sent.
func (d *desk) create(url, more string) answer {
	d.t.Helper()
	return d.must("POST", "/webhooks", `{"url":"`+url+`","eventTypes":["meeting.started","meeting.ended","participant.joined","participant.left",`+
		`"waiting-participant.joined","waiting-participant.left"]`+more+`}`)
}

// copied returns what a process that is killed now leaves behind.
func copied(t *testing.T, s store.Store) store.Store {
	t.Helper()
	out := store.NewMemory()
	for _, b := range store.Buckets {
		err := s.Load(b, func(key string, value []byte) error {
			return out.Commit(store.Change{Bucket: b, Key: key, Value: value}).Wait()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
