package liveblocks

import (
	"errors"
	"fmt"

	"usher/auth"
	"usher/room"
	"usher/session"
	"usher/session/wire"
)

// What the client does after a close code, from its source.
const (
	codeInvalid   = 4000 // stays away; its page gets an error event with the reason as message
	codeForbidden = 4001 // the same
	codeFull      = 4005 // the same
	codeRenamed   = 4006 // the same; the message is the room's new id
	codeExpired   = 4109 // asks its auth endpoint at once, unless it holds its token for fresh
	codeLater     = 1013 // comes back with its token after 2 s, then 30 s, then minutes
	codeAway      = 1001 // comes back with its token after 250 ms, then more, up to 10 s
	codeInternal  = 1011 // the same
	codeLeft      = 1000
	codeBroken    = 1002 // as codeAway
)

// A closing is how the dialect puts an end into words. The reason is for the people
// who build the page: it says what there is to do.
type closing struct {
	code   uint16
	reason string
}

var closings = map[wire.CloseCode]closing{
	wire.Left:           {codeLeft, ""},
	wire.ProtocolBroken: {codeBroken, "broken WebSocket framing"},
	wire.InvalidUTF8:    {codeInvalid, "the message is not UTF-8"},
	wire.MessageTooBig:  {codeInvalid, "the message is larger than limits.message_bytes"},
	wire.InternalError:  {codeInternal, "internal error"},

	wire.ServerShutdown:  {codeAway, "the server stops; come back"},
	wire.SlowConsumer:    {codeLater, "too slow to receive; come back"},
	wire.PingTimeout:     {codeAway, "not heard for too long"},
	wire.JoinTimeout:     {codeLater, "joining took too long"},
	wire.Busy:            {codeLater, "too many connections at the moment"},
	wire.SessionNotFound: {codeInternal, "the session is gone"},
	wire.RateLimited:     {codeLater, "too many messages or connections; slow down"},

	wire.InvalidToken:      {codeForbidden, "invalid token"},
	wire.TokenExpired:      {codeExpired, "the token has expired"},
	wire.TokenNotYetValid:  {codeForbidden, "the token is not valid yet: the clock of whoever made it is wrong"},
	wire.TokenRevoked:      {codeForbidden, "the token or key was revoked; if the user may still come in, client.logout() and room.reconnect() get a new token"},
	wire.NotAllowed:        {codeForbidden, "no access to this room, or it does not exist: the backend creates it and gives access"},
	wire.RoomNotFound:      {codeForbidden, "no access to this room, or it does not exist: the backend creates it and gives access"},
	wire.RoomFull:          {codeFull, "the room is full"},
	wire.DuplicateIdentity: {codeForbidden, "replaced by another connection of the same user"},
	wire.Removed:           {codeForbidden, "removed from the room"},
	wire.RoomDeleted:       {codeForbidden, "the room was deleted"},
	wire.TokenTooLarge:     {codeForbidden, "the token is larger than limits.token_bytes"},
	wire.OriginNotAllowed:  {codeForbidden, "pages of this origin may not connect: add it to origins in the server's configuration"},
	wire.LimitExceeded:     {codeInvalid, "over a limit of the server"},
	wire.IdentityTaken:     {codeForbidden, "this user is in the room already"},
	wire.AccessLost:        {codeForbidden, "access to this room was taken away"},
	wire.RoomRenamed:       {codeRenamed, ""},
	wire.TimeLimit:         {codeForbidden, "the time in this room is over"},
	wire.Ejected:           {codeForbidden, "put out of the room"},
	wire.NotAdmitted:       {codeForbidden, "not let into the room"},
	wire.RoomNotOpen:       {codeForbidden, "the room is not open yet"},
	wire.RoomExpired:       {codeForbidden, "the room has expired"},
	wire.ProtocolError:     {codeInvalid, "invalid message"},
	wire.KeyRevoked:        {codeForbidden, "the key that signed the token was revoked"},
}

// Closing implements [session.Peer].
func (*peer) Closing(end wire.CloseCode, detail string) (code uint16, reason string) {
	c, ok := closings[end]
	switch {
	case !ok:
		return codeInternal, "internal error"
	case end == wire.RoomRenamed && detail != "" && len(detail) <= wire.MaxReasonBytes:
		return c.code, detail
	case end == wire.RoomRenamed:
		// A page takes the message for the new id, and a part of one is another one.
		return codeForbidden, "the room was renamed, to an id that is too long to be told here"
	case detail != "":
		return c.code, wire.CutReason(detail)
	}
	return c.code, c.reason
}

// inWords says more about why somebody may not join, where there is more to say
// that is the holder's own to know. Of rooms it tells nothing: that there is none
// and that there is no access read alike.
func inWords(err error, g *auth.Grant) error {
	var invalid *room.InvalidError
	switch {
	case errors.Is(err, room.ErrNotAllowed), errors.Is(err, room.ErrNotFound):
		organization := g.Organization
		if organization == "" || organization == auth.DefaultOrganization {
			return err
		}
		if len(organization) > 40 {
			organization = "another"
		}
		return &session.Refusal{End: wire.NotAllowed, Detail: fmt.Sprintf("no access to this room, or none is in the organization %q of the token", organization)}
	case errors.As(err, &invalid):
		return &session.Refusal{End: wire.InvalidToken, Detail: invalid.Problem}
	}
	return err
}
