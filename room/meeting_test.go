package room_test

import (
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"usher/auth"
	"usher/room"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// A meeting is from the first to come, whatever its token, until nobody is there. One
// who is replaced, or away for a moment, does not end it. Facts §3.
func TestMeeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := newWatcher()
		h := start(t, room.Config{AutoCreate: true, Observer: watch, Grace: 30 * time.Second, DepartureTimeout: time.Hour})
		ada := h.join("ada")
		first := h.room().Summary().Meeting
		if !uuid.MatchString(first.ID) || !first.Began.Equal(time.Now()) {
			t.Errorf("the meeting is %+v", first)
		}
		again := h.join("ada") // replaces the only one
		if ended := ada.ended(); ended == nil || *ended != room.CauseReplaced {
			t.Fatal("ada was not replaced")
		}
		again.p.Disconnected(again.batch, 1, true)
		again.batch.Flush()
		time.Sleep(29 * time.Second)
		if got := h.room().Summary().Meeting; got != first {
			t.Errorf("in the grace period the meeting is %+v, was %+v", got, first)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := h.room().Summary().Meeting; got != (room.Meeting{}) {
			t.Errorf("with nobody there it is %+v", got)
		}
		spy := h.join("spy", hidden)
		if got := h.room().Summary().Meeting; got.ID == first.ID || got.ID == "" || !got.Began.Equal(time.Now()) {
			t.Errorf("the next meeting is %+v", got)
		}
		spy.leave()
		h.flushed(func(b *room.Batch) { must(t, h.room().Delete(b)) })
		var told []string
		for _, o := range watch.all {
			told = append(told, string(o.Occasion))
			if o.Room.Meeting.ID == "" && o.Occasion != room.RoomStarted && o.Occasion != room.RoomFinished {
				t.Errorf("%s in no meeting", o.Occasion)
			}
		}
		want := []string{"room_started", "meeting_started", "participant_joined", "participant_left", "participant_joined", "participant_left", "meeting_ended",
			"meeting_started", "participant_joined", "participant_left", "meeting_ended", "room_finished"}
		if !slices.Equal(told, want) {
			t.Errorf("the observer was told\n%v\nwant\n%v", told, want)
		}
		watch.check(t)
	})
}

// What a page is to begin with: the token says so, or the room. §1.1, §2.3.
func TestStart(t *testing.T) {
	yes, no := new(true), new(false)
	for name, c := range map[string]struct{ token, room, want auth.Start }{
		"neither":   {},
		"the room":  {room: auth.Start{VideoOff: yes, ScreenShare: no}, want: auth.Start{VideoOff: yes, ScreenShare: no}},
		"the token": {token: auth.Start{AudioOff: yes}, want: auth.Start{AudioOff: yes}},
		"both": {token: auth.Start{VideoOff: no}, room: auth.Start{VideoOff: yes, AudioOff: yes},
			want: auth.Start{VideoOff: no, AudioOff: yes}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, room.Config{})
			h.opens(room.DailySettings{Start: c.room})
			got := last[*room.Snapshot](t, h.comes(caller("ada", func(g *auth.Grant) { g.Start = c.token }))).Start
			for _, pair := range [][2]*bool{{got.VideoOff, c.want.VideoOff}, {got.AudioOff, c.want.AudioOff}, {got.ScreenShare, c.want.ScreenShare}} {
				if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && *pair[0] != *pair[1] {
					t.Errorf("it begins with %+v, want %+v", got, c.want)
				}
			}
		})
	}
}
