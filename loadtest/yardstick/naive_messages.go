package yardstick

import "encoding/json"

// What the naive server reads.
type naiveRequest struct {
	Type  string `json:"type"`
	ID    uint64 `json:"id"`
	Token string `json:"token"`

	// publishData
	Payload               json.RawMessage `json:"payload"`
	Topic                 string          `json:"topic"`
	Encoding              string          `json:"encoding"`
	Reliable              *bool           `json:"reliable"`
	DestinationIdentities []string        `json:"destinationIdentities"`
	DestinationSIDs       []string        `json:"destinationSids"`

	// publishTrack
	Kind   string          `json:"kind"`
	Source string          `json:"source"`
	Name   string          `json:"name"`
	Codec  json.RawMessage `json:"codec"`
	Muted  bool            `json:"muted"`
}

// What it sends.
type (
	naiveParticipant struct {
		SID         string            `json:"sid"`
		Identity    string            `json:"identity"`
		Name        string            `json:"name"`
		Kind        string            `json:"kind"`
		State       string            `json:"state"`
		Metadata    string            `json:"metadata"`
		Attributes  map[string]string `json:"attributes"`
		Permissions permissions       `json:"permissions"`
		Tracks      []naiveTrack      `json:"tracks"`
		JoinedAt    int64             `json:"joinedAt"`
		Version     int               `json:"version"`
	}

	naiveTrack struct {
		SID    string          `json:"sid"`
		Handle uint32          `json:"handle"`
		Kind   string          `json:"kind"`
		Source string          `json:"source"`
		Name   string          `json:"name"`
		Muted  bool            `json:"muted"`
		Codec  json.RawMessage `json:"codec,omitempty"`
	}

	naiveRoomInfo struct {
		SID             string `json:"sid"`
		Name            string `json:"name"`
		Metadata        string `json:"metadata"`
		NumParticipants int    `json:"numParticipants"`
		MaxParticipants int    `json:"maxParticipants"`
		CreatedAt       int64  `json:"createdAt"`
	}

	naiveResume struct {
		GraceMillis int `json:"graceMs"`
	}

	joinedMessage struct {
		Type               string             `json:"type"`
		Session            string             `json:"session"`
		Secret             string             `json:"secret"`
		Recovered          bool               `json:"recovered"`
		Seq                uint64             `json:"seq"`
		Epoch              string             `json:"epoch"`
		LastRequest        uint64             `json:"lastRequest"`
		Room               naiveRoomInfo      `json:"room"`
		Self               naiveParticipant   `json:"self"`
		Participants       []naiveParticipant `json:"participants"`
		Resume             naiveResume        `json:"resume"`
		PingIntervalMillis int                `json:"pingIntervalMs"`
	}

	participantJoinedMessage struct {
		Type        string           `json:"type"`
		Seq         uint64           `json:"seq"`
		Participant naiveParticipant `json:"participant"`
	}

	participantLeftMessage struct {
		Type     string `json:"type"`
		Seq      uint64 `json:"seq"`
		SID      string `json:"sid"`
		Identity string `json:"identity"`
		Reason   string `json:"reason"`
	}

	trackPublishedMessage struct {
		Type           string     `json:"type"`
		Seq            uint64     `json:"seq"`
		ParticipantSID string     `json:"participantSid"`
		Identity       string     `json:"identity"`
		Track          naiveTrack `json:"track"`
	}

	trackSubscribedMessage struct {
		Type           string     `json:"type"`
		ParticipantSID string     `json:"participantSid"`
		Track          naiveTrack `json:"track"`
	}

	trackUnpublishedMessage struct {
		Type           string `json:"type"`
		Seq            uint64 `json:"seq"`
		ParticipantSID string `json:"participantSid"`
		Identity       string `json:"identity"`
		TrackSID       string `json:"trackSid"`
		Reason         string `json:"reason"`
	}

	dataMessage struct {
		Type     string          `json:"type"`
		From     naiveSender     `json:"from"`
		Topic    string          `json:"topic"`
		Encoding string          `json:"encoding,omitempty"`
		Reliable bool            `json:"reliable"`
		Payload  json.RawMessage `json:"payload"`
	}

	naiveSender struct {
		SID      string `json:"sid"`
		Identity string `json:"identity"`
	}

	replyMessage struct {
		Type    string      `json:"type"`
		ID      uint64      `json:"id,omitempty"`
		Code    string      `json:"code,omitempty"`
		Message string      `json:"message,omitempty"`
		Track   *naiveTrack `json:"track,omitempty"`
		Time    int64       `json:"time,omitempty"` // of a pong
	}
)
