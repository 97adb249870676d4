package daily_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"usher/room"
	"usher/room/store"
	"usher/session/wire"
	"usher/web/daily"
	"usher/web/webhook"
)

// How a webhook stands is written although the store fails for a while, and nothing
// more happens to it.
func TestFailedWebhookWhenTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &switchboard{status: 500}
		transport := func(c *webhook.Config) { c.Transport = line }
		s := &picky{Store: store.NewMemory(), prefix: "daily/webhook/"}
		d := newDesk(t, s, transport)
		uuid := d.create("http://sink.example/", "").Str("uuid")
		d.enter("a", "ada")
		time.Sleep(20 * time.Second)
		s.fails.Store(true)
		time.Sleep(10 * time.Minute) // it becomes FAILED
		s.fails.Store(false)
		time.Sleep(time.Minute)
		left := copied(t, s)
		d.stop()
		d = newDesk(t, left, transport)
		defer d.stop()
		if got := d.must("GET", "/webhooks/"+uuid, ""); got.Str("state") != "FAILED" || got.Fields["failedCount"] != 3.0 {
			t.Errorf("after a kill: %s", got.Text)
		}
	})
}

// picky refuses to write settings with a prefix while it fails.
type picky struct {
	store.Store
	prefix string
	fails  atomic.Bool
}

func (s *picky) Commit(changes ...store.Change) *store.Ticket {
	for _, c := range changes {
		if s.fails.Load() && strings.HasPrefix(c.Key, s.prefix) {
			return s.Store.Commit(store.Change{Bucket: "no such bucket"})
		}
	}
	return s.Store.Commit(changes...)
}

// Webhooks of a project that is not there any more are told of nothing, and are
// there again when it is.
func TestWebhooksOfAProjectThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &switchboard{status: 200}
		kept := store.NewMemory()
		transport := func(c *webhook.Config) { c.Transport = line }
		d := newDesk(t, kept, transport)
		d.create("http://sink.example/", "")
		d.stop()
		sender, err := webhook.New(webhook.Config{Store: kept, Encode: daily.EncodeWebhook, Transport: line})
		if err != nil {
			t.Fatal(err)
		}
		hooks := daily.NewHooks(daily.HooksConfig{Sender: sender, Store: kept, Served: func(project string) bool { return project != "test" }})
		if err := hooks.Load(); err != nil {
			t.Fatal(err)
		}
		if targets, _ := sender.Outbox("test"); len(targets) > 0 {
			t.Errorf("there are the targets %+v", targets)
		}
		hooks.Close()
		d = newDesk(t, kept, transport)
		defer d.stop()
		d.enter("a", "ada")
		if events, _ := line.take(); len(events) != 1 {
			t.Errorf("sent %q", events)
		}
	})
}

// Of one project only a few probes are on their way at a time, others do not wait
// for them, and an answer does not say what is at the address.
func TestProbesAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, store.NewMemory(), func(c *webhook.Config) { c.Transport = silence })
		defer d.stop()
		const body = `{"url":"http://sink.example/","eventTypes":["meeting.started"]}`
		var wg sync.WaitGroup
		probe := func(key string) {
			wg.Go(func() {
				d.with(key, "POST", "/webhooks", body).want(t, 400, "invalid-request-error", "the url cannot be reached, or did not answer within 8 seconds")
			})
		}
		for range 4 {
			probe(apiKey)
		}
		synctest.Wait()
		d.call("POST", "/webhooks", body).want(t, 429, "rate-limit-error", "too many calls, try again later")
		probe(otherKey)
		wg.Wait()
		probe(apiKey)
		wg.Wait()
	})
}

// The first webhook of a project, made while people meet, is told that they left
// when a kill ends it, but not of those who had left before.
func TestFirstWebhookDuringAMeeting(t *testing.T) {
	b := newBackend(t)
	kept := store.NewMemory()
	d := newDesk(t, kept, nil)
	t.Cleanup(d.stop)
	s := serve(t, options{store: kept,
		room: func(c *room.Config) { c.Observer = d.sender },
		api:  func(c *daily.Config) { c.Webhooks = d.hooks }})
	s.must("POST", "/rooms", `{"name":"blue"}`)
	s.enter("", s.token(`{"room_name":"blue","user_id":"ada"}`))
	early, _ := s.enter("", s.token(`{"room_name":"blue","user_id":"eve"}`))
	early.Send(wire.Message{Type: "leave"})
	early.ExpectClose(wire.Left)
	s.must("POST", "/webhooks", `{"url":"`+b.URL+`","eventTypes":["meeting.started","meeting.ended","participant.joined","participant.left"]}`)
	s.enter("", s.token(`{"room_name":"blue","user_id":"bob"}`))
	b.events(1) // what is before it is written
	left := copied(t, kept)
	again := newDesk(t, left, nil)
	defer again.stop()
	events := b.events(4)
	if events[0].body == events[1].body { // as it was a kill, it may come once more
		events = b.events(5)[1:]
	}
	var got []string
	for _, e := range events {
		var body struct {
			Payload struct {
				User string `json:"user_id"`
			}
		}
		if err := json.Unmarshal([]byte(e.body), &body); err != nil {
			t.Fatal(err)
		}
		got = append(got, e.event()+" "+body.Payload.User)
	}
	if want := []string{"participant.joined bob", "participant.left ada", "participant.left bob", "meeting.ended "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
