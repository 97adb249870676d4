package webhook_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/room/store"
	"usher/web/webhook"
)

// However many targets a project adds, what waits for all of them together is
// bounded; what is given up is of the one that has most. Others do not suffer.
func TestTargetsOfAProjectShareABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answers(500)
		setup := bare(store.NewMemory())
		setup.Transport = wire
		setup.MaxEvents = 100
		slow := webhook.Policy{Pause: func(int) time.Duration { return time.Hour }}
		var targets []webhook.Target
		for i := range 10 {
			target := hook(fmt.Sprint(i), "http://sink.example/", slow)
			if i > 0 {
				target.Include = []string{"room_started"}
			}
			targets = append(targets, target)
		}
		stranger := hook("0", "http://sink.example/", slow)
		stranger.Project = "another"
		s := setup.begin(t, append(targets, stranger)...)
		h := newHouse(s)
		h.open("a")
		for i := range 500 {
			h.enter("a", fmt.Sprint("p", i))
			synctest.Wait()
			if n := gathered(t, setup, "usher_webhook_pending"); n > 100 {
				t.Fatalf("%v wait after %d", n, i)
			}
		}
		status, _ := s.Outbox(project)
		for i, st := range status {
			switch {
			case i == 0 && (st.Pending < 50 || st.Outcomes["overflow"] < 400):
				t.Errorf("the one that has most has %+v", st)
			case i > 0 && (st.Pending != 1 || st.Outcomes["overflow"] != 0):
				t.Errorf("another has %+v", st)
			}
		}
		// A target that goes leaves its place to the others.
		s.Remove(project, "0")
		for i := range 9 {
			h.open(fmt.Sprint("b", i))
		}
		synctest.Wait()
		if n := gathered(t, setup, "usher_webhook_pending"); n != 90 {
			t.Errorf("%v wait, want 90", n)
		}
		halt(t, s)
	})
}

func gathered(t *testing.T, s *setup, name string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return gauge(families, name)
}

// The path of a target with an ID may be what keeps it secret: it is neither logged
// nor shown, however it goes.
func TestPathOfATargetIsSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answers(500)
		var log bytes.Buffer
		setup := bare(store.NewMemory())
		setup.Transport = wire
		setup.MaxEvents = 2
		setup.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s := setup.begin(t, hook("one", "https://sink.example/sesame?sesame=sesame", breaker()))
		h := newHouse(s)
		h.open("a")
		for i := range 5 {
			h.enter("a", fmt.Sprint(i))
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		if status, _ := s.Outbox(project); status[0].URL != "https://sink.example" {
			t.Errorf("it is shown as %s", status[0].URL)
		}
		halt(t, s)
		text := log.String()
		if strings.Contains(text, "sesame") || !strings.Contains(text, "webhook=one url=https://sink.example ") {
			t.Errorf("the log has %s", text)
		}
	})
}

// A target that was added after a meeting had begun is told of its end, also when
// that is an unclean stop.
func TestUncleanStopOfAMeetingBeforeTheTarget(t *testing.T) {
	livekit, other := newSink(t), newSink(t)
	kept := store.NewMemory()
	s := newSetup(livekit.url(), kept).begin(t)
	h := newHouse(s)
	h.open("a")
	h.rooms["a"].Daily = true
	h.meet("a", "m1")
	h.enter("a", "ada")
	h.wait("a", "bob")
	target := hook("one", other.url(), patient())
	target.Include = []string{"participant_left", "waiting_left", "meeting_ended"}
	set(t, s, target)
	stop(t, s)

	s = newSetup(livekit.url(), kept).begin(t, target)
	stop(t, s)
	wantNames(t, other.got, "participant_left a/ada", "waiting_left a/bob", "meeting_ended a")
	for _, r := range livekit.got {
		if strings.Contains(r.event.Event, "waiting_left") || strings.Contains(r.event.Event, "meeting_ended") {
			t.Errorf("LiveKit's target was told of %s", r.body)
		}
	}
	if got := records(t, kept, store.Announced); len(got) > 0 {
		t.Errorf("announced at the end: %q", got)
	}
}
