package webhook_test

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"usher/room/store"
	"usher/web/webhook"
)

func breaker() webhook.Policy {
	return webhook.Policy{Trip: 3, Tries: 3, Pause: func(int) time.Duration { return time.Second }}
}

// A breaker opens at the third failure in a row: what waits is given up, nothing
// more is sent, whatever occurs, until the target is set again.
func TestBreakerOpensAtTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answers(500)
		kept := store.NewMemory()
		setup := bare(kept)
		setup.Transport = wire
		changes := 0
		target := hook("one", "http://sink.example/", breaker())
		target.Changed = func() { changes++ }
		s := setup.begin(t, target)
		h := newHouse(s)
		h.open("a")
		h.enter("a", "ada")
		h.enter("a", "bob")
		time.Sleep(time.Hour)
		if sent, _ := wire.take(); !slices.Equal(sent, []string{"room_started a/", "room_started a/", "room_started a/"}) {
			t.Errorf("sent %q, want the first event three times", sent)
		}
		if got := s.Health(project, "one"); !got.Failed || got.Failures != 3 || !got.Pushed.IsZero() || changes != 3 {
			t.Errorf("it stands at %+v after %d changes", got, changes)
		}
		h.leave("a", "ada")
		h.open("b")
		time.Sleep(time.Hour)
		if sent, _ := wire.take(); len(sent) > 0 {
			t.Errorf("sent %q to a target that has failed", sent)
		}
		if got := records(t, kept, store.Deliveries); len(got) > 0 {
			t.Errorf("kept: %q", got)
		}
		if got := setup.outcomes(t); got != "expired 1, tripped 2" {
			t.Errorf("outcomes: %s", got)
		}
		// It is told of what occurs from the moment it is set again.
		wire.answers(200)
		set(t, s, target)
		h.leave("a", "bob")
		if sent, _ := wire.take(); !slices.Equal(sent, []string{"participant_left a/bob"}) {
			t.Errorf("sent %q, want what has occurred since", sent)
		}
		if got := s.Health(project, "one"); got.Failed || got.Failures != 0 || !got.Pushed.Equal(time.Now()) {
			t.Errorf("it stands at %+v", got)
		}
		stop(t, s)
	})
}

// A short outage is one failure, whichever rooms notice it: with events of many at
// once, and one after another, each is tried again and arrives.
func TestBreakerAndRoomsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answers(503)
		setup := bare(store.NewMemory())
		setup.Transport = wire
		policy := breaker()
		policy.Pause = func(tries int) time.Duration {
			return []time.Duration{5 * time.Second, 25 * time.Second}[min(tries, 2)-1]
		}
		s := setup.begin(t, hook("one", "http://sink.example/", policy))
		h := newHouse(s)
		for i := range 4 {
			h.open(strconv.Itoa(i))
		}
		for i := range 7 {
			time.Sleep(100 * time.Millisecond)
			h.open("later " + strconv.Itoa(i))
		}
		synctest.Wait()
		if got := s.Health(project, "one"); got.Failed || got.Failures != 1 {
			t.Errorf("it stands at %+v in the outage", got)
		}
		wire.answers(200)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := setup.outcomes(t); got != "delivered 11" {
			t.Errorf("outcomes: %s", got)
		}
		// One that goes on is three failures, 30 seconds after the first.
		wire.answers(503)
		for i := range 4 {
			h.enter(strconv.Itoa(i), "ada")
		}
		time.Sleep(30*time.Second - time.Millisecond)
		synctest.Wait()
		if got := s.Health(project, "one"); got.Failed || got.Failures != 2 {
			t.Errorf("it stands at %+v after less than 30 seconds", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := s.Health(project, "one"); !got.Failed || got.Failures != 3 {
			t.Errorf("it stands at %+v after 30 seconds", got)
		}
		if families, err := setup.metrics.Gather(); err != nil || gauge(families, "usher_webhook_failed") != 1 {
			t.Errorf("usher_webhook_failed is %v (%v), want 1", gauge(families, "usher_webhook_failed"), err)
		}
		setup.lint(t)
		halt(t, s)
	})
}

// gauge returns the value of a metric without labels, -1 when there is none.
func gauge(families []*dto.MetricFamily, name string) float64 {
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// A target that hangs has failed, too, when three rounds have: what is being sent is
// never more than may be at a time.
func TestBreakerOfATargetThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		setup := bare(store.NewMemory())
		setup.Workers = 16
		setup.Transport = transport(func(r *http.Request) (*http.Response, error) {
			sent.Add(1)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		s := setup.begin(t, hook("one", "http://sink.example/", breaker()))
		h := newHouse(s)
		for i := range 100 {
			h.open(strconv.Itoa(i))
		}
		time.Sleep(time.Hour)
		if got := s.Health(project, "one"); !got.Failed || got.Failures != 3 || sent.Load() > 6*16 {
			t.Errorf("it stands at %+v after %d attempts", got, sent.Load())
		}
		stop(t, s)
	})
}

// Failures count in a row, whatever the event: one that is taken begins anew.
func TestBreakerCountsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		answers := []int{500, 404, 200, 301, 500, 200, 500, 500, 200}
		wire.answersBy(func(message) (code int) { code, answers = answers[0], answers[1:]; return code })
		setup := bare(store.NewMemory())
		setup.Transport = wire
		policy := breaker()
		policy.Tries = 0
		s := setup.begin(t, hook("one", "http://sink.example/", policy))
		h := newHouse(s)
		h.open("a")
		h.open("b")
		h.open("c")
		time.Sleep(time.Minute)
		if sent, _ := wire.take(); len(sent) != 9 {
			t.Errorf("%d attempts, want 9", len(sent))
		}
		stop(t, s)
		if got := setup.outcomes(t); got != "delivered 3" {
			t.Errorf("outcomes: %s", got)
		}
	})
}

// A target that has failed is so after a restart, also when the process was killed
// before what it gave up was deleted; failures go on counting.
func TestBreakerAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answers(500)
		kept := store.NewMemory()
		setup := bare(kept)
		setup.Transport = wire
		target := hook("one", "http://sink.example/", breaker())
		s := setup.begin(t, target)
		h := newHouse(s)
		h.open("a")
		h.open("b")
		synctest.Wait()
		left := copyOf(t, kept) // as a kill leaves it: two failures, two events
		halt(t, s)
		if sent, _ := wire.take(); len(sent) != 2 {
			t.Fatalf("sent %q", sent)
		}

		again := bare(left)
		again.Transport = wire
		target.Health = webhook.Health{Failures: 2}
		s = again.begin(t, target)
		time.Sleep(time.Hour)
		// Both rooms are tried at the same time, then no more.
		if sent, _ := wire.take(); len(sent) > 2 || !s.Health(project, "one").Failed {
			t.Errorf("sent %q after the restart, and it stands at %+v", sent, s.Health(project, "one"))
		}
		halt(t, s)

		third := bare(copyOf(t, kept))
		third.Transport = wire
		target.Health = webhook.Health{Failed: true, Failures: 3}
		s = third.begin(t, target)
		time.Sleep(time.Hour)
		if sent, _ := wire.take(); len(sent) > 0 {
			t.Errorf("sent %q to a target that had failed", sent)
		}
		if got := third.outcomes(t); got != "tripped 2" {
			t.Errorf("outcomes: %s", got)
		}
		stop(t, s)
	})
}
