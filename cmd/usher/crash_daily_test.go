package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"usher/session/wire"
)

// A hall is a room of Daily's API as one who changes it knows it, with the tokens that
// name it.
type hall struct {
	name  string
	state fact     // its config as JSON, or absent
	good  []string // tokens of the room that there is
	dead  []string // of those of that name that were deleted
}

// A caller is somebody with a token, which is revoked, or banned.
type caller struct {
	identity, token string
	state           fact // welcome or refused
}

// A clerk works with rooms and people that nobody else touches, and notes what was
// acknowledged.
type clerk struct {
	t       *testing.T
	name    string
	random  *rand.Rand
	told    chan<- struct{}
	halls   []*hall
	callers []*caller
	domain  fact // the clerk's own property of the domain
	made    int
	keeper  *visit // keeps a meeting going in the clerk's home
}

func newClerk(t *testing.T, name string, random *rand.Rand, told chan<- struct{}) *clerk {
	c := &clerk{t: t, name: name, random: random, told: told, domain: fact{now: absent}}
	for i := range 3 {
		c.halls = append(c.halls, &hall{name: fmt.Sprintf("%s-hall-%d", name, i), state: fact{now: absent}})
	}
	return c
}

func (c *clerk) home() string { return c.name + "-home" }

// change sends a request that is to work. It reports false when the server has died.
func (c *clerk) change(api backend, f *fact, next, method, path string, body any) (answer string, ok bool) {
	text := ""
	if body != nil {
		text = string(encode(body))
	}
	if f != nil {
		f.try(next)
	}
	status, answer, err := api.try(method, path, text)
	switch {
	case err != nil:
		return "", false
	case status != http.StatusOK:
		c.t.Errorf("%s %s %s: %d %s", method, path, text, status, answer)
		return "", false
	case f != nil:
		f.done()
	}
	return answer, true
}

// token asks for one.
func (c *clerk) token(api backend, properties map[string]any) (string, bool) {
	text, ok := c.change(api, nil, "", http.MethodPost, "/v1/meeting-tokens", map[string]any{"properties": properties})
	var answer struct{ Token string }
	if ok && json.Unmarshal([]byte(text), &answer) != nil {
		c.t.Errorf("got %s", text)
	}
	return answer.Token, ok
}

// configText is the settings of a room, as text that can be compared.
func configText(n int, lang string) string {
	return string(encode(map[string]any{"lang": lang, "max_participants": n}))
}

// step changes one thing. It reports false when the server has died.
func (c *clerk) step(api backend) bool {
	switch c.random.IntN(6) {
	case 0:
		value := fmt.Sprint(c.random.IntN(1000))
		_, ok := c.change(api, &c.domain, value, http.MethodPost, "/v1/", map[string]any{"properties": map[string]string{"clerk_" + c.name: value}})
		return ok
	case 1, 2:
		return c.stepCaller(api)
	}
	return c.stepHall(api)
}

func (c *clerk) stepHall(api backend) bool {
	h := c.halls[c.random.IntN(len(c.halls))]
	n, lang := 1+c.random.IntN(100), []string{"fr", "de", "jp"}[c.random.IntN(3)]
	settings := map[string]any{"max_participants": n, "lang": lang}
	switch {
	case h.state.now == absent:
		if _, ok := c.change(api, &h.state, configText(n, lang), http.MethodPost, "/v1/rooms",
			map[string]any{"name": h.name, "privacy": "private", "properties": settings}); !ok {
			return false
		}
		token, ok := c.token(api, map[string]any{"room_name": h.name, "user_id": "somebody"})
		if ok {
			h.good = append(h.good, token)
		}
		return ok
	case c.random.IntN(3) == 0:
		if _, ok := c.change(api, &h.state, absent, http.MethodDelete, "/v1/rooms/"+h.name, nil); !ok {
			return false
		}
		h.dead, h.good = append(h.dead, h.good...), nil
		return true
	}
	_, ok := c.change(api, &h.state, configText(n, lang), http.MethodPost, "/v1/rooms/"+h.name, map[string]any{"properties": settings})
	return ok
}

const mostCallers = 6

func (c *clerk) stepCaller(api backend) bool {
	if len(c.callers) < mostCallers || c.random.IntN(3) == 0 {
		c.made++
		p := &caller{identity: fmt.Sprintf("%s-%d", c.name, c.made), state: fact{now: welcome}}
		var ok bool
		if p.token, ok = c.token(api, map[string]any{"room_name": c.home(), "user_id": p.identity}); !ok {
			return false
		}
		if len(c.callers) >= mostCallers {
			c.callers = c.callers[1:]
		}
		c.callers = append(c.callers, p)
		return true
	}
	p := c.callers[c.random.IntN(len(c.callers))]
	var ok bool
	switch {
	case p.state.now == refused:
		return true
	case c.random.IntN(2) == 0:
		_, ok = c.change(api, &p.state, refused, http.MethodPost, "/v1/meeting-tokens/revoke", map[string]string{"token": p.token})
	default:
		_, ok = c.change(api, &p.state, refused, http.MethodPost, "/v1/rooms/"+c.home()+"/eject", map[string]any{"user_ids": []string{p.identity}, "ban": true})
	}
	return ok
}

// begin has the clerk's home made, and a meeting begun in it.
func (c *clerk) begin(v *victim, api backend) {
	c.t.Helper()
	if status, answer, err := api.try(http.MethodPost, "/v1/rooms", string(encode(map[string]string{"name": c.home(), "privacy": "private"}))); err != nil ||
		status != http.StatusOK && !strings.Contains(answer, "already exists") {
		c.t.Fatalf("%d %s %v", status, answer, err)
	}
	token, _ := c.token(api, map[string]any{"room_name": c.home(), "user_id": "keeper"})
	var err error
	if c.keeper, err = v.enter(token); err != nil {
		c.t.Fatal(err)
	}
}

// lets reports whether a token lets in, and fails the test when it is refused for
// another reason than a revocation.
func (v *victim) lets(token string) bool {
	v.t.Helper()
	in, err := v.enter(token)
	var closed *refusedError
	switch {
	case err == nil:
		in.cut()
	case !errors.As(err, &closed) || closed.code != wire.TokenRevoked:
		v.t.Fatal(err)
	}
	return err == nil
}

// check compares what is found after a restart with what was noted.
func (c *clerk) check(v *victim, api backend) {
	c.t.Helper()
	for _, h := range c.halls {
		status, answer, err := api.try(http.MethodGet, "/v1/rooms/"+h.name, "")
		if err != nil {
			c.t.Fatal(err)
		}
		found := absent
		if status != http.StatusNotFound {
			var room struct {
				Privacy string
				Config  map[string]any
			}
			if err := json.Unmarshal([]byte(answer), &room); err != nil || status != http.StatusOK || room.Privacy != "private" {
				c.t.Fatalf("%s: %d %s", h.name, status, answer)
			}
			found = string(encode(room.Config))
		}
		if err := h.state.learn(found); err != nil {
			c.t.Errorf("%s: %v", h.name, err)
		}
		if found == absent {
			h.dead, h.good = append(h.dead, h.good...), nil
			if len(h.dead) == 0 {
				continue
			}
			// Making it again gives nobody back what the deletion took.
			if _, ok := c.change(api, &h.state, configText(7, "fr"), http.MethodPost, "/v1/rooms",
				map[string]any{"name": h.name, "privacy": "private", "properties": map[string]any{"max_participants": 7, "lang": "fr"}}); !ok {
				c.t.Fatalf("%s cannot be made", h.name)
			}
		}
		for _, token := range h.good {
			if !v.lets(token) {
				c.t.Errorf("%s: a token of the room that there is does not let in", h.name)
			}
		}
		for _, token := range h.dead[max(0, len(h.dead)-10):] {
			if v.lets(token) {
				c.t.Errorf("%s: a token of a room that was deleted lets in", h.name)
			}
		}
	}

	var domain struct{ Config map[string]any }
	text := api.call(c.t, http.StatusOK, http.MethodGet, "/v1", "")
	if err := json.Unmarshal([]byte(text), &domain); err != nil {
		c.t.Fatal(err)
	}
	found, ok := domain.Config["clerk_"+c.name].(string)
	if !ok {
		found = absent
	}
	if err := c.domain.learn(found); err != nil {
		c.t.Errorf("the domain: %v", err)
	}

	for _, p := range c.callers {
		state := refused
		if v.lets(p.token) {
			state = welcome
		}
		if err := p.state.learn(state); err != nil {
			c.t.Errorf("%s: %v", p.identity, err)
		}
	}
}

// Promises 2 and 8 for Daily's API: what it has acknowledged of rooms, their
// properties, the domain, bans and revocations holds after kill -9; what it has not is
// done or not done, all of it. The tokens of a room that was deleted let nobody in when
// it is made again, before or after that.
func TestNoAcknowledgedDailyWriteIsLost(t *testing.T) {
	random := newRand(t)
	told := make(chan struct{})
	var clerks []*clerk
	for i := range 4 {
		clerks = append(clerks, newClerk(t, fmt.Sprintf("clerk%d", i), rand.New(rand.NewPCG(random.Uint64(), 0)), told))
	}
	data, acknowledged := t.TempDir(), 0
	for round := kills(100, 10, 2); ; round-- {
		v := startVictim(t, data)
		api := backend{"http://" + v.addr, devDailyKey}
		for _, c := range clerks {
			c.begin(v, api)
			c.check(v, api)
		}
		if t.Failed() || round == 0 {
			for _, c := range clerks {
				c.keeper.cut()
			}
			break
		}
		var working sync.WaitGroup
		for _, c := range clerks {
			working.Go(func() {
				for c.step(api) {
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
		for _, c := range clerks {
			c.keeper.cut()
		}
	}
	t.Logf("%d acknowledged changes", acknowledged)
}
