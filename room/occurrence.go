package room

import "time"

// An Occasion is a kind of [Occurrence]. Its text is LiveKit's word for it
// where LiveKit has one.
type Occasion string

const (
	RoomStarted         Occasion = "room_started"
	RoomFinished        Occasion = "room_finished"
	ParticipantEntered  Occasion = "participant_joined"
	ParticipantDeparted Occasion = "participant_left"
	TrackAdded          Occasion = "track_published"
	TrackEnded          Occasion = "track_unpublished"
	ParticipantChanged  Occasion = "participant_updated" // Changed says what of it
	RoomChanged         Occasion = "room_updated"
	TokensRevoked       Occasion = "tokens_revoked"
	MeetingStarted      Occasion = "meeting_started" // before the first participant's
	MeetingEnded        Occasion = "meeting_ended"   // after the last one's
	WaitingEntered      Occasion = "waiting_joined"  // somebody waits to be let in
	WaitingDeparted     Occasion = "waiting_left"    // it does not any more, whatever the answer
)

// An Occurrence is what a backend may want to be told. It is immutable, and
// shows hidden participants, too.
type Occurrence struct {
	Occasion Occasion
	At       time.Time
	Project  string

	// Seq counts the occurrences of the room's life, from 1 and without gaps;
	// 0 when it is of no room's life.
	Seq  uint64
	Room Summary // zero but for Name, perhaps, when it is of no room's life

	Participant *Info      // of all but those of rooms
	Track       *TrackInfo // of tracks
	Changed     Changed    // of ParticipantChanged
	Reason      Reason     // of ParticipantDeparted, RoomFinished, and WaitingDeparted unless it was let in
	Revocation  *Revocation
}

// An Observer is told what occurs, in the order of each room.
type Observer interface {
	// Observe is called under the room's mutex. It only takes memory.
	Observe(*Occurrence)
}

// observeLocked has the observer told of something in the room.
func (r *Room) observeLocked(o *Occurrence) {
	if r.rooms.cfg.Observer == nil {
		return
	}
	r.occurrences++
	o.At, o.Project, o.Seq, o.Room = time.Now(), r.Project, r.occurrences, r.summaryLocked()
	r.rooms.cfg.Observer.Observe(o)
}
