package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/session/wire"
)

// The words of the plain mode: how tracks, rights, refusals and ends are told.

func (t *track) words() string {
	what := strings.ReplaceAll(t.Source, "_", " ")
	if what == "" {
		what = t.Kind
	}
	what += " track"
	if t.Name != "" {
		what += " " + strconv.Quote(t.Name)
	}
	return what
}

func leaveWords(reason string) string {
	switch reason {
	case "CLIENT_INITIATED":
		return "left"
	case "PARTICIPANT_REMOVED":
		return "was removed"
	case "DUPLICATE_IDENTITY":
		return "left: the same identity joined again"
	case "CONNECTION_TIMEOUT":
		return "is gone: the connection was lost"
	case "ROOM_DELETED":
		return "left: the room was deleted"
	case "SERVER_SHUTDOWN":
		return "left: the server stops"
	case "MIGRATION":
		return "was moved to another room"
	case "UNKNOWN_REASON":
		return "is not seen any more"
	}
	return "left"
}

func pairs(m map[string]string) string {
	if len(m) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%s", k, m[k])
	}
	return b.String()
}

// A right is one permission in words that fit behind "may".
type right struct {
	words string
	held  bool
}

func (r rights) list() []right {
	publish := "publish tracks"
	if r.CanPublish && len(r.CanPublishSources) > 0 {
		publish = "publish " + strings.ReplaceAll(strings.Join(r.CanPublishSources, ", "), "_", " ")
	}
	return []right{
		{publish, r.CanPublish},
		{"send data", r.CanPublishData},
		{"receive tracks", r.CanSubscribe},
		{"change its own name and metadata", r.CanUpdateOwnMetadata},
		{"moderate " + strings.Join(r.Admin, ", "), len(r.Admin) > 0},
		{"moderate as an owner", r.Owner},
	}
}

// wordsOf tells the rights of somebody, whose pronouns are given.
func (r rights) wordsOf(whose, whom string) string {
	var may, mayNot []string
	for _, right := range r.list() {
		switch {
		case right.held:
			may = append(may, right.words)
		case !strings.HasPrefix(right.words, "moderate"):
			mayNot = append(mayNot, right.words)
		}
	}
	words := "only watch"
	if len(may) > 0 {
		words = strings.Join(may, ", ")
	}
	if len(mayNot) > 0 {
		words += "; not " + strings.Join(mayNot, ", ")
	}
	if r.Hidden {
		words += "; nobody sees " + whom
	}
	return strings.ReplaceAll(words, " its own ", " "+whose+" own ")
}

// permissionChange says what is different.
func permissionChange(old, now rights) string {
	var parts []string
	before := old.list()
	for i, r := range now.list() {
		switch was := before[i]; {
		case r.held && (!was.held || was.words != r.words):
			parts = append(parts, "may now "+r.words)
		case was.held && !r.held:
			parts = append(parts, "may not "+was.words+" any more")
		}
	}
	if old.Hidden != now.Hidden {
		if now.Hidden {
			parts = append(parts, "is hidden from the others")
		} else {
			parts = append(parts, "is no longer hidden")
		}
	}
	if len(parts) == 0 {
		return "nothing that shows here"
	}
	return strings.Join(parts, ", ")
}

// ejectWords says until when somebody may stay, or nothing.
func ejectWords(ms int64) string {
	if ms == 0 {
		return ""
	}
	return "until " + clock(time.UnixMilli(ms))
}

// refusalWords says why a request was refused.
func refusalWords(code, permission, layer, text string) string {
	switch code {
	case "not_allowed":
		if permission == "" {
			return "still not allowed" // permission and layer were told before
		}
		if permission == "lobby" {
			return "you wait to be let in"
		}
		return "not allowed, " + permission + " is missing; " + layerWords(layer)
	case "not_found":
		if text != "" {
			return text
		}
		return "no such participant or track"
	case "rate_limited":
		return "too many messages; wait a moment"
	case "moved":
		return "you were moved to another room at that moment; send it again if it is for here"
	case "unavailable":
		return "the server cannot store it; what it takes away is in force, perhaps only until a restart"
	}
	if text == "" {
		return code
	}
	return text
}

func layerWords(layer string) string {
	switch layer {
	case "token":
		return "the token does not grant it"
	case "live":
		return "it was taken away during the session"
	case "":
		return "nothing grants it"
	}
	return "decided by " + layer
}

// words says what a close code means.
func (c closing) words() string {
	if c.err != nil {
		return c.err.Error()
	}
	words := closeWords[c.Code]
	switch {
	case words == "" && c.Reason == "":
		return fmt.Sprintf("code %d", c.Code)
	case words == "":
		return fmt.Sprintf("code %d %s", c.Code, c.Reason)
	case c.Reason == "":
		return fmt.Sprintf("%s (%d)", words, c.Code)
	}
	return fmt.Sprintf("%s (%d %s)", words, c.Code, c.Reason)
}

// closeWords is what close codes mean, for people.
var closeWords = map[wire.CloseCode]string{
	wire.Left:              "you left",
	1001:                   "the other end went away",
	wire.ProtocolBroken:    "the connection's framing was broken",
	noCode:                 "the connection was lost",
	wire.InvalidUTF8:       "a message was not UTF-8",
	wire.MessageTooBig:     "a message was too big for the server",
	wire.InternalError:     "the server had an internal error",
	wire.ServerShutdown:    "the server stops",
	wire.SlowConsumer:      "this end reads too slowly",
	wire.PingTimeout:       "the server heard nothing for too long",
	wire.JoinTimeout:       "joining took too long",
	wire.Busy:              "the server is busy",
	wire.SessionNotFound:   "the session is not known any more",
	wire.RateLimited:       "too many connections or messages",
	wire.InvalidToken:      "the token is not valid here",
	wire.TokenExpired:      "the token has expired",
	wire.TokenNotYetValid:  "the token is not valid yet",
	wire.TokenRevoked:      "the token was revoked; one that is issued from now on may do",
	wire.NotAllowed:        "the token does not allow joining",
	wire.RoomNotFound:      "there is no such room, and this token may not make it",
	wire.RoomFull:          "the room is full",
	wire.DuplicateIdentity: "somebody else joined with this identity, or this session went on in another place",
	wire.Removed:           "an administrator removed you",
	wire.RoomDeleted:       "the room was deleted",
	wire.TokenTooLarge:     "the token is too large",
	wire.OriginNotAllowed:  "this origin may not connect",
	wire.LimitExceeded:     "the token's identity, name, metadata or attributes are too large",
	wire.IdentityTaken:     "the identity is in the room already",
	wire.AccessLost:        "the room's access list lets you in no more",
	wire.RoomRenamed:       "the room has another name now",
	wire.TimeLimit:         "your time in the room is over",
	wire.Ejected:           "an administrator put you out",
	wire.NotAdmitted:       "you were not let in",
	wire.RoomNotOpen:       "the room is not open yet",
	wire.RoomExpired:       "the room is closed: its time is over",
	wire.ProtocolError:     "the server did not understand how the session was opened",
	wire.KeyRevoked:        "the key that signed the token was revoked",
}
