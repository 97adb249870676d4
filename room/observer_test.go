package room_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"usher/auth"
	"usher/room"
)

// A watcher is an observer that keeps what it is told.
type watcher struct {
	mu    sync.Mutex
	lives map[string][]*room.Occurrence // by the room's sid
	all   []*room.Occurrence
}

func newWatcher() *watcher { return &watcher{lives: make(map[string][]*room.Occurrence)} }

func (w *watcher) Observe(o *room.Occurrence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, o)
	w.lives[o.Room.ID] = append(w.lives[o.Room.ID], o)
}

// check goes through the lives of rooms that have ended.
func (w *watcher) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, life := range w.lives {
		if id == "" {
			continue
		}
		people, tracks, waiting := map[string]int{}, map[string]int{}, map[string]int{}
		meeting := ""
		life = w.started(t, life, waiting)
		for i, o := range life {
			if o.Seq != life[0].Seq+uint64(i) || o.Room.ID != id || o.At.IsZero() || o.Project != "test" {
				t.Errorf("occurrence %d of %s is %+v", i+1, id, o)
			}
			if (o.Occasion == room.RoomStarted) != (i == 0) || (o.Occasion == room.RoomFinished) != (i == len(life)-1) {
				t.Errorf("occurrence %d of %d is %s", i+1, len(life), o.Occasion)
			}
			if o.Occasion == room.MeetingStarted && meeting == "" {
				meeting = o.Room.Meeting.ID
			}
			if o.Room.Meeting.ID != meeting {
				t.Errorf("%s in the meeting %q, it is %q", o.Occasion, o.Room.Meeting.ID, meeting)
			}
			switch o.Occasion {
			case room.MeetingStarted, room.MeetingEnded:
				for sid, n := range people {
					if n != 0 {
						t.Errorf("%s while %s is there", o.Occasion, sid)
					}
				}
				if o.Occasion == room.MeetingEnded {
					meeting = ""
				}
			case room.WaitingEntered, room.WaitingDeparted:
				w.waits(t, o, waiting)
			case room.ParticipantEntered:
				if people[o.Participant.SID]++; people[o.Participant.SID] != 1 {
					t.Errorf("%s entered again", o.Participant.Identity)
				}
			case room.ParticipantDeparted:
				if people[o.Participant.SID]--; people[o.Participant.SID] != 0 {
					t.Errorf("%s departed, who was not there", o.Participant.Identity)
				}
				if o.Reason == "" || o.Participant.State != room.Gone {
					t.Errorf("%s departed as %s for %q", o.Participant.Identity, o.Participant.State, o.Reason)
				}
				for sid, publisher := range tracks {
					if publisher > 0 && strings.HasPrefix(sid, o.Participant.SID+" ") {
						t.Errorf("%s departed before its track ended", o.Participant.Identity)
					}
				}
			case room.TrackAdded, room.TrackEnded:
				sid := o.Participant.SID + " " + o.Track.SID
				if people[o.Participant.SID] != 1 {
					t.Errorf("%s of somebody who is not there", o.Occasion)
				}
				if o.Occasion == room.TrackAdded {
					tracks[sid]++
				} else {
					tracks[sid]--
				}
				if n := tracks[sid]; n < 0 || n > 1 {
					t.Errorf("%s out of order", o.Occasion)
				}
			}
		}
		for sid, n := range people {
			if n != 0 {
				t.Errorf("%s never departed", sid)
			}
		}
		for sid, n := range waiting {
			if n != 0 {
				t.Errorf("%s never stopped waiting", sid)
			}
		}
		for sid, n := range tracks {
			if n != 0 {
				t.Errorf("the track %s never ended", sid)
			}
		}
	}
}

// started goes through what is before a life has started, when people only wait, and
// returns the rest.
func (w *watcher) started(t *testing.T, life []*room.Occurrence, waiting map[string]int) []*room.Occurrence {
	for i, o := range life {
		switch o.Occasion {
		case room.WaitingEntered, room.WaitingDeparted:
			w.waits(t, o, waiting)
		case room.TokensRevoked:
		default:
			return life[i:]
		}
	}
	return nil
}

// waits notes that somebody waits, or does not any more.
func (w *watcher) waits(t *testing.T, o *room.Occurrence, waiting map[string]int) {
	n := 1
	if o.Occasion == room.WaitingDeparted {
		n = -1
	}
	if waiting[o.Participant.SID] += n; waiting[o.Participant.SID] != max(0, n) {
		t.Errorf("%s: %s out of order", o.Participant.Identity, o.Occasion)
	}
}

// What a backend is told of a room, in its order: hidden people, too, and who is
// replaced before who replaces.
func TestObserver(t *testing.T) {
	watch := newWatcher()
	h := newHall(t, room.Config{AutoCreate: true, Observer: watch})
	ada := h.join("ada")
	h.join("spy", hidden)
	must(t, ada.p.PublishTrack(ada.call(1), room.Track{Kind: room.Audio, Source: auth.Microphone}))
	h.update(room.Target{Identity: "ada"}, room.Change{Name: new("Ada"), Metadata: new("m")})
	h.join("ada") // replaces
	b := h.rooms.Batch()
	_, err := h.room().SetMetadata(b, "of the room")
	must(t, err, h.move("spy", "hall", "stage"), h.room().Remove(b, room.Target{Identity: "ada"}, room.Removal{}), h.room().Delete(b),
		h.lookup("stage").Delete(b))
	var got []string
	for _, o := range watch.all {
		who := o.Room.Name
		if o.Participant != nil {
			who += "/" + o.Participant.Identity
		}
		if o.Reason != "" {
			who += " " + string(o.Reason)
		}
		got = append(got, string(o.Occasion)+" "+who)
	}
	want := []string{
		"room_started hall", "meeting_started hall", "participant_joined hall/ada", "participant_joined hall/spy", "track_published hall/ada",
		"participant_updated hall/ada", "track_unpublished hall/ada", "participant_left hall/ada DUPLICATE_IDENTITY", "participant_joined hall/ada",
		"room_updated hall", "participant_left hall/spy MIGRATION", "room_started stage", "meeting_started stage", "participant_joined stage/spy",
		"participant_left hall/ada PARTICIPANT_REMOVED", "meeting_ended hall", "tokens_revoked hall", "room_finished hall ROOM_DELETED",
		"participant_left stage/spy ROOM_DELETED", "meeting_ended stage", "room_finished stage ROOM_DELETED",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	watch.check(t)
}
