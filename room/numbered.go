package room

// A numbered event is one of those that everybody in the room sees.
type numbered interface {
	Event
	number(uint64)
	seq() uint64
	size() int
}

func (e *ParticipantJoined) number(n uint64)  { e.Seq = n }
func (e *ParticipantLeft) number(n uint64)    { e.Seq = n }
func (e *ParticipantUpdated) number(n uint64) { e.Seq = n }
func (e *Changes) number(n uint64)            { e.Seq = n }
func (e *TrackPublished) number(n uint64)     { e.Seq = n }
func (e *TrackUnpublished) number(n uint64)   { e.Seq = n }
func (e *TrackMuted) number(n uint64)         { e.Seq = n }
func (e *RoomUpdated) number(n uint64)        { e.Seq = n }

func (e *ParticipantJoined) seq() uint64  { return e.Seq }
func (e *ParticipantLeft) seq() uint64    { return e.Seq }
func (e *ParticipantUpdated) seq() uint64 { return e.Seq }
func (e *Changes) seq() uint64            { return e.Seq }
func (e *TrackPublished) seq() uint64     { return e.Seq }
func (e *TrackUnpublished) seq() uint64   { return e.Seq }
func (e *TrackMuted) seq() uint64         { return e.Seq }
func (e *RoomUpdated) seq() uint64        { return e.Seq }

func (e *ParticipantJoined) size() int  { return e.Participant.size() }
func (e *ParticipantLeft) size() int    { return 64 + len(e.Identity) }
func (e *ParticipantUpdated) size() int { return e.Participant.size() }
func (e *TrackPublished) size() int {
	return 128 + len(e.Identity) + len(e.Track.Codec) + len(e.Track.Name)
}
func (e *TrackUnpublished) size() int { return 96 + len(e.Identity) }
func (e *TrackMuted) size() int       { return 64 }
func (e *RoomUpdated) size() int      { return 256 + len(e.Room.Metadata) }
func (e *Changes) size() int {
	n := 64
	for _, c := range e.Changes {
		n += c.(numbered).size()
	}
	return n
}
