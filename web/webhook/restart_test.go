package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/room"
	"usher/room/store"
	"usher/web/webhook"
)

// TestUndeliveredEventsComeFirst restarts usher while the sink is down, with
// each kind of store.
func TestUndeliveredEventsComeFirst(t *testing.T) {
	inMemory, dir := store.NewMemory(), t.TempDir()
	for name, open := range map[string]func() (s store.Store, done func() error){
		"memory": func() (store.Store, func() error) { return inMemory, func() error { return nil } },
		"file": func() (store.Store, func() error) {
			s, err := store.Open(dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s, s.Close
		},
	} {
		t.Run(name, func(t *testing.T) {
			sink := newSink(t)
			sink.stop()
			kept, done := open()
			s := newSetup(sink.url(), kept).start(t)
			h := newHouse(s)
			h.open("a")
			h.enter("a", "ada")
			now, cancel := context.WithCancel(context.Background())
			cancel()
			_ = s.Stop(now) // it may not know whether all is stored: the store's end sees to it
			if err := done(); err != nil {
				t.Fatal(err)
			}

			sink.start()
			kept, done = open()
			if got := len(records(t, kept, store.Deliveries)); got != 2 {
				t.Fatalf("%d events are kept, want 2", got)
			}
			setup := newSetup(sink.url(), kept)
			setup.RoomAlive = func(_, _, _ string) bool { return true }
			s, err := webhook.New(setup.Config)
			if err != nil {
				t.Fatal(err)
			}
			h.observe = s.Observe
			h.enter("a", "bob") // before the start: what is older goes first even so
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			h.leave("a", "bob")
			stop(t, s)
			wantNames(t, sink.got, "room_started a", "participant_joined a/ada",
				"participant_left a/ada", // the restart ended her session
				"participant_joined a/bob", "participant_left a/bob")
			if err := done(); err != nil {
				t.Fatal(err)
			}
			kept, done = open()
			if got := records(t, kept, store.Deliveries); len(got) > 0 {
				t.Errorf("kept at the end: %q", got)
			}
			if err := done(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestStopWakesWhatRests stops while an event waits for its next attempt, in
// an hour.
func TestStopWakesWhatRests(t *testing.T) {
	sink := newSink(t)
	sink.answers(status(503, "Retry-After", "3600"))
	setup := newSetup(sink.url(), store.NewMemory())
	s := setup.start(t)
	newHouse(s).open("a")
	sink.requests(1)
	sink.answers(nil)
	stop(t, s)
	if got, want := setup.outcomes(t), "delivered 1"; got != want {
		t.Errorf("outcomes: %s, want %s", got, want)
	}
}

// TestUncleanStop leaves people and rooms behind, as a killed process does.
func TestUncleanStop(t *testing.T) {
	sink := newSink(t)
	kept := store.NewMemory()
	first := newSetup(sink.url(), kept)
	s := first.start(t)
	h := newHouse(s)
	h.open("ended")
	h.enter("ended", "ada")
	h.enter("ended", "bob")
	h.enter("ended", "gone")
	h.change("ended", "ada", "newer", room.ChangedMetadata|room.ChangedState)
	h.change("ended", "bob", "not told", room.ChangedState)
	h.leave("ended", "gone")
	h.open("goes on")
	h.enter("goes on", "cleo")
	h.open("empty")
	h.open("finished")
	h.end("finished")
	stop(t, s) // the process does not say that they left
	before := len(sink.got)

	again := newSetup(sink.url(), kept)
	newcomer := newSink(t) // a target that was told nothing so far
	again.Targets = append(again.Targets, again.Targets[0])
	again.Targets[1].URL = newcomer.url()
	again.RoomAlive = func(p, name, sid string) bool {
		if p != project || sid != "RM_"+name {
			t.Errorf("asked for room %q with sid %q of project %q", name, sid, p)
		}
		return name == "goes on"
	}
	s = again.start(t)
	h.observe = s.Observe
	h.enter("goes on", "dora")
	stop(t, s)

	byRoom := map[string][]received{}
	for _, r := range sink.got[before:] {
		byRoom[r.event.Room] = append(byRoom[r.event.Room], r)
	}
	wantNames(t, byRoom["ended"], "participant_left ended/ada", "participant_left ended/bob", "room_finished ended")
	wantNames(t, byRoom["goes on"], "participant_left goes on/cleo", "participant_joined goes on/dora")
	wantNames(t, byRoom["empty"], "room_finished empty")
	wantNames(t, byRoom["finished"])
	for i, want := range []message{{Shown: 1, Metadata: "newer"}, {Shown: 0, Metadata: "new"}, {Shown: 0}} {
		got := byRoom["ended"][i].event
		if got.Shown != want.Shown || got.Metadata != want.Metadata || got.Reason != string(room.ServerShutdown) || got.RoomSID != "RM_ended" {
			t.Errorf("event %d: %+v, want %d shown, metadata %q", i, got, want.Shown, want.Metadata)
		}
	}
	wantNames(t, newcomer.got, "participant_joined goes on/dora")
	if got, want := records(t, kept, store.Announced), []string{"RM_goes on", "RM_goes on/PA_dora"}; !slices.Equal(got, want) {
		t.Errorf("announced are %q, want %q", got, want)
	}
}

// TestTargetsThatAreGone gives up what is for nobody any more.
func TestTargetsThatAreGone(t *testing.T) {
	sink := newSink(t)
	sink.stop()
	kept := store.NewMemory()
	s := newSetup(sink.url(), kept).start(t)
	newHouse(s).open("a")
	halt(t, s)

	other := newSink(t)
	setup := newSetup(other.url(), kept)
	s = setup.start(t)
	stop(t, s)
	wantNames(t, other.got)
	if got, want := setup.outcomes(t), "removed 1"; got != want {
		t.Errorf("outcomes: %s, want %s", got, want)
	}
	if got := append(records(t, kept, store.Deliveries), records(t, kept, store.Announced)...); len(got) > 0 {
		t.Errorf("kept at the end: %q", got)
	}
}

func TestDamageStopsTheStart(t *testing.T) {
	for name, c := range map[string]store.Change{
		"no line":                   {Bucket: store.Deliveries, Key: "0000000000000001", Value: []byte(`{}`)},
		"no JSON":                   {Bucket: store.Deliveries, Key: "0000000000000001", Value: []byte("{\n{}")},
		"no id":                     {Bucket: store.Deliveries, Key: "0000000000000001", Value: []byte("{\"target\":\"x\"}\n{}")},
		"no number":                 {Bucket: store.Deliveries, Key: "x", Value: []byte("{\"id\":\"EV_1\",\"target\":\"x\"}\n{}")},
		"a mark that is no JSON":    {Bucket: store.Announced, Key: "RM_1", Value: []byte(`{`)},
		"a mark of another room":    {Bucket: store.Announced, Key: "RM_1", Value: []byte(`{"roomSid":"RM_2","life":{}}`)},
		"a mark of nothing":         {Bucket: store.Announced, Key: "RM_1", Value: []byte(`{"roomSid":"RM_1"}`)},
		"a participant without one": {Bucket: store.Announced, Key: "RM_1/PA_1", Value: []byte(`{"roomSid":"RM_1","life":{}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			kept := store.NewMemory()
			if err := kept.Commit(c).Wait(); err != nil {
				t.Fatal(err)
			}
			s, err := webhook.New(newSetup("http://sink.example/", kept).Config)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), strconv.Quote(c.Key)) {
				t.Errorf("Start: %v, want a damaged %q", err, c.Key)
			}
			halt(t, s)
		})
	}
}

// A counting store tells how many events have been put into it.
type counting struct {
	store.Store
	mu   sync.Mutex
	more *sync.Cond
	puts map[string]bool // keys; what has been tried is put again
	old  map[string]bool // those that were there
}

func newCounting(s store.Store) *counting {
	c := &counting{Store: s, puts: map[string]bool{}, old: map[string]bool{}}
	_ = s.Load(store.Deliveries, func(key string, _ []byte) error { c.old[key] = true; return nil }) // memory has no errors
	c.more = sync.NewCond(&c.mu)
	return c
}

func (c *counting) Commit(changes ...store.Change) *store.Ticket {
	t := c.Store.Commit(changes...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		if change.Bucket == store.Deliveries && change.Value != nil && !c.old[change.Key] {
			c.puts[change.Key] = true
		}
	}
	c.more.Broadcast()
	return t
}

func (c *counting) until(puts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.puts) < puts {
		c.more.Wait()
	}
}

// copyOf returns what a process that is killed now leaves behind.
func copyOf(t *testing.T, s store.Store) store.Store {
	t.Helper()
	out := store.NewMemory()
	for _, b := range []store.Bucket{store.Announced, store.Deliveries} {
		err := s.Load(b, func(key string, value []byte) error {
			return out.Commit(store.Change{Bucket: b, Key: key, Value: value}).Wait()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestUnreliableSink has many rooms report to a sink that fails in every way it
// can and is restarted, while usher is restarted and killed. In each room every
// event must arrive, in its order. An event may only come again right after
// itself, byte for byte the same; after a kill some more may.
func TestUnreliableSink(t *testing.T) {
	runs := 2
	if os.Getenv("USHER_SOAK") != "" {
		runs = 100
	}
	base := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("USHER_SEED"), 10, 64); err == nil {
		base, runs = v, 1
	}
	t.Logf("seeds %d to %d", base, base+uint64(runs)-1)
	for i := range runs {
		seed := base + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playUnreliable(t, rand.New(rand.NewPCG(seed, 3)), false) })
		t.Run(fmt.Sprintf("%d with a policy", seed), func(t *testing.T) { playUnreliable(t, rand.New(rand.NewPCG(seed, 3)), true) })
	}
}

func playUnreliable(t *testing.T, rnd *rand.Rand, policy bool) {
	const (
		rooms  = 20
		events = 600
	)
	sink := newSink(t)
	var mu sync.Mutex // guards rnd, of which the sink takes, too
	n := func(below int) int {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(below)
	}
	sink.answers(func(w http.ResponseWriter, r *http.Request, m message) { fail(n(28), w, r, m) })

	kept := newCounting(store.NewMemory())
	start := func() *webhook.Sender {
		setup := newSetup(sink.url(), kept)
		setup.Timeout = time.Second
		setup.RoomAlive = func(_, _, _ string) bool { return true }
		if policy {
			setup.Targets = nil
			return setup.begin(t, hook("one", sink.url(), patient()))
		}
		return setup.start(t)
	}
	var (
		s      = start()
		h      = newHouse(s)
		kills  []int // after how many requests
		inside = map[string]bool{}
		stored = 0 // events of the present store
	)
	occur := func(name string) {
		stored++
		if inside[name] = !inside[name]; inside[name] {
			h.enter(name, "somebody in "+name)
		} else {
			h.leave(name, "somebody in "+name)
		}
	}
	for i := range rooms {
		h.open(fmt.Sprint("room ", i))
		stored++
	}
	for range events {
		occur(fmt.Sprint("room ", n(rooms)))
		what := n(150)
		switch what {
		case 0: // the sink restarts
			sink.stop()
			sink.start()
		case 1, 2: // usher restarts, or is killed
			for name, in := range inside {
				if in {
					occur(name) // else the restart would say it
				}
			}
			if what == 1 {
				halt(t, s)
				sink.stop()
			} else {
				kept.until(stored)
				left := copyOf(t, kept)
				halt(t, s)
				sink.stop()
				kills = append(kills, len(sink.got))
				kept, stored = newCounting(left), 0
			}
			sink.start()
			s = start()
			h.observe = s.Observe
		}
	}
	if policy {
		for name, in := range inside {
			if in {
				occur(name) // as above
			}
		}
	}
	stop(t, s)
	for len(records(t, kept, store.Deliveries)) > 0 { // what rests when it stops, with a policy
		s = start()
		stop(t, s)
	}
	t.Logf("%d requests, %d kills", len(sink.got), len(kills))

	bodies := map[string]map[uint64]string{}
	last, reached := map[string]uint64{}, map[string]uint64{}
	killed := map[string]bool{} // since the last event of the room
	for i, r := range sink.got {
		for len(kills) > 0 && kills[0] == i {
			kills = kills[1:]
			for name := range last {
				killed[name] = true
			}
		}
		name, seq := r.event.Room, r.event.Seq
		if bodies[name] == nil {
			bodies[name] = map[uint64]string{}
		}
		if before, again := bodies[name][seq]; again && before != r.body {
			t.Errorf("number %d of %s came as\n\t%s\nand as\n\t%s", seq, name, before, r.body)
		}
		bodies[name][seq] = r.body
		if seq != last[name] && seq != last[name]+1 && (!killed[name] || seq > reached[name]+1) {
			t.Errorf("in %s came number %d after %d", name, seq, last[name])
		}
		last[name], reached[name], killed[name] = seq, max(seq, reached[name]), false
	}
	if !maps.Equal(reached, h.seq) {
		t.Errorf("the last events that came: %v, want %v", reached, h.seq)
	}
}

// fail answers in one of many ways, most of which are good.
func fail(way int, w http.ResponseWriter, r *http.Request, m message) {
	switch way {
	case 0:
		status(http.StatusTooManyRequests)(w, r, m)
	case 1:
		status(http.StatusServiceUnavailable, "Retry-After", "0")(w, r, m)
	case 2, 3:
		status(http.StatusInternalServerError)(w, r, m)
	case 4:
		cut(w, "")
	case 5:
		cut(w, "HTTP/1.1 200 O")
	case 6:
		cut(w, "HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhalf")
	case 7:
		cut(w, "nonsense\r\n\r\n")
	case 8:
		if rand.IntN(5) == 0 {
			<-r.Context().Done() // until the sender has enough
		}
	}
}
