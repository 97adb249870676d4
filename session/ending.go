package session

import (
	"errors"
	"io"
	"net"
	"os"

	"github.com/coder/websocket"

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
	var cut *net.OpError
	switch {
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
