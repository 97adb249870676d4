package room

import (
	"sync/atomic"
	"time"

	"usher/auth"
)

// An Event is what a session is told. Events are immutable: they hold values
// and pointers to immutable snapshots, never live state.
type Event interface{ event() }

// State is how far a participant has come.
type State string

const (
	Joining      State = "joining"
	Active       State = "active"
	Reconnecting State = "reconnecting" // its connection is cut, its grace period runs
	Gone         State = "gone"
)

// A Reason says why a participant left. Its text is LiveKit's (DisconnectReason).
type Reason string

const (
	ClientInitiated    Reason = "CLIENT_INITIATED"
	DuplicateIdentity  Reason = "DUPLICATE_IDENTITY"
	ServerShutdown     Reason = "SERVER_SHUTDOWN"
	ParticipantRemoved Reason = "PARTICIPANT_REMOVED"
	RoomDeleted        Reason = "ROOM_DELETED"
	RoomClosed         Reason = "ROOM_CLOSED" // it ended by itself
	ConnectionTimeout  Reason = "CONNECTION_TIMEOUT"
	Migration          Reason = "MIGRATION" // moved to another room
	// Vanished is what the others are told of a participant that became hidden.
	Vanished Reason = "UNKNOWN_REASON"
)

// Info is a snapshot of a participant.
type Info struct {
	SID         string
	Identity    string
	Name        string
	Kind        auth.Kind
	KindDetails []string
	State       State
	Metadata    string
	Attributes  map[string]string
	Permission  auth.Permission
	Recorder    bool
	// Dialect is that of its connection, see [Encoder].
	Dialect  uint8
	Tracks   []*TrackInfo
	JoinedAt time.Time
	// EjectAt is when it is put out; zero: never.
	EjectAt time.Time
	Version uint64
	// Actor is the participant's number for clients that want one. It is
	// never given twice, in no room; 0 stands for nobody.
	Actor uint64

	encoded memo
}

// TrackInfo is a snapshot of a track.
type TrackInfo struct {
	SID    string
	Handle uint32
	Kind   TrackKind
	Source auth.Source
	Name   string
	Muted  bool
	Codec  []byte // the publisher's decoder configuration, passed on as it is
}

// TrackKind is what a track carries.
type TrackKind string

const (
	Audio     TrackKind = "audio"
	Video     TrackKind = "video"
	DataTrack TrackKind = "data"
)

// Summary is a snapshot of a room.
type Summary struct {
	ID               string
	Name             string
	Metadata         string
	NumParticipants  int // those that are shown
	NumPublishers    int
	MaxParticipants  int
	EmptyTimeout     time.Duration
	DepartureTimeout time.Duration
	CreatedAt        time.Time
	Recording        bool // somebody in it is a recorder
	Meeting          Meeting
	Daily            bool // it has a Daily part
}

// A Meeting is the time in which a room has somebody in it without a break.
type Meeting struct {
	ID    string // a UUID; empty: nobody is there
	Began time.Time
}

// Changed says which parts of a participant an [Updated] is about.
type Changed uint8

const (
	ChangedName Changed = 1 << iota
	ChangedMetadata
	ChangedAttributes
	ChangedPermission
	ChangedState
	ChangedStay // when it is put out
)

type (
	// Snapshot opens a session, and opens it again on a resume.
	Snapshot struct {
		Session, Secret string
		Recovered       bool
		Seq             uint64
		Epoch           string
		LastRequest     uint64
		Room            Summary
		Self            *Info
		Participants    []*Info // nil when Recovered
		Presence        map[string]Presence
		Waiting         []*Info // to be let in, nil when Recovered; for those who may do that
		SessionData     SessionData
		Start           auth.Start
		Grace           time.Duration
		PingInterval    time.Duration // filled in for the client to see; the sessions ping
	}

	// ParticipantJoined tells of a newcomer, or of somebody no longer hidden.
	ParticipantJoined struct {
		Seq         uint64
		Participant *Info
		Presence    Presence // its present one; nil: none yet
	}

	// ParticipantLeft tells that somebody is gone, or has become hidden.
	ParticipantLeft struct {
		Seq           uint64
		SID, Identity string
		Actor         uint64
		Reason        Reason
	}

	// ParticipantUpdated tells the present state of a participant. Seq is 0
	// when only the participant itself is told.
	ParticipantUpdated struct {
		Seq         uint64
		Participant *Info
		Changed     Changed
		Presence    Presence // its present one; nil: none yet
	}

	// Changes is what one tick of a big room brought. Each change has a
	// sequence number of its own; Seq is the last.
	Changes struct {
		Seq             uint64
		Changes         []Event
		NumParticipants int
	}

	TrackPublished struct {
		Seq           uint64
		SID, Identity string
		Track         *TrackInfo
	}

	TrackUnpublished struct {
		Seq           uint64
		SID, Identity string
		TrackSID      string
		Reason        string // "unpublished", "not_allowed", "hidden" or "left"
	}

	TrackMuted struct {
		Seq      uint64
		SID      string
		TrackSID string
		Muted    bool
	}

	RoomUpdated struct {
		Seq  uint64
		Room Summary
	}

	// Data is a message to the room or to some of it.
	Data struct {
		From     *Sender // nil: hidden, or the server
		Topic    string
		Payload  []byte // JSON
		Encoding string
		Reliable bool
	}

	// PresenceUpdated tells the present value of somebody's presence.
	PresenceUpdated struct {
		SID         string
		Participant *Info
		Presence    Presence // nil: it has none any more
	}

	// TrackSubscribed tells that frames of a track follow.
	TrackSubscribed struct {
		SID   string
		Track *TrackInfo
	}

	// TrackUnsubscribed tells that no more frames of a track follow.
	TrackUnsubscribed struct {
		TrackSID string
		Reason   string
	}

	// KeyFrameRequested asks the publisher of a track for a key frame.
	KeyFrameRequested struct{ TrackSID string }

	// TokenRefreshed hands the participant a newer token.
	TokenRefreshed struct {
		Token   string
		Expires time.Time
	}

	// ReconnectHint announces that the server is about to stop.
	ReconnectHint struct{ After time.Duration }

	// RemoteCall asks the participant to run a method and reply.
	RemoteCall struct {
		Call, Method, Payload string
		Deadline              time.Time // zero: none
	}

	// Moved tells a session that it is in another room now. It is a [Snapshot]
	// of that room, with a token for it, if one could be signed in time.
	Moved struct {
		Snapshot
		Token   string
		Expires time.Time
	}

	// Waiting tells somebody that it waits to be let in. It says nothing of the room.
	Waiting struct{ SID string }

	// WaitingJoined tells a moderator that somebody waits, or has another name.
	WaitingJoined struct{ Participant *Info }

	// WaitingLeft tells a moderator that somebody does not wait any more.
	WaitingLeft struct {
		SID      string
		Admitted bool
	}

	// SessionDataChanged tells the present session data.
	SessionDataChanged struct{ Data SessionData }

	// Pong answers a ping of the protocol, not of the WebSocket.
	Pong struct {
		ID   uint64
		Time time.Time
	}

	// Reply answers a request: with an error, or with what was asked for.
	Reply struct {
		ID              uint64 // 0: the request had none
		Err             error
		Denial          *Denial // more about Err, when it says "not allowed"
		Track           *TrackInfo
		Participant     *Info
		Participants    []*Info // non-nil for a page of the roster
		Presence        map[string]Presence
		Next            string
		NumParticipants int
	}
)

// A Sender is who a message came from.
type Sender struct {
	SID, Identity string
	Actor         uint64
}

// Presence is a participant's presence: opaque values by key. It is replaced,
// never changed.
type Presence map[string][]byte

func (*Snapshot) event()           {}
func (*ParticipantJoined) event()  {}
func (*ParticipantLeft) event()    {}
func (*ParticipantUpdated) event() {}
func (*Changes) event()            {}
func (*TrackPublished) event()     {}
func (*TrackUnpublished) event()   {}
func (*TrackMuted) event()         {}
func (*RoomUpdated) event()        {}
func (*Data) event()               {}
func (*PresenceUpdated) event()    {}
func (*TrackSubscribed) event()    {}
func (*TrackUnsubscribed) event()  {}
func (*KeyFrameRequested) event()  {}
func (*TokenRefreshed) event()     {}
func (*ReconnectHint) event()      {}
func (*RemoteCall) event()         {}
func (*Waiting) event()            {}
func (*WaitingJoined) event()      {}
func (*WaitingLeft) event()        {}
func (*SessionDataChanged) event() {}
func (*Pong) event()               {}
func (*Reply) event()              {}

// Dialects is how many encodings of one event can exist side by side: the native
// one is 0, 1 is LiveKit's.
const Dialects = 4

// LiveblocksDialect is the first of the two that Liveblocks' protocol has. Leases
// look as if they had come by it.
const LiveblocksDialect = 2

// An Encoder turns events into frames of one dialect. Encode is called outside
// all locks, may be called concurrently, and must not keep the event.
type Encoder interface {
	// Dialect is the encoder's index, below [Dialects].
	Dialect() int
	// Encode returns the whole WebSocket frame for ev, or nil when the dialect
	// has no word for it.
	Encode(ev Event) []byte
}

// memo keeps an encoding for each dialect, made when first asked for.
type memo [Dialects]atomic.Pointer[[]byte]

func (m *memo) get(dialect int, encode func() []byte) []byte {
	if b := m[dialect].Load(); b != nil {
		return *b
	}
	b := encode()
	// Two flushers may both encode; one result stays, both are the same.
	m[dialect].CompareAndSwap(nil, &b)
	return *m[dialect].Load()
}

// Encoded returns the dialect's encoding of the snapshot, calling encode for it
// at most a few times in the snapshot's life.
func (i *Info) Encoded(dialect int, encode func() []byte) []byte {
	return i.encoded.get(dialect, encode)
}
