package room_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"usher/auth"
	"usher/room"
)

func values(kv ...string) room.SessionData {
	d := room.SessionData{}
	for i := 0; i < len(kv); i += 2 {
		d[kv[i]] = []byte(kv[i+1])
	}
	return d
}

func sameData(a, b room.SessionData) bool {
	return maps.EqualFunc(a, b, func(a, b []byte) bool { return string(a) == string(b) })
}

// Replacing and merging session data. Facts §3.
func TestSessionData(t *testing.T) {
	for name, c := range map[string]struct {
		was  room.SessionData
		ch   room.SessionDataChange
		want room.SessionData
	}{
		"replace":                       {values("a", "1", "b", "2"), room.SessionDataChange{Data: values("c", "3")}, values("c", "3")},
		"replace by nothing":            {values("a", "1"), room.SessionDataChange{}, nil},
		"replace takes no keys out":     {values("a", "1"), room.SessionDataChange{Data: values("b", "2"), Delete: []string{"b"}}, values("b", "2")},
		"shallow merge":                 {values("a", `{"x":1}`, "b", "2"), room.SessionDataChange{Merge: true, Data: values("a", `{"y":2}`, "c", "null")}, values("a", `{"y":2}`, "b", "2", "c", "null")},
		"merge and delete":              {values("a", "1", "b", "2"), room.SessionDataChange{Merge: true, Data: values("c", "3"), Delete: []string{"a", "x"}}, values("b", "2", "c", "3")},
		"delete, then merge what it is": {values("a", "1"), room.SessionDataChange{Merge: true, Data: values("a", "2"), Delete: []string{"a"}}, values("a", "2")},
		"merge into nothing":            {nil, room.SessionDataChange{Merge: true, Data: values("a", "1")}, values("a", "1")},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{AutoCreate: true})
			ada, bob := h.join("ada"), h.join("bob")
			h.flushed(func(b *room.Batch) { must(t, h.room().UpdateSessionData(b, room.SessionDataChange{Data: c.was})) })
			n := bob.count()
			must(t, ada.p.UpdateSessionData(ada.call(1), c.ch))
			ada.batch.Flush()
			if got := h.room().SessionData(); !sameData(got, c.want) {
				t.Errorf("it is %s, want %s", got, c.want)
			}
			h.expect(bob, n, "SessionDataChanged")
			if got := last[*room.SessionDataChanged](t, bob).Data; !sameData(got, c.want) {
				t.Errorf("bob was told %s", got)
			}
			if got := last[*room.SessionDataChanged](t, ada).Data; !sameData(got, c.want) {
				t.Errorf("ada, who changed it, was told %s", got)
			}
			if got := last[*room.Snapshot](t, h.join("late")).SessionData; !sameData(got, c.want) {
				t.Errorf("a newcomer was told %s", got)
			}
		})
	}
}

// It is bounded, as merged, and needs the right to send data. It goes when nobody is
// there any more.
func TestSessionDataLimits(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	ada := h.join("ada")
	set := func(ch room.SessionDataChange) (err error) {
		h.flushed(func(b *room.Batch) { err = h.room().UpdateSessionData(b, ch) })
		return err
	}
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	full := room.MaxSessionData - len(`{"a":}`)
	must(t, set(room.SessionDataChange{Data: values("a", text(full))}))
	var limit *room.LimitError
	for what, ch := range map[string]room.SessionDataChange{
		"one character more":  {Data: values("a", text(full+1))},
		"too much, as merged": {Merge: true, Data: values("b", "1")},
		"in escapes":          {Data: values(strings.Repeat("\"", 60<<10), "1")},
		"in pairs":            {Data: values("a", text(full - 1)[:full-2]+`\ud83d\ude00"`)},
	} {
		if err := set(ch); !errors.As(err, &limit) || limit.Limit != 102400 {
			t.Errorf("%s: %v", what, err)
		}
		c := ada.call(0)
		c.Quiet = true
		if err := ada.p.UpdateSessionData(c, ch); !errors.As(err, &limit) {
			t.Errorf("%s, from inside: %v", what, err)
		}
	}
	// What is no ASCII, and what is escaped, counts as JavaScript counts it.
	must(t, set(room.SessionDataChange{Data: values("a", `"`+strings.Repeat("あ", full-2)+`"`)}))
	must(t, set(room.SessionDataChange{Data: values("a", `"`+strings.Repeat(`\u3042`, full-2)+`"`)}))
	if got := string(h.room().SessionData()["a"][1:4]); got != "あ" {
		t.Errorf("it is kept as %q", got)
	}
	c := ada.call(0)
	c.Quiet = true
	must(t, ada.p.UpdateSessionData(c, room.SessionDataChange{Data: values("a", `"`+strings.Repeat(`\u3042`, full-4)+`\ud83d\ude00"`)}))
	must(t, set(room.SessionDataChange{Data: values("a", text(full))}))
	must(t, set(room.SessionDataChange{Merge: true, Delete: []string{"a"}, Data: values("b", text(full))}))
	h.update(room.Target{Identity: "ada"}, deny(auth.SendData))
	c = ada.call(0)
	c.Quiet = true
	if err := ada.p.UpdateSessionData(c, room.SessionDataChange{}); !errors.Is(err, room.ErrNotAllowed) {
		t.Errorf("without the right: %v", err)
	}
	ada.leave()
	if got := h.room().SessionData(); got != nil {
		t.Error("it outlives the meeting")
	}
	if err := set(room.SessionDataChange{Data: values("a", "1")}); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("with nobody there: %v", err)
	}
}

// Many changes that a slow page has not had are one for it, and a resume has the
// present state.
func TestSessionDataIsCoalesced(t *testing.T) {
	h := newHall(t, room.Config{AutoCreate: true})
	ada := h.join("ada")
	joined := last[*room.Snapshot](t, ada)
	n := ada.count()
	b := h.rooms.Batch()
	for i := range 1000 {
		must(t, h.room().UpdateSessionData(b, room.SessionDataChange{Data: values("a", fmt.Sprint(i))}))
	}
	b.Flush()
	h.expect(ada, n, "SessionDataChanged")
	received := reliable(ada.since(0))
	ada.p.Disconnected(ada.batch, 1, true)
	ada.batch.Flush()
	must(t, h.room().UpdateSessionData(b, room.SessionDataChange{Data: values("a", `"last"`)}))
	b.Flush()
	back, err := h.resume(joined, received)
	must(t, err)
	if s := last[*room.Snapshot](t, back); !s.Recovered || string(s.SessionData["a"]) != `"last"` {
		t.Errorf("it resumed with %+v", s)
	}
}
