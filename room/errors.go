package room

import (
	"errors"
	"fmt"
)

// Errors of joining and resuming.
var (
	ErrNotFound      = errors.New("room: not found")          // Join: no such room and it may not be made
	ErrFull          = errors.New("room: full")               // Join: the limit is reached
	ErrIdentityTaken = errors.New("room: identity is taken")  // Join: the policy is reject
	ErrRevoked       = errors.New("room: token revoked")      // Join, Resume
	ErrNotAllowed    = errors.New("room: not allowed")        // Join, and every request
	ErrNoSession     = errors.New("room: session not found")  // Resume
	ErrClosed        = errors.New("room: server is stopping") // Join, Resume
	ErrRoomNotOpen   = errors.New("room: not open yet")       // Join: the room's own time
	ErrRoomExpired   = errors.New("room: expired")            // Join: the same
	ErrTimeOver      = errors.New("room: time is over")       // Join: of a session that comes back
	ErrBanned        = errors.New("room: banned")             // Join: while the room's life goes on
	// ErrOrganization is an [ErrNotAllowed]: the token is confined to another
	// organization than the room is of.
	ErrOrganization = fmt.Errorf("%w: the room is of another organization", ErrNotAllowed)
)

// Errors of requests.
var (
	// ErrFenced is returned to a connection that no longer speaks for its
	// session: another one resumed it, or the participant is gone.
	ErrFenced = errors.New("room: connection was replaced")
	// ErrNoParticipant and ErrNoTrack mean: none that the asker may see.
	ErrNoParticipant = errors.New("room: participant does not exist")
	// ErrMoved is a request that was sent before the client knew that it is in
	// another room: it may have been meant for those in the one before.
	ErrMoved   = errors.New("room: you were moved to another room; acknowledge that first")
	ErrNoCall  = errors.New("room: no such call waits for a reply")
	ErrNoTrack = errors.New("room: track does not exist")
	// ErrRequestOrder is a request id that does not grow.
	ErrRequestOrder = errors.New("room: id must be larger than every id before it")
)

// Errors of server APIs.
var (
	// ErrUnavailable means that durable state cannot be written at the moment.
	ErrUnavailable = errors.New("room: durable state cannot be written")
	// ErrRemoteUnmute means that only the publisher can unmute a track.
	ErrRemoteUnmute = errors.New("room: only the publisher can unmute a track")
	ErrNoRevocation = errors.New("room: revocation does not exist")
	// ErrExists means that what is to be made is there already.
	ErrExists = errors.New("room: exists already")
)

// A LimitError says which limit something exceeded. It is the same on every
// path: token, client message, server API.
type LimitError struct {
	What  string // "metadata", "attributes", "name", …
	Limit int    // 0: given by the setting that Unit names
	Unit  string // "bytes", or what is counted
}

func (e *LimitError) Error() string {
	if e.Limit == 0 {
		return e.What + " exceeds limits." + e.Unit
	}
	return fmt.Sprintf("%s exceeds the limit of %d %s", e.What, e.Limit, e.Unit)
}

// An InvalidError says what is wrong with a request.
type InvalidError struct{ Problem string }

func (e *InvalidError) Error() string { return e.Problem }

// A Denial says which permission was missing and which layer decided so.
type Denial struct {
	Permission string
	Layer      string
}

// deniedError is ErrNotAllowed with its denial.
type deniedError struct{ Denial }

func (e *deniedError) Error() string {
	return "room: not allowed: " + e.Permission + " denied by " + e.Layer
}
func (e *deniedError) Is(target error) bool { return target == ErrNotAllowed }

// A Final is how a session ended: why the others were told it left, and what
// its connection and a late resume are told.
type Final struct {
	Reason Reason
	Cause  Cause
	// Detail is more for the close frame, where there is more to say: the new name
	// of a room, why somebody lost access.
	Detail string
}

// A Cause is why the server ends a connection. Each dialect has its own code
// for it.
type Cause uint8

const (
	CauseLeft Cause = iota
	CauseReplaced
	CauseResumed // another connection resumed the session
	CauseRemoved
	CauseRoomDeleted
	CauseKeyRevoked
	CauseShutdown
	CauseSlow
	CausePingTimeout
	CauseMoved      // it goes on in another room
	CauseRevoked    // its token was, or what it descends from
	CauseAccessLost // what the room says of it has changed: it may not be there any more
	CauseRenamed    // the room has another name, which is the detail
	CauseTimeOver   // it could stay so long
	CauseEjected    // by an admin, without its tokens being revoked
	CauseDenied     // it was not let in
	// Those who wait to be let in may not come in at that moment, for the same
	// reasons for which they could not join.
	CauseFull
	CauseRoomNotOpen
	CauseRoomExpired
	CauseTokenExpired
)
