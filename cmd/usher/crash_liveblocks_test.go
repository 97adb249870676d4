package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
)

// A shelf is a room of Liveblocks' API as one who changes it knows it. It has one of
// two names, or is not there.
type shelf struct {
	names [2]string
	state fact // a shelfState as JSON, or absent
}

// shelfState is what an answer of the API has of a room, as far as it is checked.
type shelfState struct {
	ID       string              `json:"id"`
	Default  []string            `json:"defaultAccesses"`
	Groups   map[string][]string `json:"groupsAccesses"`
	Users    map[string][]string `json:"usersAccesses"`
	Metadata map[string]string   `json:"metadata"`
}

func (s shelfState) text() string { return string(encode(s)) }

// A librarian changes shelves, and notes what was acknowledged.
type librarian struct {
	t       *testing.T
	random  *rand.Rand
	told    chan<- struct{}
	shelves []*shelf
}

func newLibrarian(t *testing.T, name string, random *rand.Rand, told chan<- struct{}) *librarian {
	l := &librarian{t: t, random: random, told: told}
	for i := range 3 {
		l.shelves = append(l.shelves, &shelf{[2]string{fmt.Sprintf("%s/%d a", name, i), fmt.Sprintf("%s/%d b", name, i)}, fact{now: absent}})
	}
	return l
}

func roomPath(id string) string { return "/v2/rooms/" + url.PathEscape(id) }

// lists is what access lists of these tests have.
var lists = [][]string{{"room:write"}, {"room:read", "room:presence:write"}, {"*:read", "storage:write", "feeds:none"}, {}}

// step changes one shelf. It reports false when the server has died.
func (l *librarian) step(api backend) bool {
	s := l.shelves[l.random.IntN(len(l.shelves))]
	list := func() []string { return lists[l.random.IntN(len(lists))] }
	var method, path string
	var body any
	next := absent
	if s.state.now == absent {
		made := shelfState{ID: s.names[l.random.IntN(2)], Default: list(), Groups: map[string][]string{"eng": list()}, Users: map[string][]string{},
			Metadata: map[string]string{"n": fmt.Sprint(l.random.IntN(1000))}}
		method, path, body, next = http.MethodPost, "/v2/rooms", made, made.text()
	} else {
		var now shelfState
		if err := json.Unmarshal([]byte(s.state.now), &now); err != nil {
			l.t.Fatal(err)
		}
		method, path = http.MethodPost, roomPath(now.ID)
		switch who := fmt.Sprintf("user %d", l.random.IntN(3)); l.random.IntN(6) {
		case 0:
			method = http.MethodDelete
		case 1:
			other := s.names[0]
			if now.ID == other {
				other = s.names[1]
			}
			path, body = path+"/update-room-id", map[string]string{"newRoomId": other}
			now.ID, next = other, ""
		case 2:
			now.Default, next = list(), ""
			body = map[string]any{"defaultAccesses": now.Default}
		case 3:
			delete(now.Users, who)
			body, next = map[string]any{"usersAccesses": map[string]any{who: nil}}, ""
		case 4: // several things, which must come together
			words, n := list(), fmt.Sprint(l.random.IntN(1000))
			now.Users[who], now.Groups["eng"], now.Metadata["n"], next = words, words, n, ""
			body = map[string]any{"usersAccesses": map[string]any{who: words}, "groupsAccesses": map[string]any{"eng": words}, "metadata": map[string]any{"n": n}}
		default:
			now.Users[who], next = list(), ""
			body = map[string]any{"usersAccesses": map[string]any{who: now.Users[who]}}
		}
		if next == "" {
			next = now.text()
		}
	}
	s.state.try(next)
	text := ""
	if body != nil {
		text = string(encode(body))
	}
	status, answer, err := api.try(method, path, text)
	if err != nil {
		return false
	}
	if status/100 != 2 {
		l.t.Errorf("%s %s %s: %d %s", method, path, text, status, answer)
		return false
	}
	s.state.done()
	return true
}

// check compares what is found after a restart with what was noted.
func (l *librarian) check(api backend) {
	l.t.Helper()
	for _, s := range l.shelves {
		found := absent
		for _, name := range s.names {
			status, answer, err := api.try(http.MethodGet, roomPath(name), "")
			if err != nil {
				l.t.Fatal(err)
			}
			if status == http.StatusNotFound {
				continue
			}
			if found != absent {
				l.t.Errorf("%v: it is there under both names", s.names)
			}
			var state shelfState
			if err := json.Unmarshal([]byte(answer), &state); err != nil || status != 200 {
				l.t.Fatalf("%q: %d %s", name, status, answer)
			}
			found = state.text()
		}
		if err := s.state.learn(found); err != nil {
			l.t.Errorf("%v: %v", s.names, err)
		}
	}
}

// Promise 8 for Liveblocks' API: what it has acknowledged of rooms, their access
// lists and their names holds after kill -9; what it has not is done or not done, all
// of it. Actor numbers never come again.
func TestNoAcknowledgedAccessListIsLost(t *testing.T) {
	random := newRand(t)
	told := make(chan struct{})
	var librarians []*librarian
	for i := range 4 {
		librarians = append(librarians, newLibrarian(t, fmt.Sprintf("shelf %d", i), rand.New(rand.NewPCG(random.Uint64(), 0)), told))
	}
	data, acknowledged := t.TempDir(), 0
	var highest int64 = -1
	for round := kills(100, 10, 2); ; round-- {
		v := startVictim(t, data)
		api := backend{"http://" + v.addr, devLiveblocksSecret}
		for _, l := range librarians {
			l.check(api)
		}
		highest = actorsGrow(t, v.addr, highest)
		if t.Failed() || round == 0 {
			break
		}
		var working sync.WaitGroup
		for _, l := range librarians {
			working.Go(func() {
				for l.step(api) {
					told <- struct{}{}
				}
			})
		}
		events, stop := make(chan struct{}), make(chan struct{})
		go func() { // ends when all are done
			working.Wait()
			close(stop)
		}()
		n := 1 + random.IntN(60)
		var killing sync.WaitGroup
		killing.Go(func() { v.killAfter(n, events, random) })
		for busy := true; busy; {
			select {
			case <-told:
				acknowledged++
				select {
				case events <- struct{}{}:
				default: // it has heard enough
				}
			case <-stop:
				busy = false
			}
		}
		close(events) // when all failed before
		killing.Wait()
	}
	t.Logf("%d acknowledged changes", acknowledged)
}

// actorsGrow has a few people enter, and returns the highest of their actor numbers,
// each of which is to be above those of before.
func actorsGrow(t *testing.T, addr string, highest int64) int64 {
	t.Helper()
	for range 3 {
		u, refused := dialUser(t, addr, "actors", "pk_dev_public", "")
		if refused != nil {
			t.Fatal(refused)
		}
		if u.actor <= highest {
			t.Errorf("actor %d, after %d", u.actor, highest)
		}
		highest = max(highest, u.actor)
	}
	return highest
}
