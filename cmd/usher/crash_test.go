package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"usher/auth/livekit"
	"usher/session/wire"
)

// What follows kills real servers. How often: at full size, in a usual test run,
// and in a short one. USHER_SEED repeats a run, as far as the machine lets it.

func kills(soak, usual, short int) int {
	switch {
	case os.Getenv("USHER_SOAK") != "":
		return soak
	case testing.Short():
		return short
	}
	return usual
}

func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("USHER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("USHER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A victim is a server in a process of its own, with durable state.
type victim struct {
	*terminal
	addr   string
	signal func(os.Signal)
}

func startVictim(t *testing.T, data string, args ...string) *victim {
	t.Helper()
	c, signal := startProcess(t, append([]string{"serve", "--dev", "--addr", "127.0.0.1:0", "--data", data}, args...)...)
	return &victim{c, listenAddr(c.logs("msg=listening")), signal}
}

// killAfter kills the server at a random moment soon after events have come n
// times.
func (v *victim) killAfter(n int, events <-chan struct{}, random *rand.Rand) {
	for range n {
		<-events
	}
	time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond) // not for anything: it is the random moment
	v.signal(syscall.SIGKILL)
	v.wait()
}

func (v *victim) api() *apiFlags {
	return &apiFlags{URL: "http://" + v.addr, tokenKey: tokenKey{devKey, devSecret}}
}

// A visit is a session in a room.
type visit struct {
	ws        *websocket.Conn
	refreshed string // the first refreshed token
	self      person
	may       rights
	newer     chan string   // the first of the refreshed tokens that come later
	ended     chan struct{} // closed when nothing more comes
	end       error         // how, then
}

// A refusedError is a close code in answer to a join.
type refusedError struct{ code wire.CloseCode }

func (e *refusedError) Error() string { return fmt.Sprintf("refused with %d", e.code) }

// enter joins with a token, as far as to the first refreshed one. It fails with
// a refusedError, or because the server died.
func (v *victim) enter(token string) (*visit, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+v.addr+"/session", &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol},
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	in := &visit{ws: ws, newer: make(chan string, 1), ended: make(chan struct{})}
	if err := ws.Write(ctx, websocket.MessageText, encode(wire.Message{Type: "join", Token: token})); err != nil {
		_ = ws.CloseNow()
		return nil, err
	}
	for in.refreshed == "" {
		_, text, err := ws.Read(ctx)
		if err != nil {
			_ = ws.CloseNow()
			var closed websocket.CloseError
			if errors.As(err, &closed) {
				return nil, &refusedError{wire.CloseCode(closed.Code)}
			}
			return nil, err
		}
		var m struct {
			Type  string
			Token string
			Self  person
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return nil, err
		}
		if m.Type == "joined" {
			in.self, in.may = m.Self, m.Self.Permissions
		}
		in.refreshed = m.Token
	}
	go func() { // ends with the connection
		defer close(in.ended)
		for {
			var m struct{ Type, Token string }
			_, text, err := ws.Read(context.Background())
			if err != nil {
				in.end = err
				return
			}
			if json.Unmarshal(text, &m) == nil && m.Type == "refreshToken" {
				select {
				case in.newer <- m.Token:
				default:
				}
			}
		}
	}()
	return in, nil
}

func (in *visit) cut() {
	_ = in.ws.CloseNow()
	<-in.ended
}

// leave ends the session and waits until the server says so, or has died.
func (in *visit) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = in.ws.Write(ctx, websocket.MessageText, encode(wire.Message{Type: "leave"}))
	<-in.ended
	_ = in.ws.CloseNow()
}

// died reports whether a call had no answer. Any other failure is the test's.
func died(t *testing.T, err error) bool {
	t.Helper()
	var refused *apiError
	var closed *refusedError
	if errors.As(err, &refused) || errors.As(err, &closed) {
		t.Errorf("refused: %v", err)
	}
	return err != nil
}

// A fact is what is known of something durable: what was acknowledged last, and
// while a change of it has no answer, what it may have become.
type fact struct {
	now  string
	next *string
}

// try notes that a change begins, and learn what became of it.
func (f *fact) try(next string) { f.next = &next }

func (f *fact) done() { f.now, f.next = *f.next, nil }

// learn takes what is found after a restart, if it may be.
func (f *fact) learn(found string) error {
	if found != f.now && (f.next == nil || found != *f.next) {
		if f.next != nil {
			return fmt.Errorf("found %q, want %q, or %q, which was asked for", found, f.now, *f.next)
		}
		return fmt.Errorf("found %q, want %q", found, f.now)
	}
	f.now, f.next = found, nil
	return nil
}

const (
	absent  = "absent"
	welcome = "welcome"
	refused = "refused"
)

// A ward is somebody whose permission is changed again and again.
type ward struct {
	identity, token string
	may             fact // rights in four digits: publish, data, subscribe, own metadata
	visit           *visit
}

func digits(r rights) string {
	var b strings.Builder
	for _, held := range []bool{r.CanPublish, r.CanPublishData, r.CanSubscribe, r.CanUpdateOwnMetadata} {
		b.WriteByte("01"[map[bool]int{true: 1}[held]])
	}
	return b.String()
}

// A stranger is somebody who is removed and revoked, and whose tokens are.
type stranger struct {
	identity   string
	tokens     []string // the first, and one refreshed from it
	tokenID    string
	state      fact   // welcome or refused
	revocation string // its id, when it is known
	visit      *visit
}

// A diarist works with things that nobody else touches, and notes what it was
// told about them.
type diarist struct {
	t         *testing.T
	name      string
	random    *rand.Rand
	told      chan<- struct{} // at each acknowledgement
	rooms     map[string]*fact
	wards     []*ward
	strangers []*stranger
	made      int
}

func (d *diarist) home() string { return "home of " + d.name }

func newDiarist(t *testing.T, name string, random *rand.Rand, told chan<- struct{}) *diarist {
	d := &diarist{t: t, name: name, random: random, told: told, rooms: map[string]*fact{}}
	for i := range 3 {
		d.rooms[fmt.Sprintf("room %d of %s", i, name)] = &fact{now: absent}
		w := &ward{identity: fmt.Sprintf("ward %d of %s", i, name), may: fact{now: "1110"}}
		w.token = d.mint(w.identity, "")
		d.wards = append(d.wards, w)
	}
	return d
}

func (d *diarist) mint(identity, id string) string {
	return mint(d.t, identity, func(c *livekit.Claims) { c.Video.Room, c.TokenID = d.home(), id })
}

// work changes one thing after another until the server is dead.
func (d *diarist) work(v *victim) {
	api := v.api()
	for d.step(v, api) {
		d.told <- struct{}{}
	}
	for _, w := range d.wards {
		w.visit.cut()
	}
	for _, s := range d.strangers {
		if s.visit != nil {
			s.visit.cut()
			s.visit = nil
		}
	}
}

func (d *diarist) step(v *victim, api *apiFlags) bool {
	ctx := context.Background()
	switch d.random.IntN(5) {
	case 0, 1:
		return d.stepRoom(ctx, api)
	case 2, 3:
		return d.stepWard(ctx, api)
	}
	return d.stepStranger(ctx, v, api)
}

func (d *diarist) stepRoom(ctx context.Context, api *apiFlags) bool {
	name := fmt.Sprintf("room %d of %s", d.random.IntN(len(d.rooms)), d.name)
	f := d.rooms[name]
	metadata := fmt.Sprintf("metadata %d", d.random.IntN(1000))
	var err error
	switch {
	case f.now == absent:
		f.try(metadata)
		_, err = api.call(ctx, livekit.VideoGrant{RoomCreate: true}, "CreateRoom",
			map[string]any{"name": name, "metadata": metadata, "empty_timeout": 3600, "departure_timeout": 3600, "max_participants": 7})
	case d.random.IntN(4) == 0:
		f.try(absent)
		_, err = api.call(ctx, livekit.VideoGrant{RoomCreate: true}, "DeleteRoom", map[string]any{"room": name})
	default:
		f.try(metadata)
		_, err = api.call(ctx, administers(name), "UpdateRoomMetadata", map[string]any{"room": name, "metadata": metadata})
	}
	if died(d.t, err) {
		return false
	}
	f.done()
	return true
}

func (d *diarist) stepWard(ctx context.Context, api *apiFlags) bool {
	w := d.wards[d.random.IntN(len(d.wards))]
	grant := administers(d.home())
	var err error
	if d.random.IntN(2) == 0 { // all of it, in LiveKit's way
		next := rights{CanPublish: d.random.IntN(2) == 0, CanPublishData: d.random.IntN(2) == 0, CanSubscribe: d.random.IntN(2) == 0, CanUpdateOwnMetadata: d.random.IntN(2) == 0}
		w.may.try(digits(next))
		_, err = api.call(ctx, grant, "UpdateParticipant", map[string]any{"room": d.home(), "identity": w.identity, "permission": permissionInfo{
			CanPublish: next.CanPublish, CanPublishData: next.CanPublishData, CanSubscribe: next.CanSubscribe, CanUpdateMetadata: next.CanUpdateOwnMetadata,
		}})
	} else { // one right, in ours
		bit := d.random.IntN(4)
		next := []byte(w.may.now)
		next[bit] ^= 1
		w.may.try(string(next))
		right := []string{"canPublish", "canPublishData", "canSubscribe", "canUpdateMetadata"}[bit]
		_, err = api.ask(ctx, grant, http.MethodPatch, []string{"rooms", d.home(), "participants", w.identity}, nil,
			map[string]any{"permission": map[string]bool{right: next[bit] == '1'}})
	}
	if died(d.t, err) {
		return false
	}
	w.may.done()
	return true
}

const mostStrangers = 8

func (d *diarist) stepStranger(ctx context.Context, v *victim, api *apiFlags) bool {
	if len(d.strangers) < mostStrangers || d.random.IntN(4) == 0 {
		return d.newStranger(v)
	}
	s := d.strangers[d.random.IntN(len(d.strangers))]
	var err error
	var answer []byte
	switch {
	case s.state.now == refused:
		s.state.try(welcome)
		if s.revocation == "" { // it was removed
			if s.revocation, err = d.findRevocation(ctx, api, s); died(d.t, err) {
				return false
			}
		}
		_, err = api.ask(ctx, administers(""), http.MethodDelete, []string{"revocations", s.revocation}, nil, nil)
	case s.visit != nil && d.random.IntN(2) == 0:
		s.state.try(refused)
		_, err = api.call(ctx, administers(d.home()), "RemoveParticipant", roomParticipant{d.home(), s.identity})
	case d.random.IntN(2) == 0:
		s.state.try(refused)
		answer, err = api.ask(ctx, administers(""), http.MethodPost, []string{"revocations"}, nil, revocationRequest{TokenID: s.tokenID})
	default:
		s.state.try(refused)
		answer, err = api.ask(ctx, administers(d.home()), http.MethodPost, []string{"revocations"}, nil, revocationRequest{Room: d.home(), Identity: s.identity})
	}
	if died(d.t, err) {
		return false
	}
	s.state.done()
	s.revocation = revocationID.FindString(string(answer))
	if s.visit != nil && s.state.now == refused {
		s.visit.cut() // the server has ended it
		s.visit = nil
	}
	return true
}

func (d *diarist) newStranger(v *victim) bool {
	d.made++
	s := &stranger{identity: fmt.Sprintf("stranger %d of %s", d.made, d.name), tokenID: fmt.Sprintf("token %d of %s", d.made, d.name), state: fact{now: welcome}}
	first := d.mint(s.identity, s.tokenID)
	in, err := v.enter(first)
	if died(d.t, err) {
		return false
	}
	s.visit, s.tokens = in, []string{first, in.refreshed}
	if len(d.strangers) >= mostStrangers { // one of those that were checked goes
		i := d.random.IntN(len(d.strangers))
		if old := d.strangers[i].visit; old != nil {
			old.cut()
		}
		d.strangers[i] = s
	} else {
		d.strangers = append(d.strangers, s)
	}
	return true
}

func (d *diarist) findRevocation(ctx context.Context, api *apiFlags, s *stranger) (string, error) {
	answer, err := api.ask(ctx, administers(""), http.MethodGet, []string{"revocations"}, nil, nil)
	if err != nil {
		return "", err
	}
	for _, r := range d.revocations(answer) {
		if r.Identity == s.identity || r.TokenID == s.tokenID {
			return r.ID, nil
		}
	}
	d.t.Errorf("no revocation of %s is listed, who was removed", s.identity)
	return "", errors.New("not listed")
}

func (d *diarist) revocations(answer []byte) []revocation {
	var list struct {
		Revocations []revocation `json:"revocations"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		d.t.Error(err)
	}
	return list.Revocations
}

// check compares what is found after a restart with what was noted.
func (d *diarist) check(v *victim) {
	d.t.Helper()
	ctx, api := context.Background(), v.api()
	answer, err := api.call(ctx, livekit.VideoGrant{RoomList: true}, "ListRooms", struct{}{})
	if err != nil {
		d.t.Fatal(err)
	}
	var list struct {
		Rooms []roomInfo `json:"rooms"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		d.t.Fatal(err)
	}
	found := map[string]string{}
	for _, r := range list.Rooms {
		if !strings.HasSuffix(r.Name, " of "+d.name) || r.Name == d.home() {
			continue
		}
		if r.MaxParticipants != 7 || r.EmptyTimeout != 3600 || r.DepartureTimeout != 3600 {
			d.t.Errorf("%s: half made: %+v", r.Name, r)
		}
		found[r.Name] = r.Metadata
	}
	for name, f := range d.rooms {
		metadata, ok := found[name]
		if !ok {
			metadata = absent
		}
		if err := f.learn(metadata); err != nil {
			d.t.Errorf("%s: %v", name, err)
		}
	}

	for _, w := range d.wards {
		if w.visit, err = v.enter(w.token); err != nil {
			d.t.Fatalf("%s: %v", w.identity, err)
		}
		if err := w.may.learn(digits(w.visit.may)); err != nil {
			d.t.Errorf("what %s may: %v", w.identity, err)
		}
	}

	if answer, err = api.ask(ctx, administers(""), http.MethodGet, []string{"revocations"}, nil, nil); err != nil {
		d.t.Fatal(err)
	}
	listed := d.revocations(answer)
	for _, s := range d.strangers {
		states := map[string]bool{}
		for _, token := range s.tokens {
			in, err := v.enter(token)
			var closed *refusedError
			switch {
			case err == nil:
				states[welcome] = true
				in.cut()
			case errors.As(err, &closed) && closed.code == wire.TokenRevoked:
				states[refused] = true
			default:
				d.t.Fatalf("%s: %v", s.identity, err)
			}
		}
		if len(states) > 1 {
			d.t.Errorf("%s: one of its tokens lets in and the other does not", s.identity)
			continue
		}
		state := welcome
		if states[refused] {
			state = refused
		}
		before := s.state.now
		if err := s.state.learn(state); err != nil {
			d.t.Errorf("%s: %v", s.identity, err)
		}
		i := slices.IndexFunc(listed, func(r revocation) bool { return r.Identity == s.identity || r.TokenID == s.tokenID })
		if (i >= 0) != (state == refused) {
			d.t.Errorf("%s is %s, and its revocation is listed: %v", s.identity, state, i >= 0)
		}
		if s.revocation != "" && before == refused && state == refused && i >= 0 && listed[i].ID != s.revocation {
			d.t.Errorf("%s: the revocation is %s, it was %s", s.identity, listed[i].ID, s.revocation)
		}
		s.revocation = ""
		if i >= 0 {
			s.revocation = listed[i].ID
		}
	}
}

// Promises 2 and 8: a server is killed at random moments while several make
// rooms, demote, promote, remove, revoke and lift; what was acknowledged holds
// after the restart, and what was not is done or not done, never by half.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	random := newRand(t)
	told := make(chan struct{})
	var diarists []*diarist
	for i := range 4 {
		diarists = append(diarists, newDiarist(t, fmt.Sprintf("diarist %d", i), rand.New(rand.NewPCG(random.Uint64(), 0)), told))
	}
	data, acknowledged := t.TempDir(), 0
	for round := kills(200, 20, 3); ; round-- {
		v := startVictim(t, data)
		for _, d := range diarists {
			d.check(v)
		}
		if t.Failed() || round == 0 {
			for _, d := range diarists {
				for _, w := range d.wards {
					w.visit.cut()
				}
			}
			break
		}
		var working sync.WaitGroup
		for _, d := range diarists {
			working.Go(func() { d.work(v) })
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
