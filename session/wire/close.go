package wire

import "unicode/utf8"

// A CloseCode ends a connection and says whether to come back: from 4000 to
// 4499 yes, from 4500 on no.
type CloseCode uint16

const (
	Left           CloseCode = 1000
	ProtocolBroken CloseCode = 1002
	InvalidUTF8    CloseCode = 1007
	MessageTooBig  CloseCode = 1009
	InternalError  CloseCode = 1011

	ServerShutdown  CloseCode = 4000
	SlowConsumer    CloseCode = 4001
	PingTimeout     CloseCode = 4002
	JoinTimeout     CloseCode = 4008
	Busy            CloseCode = 4009
	SessionNotFound CloseCode = 4010
	RateLimited     CloseCode = 4029

	InvalidToken      CloseCode = 4500
	TokenExpired      CloseCode = 4501
	TokenNotYetValid  CloseCode = 4502
	TokenRevoked      CloseCode = 4503
	NotAllowed        CloseCode = 4504
	RoomNotFound      CloseCode = 4505
	RoomFull          CloseCode = 4506
	DuplicateIdentity CloseCode = 4507
	Removed           CloseCode = 4508
	RoomDeleted       CloseCode = 4509
	TokenTooLarge     CloseCode = 4511
	OriginNotAllowed  CloseCode = 4512
	LimitExceeded     CloseCode = 4513
	IdentityTaken     CloseCode = 4514
	AccessLost        CloseCode = 4515
	RoomRenamed       CloseCode = 4516
	TimeLimit         CloseCode = 4517
	Ejected           CloseCode = 4518
	NotAdmitted       CloseCode = 4519
	ProtocolError     CloseCode = 4520
	RoomNotOpen       CloseCode = 4521
	RoomExpired       CloseCode = 4522
	KeyRevoked        CloseCode = 4530
)

var reasons = map[CloseCode]string{
	Left: "left", ProtocolBroken: "protocol_error", InvalidUTF8: "invalid_utf8", MessageTooBig: "message_too_big", InternalError: "internal_error",
	ServerShutdown: "server_shutdown", SlowConsumer: "slow_consumer", PingTimeout: "ping_timeout",
	JoinTimeout: "join_timeout", Busy: "busy", SessionNotFound: "session_not_found", RateLimited: "rate_limited",
	InvalidToken: "invalid_token", TokenExpired: "token_expired", TokenNotYetValid: "token_not_yet_valid",
	TokenRevoked: "token_revoked", NotAllowed: "not_allowed", RoomNotFound: "room_not_found", RoomFull: "room_full",
	DuplicateIdentity: "duplicate_identity", Removed: "removed", RoomDeleted: "room_deleted",
	TokenTooLarge: "token_too_large", OriginNotAllowed: "origin_not_allowed", LimitExceeded: "limit_exceeded",
	IdentityTaken: "identity_taken", AccessLost: "access_lost", RoomRenamed: "room_renamed", TimeLimit: "time_limit", Ejected: "ejected", NotAdmitted: "not_admitted",
	RoomNotOpen: "room_not_open", RoomExpired: "room_expired", ProtocolError: "protocol_error", KeyRevoked: "key_revoked",
}

// Reason is the code's word, which opens the reason of the close frame.
func (c CloseCode) Reason() string { return reasons[c] }

// CloseCodes returns every code that the server sends.
func CloseCodes() []CloseCode {
	codes := make([]CloseCode, 0, len(reasons))
	for c := range reasons {
		codes = append(codes, c)
	}
	return codes
}

// Reconnect reports whether a client comes back by itself after the code.
// 1006 stands for a connection that ended without one.
func (c CloseCode) Reconnect() bool {
	return c >= 4000 && c < 4500 || c == 1006 || c == 1001 || c == InternalError
}

// MaxReasonBytes is the longest reason that fits in a close frame, RFC 6455 section 5.5.
const MaxReasonBytes = 123

// CutReason shortens a reason to what fits in a close frame, between two characters.
func CutReason(reason string) string {
	if len(reason) <= MaxReasonBytes {
		return reason
	}
	end := MaxReasonBytes
	for end > 0 && !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}
