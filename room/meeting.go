package room

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"time"

	"usher/auth"
)

// meetLocked begins a meeting when somebody comes into an empty room.
func (r *Room) meetLocked() {
	if len(r.participants) > 0 {
		return
	}
	r.meeting = Meeting{ID: NewUUID(), Began: time.Now()}
	r.observeLocked(&Occurrence{Occasion: MeetingStarted})
}

// partLocked ends the meeting when nobody is there any more, and what was shared
// in it goes. Somebody who is replaced by whoever comes leaves no empty room.
func (r *Room) partLocked() {
	if len(r.participants) > 0 || r.arriving || r.meeting.ID == "" {
		return
	}
	r.observeLocked(&Occurrence{Occasion: MeetingEnded})
	r.meeting, r.data = Meeting{}, nil
}

// hadDailyLocked reports whether the room has a Daily part, or had one in this life.
func (r *Room) hadDailyLocked() bool {
	r.daily = r.daily || r.dailyLocked() != nil
	return r.daily
}

// NewUUID returns a random UUID (version 4).
func NewUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// startOfLocked is what p's page should begin with: its token says so, or the room.
func (r *Room) startOfLocked(p *Participant) auth.Start {
	start := p.grant.Start
	if part := r.dailyLocked(); part != nil {
		start.VideoOff = cmp.Or(start.VideoOff, part.Start.VideoOff)
		start.AudioOff = cmp.Or(start.AudioOff, part.Start.AudioOff)
		start.ScreenShare = cmp.Or(start.ScreenShare, part.Start.ScreenShare)
	}
	return start
}
