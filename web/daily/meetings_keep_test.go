package daily_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"usher/room/store"
	"usher/web/daily"
)

func kept(t *testing.T, s store.Store) (ids []string) {
	t.Helper()
	if err := s.Load(store.Meetings, func(key string, _ []byte) error { ids = append(ids, key); return nil }); err != nil {
		t.Fatal(err)
	}
	return ids
}

// A meeting is remembered for 30 days after its end, to the second, and then is
// nowhere any more. One that goes on is, however long.
func TestMeetingsAreForgottenAfter30Days(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		d := newDesk(t, s, nil)
		h := newHall(d)
		h.begin("blue", "long")
		h.begin("red", "short")
		time.Sleep(time.Minute)
		h.end("red")
		time.Sleep(30*24*time.Hour - time.Second)
		if ids, total := d.ids(""); len(ids) != 2 || total != 2 {
			t.Errorf("after less than 30 days: %q", ids)
		}
		time.Sleep(time.Second)
		if ids, total := d.ids(""); !slices.Equal(ids, []string{"long"}) || total != 1 {
			t.Errorf("after 30 days: %q", ids)
		}
		d.call("GET", "/meetings/short", "").want(t, 400, "invalid-request-error", "meeting short not found")
		time.Sleep(time.Hour)
		if got := kept(t, s); !slices.Equal(got, []string{"long"}) {
			t.Errorf("kept: %q", got)
		}
		h.end("blue")
		d.stop()
		time.Sleep(30 * 24 * time.Hour)
		d = newDesk(t, s, nil)
		synctest.Wait()
		if ids, _ := d.ids(""); len(ids) > 0 || len(kept(t, s)) > 0 {
			t.Errorf("after a restart: %q, kept %q", ids, kept(t, s))
		}
		d.stop()
	})
}

// Of each project 10 000 are remembered, the last to begin; those that go on stay.
func TestMeetingsAreForgottenWhenThereAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		d := newDesk(t, s, nil)
		defer d.stop()
		h := newHall(d)
		h.begin("blue", "ongoing")
		for i := range 10_050 {
			h.begin("red", fmt.Sprint("m", i))
			h.end("red")
		}
		synctest.Wait()
		if ids, total := d.ids("limit=1&ending_before=OLDEST"); total != 10_000 || ids[0] != "ongoing" {
			t.Errorf("%d meetings, the oldest %q", total, ids)
		}
		if ids, _ := d.ids("limit=2&ending_before=OLDEST"); ids[0] != "m51" {
			t.Errorf("the oldest after it is %q", ids)
		}
		if n := len(kept(t, s)); n != 10_000 {
			t.Errorf("%d are kept", n)
		}
	})
}

// Of each project 200 000 attendances are remembered: the oldest meetings that have
// ended go first. While it is too much that goes on, those who come are only counted.
func TestMeetingsAreForgottenWhenTheyAreTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		d := newDesk(t, s, nil)
		h := newHall(d)
		crowd := func(id string, n int) {
			h.begin(id, id)
			for i := range n {
				h.enter(id, fmt.Sprint(id, "_", i), "ada", "")
			}
		}
		for i := range 21 {
			crowd(fmt.Sprint("m", i), 10_000)
			h.end(fmt.Sprint("m", i))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if ids, total := d.ids("no_participants=true&ending_before=OLDEST&limit=1"); total > 20 || total < 19 || ids[0] == "m0" {
			t.Errorf("%d are left, the oldest %q", total, ids)
		}
		if n := len(kept(t, s)); n > 20 {
			t.Errorf("%d are kept", n)
		}
		for i := range 21 {
			crowd(fmt.Sprint("n", i), 10_000)
		}
		if ids, total := d.ids("no_participants=true&limit=100"); total != 21 || ids[0] != "n20" {
			t.Errorf("%d are left: %q", total, ids)
		}
		if got := d.must("GET", "/meetings/n20", ""); got.Fields["max_participants"] != 10_000.0 {
			t.Errorf("got %s", got.Text)
		}
		d.call("GET", "/meetings/n20/participants", "").want(t, 404, "not-found", "there are no more participants of meeting n20")

		// A page has no more than 20 000 participants, so that it takes more of them to
		// see all.
		all := 0
		for query := "starting_after="; ; all++ {
			ids, _ := d.ids("ongoing=true&limit=100&" + query)
			if len(ids) == 0 {
				break
			}
			if len(ids) > 3 || len(ids) > 2 && all > 0 { // of n20 nobody is recorded
				t.Errorf("%q are on one page", ids)
			}
			query = "starting_after=" + ids[len(ids)-1]
		}
		if ids, _ := d.ids("limit=100&ending_before=OLDEST"); !slices.Equal(ids, []string{"n1", "n0"}) || all < 10 {
			t.Errorf("the oldest page is %q, there are %d", ids, all)
		}
		d.stop()
	})
}

// What was to be deleted when the store failed is deleted later, and a log that ends
// does not promise that.
func TestMeetingsAreDeletedAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: store.NewMemory()}
		d := newDesk(t, s, nil)
		h := newHall(d)
		h.begin("blue", "m")
		h.end("blue")
		time.Sleep(30*24*time.Hour - time.Hour)
		s.fails.Store(true)
		time.Sleep(3 * time.Hour)
		if got := kept(t, s); !slices.Equal(got, []string{"m"}) {
			t.Fatalf("kept: %q", got)
		}
		s.fails.Store(false)
		time.Sleep(time.Minute)
		if got := kept(t, s); len(got) > 0 {
			t.Errorf("kept: %q", got)
		}
		s.fails.Store(true)
		h.begin("blue", "n")
		synctest.Wait()
		before := strings.Count(d.log.String(), "it is tried again")
		h.enter("blue", "PA_1", "ada", "")
		d.meetings.Close()
		if text := d.log.String(); strings.Count(text, "meetings could not be written, and it is too late") != 1 || strings.Count(text, "it is tried again") != before {
			t.Errorf("the log has %s", text)
		}
		d.stop()
	})
}

// Of one meeting 10 000 participants are recorded, the others counted.
func TestMeetingOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		d := newDesk(t, s, nil)
		h := newHall(d)
		h.begin("blue", "m")
		for i := range 10_010 {
			h.enter("blue", fmt.Sprint("PA_", i), "ada", "Ada")
		}
		for i := range 10_010 {
			h.leave("blue", fmt.Sprint("PA_", i))
		}
		h.end("blue")
		check := func() {
			t.Helper()
			if got := d.must("GET", "/meetings/m", ""); got.Fields["max_participants"] != 10_010.0 {
				t.Errorf("got %s", got.Text)
			}
			if got := d.must("GET", "/meetings/m/participants?limit=1&joined_after=PA_9998", ""); !strings.Contains(got.Text, `"PA_9999"`) {
				t.Errorf("got %s", got.Text)
			}
			d.call("GET", "/meetings/m/participants?joined_after=PA_9999", "").want(t, 404, "not-found", "there are no more participants of meeting m")
		}
		check()
		d.stop()
		d = newDesk(t, s, nil)
		check()
		d.stop()
	})
}

// A meeting that a killed process left going on ended when that was last known to
// live, at most half a minute before; with it those who were there.
func TestMeetingsAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		d := newDesk(t, s, nil)
		h := newHall(d)
		h.begin("red", "ended")
		h.enter("red", "PA_0", "eve", "")
		time.Sleep(time.Second)
		h.leave("red", "PA_0")
		h.end("red")
		h.begin("blue", "m")
		h.enter("blue", "PA_1", "ada", "")
		h.enter("blue", "PA_2", "bob", "")
		time.Sleep(10 * time.Minute)
		h.leave("blue", "PA_2")
		time.Sleep(50*time.Minute + 29*time.Second) // nothing happens in it
		synctest.Wait()
		left := copied(t, s)
		d.stop()
		time.Sleep(24 * time.Hour)
		d = newDesk(t, left, nil)
		want := func() {
			t.Helper()
			var page struct {
				Data []struct {
					ID           string
					Ongoing      bool
					Duration     int
					Participants []struct {
						SID      string `json:"participant_id"`
						Duration int
					}
				}
			}
			a := d.must("GET", "/meetings", "")
			if err := json.Unmarshal([]byte(a.Text), &page); err != nil || len(page.Data) != 2 || len(page.Data[0].Participants) != 2 {
				t.Fatal(a.Text, err)
			}
			m := page.Data[0]
			if m.Ongoing || m.Duration < 3600 || m.Duration > 3629 || m.Participants[0].Duration != m.Duration || m.Participants[1].Duration != 600 {
				t.Errorf("got %+v", m)
			}
			if m := page.Data[1]; m.ID != "ended" || m.Ongoing || m.Duration != 1 || m.Participants[0].Duration != 1 {
				t.Errorf("got %+v", m)
			}
		}
		want()
		synctest.Wait()
		again := copied(t, left) // it ended for good
		d.stop()
		time.Sleep(24 * time.Hour)
		d = newDesk(t, again, nil)
		want()
		d.stop()
	})
}

// What goes on is written at most every half a minute, and all of it at the end.
func TestMeetingsAreWrittenSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tallied{Store: store.NewMemory()}
		d := newDesk(t, s, nil)
		h := newHall(d)
		h.begin("blue", "m")
		for i := range 6000 {
			h.enter("blue", fmt.Sprint("PA_", i), "ada", "")
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if n := s.writes.Load(); n > 22 { // ten minutes, and the beginning
			t.Errorf("written %d times", n)
		}
		d.stop()
		d = newDesk(t, s.Store, nil)
		if got := d.must("GET", "/meetings/m", ""); got.Fields["max_participants"] != 6000.0 {
			t.Errorf("got %s", got.Text)
		}
		d.stop()
	})
}

// tallied counts how often a meeting is written.
type tallied struct {
	store.Store
	writes atomic.Int64
}

func (s *tallied) Commit(changes ...store.Change) *store.Ticket {
	for _, c := range changes {
		if c.Bucket == store.Meetings {
			s.writes.Add(1)
		}
	}
	return s.Store.Commit(changes...)
}

// A store that fails for a while does not lose meetings, nor hold up rooms.
func TestMeetingsWhenTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: store.NewMemory()}
		d := newDesk(t, s, nil)
		h := newHall(d)
		s.fails.Store(true)
		h.begin("blue", "m")
		h.enter("blue", "PA_1", "ada", "")
		h.end("blue")
		synctest.Wait()
		if got := kept(t, s); len(got) > 0 {
			t.Fatalf("kept: %q", got)
		}
		s.fails.Store(false)
		time.Sleep(time.Minute)
		if got := kept(t, s); !slices.Equal(got, []string{"m"}) {
			t.Errorf("kept: %q", got)
		}
		d.stop()
	})
}

// failing refuses commits while it fails.
type failing struct {
	store.Store
	fails atomic.Bool
}

func (s *failing) Commit(changes ...store.Change) *store.Ticket {
	if s.fails.Load() {
		changes = []store.Change{{Bucket: "no such bucket"}}
	}
	return s.Store.Commit(changes...)
}

func TestDamagedMeetingsStopTheStart(t *testing.T) {
	for name, c := range map[string]store.Change{
		"no JSON":      {Bucket: store.Meetings, Key: "m", Value: []byte(`{`)},
		"another id":   {Bucket: store.Meetings, Key: "m", Value: []byte(`{"id":"n","began":"2000-01-01T00:00:00Z"}`)},
		"no beginning": {Bucket: store.Meetings, Key: "m", Value: []byte(`{"id":"m"}`)},
		"no time":      store.Setting{Key: "daily/meetings/alive", Value: []byte("now")}.Put(),
	} {
		s := store.NewMemory()
		if err := s.Commit(c).Wait(); err != nil {
			t.Fatal(err)
		}
		m := daily.NewMeetings(s, nil)
		if err := m.Load(); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
		m.Close()
	}
}
