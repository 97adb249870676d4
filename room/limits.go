package room

import "unicode/utf8"

// Limits bound what participants and server APIs may set. Each is one number
// for every path. Zero means no limit.
type Limits struct {
	MetadataBytes   int // of a participant's or a room's metadata
	AttributesBytes int // keys and values of a participant's attributes together, after merging
	NameBytes       int // of names, identities, room names and topics
	DataBytes       int // of a data message's payload
	PresenceBytes   int // keys and values of a presence together
	Tracks          int // published by one participant
}

// DefaultLimits are LiveKit's where it has one.
var DefaultLimits = Limits{
	MetadataBytes:   512 << 10,
	AttributesBytes: 64 << 10,
	NameBytes:       256,
	DataBytes:       64 << 10,
	PresenceBytes:   16 << 10,
	Tracks:          64,
}

func (l Limits) name(what, s string) error {
	if !utf8.ValidString(s) {
		return &InvalidError{what + " is not valid UTF-8"}
	}
	return atMost(what, len(s), l.NameBytes)
}

// Identity checks an identity's length.
func (l Limits) Identity(s string) error { return l.name("identity", s) }

// RoomName checks a room name's length.
func (l Limits) RoomName(s string) error { return l.name("room name", s) }

// Name checks a participant's or track's name.
func (l Limits) Name(s string) error { return l.name("name", s) }

// Topic checks the topic of a data message.
func (l Limits) Topic(s string) error { return l.name("topic", s) }

// Metadata checks metadata.
func (l Limits) Metadata(s string) error {
	if !utf8.ValidString(s) {
		return &InvalidError{"metadata is not valid UTF-8"}
	}
	return atMost("metadata", len(s), l.MetadataBytes)
}

// Attributes checks a whole set of attributes.
func (l Limits) Attributes(m map[string]string) error {
	n := 0
	for k, v := range m {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return &InvalidError{"an attribute is not valid UTF-8"}
		}
		n += len(k) + len(v)
	}
	return atMost("attributes", n, l.AttributesBytes)
}

// Data checks the payload of a data message.
func (l Limits) Data(bytes int) error { return atMost("payload", bytes, l.DataBytes) }

// Presence checks a whole presence.
func (l Limits) Presence(p Presence) error {
	n := 0
	for k, v := range p {
		n += len(k) + len(v)
	}
	return atMost("presence", n, l.PresenceBytes)
}

func atMost(what string, n, limit int) error {
	if limit > 0 && n > limit {
		return &LimitError{What: what, Limit: limit, Unit: "bytes"}
	}
	return nil
}
