package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"usher/room"
	"usher/room/store"
	"usher/web/webhook"
)

func TestWhatIsRetried(t *testing.T) {
	elsewhere := newSink(t)
	for name, c := range map[string]struct {
		first    func(http.ResponseWriter, *http.Request, message)
		attempts int
	}{
		"200":                {status(200), 1},
		"204":                {status(204), 1},
		"301":                {status(301, "Location", elsewhere.url()), 1},
		"307":                {status(307, "Location", elsewhere.url()), 1},
		"400":                {status(400), 1},
		"401":                {status(401), 1},
		"410":                {status(410), 1},
		"429":                {status(429), 2},
		"429, come back now": {status(429, "Retry-After", "0"), 2},
		"500":                {status(500), 2},
		"501":                {status(501), 2},
		"503":                {status(503), 2},
		"no answer":          {func(w http.ResponseWriter, _ *http.Request, _ message) { cut(w, "") }, 2},
		"half a status line": {func(w http.ResponseWriter, _ *http.Request, _ message) { cut(w, "HTTP/1.1 20") }, 2},
		"half a body": {func(w http.ResponseWriter, _ *http.Request, _ message) {
			cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")
		}, 1},
		"nothing for long": {func(_ http.ResponseWriter, r *http.Request, _ message) { <-r.Context().Done() }, 2},
		"an endless body": {func(w http.ResponseWriter, r *http.Request, _ message) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			sink := newSink(t)
			first := true // the connection's, one after another
			sink.answers(func(w http.ResponseWriter, r *http.Request, m message) {
				if first {
					first = false
					c.first(w, r, m)
				}
			})
			setup := newSetup(sink.url(), store.NewMemory())
			setup.Timeout = time.Second
			s := setup.start(t)
			h := newHouse(s)
			h.open("a")
			h.enter("a", "ada")
			stop(t, s)
			want := append(slices.Repeat([]string{"room_started a"}, c.attempts), "participant_joined a/ada")
			wantNames(t, sink.got, want...)
			wantOutcomes := "delivered 2"
			if code, _, _ := strings.Cut(name, ","); c.attempts == 1 && code >= "300" && code < "500" {
				wantOutcomes = "delivered 1, rejected 1"
			}
			if got := setup.outcomes(t); got != wantOutcomes {
				t.Errorf("outcomes: %s, want %s", got, wantOutcomes)
			}
		})
	}
	if len(elsewhere.got) > 0 {
		t.Error("a redirect was followed")
	}
}

// A transport answers requests without a network, so that time can be virtual.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(code int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: http.NoBody}
}

// TestMaxAge has a target that is down for longer than events live: one that is
// too old is given up, and those that are not are delivered.
func TestMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			up       atomic.Bool
			mu       sync.Mutex
			attempts []time.Time // guarded by mu
			setup    = newSetup("http://down.example/", store.NewMemory())
		)
		setup.RetryMin, setup.RetryMax = 0, 0 // the defaults
		setup.Transport = transport(func(*http.Request) (*http.Response, error) {
			mu.Lock()
			attempts = append(attempts, time.Now())
			mu.Unlock()
			if up.Load() {
				return answer(200), nil
			}
			return nil, errors.New("connection refused")
		})
		began := time.Now()
		s := setup.start(t)
		h := newHouse(s)
		h.open("a")
		time.Sleep(12 * time.Hour)
		h.enter("a", "ada")
		time.Sleep(12*time.Hour + time.Minute) // a round that has begun goes on for a moment
		synctest.Wait()
		if got, want := setup.outcomes(t), "expired 1"; got != want {
			t.Errorf("after 24 hours: %s, want %s", got, want)
		}
		mu.Lock()
		if n := len(attempts); n < 24*60 || n > 24*60*3*3 {
			t.Errorf("%d attempts in 24 hours, want about three or six a minute", n)
		}
		for i := 1; i < len(attempts); i++ {
			if gap := attempts[i].Sub(attempts[i-1]); gap > time.Minute {
				t.Errorf("a pause of %v after %v, want no more than a minute", gap, attempts[i-1].Sub(began))
			}
		}
		mu.Unlock()
		up.Store(true)
		stop(t, s)
		if got, want := setup.outcomes(t), "delivered 1, expired 1"; got != want {
			t.Errorf("at the end: %s, want %s", got, want)
		}
	})
}

// TestRetryAfter has a target that asks for pauses.
func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		header   func() string
		min, max time.Duration
	}{
		"seconds":  {func() string { return "120" }, 2 * time.Minute, 2 * time.Minute},
		"a date":   {func() string { return time.Now().Add(3 * time.Minute).UTC().Format(http.TimeFormat) }, 3*time.Minute - time.Second, 3 * time.Minute},
		"too long": {func() string { return "86400" }, 10 * time.Minute, 10 * time.Minute},
		"nonsense": {func() string { return "soon" }, 0, time.Second},
		"the past": {func() string { return "Fri, 31 Dec 1999 23:59:59 GMT" }, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var attempts []time.Time
				setup := newSetup("http://busy.example/", store.NewMemory())
				setup.Transport = transport(func(*http.Request) (*http.Response, error) {
					if attempts = append(attempts, time.Now()); len(attempts) == 1 {
						return answer(429, "Retry-After", c.header()), nil
					}
					return answer(200), nil
				})
				s := setup.start(t)
				newHouse(s).open("a")
				time.Sleep(time.Hour)
				stop(t, s)
				if len(attempts) != 2 {
					t.Fatalf("%d attempts, want 2", len(attempts))
				}
				if pause := attempts[1].Sub(attempts[0]); pause < c.min || pause > c.max {
					t.Errorf("the pause was %v, want %v to %v", pause, c.min, c.max)
				}
			})
		})
	}
}

// TestTooMuchWaits has a target that answers late. What is being sent is not
// given up, nor what waits in a room with less.
func TestTooMuchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			mu   sync.Mutex
			got  = map[string][]string{}
			up   = make(chan struct{})
			slow = newSetup("http://slow.example/", store.NewMemory())
		)
		slow.MaxEvents = 6
		slow.Transport = transport(func(r *http.Request) (*http.Response, error) {
			var m message
			if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
				return nil, err
			}
			<-up
			mu.Lock()
			defer mu.Unlock()
			got[m.Room] = append(got[m.Room], m.Who)
			return answer(200), nil
		})
		s := slow.start(t)
		h := newHouse(s)
		h.open("b")
		h.open("a")
		synctest.Wait()
		for _, who := range []string{"1", "2", "3", "4", "5", "6"} {
			h.enter("a", who)
		}
		h.enter("b", "ada")
		synctest.Wait()
		close(up)
		stop(t, s)
		if want := []string{"", "4", "5", "6"}; !slices.Equal(got["a"], want) {
			t.Errorf("of room a came %q, want %q", got["a"], want)
		}
		if want := []string{"", "ada"}; !slices.Equal(got["b"], want) {
			t.Errorf("of room b came %q, want %q", got["b"], want)
		}
		if got, want := slow.outcomes(t), "delivered 6, overflow 3"; got != want {
			t.Errorf("outcomes: %s, want %s", got, want)
		}
	})
}

func TestTooManyBytesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		setup := newSetup("http://down.example/", store.NewMemory())
		setup.RetryMax = time.Hour
		setup.MaxBytes = 100 << 10
		setup.Encode = func(_ *room.Occurrence, newID func() string) []webhook.Event {
			return []webhook.Event{{ID: newID(), Name: "big", Body: make([]byte, 10<<10)}}
		}
		setup.Transport = transport(func(*http.Request) (*http.Response, error) {
			if up.Load() {
				return answer(200), nil
			}
			return answer(500), nil
		})
		s := setup.start(t)
		h := newHouse(s)
		for range 20 {
			h.open("a")
		}
		time.Sleep(time.Minute)
		up.Store(true)
		stop(t, s)
		if got, want := setup.outcomes(t), "delivered 9, overflow 11"; got != want {
			t.Errorf("outcomes: %s, want %s", got, want)
		}
	})
}

// TestTooMuchWaitsToBeStored has more occur before the start than may wait.
func TestTooMuchWaitsToBeStored(t *testing.T) {
	sink := newSink(t)
	setup := newSetup(sink.url(), store.NewMemory())
	setup.MaxEvents = 3
	s, err := webhook.New(setup.Config)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(s)
	h.open("a")
	for _, who := range []string{"1", "2", "3", "4"} {
		h.enter("a", who)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	wantNames(t, sink.got, "participant_joined a/2", "participant_joined a/3", "participant_joined a/4")
	if got, want := setup.outcomes(t), "delivered 3, overflow 2"; got != want {
		t.Errorf("outcomes: %s, want %s", got, want)
	}
}
