package session

import (
	"errors"
	"io"
	"net"
	"os"

	"github.com/coder/websocket"

	"usher/auth"
	"usher/room"
	"usher/session/wire"
)

// Errors of a connection that its peer is told by a close code.
var (
	errNotAJoin = errors.New("session: the first message is not a join or resume")
	errTooBig   = errors.New("session: message too big")
	errBusy     = errors.New("session: too many sockets that have not joined")
	errUTF8     = errors.New("session: text is not UTF-8")
	errFlood    = errors.New("session: too many messages")
	errFraming  = errors.New("session: broken framing")
	errParked   = errors.New("session: nothing to read") // not an error: the turn is over
)

// finalError is a resume of a session that has ended.
type finalError struct{ room.Final }

func (e *finalError) Error() string { return "session: the session has ended" }

// isCut reports whether a connection that ended with err was cut rather than left.
func isCut(err error) bool {
	switch code := websocket.CloseStatus(err); {
	case code == -1:
		return codeOf(err).Reconnect()
	case code >= 4000 && code < 4500:
		return true // the client means to resume
	}
	return false
}

// codeOf is the close code for what ended a read loop.
func codeOf(err error) wire.CloseCode {
	var final *finalError
	var refusal *Refusal
	var cut *net.OpError
	switch {
	case errors.As(err, &refusal):
		return refusal.End
	case errors.As(err, &final) && final.Reason == room.ConnectionTimeout:
		// The grace period is over: to join again is all that helps, and no
		// other code says so.
		return wire.SessionNotFound
	case errors.As(err, &final):
		return causes[final.Cause]
	case errors.Is(err, errNotAJoin):
		return wire.ProtocolError
	case errors.Is(err, errTooBig):
		return wire.MessageTooBig
	case errors.Is(err, errBusy):
		return wire.Busy
	case errors.Is(err, errUTF8):
		return wire.InvalidUTF8
	case errors.Is(err, errFlood):
		return wire.RateLimited
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wire.JoinTimeout
	case websocket.CloseStatus(err) != -1:
		return wire.Left
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &cut):
		return noCode
	case errors.Is(err, errFraming):
		return wire.ProtocolBroken
	}
	return refusalOf(err)
}

// refusalOf is the close code for an error of joining or resuming.
func refusalOf(err error) wire.CloseCode {
	var limit *room.LimitError
	var invalid *room.InvalidError
	switch {
	case errors.Is(err, auth.ErrTooLarge):
		return wire.TokenTooLarge
	case errors.Is(err, auth.ErrExpired):
		return wire.TokenExpired
	case errors.Is(err, auth.ErrNotYetValid):
		return wire.TokenNotYetValid
	case errors.Is(err, auth.ErrRevokedKey), errors.Is(err, room.ErrRevoked):
		return wire.TokenRevoked
	case errors.Is(err, auth.ErrMalformed), errors.Is(err, auth.ErrAlgorithm), errors.Is(err, auth.ErrUnknownKey),
		errors.Is(err, auth.ErrSignature), errors.Is(err, auth.ErrNoExpiry), errors.Is(err, auth.ErrNoIdentity),
		errors.Is(err, auth.ErrTooLongLived), errors.Is(err, auth.ErrNoRoom):
		return wire.InvalidToken
	case errors.Is(err, room.ErrNotAllowed):
		return wire.NotAllowed
	case errors.Is(err, room.ErrNotFound):
		return wire.RoomNotFound
	case errors.Is(err, room.ErrRoomNotOpen):
		return wire.RoomNotOpen
	case errors.Is(err, room.ErrRoomExpired):
		return wire.RoomExpired
	case errors.Is(err, room.ErrTimeOver):
		return wire.TimeLimit
	case errors.Is(err, room.ErrBanned):
		return wire.Removed
	case errors.Is(err, room.ErrFull):
		return wire.RoomFull
	case errors.Is(err, room.ErrIdentityTaken):
		return wire.IdentityTaken
	case errors.Is(err, room.ErrNoSession):
		return wire.SessionNotFound
	case errors.Is(err, room.ErrClosed):
		return wire.ServerShutdown
	case errors.As(err, &limit):
		return wire.LimitExceeded
	case errors.As(err, &invalid):
		return wire.InvalidToken
	case errors.Is(err, io.ErrShortBuffer):
		return wire.MessageTooBig
	}
	return wire.InternalError
}

// causes is the close code for each cause that a room has to end a connection.
var causes = map[room.Cause]wire.CloseCode{
	room.CauseLeft:        wire.Left,
	room.CauseReplaced:    wire.DuplicateIdentity,
	room.CauseResumed:     wire.DuplicateIdentity,
	room.CauseRemoved:     wire.Removed,
	room.CauseRoomDeleted: wire.RoomDeleted,
	room.CauseKeyRevoked:  wire.KeyRevoked,
	room.CauseShutdown:    wire.ServerShutdown,
	room.CauseSlow:        wire.SlowConsumer,
	room.CausePingTimeout: wire.PingTimeout,
	room.CauseRevoked:     wire.TokenRevoked,
	room.CauseAccessLost:  wire.AccessLost,
	room.CauseRenamed:     wire.RoomRenamed,
	room.CauseTimeOver:    wire.TimeLimit,
	room.CauseEjected:     wire.Ejected,
	room.CauseDenied:      wire.NotAdmitted,

	// Of those who were let in and may not come in.
	room.CauseFull:         wire.RoomFull,
	room.CauseRoomNotOpen:  wire.RoomNotOpen,
	room.CauseRoomExpired:  wire.RoomExpired,
	room.CauseTokenExpired: wire.TokenExpired,
}
