package room_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"usher/auth"
	"usher/room"
)

// A join that races an edit never has more than the list says when the edit has
// been answered.
func TestJoinsRaceEdits(t *testing.T) {
	seed := newSeed(t)
	var calls atomic.Uint32
	salt := seed.Uint32()
	room.BeforeLock(t, func() {
		if (calls.Add(1)*2654435761+salt)>>29 == 0 {
			runtime.Gosched()
		}
	})
	h := start(t, room.Config{AccessLists: listFormat})
	h.create("hall", access(writer...))
	h.visits("hall", accessToken(t, "keeper", `{"*":["*:write"]}`))
	for i := range rounds(200) {
		h.edit("hall", byDefault(writer...))
		next := [][]string{{}, reader}[i%2]
		var wg sync.WaitGroup
		members := make([]*member, 8)
		for k := range members {
			wg.Go(func() {
				m, err := h.visit("hall", idToken(fmt.Sprint("p", i, "-", k)))
				if err == nil {
					members[k] = m
				}
			})
		}
		h.edit("hall", byDefault(next...))
		for _, p := range h.lookup("hall").Participants() {
			if p.Identity != "keeper" && (len(next) == 0 || p.Permission.Allows(auth.WriteStorage)) {
				t.Fatalf("round %d: %s is there and writes: %t", i, p.Identity, p.Permission.Allows(auth.WriteStorage))
			}
		}
		wg.Wait()
		for _, p := range h.lookup("hall").Participants() {
			if p.Identity != "keeper" && (len(next) == 0 || p.Permission.Allows(auth.WriteStorage)) {
				t.Fatalf("round %d, later: %s is there and writes: %t", i, p.Identity, p.Permission.Allows(auth.WriteStorage))
			}
		}
		for _, m := range members {
			if m != nil {
				m.leaveIf()
			}
		}
	}
}

// Access-list edits among thousands who all send: from the moment an edit is
// answered nobody gets one more message of somebody whom it has taken the right
// from, or access.
func TestEditStorm(t *testing.T) {
	seed := newSeed(t)
	people := rounds(500)
	const senders = 64
	var calls atomic.Uint32
	salt := seed.Uint32()
	room.BeforeLock(t, func() {
		if (calls.Add(1)*2654435761+salt)>>29 == 0 {
			runtime.Gosched()
		}
	})
	h := start(t, room.Config{})
	// Who may not write may not broadcast, in this project.
	strict := func(identity string, groups ...string) *auth.Grant {
		g := idToken(identity, groups...)
		g.Format = strictFormat
		return g
	}
	list := auth.AccessList{Default: reader, Groups: map[string][]string{"a": writer, "b": writer}, Users: map[string][]string{"ear": writer}}
	h.create("hall", list)
	ear := h.visits("hall", strict("ear"))
	var mu sync.Mutex
	members := map[string]*member{}
	enter := func(i int) {
		name := fmt.Sprint("p", i)
		m, err := h.visit("hall", strict(name, []string{"a", "b"}[i%2]))
		if err != nil {
			return
		}
		m.mu.Lock()
		m.deaf, m.bytes = true, nil // one ear is enough: thousands would fill the memory
		m.mu.Unlock()
		mu.Lock()
		members[name] = m
		mu.Unlock()
	}
	for i := range people {
		enter(i)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var sent, refused atomic.Uint64
	var gate sync.RWMutex
	var closed [2]atomic.Bool // an edit that takes the right from a group was answered
	for s := range senders {
		wg.Go(func() {
			batch := h.rooms.Batch()
			for n := s; ; n += senders {
				select {
				case <-stop:
					batch.Wait()
					return
				default:
				}
				i := n % people
				mu.Lock()
				m := members[fmt.Sprint("p", i)]
				mu.Unlock()
				if m == nil {
					runtime.Gosched()
					continue
				}
				gate.RLock()
				payload := []byte("false")
				if closed[i%2].Load() {
					payload = []byte("true")
				}
				err := m.p.PublishData(room.Call{Generation: 1, Batch: batch, Quiet: true}, room.Message{Payload: payload, Reliable: true})
				gate.RUnlock()
				batch.Flush()
				batch.Wait()
				switch {
				case err == nil:
					sent.Add(1)
				case errors.Is(err, room.ErrFenced):
					mu.Lock()
					delete(members, fmt.Sprint("p", i))
					mu.Unlock()
					fallthrough
				default:
					refused.Add(1)
				}
			}
		})
	}
	b := h.rooms.Batch()
	for i := range 10 {
		group := i % 2
		words := [][]string{reader, {}}[i/2%2]
		ch := byGroup(string("ab"[group]), words...)
		if len(words) == 0 { // out altogether
			ch.Default = &[]string{}
		}
		before := sent.Load()
		waitFor(t, func() bool { return sent.Load() > before+200 })
		no := refused.Load()
		if _, err := h.rooms.UpdateLiveblocks(b, "test", "hall", ch); err != nil {
			t.Fatal(err)
		}
		closed[group].Store(true)
		if len(words) == 0 {
			for _, p := range h.lookup("hall").Participants() {
				if p.Identity != "ear" && (p.Identity[len(p.Identity)-1]-'0')%2 == byte(group) {
					t.Fatalf("edit %d: %s is still there", i, p.Identity)
				}
			}
		}
		before = sent.Load()
		waitFor(t, func() bool { return sent.Load() > before+200 && refused.Load() > no+uint64(people/20) })
		gate.Lock() // what was sent as closed has been refused when it is open again
		closed[group].Store(false)
		gate.Unlock()
		h.edit("hall", room.LiveblocksChange{Default: &reader, Groups: map[string]*[]string{"a": &writer, "b": &writer}})
		gate.Lock() // thousands who come back would wait behind those who send
		for k := range people {
			mu.Lock()
			m := members[fmt.Sprint("p", k)]
			mu.Unlock()
			if m == nil || m.ended() != nil {
				enter(k)
			}
		}
		gate.Unlock()
	}
	close(stop)
	wg.Wait()
	b.Wait()
	// In the order in which a receiver is told.
	may := map[string]bool{}
	heard, muted := 0, 0
	var hear func(ev room.Event)
	hear = func(ev room.Event) {
		switch ev := ev.(type) {
		case *room.Changes:
			for _, ev := range ev.Changes {
				hear(ev)
			}
		case *room.ParticipantJoined:
			may[ev.Participant.SID] = ev.Participant.Permission.Allows(auth.SendData)
		case *room.ParticipantUpdated:
			if may[ev.Participant.SID] = ev.Participant.Permission.Allows(auth.SendData); !may[ev.Participant.SID] {
				muted++
			}
		case *room.ParticipantLeft:
			delete(may, ev.SID)
			muted++
		case *room.Data:
			heard++
			if !may[ev.From.SID] {
				t.Fatalf("a message of %s came through after the change was told", ev.From.Identity)
			}
			if string(ev.Payload) == "true" {
				t.Fatalf("a message of %s came through that was sent after the edit was answered", ev.From.Identity)
			}
		}
	}
	for _, ev := range ear.since(0) {
		hear(ev)
	}
	if heard == 0 || muted < people {
		t.Errorf("%d messages heard, %d times somebody was muted: nothing was tested", heard, muted)
	}
	t.Logf("%d people, %d messages sent, %d refused, %d heard", people, sent.Load(), refused.Load(), heard)
}
