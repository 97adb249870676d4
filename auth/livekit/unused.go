package livekit

import (
	"encoding/json"
	"slices"
	"strings"

	"usher/auth/internal/object"
)

// used is the claims that have an effect here, in lower case.
var used = map[string][]string{
	"": {
		"iss", "sub", "jti", "exp", "nbf", "iat", "name", "kind", "kinddetails", "metadata", "attributes",
		"video", "roomconfig", "usher",
	},
	"video": {
		"room", "destinationroom", "roomjoin", "roomadmin", "roomcreate", "roomlist", "hidden", "recorder", "agent", "kind",
		"canpublish", "cansubscribe", "canpublishdata", "canpublishsources", "canupdateownmetadata",
	},
	"roomconfig": {
		"emptytimeout", "empty_timeout", "departuretimeout", "departure_timeout",
		"maxparticipants", "max_participants", "metadata",
	},
}

// Unused returns the claims of a payload that have no effect on this server,
// as "sip" or "video.roomRecord": those of LiveKit's other services, and those
// nobody here knows. A refreshed token carries them all.
func Unused(payload json.RawMessage) []string {
	if !json.Valid(payload) {
		return nil
	}
	return unused(payload, "")
}

func unused(raw json.RawMessage, within string) []string {
	var names []string
	// An error means that raw is no object. That is for Decode to complain of.
	_ = object.Each(raw, func(name, value []byte) error {
		lower := strings.ToLower(string(name))
		switch {
		case !slices.Contains(used[strings.ToLower(within)], lower):
			if within != "" {
				names = append(names, within+"."+string(name))
			} else {
				names = append(names, string(name))
			}
		case within == "" && used[lower] != nil:
			names = append(names, unused(value, string(name))...)
		}
		return nil
	})
	return names
}
