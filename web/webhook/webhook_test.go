package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"usher/auth"
	"usher/room"
	"usher/room/store"
	"usher/web/webhook"
)

func TestEventsOfARoomComeInOrder(t *testing.T) {
	sink := newSink(t)
	setup := newSetup(sink.url(), store.NewMemory())
	s := setup.start(t)
	h := newHouse(s)
	h.open("a")
	h.enter("a", "ada")
	h.enter("a", "bob")
	h.leave("a", "ada")
	h.leave("a", "bob")
	h.end("a")
	stop(t, s)
	wantNames(t, sink.got, "room_started a", "participant_joined a/ada", "participant_joined a/bob",
		"participant_left a/ada", "participant_left a/bob", "room_finished a")
	for i, want := range []int{0, 1, 2, 1, 0, 0} {
		if got := sink.got[i].event.Shown; got != want {
			t.Errorf("event %d tells of %d participants, want %d", i, got, want)
		}
	}
	for _, b := range []store.Bucket{store.Deliveries, store.Announced} {
		if left := records(t, setup.Store, b); len(left) > 0 {
			t.Errorf("in %s are left: %q", b, left)
		}
	}
	if got, want := setup.outcomes(t), "delivered 6"; got != want {
		t.Errorf("outcomes: %s, want %s", got, want)
	}
	setup.lint(t)
	h.open("late") // after Stop: nothing happens
}

// TestSignatures checks the headers as LiveKit's receivers and those of Standard
// Webhooks do, for the first attempt and for a repetition.
func TestSignatures(t *testing.T) {
	sink := newSink(t)
	var once sync.Once
	sink.answers(func(w http.ResponseWriter, _ *http.Request, _ message) {
		once.Do(func() { w.WriteHeader(http.StatusInternalServerError) })
	})
	standard := []byte("the secret of Standard Webhooks!")
	setup := newSetup(sink.url(), store.NewMemory())
	setup.Targets[0].StandardSecret = auth.Secret("whsec_" + base64.StdEncoding.EncodeToString(standard))
	s := setup.start(t)
	newHouse(s).open("a")
	stop(t, s)
	if len(sink.got) != 2 || sink.got[0].body != sink.got[1].body {
		t.Fatalf("received %v, want the same event twice", sink.got)
	}
	for _, r := range sink.got {
		if got := r.header.Get("Content-Type"); got != "application/webhook+json" {
			t.Errorf("Content-Type is %q", got)
		}
		if got := r.header.Get("User-Agent"); got != "usher" {
			t.Errorf("User-Agent is %q", got)
		}

		var claims struct {
			jwt.RegisteredClaims
			SHA256 string `json:"sha256"`
		}
		_, err := jwt.ParseWithClaims(r.header.Get("Authorization"), &claims, func(*jwt.Token) (any, error) { return []byte(secret), nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(key), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(r.body))
		if got, want := claims.SHA256, base64.StdEncoding.EncodeToString(sum[:]); got != want {
			t.Errorf("sha256 is %s, want %s", got, want)
		}
		if life := claims.ExpiresAt.Sub(claims.NotBefore.Time); life != 5*time.Minute {
			t.Errorf("the signature holds for %v, want 5 minutes", life)
		}

		at := r.header.Get("Webhook-Timestamp")
		if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
			t.Errorf("webhook-timestamp is %q", at)
		}
		mac := hmac.New(sha256.New, standard)
		mac.Write([]byte(r.event.ID + "." + at + "." + r.body))
		if got, want := r.header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("webhook-signature is %s, want %s", got, want)
		}
		if got := r.header.Get("Webhook-Id"); got != r.event.ID || !strings.HasPrefix(got, "EV_") {
			t.Errorf("webhook-id is %q, the event's id %q", got, r.event.ID)
		}
	}
}

func TestNoStandardHeadersUnlessAskedFor(t *testing.T) {
	sink := newSink(t)
	s := newSetup(sink.url(), store.NewMemory()).start(t)
	newHouse(s).open("a")
	stop(t, s)
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if got := sink.got[0].header.Values(name); len(got) > 0 {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// TestRoomsDoNotWaitForEachOther has a target that never takes one room's event.
func TestRoomsDoNotWaitForEachOther(t *testing.T) {
	sink := newSink(t)
	release := make(chan struct{})
	sink.answers(func(_ http.ResponseWriter, r *http.Request, m message) {
		if m.Room == "stuck" {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	s := newSetup(sink.url(), store.NewMemory()).start(t)
	h := newHouse(s)
	h.open("stuck")
	h.enter("stuck", "ada")
	h.open("a")
	h.enter("a", "bob")
	sink.until(func(got []received) bool { return slices.Contains(names(got), "participant_joined a/bob") })
	if slices.Contains(names(sink.requests(0)), "participant_joined stuck/ada") {
		t.Error("an event went out before the one before it was delivered")
	}
	close(release)
	stop(t, s)
}

// A gate is a store whose commits wait.
type gate struct {
	store.Store
	open chan struct{}
}

func (g *gate) Commit(changes ...store.Change) *store.Ticket {
	<-g.open
	return g.Store.Commit(changes...)
}

// TestNothingIsSentBeforeItIsStored also shows that Observe does not wait for
// the store.
func TestNothingIsSentBeforeItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		g := &gate{store.NewMemory(), make(chan struct{})}
		setup := newSetup("http://sink.example/", g)
		setup.Transport = transport(func(*http.Request) (*http.Response, error) {
			sent++
			return answer(200), nil
		})
		s := setup.start(t)
		newHouse(s).open("a")
		synctest.Wait()
		if sent != 0 {
			t.Error("an event was sent that is not stored")
		}
		close(g.open)
		stop(t, s)
		if sent != 1 {
			t.Errorf("%d events were sent, want 1", sent)
		}
	})
}

// A failing store refuses some commits.
type failing struct {
	store.Store
	failures int
}

func (f *failing) Commit(changes ...store.Change) *store.Ticket {
	if f.failures > 0 {
		f.failures--
		changes = append(changes[:len(changes):len(changes)], store.Change{Bucket: "no such bucket"})
	}
	return f.Store.Commit(changes...)
}

func TestAStoreThatFailsIsTriedAgain(t *testing.T) {
	sink := newSink(t)
	s := newSetup(sink.url(), &failing{store.NewMemory(), 5}).start(t)
	h := newHouse(s)
	h.open("a")
	h.enter("a", "ada")
	stop(t, s)
	wantNames(t, sink.got, "room_started a", "participant_joined a/ada")
}

func TestWhatCannotBeStoredIsReported(t *testing.T) {
	sink := newSink(t)
	s := newSetup(sink.url(), &failing{store.NewMemory(), 1 << 30}).start(t)
	newHouse(s).open("a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); err == nil {
		t.Error("Stop reported nothing, want that the event was not stored")
	}
}

func TestFilters(t *testing.T) {
	const started, joined, updated, left = "room_started a", "participant_joined a/ada", "participant_updated a/ada", "participant_left a/ada"
	for name, c := range map[string]struct {
		target webhook.Target
		want   []string
	}{
		"none":               {webhook.Target{}, []string{started, joined, left}},
		"extra":              {webhook.Target{ExtraEvents: true}, []string{started, joined, updated, left}},
		"include":            {webhook.Target{Include: []string{"participant_left", "room_started"}}, []string{started, left}},
		"include an extra":   {webhook.Target{Include: []string{"participant_updated"}}, []string{updated}},
		"exclude":            {webhook.Target{Exclude: []string{"participant_joined"}, ExtraEvents: true}, []string{started, updated, left}},
		"both":               {webhook.Target{Include: []string{"room_started", "participant_left"}, Exclude: []string{"participant_left"}}, []string{started}},
		"of another project": {webhook.Target{Project: "other"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sink := newSink(t)
			setup := newSetup(sink.url(), store.NewMemory())
			c.target.URL, c.target.KeyID, c.target.Secret = sink.url(), key, secret
			if c.target.Project == "" {
				c.target.Project = project
			}
			setup.Targets = []webhook.Target{c.target}
			s := setup.start(t)
			h := newHouse(s)
			h.open("a")
			h.enter("a", "ada")
			h.change("a", "ada", "newer", room.ChangedMetadata)
			h.leave("a", "ada")
			stop(t, s)
			wantNames(t, sink.got, c.want...)
		})
	}
}

// TestEveryTargetIsToldTheSame has two targets of one project, one of which is
// down for a while.
func TestEveryTargetIsToldTheSame(t *testing.T) {
	up, down := newSink(t), newSink(t)
	down.stop()
	setup := newSetup(up.url(), store.NewMemory())
	second := setup.Targets[0]
	second.URL = down.url()
	setup.Targets = append(setup.Targets, second)
	s := setup.start(t)
	h := newHouse(s)
	h.open("a")
	h.enter("a", "ada")
	up.requests(2)
	down.start()
	stop(t, s)
	for i := range 2 {
		if up.got[i].body != down.got[i].body {
			t.Errorf("event %d was %s for one target and %s for the other", i, up.got[i].body, down.got[i].body)
		}
	}
}

// TestSecretsStaySecret has everything go wrong and reads the log.
func TestSecretsStaySecret(t *testing.T) {
	sink := newSink(t)
	sink.answers(func(w http.ResponseWriter, _ *http.Request, m message) {
		switch m.Event {
		case "room_started":
			status(302, "Location", "http://%zz")(w, nil, m)
		case "participant_joined":
			status(403)(w, nil, m)
		default:
			cut(w, "")
		}
	})
	var log lockedBuffer
	setup := newSetup("", store.NewMemory())
	setup.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	setup.Targets[0].URL = "http://hidden-user:hidden-password@" + sink.addr + "/hook?token=hidden-token"
	setup.Targets[0].StandardSecret = auth.Secret("whsec_" + base64.StdEncoding.EncodeToString([]byte("hidden-standard")))
	s := setup.start(t)
	h := newHouse(s)
	h.open("a")
	h.open("b")
	h.enter("b", "ada")
	h.leave("b", "ada")
	sink.requests(10)
	halt(t, s)
	text := log.String()
	if !strings.Contains(text, "/hook") {
		t.Errorf("the log does not name the URL: %s", text)
	}
	words := []string{"hidden", string(secret), string(setup.Targets[0].StandardSecret), "whsec_"}
	for _, r := range sink.requests(0) {
		words = append(words, r.header.Get("Authorization"), r.header.Get("Webhook-Signature"))
	}
	for _, word := range words {
		if word != "" && strings.Contains(text, word) {
			t.Errorf("the log has %q: %s", word, text)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestConfigsThatMakeNoSense(t *testing.T) {
	good := webhook.Target{Project: project, URL: "https://example.com/hidden", KeyID: key, Secret: secret}
	with := func(change func(*webhook.Target)) []webhook.Target {
		target := good
		change(&target)
		return []webhook.Target{target}
	}
	for name, targets := range map[string][]webhook.Target{
		"no URL":              with(func(t *webhook.Target) { t.URL = "" }),
		"not a URL":           with(func(t *webhook.Target) { t.URL = "http://user:sesame@%zz" }),
		"another scheme":      with(func(t *webhook.Target) { t.URL = "ftp://user:sesame@example.com" }),
		"no key":              with(func(t *webhook.Target) { t.KeyID = "" }),
		"no secret":           with(func(t *webhook.Target) { t.Secret = nil }),
		"no whsec_":           with(func(t *webhook.Target) { t.StandardSecret = auth.Secret("c2VzYW1l") }),
		"no base64":           with(func(t *webhook.Target) { t.StandardSecret = auth.Secret("whsec_sesame!") }),
		"empty standard":      with(func(t *webhook.Target) { t.StandardSecret = auth.Secret("whsec_") }),
		"the same URL, twice": {good, good},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.New(webhook.Config{Store: store.NewMemory(), Encode: encode, Targets: targets})
			if err == nil {
				t.Fatal("New took it")
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error quotes a secret: %v", err)
			}
		})
	}
}
