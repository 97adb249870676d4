package liveblocks

import (
	"strings"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/room"
)

// Limits of Liveblocks' documentation. Those of people and tokens are of
// [usher/auth/liveblocks]; what a room's record may hold is the room's own to
// check, see [room.MaxListed].
const (
	maxTTL     = 3599 // seconds
	minTTL     = 2
	defaultTTL = 60

	maxPage     = 100
	defaultPage = 20
)

// maxToken is the size of a token in bytes. Clients send it in the address of
// the WebSocket's request, whose header ends at 16 KiB.
const maxToken = 12 << 10

// atMost checks how many characters s has.
func atMost(what, s string, limit int) error {
	if utf8.RuneCountInString(s) > limit {
		return tooLong(what, limit)
	}
	return nil
}

func tooLong(what string, limit int) error {
	return &room.LimitError{What: clip(what), Limit: limit, Unit: "characters"}
}

// checkRoomID checks the id of a room that is to be made.
func checkRoomID(what, id string) error {
	switch {
	case id == "":
		return unprocessable("%s is missing", what)
	case strings.Contains(id, "*"):
		return unprocessable("%s may not have a *, which stands for any text in access tokens", what)
	case !utf8.ValidString(id):
		return unprocessable("%s is not UTF-8", what)
	}
	return atMost(what, id, room.MaxListedName)
}

// checkUserID checks the id of somebody that the backend vouches for.
func checkUserID(id string) error {
	if strings.HasPrefix(id, auth.AnonymousPrefix) {
		return unprocessable("userId may not begin with %q: that is how people without an id are called", auth.AnonymousPrefix)
	}
	return atMost("userId", id, liveblocks.MaxUserLength)
}
