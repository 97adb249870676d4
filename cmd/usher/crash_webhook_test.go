package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"usher/auth/livekit"
)

// A moodySink takes webhook events when it feels like it: it refuses some, lets
// some hang, and is started anew every now and then.
type moodySink struct {
	t    *testing.T
	addr string

	mu       sync.Mutex // guards the following fields
	random   *rand.Rand
	moody    bool
	requests int
	hanging  int
	server   *http.Server
	serving  sync.WaitGroup
	bodies   map[string]string // by id
	got      []*hookEvent      // the first time each was taken
	changed  chan struct{}     // replaced at each change
}

// A hookEvent is as much of a webhook event as is looked at here.
type hookEvent struct {
	ID    string `json:"id"`
	Event string `json:"event"`
	Room  struct {
		SID  string `json:"sid"`
		Name string `json:"name"`
	} `json:"room"`
	Participant struct {
		SID      string `json:"sid"`
		Identity string `json:"identity"`
	} `json:"participant"`
}

func newMoodySink(t *testing.T, random *rand.Rand) *moodySink {
	t.Helper()
	s := &moodySink{t: t, addr: "127.0.0.1:0", random: random, moody: true, bodies: map[string]string{}, changed: make(chan struct{})}
	s.start()
	t.Cleanup(func() {
		s.mu.Lock()
		s.moody = false
		_ = s.server.Close()
		s.mu.Unlock()
		s.serving.Wait()
	})
	return s
}

func (s *moodySink) start() {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.addr = l.Addr().String()
	s.server = &http.Server{Handler: http.HandlerFunc(s.take)}
	server := s.server
	s.serving.Go(func() { _ = server.Serve(l) }) // ends when the server is closed
}

// restart cuts all connections, those that hang included. Called with mu held.
func (s *moodySink) restart() {
	_ = s.server.Close()
	s.start()
}

const (
	mostHanging  = 2  // or nothing would come in any more
	restartAfter = 25 // requests
)

func (s *moodySink) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	switch mood := s.random.IntN(100); {
	case !s.moody:
	case s.requests%restartAfter == 0:
		s.restart()
		return
	case mood < 30:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case mood < 33 && s.hanging < mostHanging:
		s.hanging++
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
		s.hanging--
		return
	}
	var e hookEvent
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" {
		s.t.Errorf("not an event: %s", body)
		return
	}
	if before, again := s.bodies[e.ID]; again {
		if before != string(body) {
			s.t.Errorf("%s came as %s and as %s", e.ID, before, body)
		}
		return
	}
	s.bodies[e.ID] = string(body)
	s.got = append(s.got, &e)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *moodySink) cheerUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moody = false
	s.restart() // nothing hangs any more
}

// await waits until there is nothing missing.
func (s *moodySink) await(missing func(got []*hookEvent) []string) {
	s.t.Helper()
	deadline := time.After(4 * patience)
	for {
		s.mu.Lock()
		still, changed := missing(s.got), s.changed
		s.mu.Unlock()
		if len(still) == 0 {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("missing: %s", strings.Join(still, ", "))
		}
	}
}

// A guest is somebody who was told that they joined.
type guest struct {
	process       int
	began, joined int64 // in the order of everything
}

// A party is people who come to rooms and go.
type party struct {
	t     *testing.T
	clock atomic.Int64

	mu     sync.Mutex // guards the following fields
	guests map[string]*guest
}

func (p *party) in(process, room int, v *victim, random *rand.Rand, most int, told chan<- struct{}) {
	var here []*visit
	defer func() {
		for _, in := range here {
			in.cut()
		}
	}()
	for i := range most {
		identity := fmt.Sprintf("%d/%d/%d", process, room, i)
		token := mint(p.t, identity, func(c *livekit.Claims) { c.Video.Room = fmt.Sprintf("room %d", room) })
		g := &guest{process: process, began: p.clock.Add(1)}
		in, err := v.enter(token)
		if died(p.t, err) {
			return
		}
		g.joined = p.clock.Add(1)
		p.mu.Lock()
		p.guests[identity] = g
		p.mu.Unlock()
		told <- struct{}{}
		if random.IntN(2) == 0 {
			in.leave()
		} else {
			here = append(here, in)
		}
	}
}

// missing names events that have to come and have not.
func (p *party) missing(last int) func([]*hookEvent) []string {
	return func(got []*hookEvent) (list []string) {
		seen := map[string]bool{}
		latest := map[int]int64{} // by process: the latest join that is known to have been written
		for _, e := range got {
			switch e.Event {
			case "room_started", "room_finished":
				seen[e.Event+e.Room.SID] = true
			default:
				seen[e.Event+e.Participant.SID] = true
				seen[e.Event+e.Participant.Identity] = true
			}
			if g := p.guests[e.Participant.Identity]; g != nil && e.Event == "participant_joined" {
				latest[g.process] = max(latest[g.process], g.began)
			}
		}
		for _, e := range got {
			if e.Event == "room_started" && !seen["room_finished"+e.Room.SID] {
				list = append(list, "room_finished of "+e.Room.Name+" "+e.Room.SID)
			}
			if e.Event == "participant_joined" && !seen["participant_left"+e.Participant.SID] {
				list = append(list, "participant_left of "+e.Participant.Identity)
			}
		}
		// Events are written in their order: what was before one that came is
		// not lost. Of the process that stopped in peace nothing is.
		for identity, g := range p.guests {
			if (g.process == last || g.joined < latest[g.process]) && !seen["participant_joined"+identity] {
				list = append(list, "participant_joined of "+identity)
			}
		}
		return list
	}
}

// A sink that fails, hangs and restarts gets every event, in order for each
// room, while the server is killed again and again.
func TestWebhooksOutliveKills(t *testing.T) {
	random := newRand(t)
	sink := newMoodySink(t, rand.New(rand.NewPCG(random.Uint64(), 0)))
	config := writeConfig(t, fmt.Sprintf("projects:\n  - name: dev\n    livekit: { keys: { %s: %s } }\n    webhooks: [{ url: \"http://%s/hook\", api_key: %s }]\nroom: { departure_timeout: 1h, empty_timeout: 1h }\n",
		devKey, devSecret, sink.addr, devKey))
	data := t.TempDir()
	p := &party{t: t, guests: map[string]*guest{}}
	const rooms = 4
	last := kills(50, 5, 2)
	for process := range last + 1 {
		v := startVictim(t, data, "--config", config)
		told, stop := make(chan struct{}), make(chan struct{})
		var celebrating sync.WaitGroup
		most := 1 << 20
		if process == last {
			most = 4
		}
		for r := range rooms {
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			celebrating.Go(func() { p.in(process, r, v, own, most, told) })
		}
		go func() { // ends when all have gone
			celebrating.Wait()
			close(stop)
		}()
		left := 1 + random.IntN(30)
		for busy := true; busy; {
			select {
			case <-told:
				if left--; left == 0 && process < last {
					time.Sleep(time.Duration(random.IntN(8000)) * time.Microsecond) // not for anything: it is the random moment
					v.signal(syscall.SIGKILL)
				}
			case <-stop:
				busy = false
			}
		}
		if process == last {
			v.signal(syscall.SIGTERM)
		}
		v.wait()
	}
	sink.cheerUp()
	v := startVictim(t, data, "--config", config) // what is left
	sink.await(p.missing(last))
	v.signal(syscall.SIGTERM)
	if code := v.wait(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}

	sink.mu.Lock()
	defer sink.mu.Unlock()
	ids := map[string]string{}     // by event and whom it is about
	process := map[string]int{}    // the latest that is known of a room's name
	state := map[string][]string{} // by sid of a room: who is in it; nil: not begun
	finished := map[string]bool{}  // by sid of a room
	for _, e := range sink.got {
		what := e.Event + " " + e.Room.SID + " " + e.Participant.SID
		if other := ids[what]; other != "" {
			t.Errorf("%s came with the ids %s and %s", what, other, e.ID)
		}
		ids[what] = e.ID
		begun := state[e.Room.SID] != nil
		if (e.Event == "room_started") == begun || finished[e.Room.SID] {
			t.Errorf("%s: the room had begun: %v, was finished: %v", what, begun, finished[e.Room.SID])
		}
		in := state[e.Room.SID]
		switch e.Event {
		case "room_started":
			in = []string{}
		case "room_finished":
			finished[e.Room.SID] = true
			if len(in) > 0 {
				t.Errorf("%s: %q had not left", what, in)
			}
		case "participant_joined":
			in = append(in, e.Participant.SID)
			of := 0
			if _, err := fmt.Sscanf(e.Participant.Identity, "%d/", &of); err != nil {
				t.Error(err)
			}
			if of < process[e.Room.Name] {
				t.Errorf("%s: of process %d, after something of process %d", what, of, process[e.Room.Name])
			}
			process[e.Room.Name] = of
		case "participant_left":
			i := slices.Index(in, e.Participant.SID)
			if i < 0 {
				t.Errorf("%s: had not joined", what)
				break
			}
			in = slices.Delete(in, i, i+1)
		}
		state[e.Room.SID] = in
	}
	t.Logf("%d guests, %d events, %d requests", len(p.guests), len(sink.got), sink.requests)
}
