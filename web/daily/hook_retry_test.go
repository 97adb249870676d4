package daily_test

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/room/store"
	"usher/web/webhook"
)

// A line answers without a network, so that time can be virtual.
type line func(*http.Request) (*http.Response, error)

func (w line) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// silence is a line at which nobody answers.
var silence = line(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })

func reply(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
}

// A switchboard answers probes with 200, and events as it is told.
type switchboard struct {
	mu     sync.Mutex
	status int
	at     []time.Time
	events []string
}

func (s *switchboard) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(body) == `{"test":"test"}` {
		return reply(200), nil
	}
	s.at, s.events = append(s.at, time.Now()), append(s.events, delivery{body: string(body)}.event())
	return reply(s.status), nil
}

func (s *switchboard) answers(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *switchboard) take() (events []string, at []time.Time) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	events, at = s.events, s.at
	s.events, s.at = nil, nil
	return events, at
}

// §5: a probe that nothing answers is waited for 8 seconds.
func TestProbeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, store.NewMemory(), func(c *webhook.Config) { c.Transport = silence })
		defer d.stop()
		began := time.Now()
		d.call("POST", "/webhooks", `{"url":"http://sink.example/","eventTypes":["meeting.started"]}`).
			want(t, 400, "invalid-request-error", "the url cannot be reached, or did not answer within 8 seconds")
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// §5: circuit-breaker, which is the default: after three failures in a row the
// webhook is FAILED, and gets nothing until it is posted to.
func TestCircuitBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &switchboard{status: 500}
		kept := store.NewMemory()
		transport := func(c *webhook.Config) { c.Transport = s }
		d := newDesk(t, kept, transport)
		uuid := d.create("http://sink.example/", "").Str("uuid")
		stands := func(state string, failed float64, pushed bool) {
			t.Helper()
			synctest.Wait()
			got := d.must("GET", "/webhooks/"+uuid, "")
			if got.Str("state") != state || got.Fields["failedCount"] != failed || (got.Fields["lastMomentPushed"] != nil) != pushed {
				t.Errorf("got %s, want %s, %v, %v", got.Text, state, failed, pushed)
			}
		}
		d.enter("a", "ada")
		stands("ACTIVE", 1, false)
		time.Sleep(5 * time.Second)
		stands("ACTIVE", 2, false)
		s.answers(200)
		time.Sleep(25 * time.Second)
		stands("ACTIVE", 0, true)
		if events, _ := s.take(); len(events) != 3 {
			t.Errorf("sent %q", events)
		}

		s.answers(500)
		d.enter("a", "bob")
		d.enter("a", "cleo")
		time.Sleep(time.Hour)
		stands("FAILED", 3, true)
		d.enter("b", "dora")
		time.Sleep(time.Hour)
		if events, _ := s.take(); len(events) != 3 {
			t.Errorf("sent %d times, want 3 and no more", len(events))
		}

		// So it is after a restart, and after a kill.
		left := copied(t, kept)
		d.stop()
		for _, kept := range []store.Store{kept, left} {
			d = newDesk(t, kept, transport)
			stands("FAILED", 3, true)
			d.enter("c", "eve")
			time.Sleep(time.Hour)
			if events, _ := s.take(); len(events) > 0 {
				t.Errorf("sent %q", events)
			}
			d.stop()
		}

		d = newDesk(t, kept, transport)
		defer d.stop()
		s.answers(200)
		if got := d.must("POST", "/webhooks/"+uuid, ""); got.Str("state") != "ACTIVE" || got.Fields["failedCount"] != 0.0 {
			t.Errorf("got %s", got.Text)
		}
		d.enter("d", "fay")
		if events, _ := s.take(); !slices.Equal(events, []string{"participant.joined"}) {
			t.Errorf("sent %q, want what has occurred since", events)
		}
		stands("ACTIVE", 0, true)
	})
}

// §5: exponential: each event up to five times within 15 minutes, and the webhook
// never fails.
func TestExponential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &switchboard{status: 500}
		d := newDesk(t, store.NewMemory(), func(c *webhook.Config) { c.Transport = s })
		defer d.stop()
		uuid := d.create("http://sink.example/", `,"retryType":"exponential"`).Str("uuid")
		began := time.Now()
		d.enter("a", "ada")
		time.Sleep(time.Hour)
		events, at := s.take()
		if len(events) != 5 || at[4].Sub(began) >= 15*time.Minute || at[4].Sub(began) < 10*time.Minute {
			t.Errorf("sent at %v, want five times in 15 minutes", at)
		}
		for i := 2; i < len(at); i++ {
			if at[i].Sub(at[i-1]) <= at[i-1].Sub(at[i-2]) {
				t.Errorf("the pauses do not grow: %v", at)
			}
		}
		if got := d.must("GET", "/webhooks/"+uuid, ""); got.Str("state") != "ACTIVE" || got.Fields["failedCount"] != 5.0 {
			t.Errorf("got %s", got.Text)
		}
	})
}
