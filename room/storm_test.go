package room_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
)

// The time of a crowd that is over at one moment costs those who stay a few frames,
// not one for each.
func TestManyPutOutTogether(t *testing.T) {
	const people = 2000
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{AutoCreate: true, RosterLimit: 5000})
		at := time.Now().Add(time.Hour)
		h.opens(room.DailySettings{Expires: at, EjectAtExpiry: true})
		keeper := h.join("keeper")
		var crowd []*member
		for i := range people {
			m := h.comes(caller(fmt.Sprint(i)))
			m.mu.Lock()
			m.deaf = true
			m.mu.Unlock()
			crowd = append(crowd, m)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		n := keeper.count()
		time.Sleep(time.Until(at) + 2*time.Second)
		synctest.Wait()
		for _, m := range crowd {
			if cause := m.ended(); cause == nil || *cause != room.CauseTimeOver {
				t.Fatalf("%s ended with %v", m.p.Identity, cause)
			}
		}
		left := 0
		for _, e := range keeper.since(n) {
			switch e := e.(type) {
			case *room.Changes:
				left += len(e.Changes)
			case *room.ParticipantLeft:
				left++
			}
		}
		if left != people {
			t.Errorf("the one who stays was told of %d who left", left)
		}
		if frames := len(keeper.since(n)); frames > 200 {
			t.Errorf("it was told in %d frames", frames)
		}
	})
}

// A statement about everybody is told in a few frames, and letting in a whole lobby,
// too.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, room.Config{AutoCreate: true, RosterLimit: 5000})
		h.opens(private)
		keeper := h.join("keeper")
		for range 1000 {
			h.waits(stranger())
		}
		n := keeper.count()
		h.answer(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r := h.room(); len(r.Participants()) != 1001 || len(r.Waiting()) != 0 {
			t.Errorf("%d are in, %d wait", len(r.Participants()), len(r.Waiting()))
		}
		if frames := len(keeper.since(n)); frames > 100 {
			t.Errorf("1000 who were let in were told in %d frames", frames)
		}
		n = keeper.count()
		h.flushed(func(b *room.Batch) { must(t, h.room().State(b, nil, &auth.Say{Deny: auth.SendCamera}, "")) })
		if frames := len(keeper.since(n)); frames > 10 {
			t.Errorf("a statement about all of them was told in %d frames", frames)
		}
		var limit *room.LimitError
		many := make(map[string]auth.Rights)
		for i := range 1001 {
			many[fmt.Sprint(i)] = 0
		}
		b := h.rooms.Batch()
		if err := h.room().State(b, nil, &auth.Say{ReceiveFromIdentity: many}, ""); !errors.As(err, &limit) {
			t.Errorf("with too many exceptions: %v", err)
		}
	})
}
