package daily_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
	"usher/room/store"
	"usher/web/daily"
)

// A hall makes the occurrences of meetings as rooms would.
type hall struct {
	*desk
	meetings map[string]room.Meeting // by room
	infos    map[string]*room.Info
}

func newHall(d *desk) *hall {
	return &hall{desk: d, meetings: map[string]room.Meeting{}, infos: map[string]*room.Info{}}
}

func (h *hall) summary(name string) room.Summary {
	return room.Summary{ID: "RM_" + name, Name: name, Daily: true, Meeting: h.meetings[name]}
}

func (h *hall) begin(name, id string) {
	h.meetings[name] = room.Meeting{ID: id, Began: time.Now()}
	h.occur(name, room.Occurrence{Occasion: room.MeetingStarted, Room: h.summary(name)})
}

func (h *hall) enter(name, sid, identity, called string) {
	h.infos[sid] = &room.Info{SID: sid, Identity: identity, Name: called, JoinedAt: time.Now()}
	h.occur(name, room.Occurrence{Occasion: room.ParticipantEntered, Room: h.summary(name), Participant: h.infos[sid]})
}

func (h *hall) leave(name, sid string) {
	h.occur(name, room.Occurrence{Occasion: room.ParticipantDeparted, Room: h.summary(name), Participant: h.infos[sid]})
}

func (h *hall) end(name string) {
	h.occur(name, room.Occurrence{Occasion: room.MeetingEnded, Room: h.summary(name)})
}

// ids returns the ids of a page of meetings, and the total.
func (d *desk) ids(query string) (ids []string, total int) {
	d.t.Helper()
	var page struct {
		Total int `json:"total_count"`
		Data  []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(d.must("GET", "/meetings?"+query, "").Text), &page); err != nil {
		d.t.Fatal(err)
	}
	for _, m := range page.Data {
		ids = append(ids, m.ID)
	}
	return ids, page.Total
}

// §3: meetings and their participants to the letter, while they go on and after.
func TestMeetings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is the year 2000
		d := newDesk(t, store.NewMemory(), nil)
		defer d.stop()
		h := newHall(d)
		d.must("GET", "/meetings", "").is(t, 200, `{"total_count":0,"data":[]}`)
		h.begin("blue", "m1")
		h.enter("blue", "PA_1", "ada", "Ada")
		time.Sleep(10 * time.Second)
		h.enter("blue", "PA_2", auth.AnonymousPrefix+"x", "")
		time.Sleep(5500 * time.Millisecond)
		const (
			ada   = `{"user_id":"ada","participant_id":"PA_1","user_name":"Ada","join_time":946684800,"duration":`
			other = `{"user_id":"PA_2","participant_id":"PA_2","user_name":null,"join_time":946684810,"duration":`
			head  = `{"id":"m1","room":"blue","start_time":946684800,"duration":`
		)
		d.must("GET", "/meetings", "").is(t, 200, `{"total_count":1,"data":[`+head+`15,"ongoing":true,"max_participants":2,"participants":[`+ada+`15},`+other+`5}]}]}`)
		h.leave("blue", "PA_1")
		d.occur("blue", room.Occurrence{Occasion: room.ParticipantChanged, Changed: room.ChangedName, Room: h.summary("blue"),
			Participant: &room.Info{SID: "PA_2", Name: "Bob"}})
		time.Sleep(time.Minute)
		h.leave("blue", "PA_2")
		h.end("blue")
		time.Sleep(time.Hour)
		bob := strings.Replace(other, `"user_name":null`, `"user_name":"Bob"`, 1)
		const after = head + `75,"ongoing":false,"max_participants":2`
		d.must("GET", "/meetings/", "").is(t, 200, `{"total_count":1,"data":[`+after+`,"participants":[`+ada+`15},`+bob+`65}]}]}`)
		d.must("GET", "/meetings?no_participants=true", "").is(t, 200, `{"total_count":1,"data":[`+after+`}]}`)
		d.must("GET", "/meetings/m1", "").is(t, 200, after+`}`)
		d.must("GET", "/meetings/m1/participants", "").is(t, 200, `{"data":[`+ada+`15},`+bob+`65}]}`)

		// Another project's, and one that never was.
		d.with(otherKey, "GET", "/meetings", "").is(t, 200, `{"total_count":0,"data":[]}`)
		d.with(otherKey, "GET", "/meetings/m1", "").want(t, 400, "invalid-request-error", "meeting m1 not found")
		d.with(otherKey, "GET", "/meetings/m1/participants", "").want(t, 404, "not-found", "meeting m1 not found")
		d.must("GET", "/meetings?room=never", "").is(t, 200, `{"total_count":0,"data":[]}`)
	})
}

// Only rooms with a Daily part are remembered. One that gets it while people are
// there begins then; that it had one in its life is said to the end.
func TestMeetingsOfWhichRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, store.NewMemory(), nil)
		defer d.stop()
		plain := room.Summary{ID: "RM_p", Name: "plain", Meeting: room.Meeting{ID: "m0", Began: time.Now()}}
		d.occur("", room.Occurrence{Occasion: room.MeetingStarted, Room: plain})
		d.occur("", room.Occurrence{Occasion: room.ParticipantEntered, Room: plain, Participant: &room.Info{SID: "PA_1", Identity: "ada"}})
		if ids, _ := d.ids(""); len(ids) > 0 {
			t.Errorf("got %q", ids)
		}
		plain.Daily = true
		time.Sleep(time.Second)
		d.occur("", room.Occurrence{Occasion: room.ParticipantEntered, Room: plain, Participant: &room.Info{SID: "PA_2", Identity: "bob", JoinedAt: time.Now()}})
		d.occur("", room.Occurrence{Occasion: room.ParticipantDeparted, Room: plain, Participant: &room.Info{SID: "PA_1", Identity: "ada"}})
		time.Sleep(time.Second)
		d.occur("", room.Occurrence{Occasion: room.ParticipantDeparted, Room: plain, Participant: &room.Info{SID: "PA_2", Identity: "bob"}})
		d.occur("", room.Occurrence{Occasion: room.MeetingEnded, Room: plain})
		d.must("GET", "/meetings", "").is(t, 200, `{"total_count":1,"data":[{"id":"m0","room":"plain","start_time":946684800,"duration":2,"ongoing":false,"max_participants":1,`+
			`"participants":[{"user_id":"bob","participant_id":"PA_2","user_name":null,"join_time":946684801,"duration":1}]}]}`)
	})
}

// §3: the filters, alone and together. total_count is of what they pick.
func TestMeetingsByFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, store.NewMemory(), nil)
		defer d.stop()
		h := newHall(d)
		began := time.Now().Unix()
		for i, name := range []string{"blue", "red", "blue", "red", "blue"} {
			h.begin(name, fmt.Sprint("m", i))
			time.Sleep(10 * time.Second)
			if i < 3 {
				h.end(name)
			}
		}
		at := func(seconds int64) string { return strconv.FormatInt(began+seconds, 10) }
		for query, want := range map[string]string{
			"":                                  "m4 m3 m2 m1 m0",
			"room=blue":                         "m4 m2 m0",
			"ongoing=true":                      "m4 m3",
			"ongoing=false":                     "m2 m1 m0",
			"ongoing=false&room=red":            "m1",
			"timeframe_start=" + at(10):         "m4 m3 m2 m1", // from then on
			"timeframe_end=" + at(10):           "m0",          // before
			"timeframe_start=" + at(10) + ".5":  "m4 m3 m2",
			"timeframe_start=1&timeframe_end=2": "",
			"timeframe_start=" + at(11) + "&room=red&timeframe_end=" + at(31): "m3",
		} {
			ids, total := d.ids(query)
			if got := strings.Join(ids, " "); got != want || total != len(strings.Fields(want)) {
				t.Errorf("%s: got %q of %d, want %q", query, got, total, want)
			}
		}
		for query, info := range map[string]string{
			"limit=0":                            "limit was '0' but should be a number from 1 to 100",
			"limit=101":                          "limit was '101' but should be a number from 1 to 100",
			"ongoing=maybe":                      "ongoing was 'maybe' but should be true or false",
			"no_participants=2":                  "no_participants was '2' but should be true or false",
			"timeframe_start=today":              "timeframe_start was 'today' but should be a number of seconds since the unix epoch",
			"timeframe_end=NaN":                  "timeframe_end was 'NaN' but should be a number of seconds since the unix epoch",
			"starting_after=never":               "starting_after was 'never' but should be the id of a meeting",
			"ending_before=never":                "ending_before was 'never' but should be the id of a meeting",
			"starting_after=m1&ending_before=m2": "there may be starting_after or ending_before, not both",
		} {
			d.call("GET", "/meetings?"+query, "").want(t, 400, "invalid-request-error", info)
		}
	})
}

// §3: paging over 250 meetings, forwards and backwards, gives each once and in its
// order, also when others begin in the meantime.
func TestMeetingsByPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, store.NewMemory(), nil)
		defer d.stop()
		h := newHall(d)
		var all []string // the newest first
		for i := range 250 {
			name := []string{"blue", "red"}[i%2]
			h.begin(name, fmt.Sprint("m", i))
			h.end(name)
			if i%10 != 0 {
				time.Sleep(time.Millisecond) // else some began at the same time
			}
			all = slices.Insert(all, 0, fmt.Sprint("m", i))
		}
		blue := slices.DeleteFunc(slices.Clone(all), func(id string) bool { n, _ := strconv.Atoi(id[1:]); return n%2 == 1 })
		for _, c := range []struct {
			query string
			limit int
			want  []string
		}{{"", 0, all}, {"limit=7", 7, all}, {"limit=100", 100, all}, {"room=blue&limit=40", 40, blue}} {
			var got []string
			cursor := ""
			for {
				ids, total := d.ids(c.query + cursor)
				if total < len(c.want) || len(ids) > max(c.limit, 100-100*c.limit) {
					t.Fatalf("%s: %d of %d", c.query, len(ids), total)
				}
				if len(ids) == 0 {
					break
				}
				if got == nil {
					h.begin("green", "new "+c.query) // it does not shift what comes
				}
				got = append(got, ids...)
				cursor = "&starting_after=" + url.QueryEscape(ids[len(ids)-1])
			}
			if got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "new") }); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %q", c.query, got)
			}

			got, cursor = nil, "&ending_before=OLDEST"
			for {
				ids, _ := d.ids(c.query + cursor)
				if len(ids) == 0 {
					break
				}
				got = append(slices.Clone(ids), got...)
				cursor = "&ending_before=" + url.QueryEscape(ids[0])
			}
			if got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "new") }); !slices.Equal(got, c.want) {
				t.Errorf("%s backwards: got %q", c.query, got)
			}
		}
		// A cursor that the filter does not pick is where it would be.
		if ids, _ := d.ids("room=blue&limit=2&starting_after=m7"); !slices.Equal(ids, []string{"m6", "m4"}) {
			t.Errorf("got %q", ids)
		}
		if ids, _ := d.ids("room=blue&limit=2&ending_before=m7"); !slices.Equal(ids, []string{"m10", "m8"}) {
			t.Errorf("got %q", ids)
		}
	})
}

// §3: participants page by page, to the 404 that says there are no more. Who is
// there a second time is there twice.
func TestMeetingParticipantsByPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, store.NewMemory(), nil)
		defer d.stop()
		h := newHall(d)
		h.begin("blue", "m")
		d.call("GET", "/meetings/m/participants", "").want(t, 404, "not-found", "there are no more participants of meeting m")
		for i := range 130 {
			h.enter("blue", fmt.Sprint("PA_", i), "user-"+strconv.Itoa(i%100), "")
			time.Sleep(time.Second)
		}
		page := func(query string) (sids []string) {
			t.Helper()
			a := d.call("GET", "/meetings/m/participants?"+query, "")
			if a.status == 404 {
				a.want(t, 404, "not-found", "there are no more participants of meeting m")
				return nil
			}
			var body struct {
				Data []struct {
					SID      string `json:"participant_id"`
					User     string `json:"user_id"`
					Duration int
				}
			}
			if err := json.Unmarshal([]byte(a.Text), &body); err != nil || a.status != 200 {
				t.Fatal(a.status, a.Text, err)
			}
			for _, p := range body.Data {
				n, _ := strconv.Atoi(p.SID[3:])
				if p.Duration != 130-n || p.User != "user-"+strconv.Itoa(n%100) {
					t.Errorf("got %+v", p)
				}
				sids = append(sids, p.SID[3:])
			}
			return sids
		}
		for query, want := range map[string][2]int{
			"":                           {0, 100},
			"joined_after=PA_99":         {100, 130},
			"joined_after=PA_129":        {},
			"limit=5&joined_after=PA_9":  {10, 15},
			"limit=5&joined_before=PA_9": {4, 9},
			"limit=5&joined_before=PA_2": {0, 2},
			"joined_before=PA_0":         {},
			"joined_before=PA_5&joined_after=PA_1&limit=2": {2, 4},
		} {
			var wanted []string
			for i := want[0]; i < want[1]; i++ {
				wanted = append(wanted, strconv.Itoa(i))
			}
			if got := page(query); !slices.Equal(got, wanted) {
				t.Errorf("%s: got %q, want %q", query, got, wanted)
			}
		}
		d.call("GET", "/meetings/m/participants?joined_after=ada", "").want(t, 400, "invalid-request-error", "joined_after was 'ada' but should be the id of a participant")
		d.call("GET", "/meetings/m/participants?joined_before=ada", "").want(t, 400, "invalid-request-error", "joined_before was 'ada' but should be the id of a participant")
	})
}

// The whole way: people meet in a room of Daily's API, and that is a meeting.
func TestMeetingOfSessions(t *testing.T) {
	s := store.NewMemory()
	m := daily.NewMeetings(s, nil)
	if err := m.Load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	site := serve(t, options{store: s,
		room: func(c *room.Config) { c.Observer = m },
		api:  func(c *daily.Config) { c.Meetings = m }})
	site.must("POST", "/rooms", `{"name":"blue"}`)
	_, ada := site.enter("blue", site.token(`{"room_name":"blue","user_id":"ada","user_name":"Ada"}`))
	_, guest := site.enter("blue", "")
	got := site.must("GET", "/meetings?room=blue&ongoing=true", "")
	var page struct {
		Data []struct {
			ID           string
			Most         int `json:"max_participants"`
			Participants []struct {
				User *string `json:"user_id"`
				SID  string  `json:"participant_id"`
			}
		}
	}
	if err := json.Unmarshal([]byte(got.Text), &page); err != nil || len(page.Data) != 1 || len(page.Data[0].Participants) != 2 {
		t.Fatal(got.Text, err)
	}
	who := page.Data[0].Participants
	if page.Data[0].Most != 2 || who[0].SID != sid(ada) || who[0].User == nil || *who[0].User != "ada" || who[1].SID != sid(guest) || who[1].User == nil || *who[1].User != sid(guest) {
		t.Errorf("got %s", got.Text)
	}
	if p := site.must("GET", "/rooms/blue/presence", ""); !strings.Contains(p.Text, page.Data[0].ID) {
		t.Errorf("presence has another meeting than %s: %s", page.Data[0].ID, p.Text)
	}
	site.must("DELETE", "/rooms/blue", "")
	if got := site.must("GET", "/meetings/"+page.Data[0].ID, ""); got.Fields["ongoing"] != false {
		t.Errorf("got %s", got.Text)
	}
}

// Rooms without a Daily part never wait for the log, whatever occurs in them.
func TestMeetingsDoNotHoldUpOtherRooms(t *testing.T) {
	m := daily.NewMeetings(store.NewMemory(), nil)
	defer daily.LockMeetings(m)()
	done := make(chan struct{})
	go func() { // until all is observed
		defer close(done)
		for _, o := range []room.Occasion{room.MeetingStarted, room.ParticipantEntered, room.ParticipantChanged, room.ParticipantDeparted, room.MeetingEnded} {
			m.Observe(&room.Occurrence{Occasion: o, Changed: room.ChangedName, Project: "test", At: time.Now(), Participant: &room.Info{SID: "PA_1"},
				Room: room.Summary{ID: "RM_1", Name: "plain", Meeting: room.Meeting{ID: "m", Began: time.Now()}}})
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a room waits")
	}
}

// BenchmarkMeetingsObserve is what a room pays, under its mutex, for the log.
func BenchmarkMeetingsObserve(b *testing.B) {
	began := time.Now()
	summary := room.Summary{ID: "RM_a", Name: "a", Daily: true, Meeting: room.Meeting{ID: "m", Began: began}}
	info := &room.Info{SID: "PA_a", Identity: "ada", JoinedAt: began}
	for name, list := range map[string][]room.Occurrence{
		"join and leave": {{Occasion: room.ParticipantEntered, Participant: info}, {Occasion: room.ParticipantDeparted, Participant: info}},
		"a track":        {{Occasion: room.TrackAdded, Participant: info}},
	} {
		b.Run(name, func(b *testing.B) {
			m := daily.NewMeetings(store.NewMemory(), nil)
			b.ReportAllocs()
			for b.Loop() {
				for i := range list {
					o := &list[i]
					o.Project, o.At, o.Room = "test", began, summary
					m.Observe(o)
				}
			}
		})
	}
}
