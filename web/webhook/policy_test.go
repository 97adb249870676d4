package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"usher/room"
	"usher/room/store"
	"usher/web/webhook"
)

// others is another API than LiveKit's: it calls events differently.
var others = &webhook.API{
	ContentType: "application/json", Meetings: true,
	Encode: func(o *room.Occurrence, newID func() string) []webhook.Event {
		events := encode(o, newID)
		events[0].Extra = false
		return events
	},
}

// hook returns a target of that API, with a policy.
func hook(id, url string, p webhook.Policy) webhook.Target {
	return webhook.Target{Project: project, ID: id, URL: url, API: others, Policy: p,
		Sign: func(h http.Header, body []byte, now time.Time) {
			at := strconv.FormatInt(now.UnixMilli(), 10)
			mac := hmac.New(sha256.New, []byte(id))
			mac.Write(append([]byte(at), body...))
			h.Set("X-At", at)
			h.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
		}}
}

// patient tries as often as it takes.
func patient() webhook.Policy {
	return webhook.Policy{Pause: func(int) time.Duration { return 5 * time.Millisecond }}
}

// begin starts a sender with targets that were set before.
func (s *setup) begin(t *testing.T, targets ...webhook.Target) *webhook.Sender {
	t.Helper()
	sender, err := webhook.New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	set(t, sender, targets...)
	if err := sender.Start(); err != nil {
		t.Fatal(err)
	}
	return sender
}

func set(t *testing.T, s *webhook.Sender, targets ...webhook.Target) {
	t.Helper()
	for _, target := range targets {
		if err := s.Set(target); err != nil {
			t.Fatal(err)
		}
	}
}

// bare returns a config without targets.
func bare(s store.Store) *setup {
	setup := newSetup("", s)
	setup.Targets = nil
	return setup
}

// TestTwoKindsOfTargets has both told of one stream, each in its words and with
// its signature, and each in the order of the room.
func TestTwoKindsOfTargets(t *testing.T) {
	livekit, other := newSink(t), newSink(t)
	other.stop() // it is down for a while
	setup := newSetup(livekit.url(), store.NewMemory())
	s := setup.begin(t, hook("one", other.url(), patient()))
	h := newHouse(s)
	h.open("a")
	h.enter("a", "ada")
	h.change("a", "ada", "newer", room.ChangedMetadata) // an extra, which LiveKit's does not ask for
	h.leave("a", "ada")
	livekit.requests(3)
	other.start()
	other.requests(4)
	stop(t, s)
	wantNames(t, livekit.got, "room_started a", "participant_joined a/ada", "participant_left a/ada")
	wantNames(t, other.got, "room_started a", "participant_joined a/ada", "participant_updated a/ada", "participant_left a/ada")
	for _, r := range livekit.got {
		if r.header.Get("Content-Type") != "application/webhook+json" || r.header.Get("Authorization") == "" || r.header.Get("X-Signature") != "" {
			t.Errorf("LiveKit's target got the headers %v", r.header)
		}
	}
	for _, r := range other.got {
		mac := hmac.New(sha256.New, []byte("one"))
		mac.Write([]byte(r.header.Get("X-At") + r.body))
		if r.header.Get("Content-Type") != "application/json" || r.header.Get("Authorization") != "" ||
			r.header.Get("X-Signature") != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("the other target got the headers %v", r.header)
		}
	}
	if got := setup.outcomes(t); got != "delivered 7" {
		t.Errorf("outcomes: %s", got)
	}
}

// A tally is a transport that notes when each event was sent, and answers as it is
// told.
type tally struct {
	mu   sync.Mutex
	at   []time.Time
	sent []string
	code func(m message) int // guarded by mu
}

func (y *tally) RoundTrip(r *http.Request) (*http.Response, error) {
	var m message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return nil, err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.at, y.sent = append(y.at, time.Now()), append(y.sent, m.Event+" "+m.Room+"/"+m.Who)
	if y.code == nil {
		return answer(200), nil
	}
	return answer(y.code(m)), nil
}

func (y *tally) answers(code int) { y.answersBy(func(message) int { return code }) }

func (y *tally) answersBy(f func(message) int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.code = f
}

// take returns what was sent since the last time.
func (y *tally) take() (sent []string, at []time.Time) {
	synctest.Wait()
	y.mu.Lock()
	defer y.mu.Unlock()
	sent, at = y.sent, y.at
	y.sent, y.at = nil, nil
	return sent, at
}

func fiveTries() webhook.Policy {
	return webhook.Policy{Tries: 5, Within: 15 * time.Minute, Pause: func(tries int) time.Duration { return 10 * time.Second << (2 * (tries - 1)) }}
}

// Each event is tried so often and no more, within its time; then comes the next
// one of the room, and other rooms have not waited.
func TestTriesOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answersBy(func(m message) int {
			if m.Room == "a" && m.Who == "" {
				return 500
			}
			return 200
		})
		setup := bare(store.NewMemory())
		setup.Transport = wire
		s := setup.begin(t, hook("one", "http://sink.example/", fiveTries()))
		h := newHouse(s)
		began := time.Now()
		h.open("a")
		h.enter("a", "ada")
		h.open("b")
		time.Sleep(24 * time.Minute)
		sent, at := wire.take()
		var tries []time.Duration
		for i, name := range sent {
			if name == "room_started a/" {
				tries = append(tries, at[i].Sub(began))
			}
			if name == "participant_joined a/ada" && (i == 0 || sent[i-1] != "room_started a/") {
				t.Errorf("an event of the room came in between: %q", sent)
			}
		}
		// The fifth would be after 10+40+160+640 s, which is too late.
		if want := []time.Duration{0, 10 * time.Second, 50 * time.Second, 210 * time.Second, 850 * time.Second}; !slices.Equal(tries, want) {
			t.Errorf("tried after %v, want %v", tries, want)
		}
		if got := setup.outcomes(t); got != "delivered 2, expired 1" {
			t.Errorf("outcomes: %s", got)
		}
		if got := s.Health(project, "one"); got.Failed {
			t.Errorf("it stands at %+v, and nothing makes it fail", got)
		}
		stop(t, s)
	})
}

// What has been tried is counted through restarts, in good order or not, and a stop
// neither hurries nor counts.
func TestTriesAreCountedThroughRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		wire.answers(500)
		var kept store.Store = store.NewMemory()
		target := hook("one", "http://sink.example/", fiveTries())
		attempts := 0
		begin := func() *webhook.Sender {
			setup := bare(kept)
			setup.Transport = wire
			setup.RoomAlive = func(_, _, _ string) bool { return true }
			return setup.begin(t, target)
		}
		s := begin()
		newHouse(s).open("a")
		for i := range 10 {
			time.Sleep(time.Second) // long enough for what was tried to be noted
			if i%2 == 0 {
				stop(t, s)
			} else {
				left := copyOf(t, kept)
				halt(t, s)
				kept = left
			}
			sent, _ := wire.take()
			attempts += len(sent)
			s = begin()
		}
		time.Sleep(time.Hour)
		sent, _ := wire.take()
		if attempts += len(sent); attempts != 5 {
			t.Errorf("%d attempts, want 5", attempts)
		}
		stop(t, s)
		if got := records(t, kept, store.Deliveries); len(got) > 0 {
			t.Errorf("kept at the end: %q", got)
		}
	})
}

// A target that is added is told of what occurs from then on; one that is removed
// of nothing more, also of what waited, and also after a restart. What it is can be
// changed while events wait.
func TestTargetsComeChangeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &tally{}
		kept := store.NewMemory()
		setup := bare(kept)
		setup.Transport = wire
		s := setup.begin(t)
		h := newHouse(s)
		h.open("a") // nobody is told
		target := hook("one", "http://sink.example/", breaker())
		set(t, s, target)
		h.enter("a", "ada")
		if sent, _ := wire.take(); !slices.Equal(sent, []string{"participant_joined a/ada"}) {
			t.Errorf("sent %q", sent)
		}
		target.Include = []string{"participant_left"}
		set(t, s, target)
		h.enter("a", "bob")
		h.leave("a", "bob")
		if sent, _ := wire.take(); !slices.Equal(sent, []string{"participant_left a/bob"}) {
			t.Errorf("sent %q", sent)
		}
		wire.answers(500)
		h.leave("a", "ada")
		synctest.Wait()
		wire.answers(200)
		target.URL = "http://another.example/secret/path" // what waits goes there at once
		set(t, s, target)
		if sent, _ := wire.take(); !slices.Equal(sent, []string{"participant_left a/ada", "participant_left a/ada"}) {
			t.Errorf("sent %q", sent)
		}
		if statuses, _ := s.Outbox(project); len(statuses) != 1 || statuses[0].ID != "one" || statuses[0].URL != "http://another.example" {
			t.Errorf("the outbox has %+v", statuses)
		}

		wire.answers(500)
		target.Include = nil
		set(t, s, target)
		h.enter("a", "cleo")
		h.enter("a", "dora")
		synctest.Wait()
		s.Remove(project, "one")
		s.Remove(project, "one") // which does nothing
		time.Sleep(time.Hour)
		wire.take()
		h.leave("a", "cleo")
		time.Sleep(time.Hour)
		if sent, _ := wire.take(); len(sent) > 0 {
			t.Errorf("sent %q to a target that is gone", sent)
		}
		if got := records(t, kept, store.Deliveries); len(got) > 0 {
			t.Errorf("kept: %q", got)
		}
		if got := setup.outcomes(t); got != "delivered 3, removed 2" {
			t.Errorf("outcomes: %s", got)
		}
		stop(t, s)
	})
}

// A removal does not wait for what is being sent: that ends.
func TestRemovingInterrupts(t *testing.T) {
	sink := newSink(t)
	sink.answers(func(_ http.ResponseWriter, r *http.Request, _ message) { <-r.Context().Done() })
	setup := bare(store.NewMemory())
	s := setup.begin(t, hook("one", sink.url(), breaker()))
	newHouse(s).open("a")
	sink.requests(1)
	s.Remove(project, "one")
	stop(t, s)
	if got := setup.outcomes(t); got != "removed 1" {
		t.Errorf("outcomes: %s", got)
	}
}

// An unclean stop is made good for meetings and for those who waited, too: in the
// order in which they would have ended, and only for targets that know of them.
func TestUncleanStopOfAMeeting(t *testing.T) {
	livekit, other := newSink(t), newSink(t)
	kept := store.NewMemory()
	target := hook("one", other.url(), patient())
	setup := newSetup(livekit.url(), kept)
	s := setup.begin(t, target)
	h := newHouse(s)
	h.open("a")
	h.rooms["a"].Daily = true
	h.rooms["a"].Meeting = room.Meeting{ID: "m1", Began: time.Now()}
	h.occur("a", room.Occurrence{Occasion: room.MeetingStarted})
	h.enter("a", "ada")
	for _, who := range []string{"bob", "cleo"} {
		h.occur("a", room.Occurrence{Occasion: room.WaitingEntered, Participant: &room.Info{SID: "PA_" + who, Identity: who, JoinedAt: time.Now()}})
	}
	h.occur("a", room.Occurrence{Occasion: room.WaitingDeparted, Participant: &room.Info{SID: "PA_bob", Identity: "bob"}})
	h.open("b") // a room without a Daily part
	h.rooms["b"].Meeting = room.Meeting{ID: "m2", Began: time.Now()}
	h.occur("b", room.Occurrence{Occasion: room.MeetingStarted})
	stop(t, s)
	told, toldLiveKit := len(other.got), len(livekit.got)
	if got, want := records(t, kept, store.Announced), []string{"RM_a", "RM_a/PA_ada", "RM_a/meeting/m1", "RM_a/waiting/PA_cleo", "RM_b"}; !slices.Equal(got, want) {
		t.Errorf("announced are %q, want %q", got, want)
	}

	again := newSetup(livekit.url(), kept)
	s = again.begin(t, target)
	stop(t, s)
	var ofA []received
	for _, r := range other.got[told:] {
		if r.event.Room == "a" {
			ofA = append(ofA, r)
		}
	}
	wantNames(t, ofA, "participant_left a/ada", "waiting_left a/cleo", "meeting_ended a", "room_finished a")
	for _, r := range livekit.got[toldLiveKit:] { // in this encoding, it would be told of all
		if strings.Contains(r.event.Event, "waiting") || strings.Contains(r.event.Event, "meeting") {
			t.Errorf("LiveKit's target was told of %s", r.body)
		}
	}
	if got := records(t, kept, store.Announced); len(got) > 0 {
		t.Errorf("announced at the end: %q", got)
	}
}

// A probe is one request, signed like an event.
func TestProbe(t *testing.T) {
	sink := newSink(t)
	s := bare(store.NewMemory()).begin(t)
	defer stop(t, s)
	for _, code := range []int{200, 204, 302, 500} {
		sink.answers(status(code, "Location", sink.url()))
		if got, err := s.Probe(t.Context(), hook("one", sink.url(), breaker()), []byte(`{"test":"test"}`)); err != nil || got != code {
			t.Errorf("got %d %v, want %d", got, err, code)
		}
	}
	for _, r := range sink.requests(4) {
		mac := hmac.New(sha256.New, []byte("one"))
		mac.Write([]byte(r.header.Get("X-At") + r.body))
		if r.body != `{"test":"test"}` || r.header.Get("X-Signature") != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("got %s with %v", r.body, r.header)
		}
	}
	if len(sink.got) != 4 {
		t.Errorf("%d requests, want 4", len(sink.got))
	}
	sink.stop()
	_, err := s.Probe(t.Context(), hook("one", "http://user:sesame@"+sink.addr+"/?token=sesame", breaker()), nil)
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("got %v", err)
	}
}

func TestTargetsThatMakeNoSense(t *testing.T) {
	s := bare(store.NewMemory()).begin(t)
	defer stop(t, s)
	for name, change := range map[string]func(*webhook.Target){
		"no ID":        func(c *webhook.Target) { c.ID = "" },
		"no API":       func(c *webhook.Target) { c.API = nil },
		"no signature": func(c *webhook.Target) { c.Sign = nil },
		"no policy":    func(c *webhook.Target) { c.Policy = webhook.Policy{} },
		"no URL":       func(c *webhook.Target) { c.URL = "ftp://user:sesame@host/" },
	} {
		target := hook("one", "http://sink.example/", breaker())
		change(&target)
		if err := s.Set(target); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// BenchmarkObserve is what a room pays, under its mutex, for being observed.
func BenchmarkObserve(b *testing.B) {
	for name, targets := range map[string]int{"nobody": 0, "one target": 1, "twenty targets": 20} {
		b.Run(name, func(b *testing.B) {
			setup := bare(store.NewMemory())
			setup.Transport = transport(func(*http.Request) (*http.Response, error) { return answer(200), nil })
			setup.MaxEvents = 1000
			s, err := webhook.New(setup.Config)
			if err != nil {
				b.Fatal(err)
			}
			for i := range targets {
				if err := s.Set(hook(strconv.Itoa(i), "http://sink.example/", breaker())); err != nil {
					b.Fatal(err)
				}
			}
			o := &room.Occurrence{Occasion: room.ParticipantEntered, Project: project, At: time.Now(),
				Room: room.Summary{ID: "RM_a", Name: "a"}, Participant: &room.Info{SID: "PA_a", Identity: "ada"}}
			b.ReportAllocs()
			for b.Loop() {
				s.Observe(o)
			}
		})
	}
}
