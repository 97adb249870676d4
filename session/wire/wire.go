// Package wire holds the messages of the native protocol, usher.v1, as both
// ends share them. docs/protocol.md is its text.
package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Subprotocol is the WebSocket subprotocol of the native protocol.
const Subprotocol = "usher.v1"

// BearerPrefix begins the subprotocol that carries a browser's token.
const BearerPrefix = "bearer."

// A Message is what a client sends in a text frame. Which fields count depends
// on Type.
type Message struct {
	Type string `json:"type"`
	ID   uint64 `json:"id,omitempty"`

	// join
	Token         string `json:"token,omitempty"`
	PublicKey     string `json:"publicKey,omitempty"` // in place of a token
	Room          string `json:"room,omitempty"`
	Project       string `json:"project,omitempty"`
	AutoSubscribe *bool  `json:"autoSubscribe,omitempty"`

	// resume and ack
	Session  string `json:"session,omitempty"`
	Secret   string `json:"secret,omitempty"`
	Received uint64 `json:"received,omitempty"`
	Attempt  uint64 `json:"attempt,omitempty"`

	// publishData
	Payload               json.RawMessage `json:"payload,omitempty"`
	Encoding              string          `json:"encoding,omitempty"`
	Topic                 string          `json:"topic,omitempty"`
	Reliable              *bool           `json:"reliable,omitempty"`
	DestinationIdentities []string        `json:"destinationIdentities,omitempty"`
	DestinationSIDs       []string        `json:"destinationSids,omitempty"`

	// rpcReply
	RPC   string    `json:"rpc,omitempty"`
	Error *RPCError `json:"error,omitempty"`

	// updatePresence
	Presence map[string]json.RawMessage `json:"presence,omitempty"`
	Full     bool                       `json:"full,omitempty"`

	// ejectParticipant; admitParticipant, denyParticipant
	Ban bool `json:"ban,omitempty"`
	All bool `json:"all,omitempty"`

	// updatePermissions, by sid or "*"; updateSessionData
	Data map[string]json.RawMessage `json:"data,omitempty"`
	*SessionDataUpdate

	// updateMetadata, updateParticipant, publishTrack, join
	Name       *string           `json:"name,omitempty"`
	Metadata   *string           `json:"metadata,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`

	// updateParticipant, removeParticipant, ejectParticipant; admitParticipant and
	// denyParticipant by sid alone
	Identity   string      `json:"identity,omitempty"`
	SID        string      `json:"sid,omitempty"`
	Permission *Permission `json:"permission,omitempty"`

	// publishTrack and the requests about tracks
	Kind     string          `json:"kind,omitempty"`
	Source   string          `json:"source,omitempty"`
	Codec    json.RawMessage `json:"codec,omitempty"`
	Muted    *bool           `json:"muted,omitempty"`
	TrackSID string          `json:"trackSid,omitempty"`

	// listParticipants
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// SessionDataUpdate is what updateSessionData says beside the data. It is apart,
// so that the messages that come most are no larger for it.
type SessionDataUpdate struct {
	MergeStrategy string   `json:"mergeStrategy,omitempty"` // "replace" or "shallow-merge"
	KeysToDelete  []string `json:"keysToDelete,omitempty"`
}

// RPCError is how a remote call failed, in a rpcReply.
type RPCError struct {
	Code    uint32 `json:"code"`
	Message string `json:"message,omitempty"`
	Data    string `json:"data,omitempty"`
}

// Permission is the permission of updateParticipant: all of it; what is not
// given is false.
type Permission struct {
	CanSubscribe          bool     `json:"canSubscribe"`
	CanPublish            bool     `json:"canPublish"`
	CanPublishData        bool     `json:"canPublishData"`
	CanPublishSources     []string `json:"canPublishSources,omitempty"`
	Hidden                bool     `json:"hidden,omitempty"`
	CanUpdateMetadata     bool     `json:"canUpdateMetadata,omitempty"`
	CanSubscribeMetrics   bool     `json:"canSubscribeMetrics,omitempty"`
	CanManageAgentSession bool     `json:"canManageAgentSession,omitempty"`
}

// UnmarshalJSON refuses names that it does not know: a right that is misspelt
// would be taken away in silence. It accepts a participant's permissions as the
// server tells them, too, of which canUpdateOwnMetadata is canUpdateMetadata and
// the others cannot be set.
func (p *Permission) UnmarshalJSON(b []byte) error {
	type fields Permission // without this method
	told := struct {
		*fields
		CanUpdateOwnMetadata *bool           `json:"canUpdateOwnMetadata"`
		CanUpdatePresence    json.RawMessage `json:"canUpdatePresence"`
		Admin                json.RawMessage `json:"admin"`
		Recorder             json.RawMessage `json:"recorder"`
		Owner                json.RawMessage `json:"owner"`
	}{fields: (*fields)(p)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&told); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return err
		}
		return errPermission
	}
	if told.CanUpdateOwnMetadata != nil {
		p.CanUpdateMetadata = *told.CanUpdateOwnMetadata
	}
	return nil
}

var errPermission = errors.New("permission has a field that is none")

// Decode reads a client's message. Its errors are for the client: they say
// what is wrong and hold nothing of the message's content.
func Decode(b []byte, m *Message) error {
	if scan(b, m) {
		return nil
	}
	*m = Message{}
	if err := json.Unmarshal(b, m); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			if wrong.Field == "" {
				return errors.New("a message is a JSON object")
			}
			return fmt.Errorf("%s has the wrong type, it should be %s", wrong.Field, jsonType(wrong.Type.Kind().String()))
		}
		if errors.Is(err, errPermission) {
			return errPermission
		}
		return errors.New("the message is not valid JSON")
	}
	if m.Type == "" {
		return errors.New("type is missing")
	}
	return nil
}

func jsonType(kind string) string {
	switch kind {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "uint64", "int":
		return "a whole number"
	case "slice":
		return "an array"
	}
	return "an object"
}

// FrameHeaderBytes is the size of a track frame's header.
const FrameHeaderBytes = 15

// MaxFragmentBytes is the largest payload of one track frame on the wire.
const MaxFragmentBytes = 16 << 10

// A FrameHeader opens a binary frame: a frame of a track, or a fragment of one.
type FrameHeader struct {
	Handle    uint32
	Key       bool
	Layer     uint8 // temporal layer, 0 to 3
	Last      bool  // last fragment of the frame
	Counter   uint16
	Timestamp uint64 // µs
}

const (
	flagKey    = 1 << 0
	layerShift = 1
	flagLast   = 1 << 3
	flagsKnown = 0x0f
)

// Append appends the header to b.
func (h FrameHeader) Append(b []byte) []byte {
	flags := h.Layer & 3 << layerShift
	if h.Key {
		flags |= flagKey
	}
	if h.Last {
		flags |= flagLast
	}
	b = binary.BigEndian.AppendUint32(b, h.Handle)
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(b, h.Counter)
	return binary.BigEndian.AppendUint64(b, h.Timestamp)
}

// ParseFrameHeader reads the header of a binary frame. It reports false when
// the frame is none of ours: too short or with unknown flags.
func ParseFrameHeader(b []byte) (h FrameHeader, ok bool) {
	if len(b) < FrameHeaderBytes || b[4]&^flagsKnown != 0 {
		return h, false
	}
	return FrameHeader{
		Handle:    binary.BigEndian.Uint32(b),
		Key:       b[4]&flagKey != 0,
		Layer:     b[4] >> layerShift & 3,
		Last:      b[4]&flagLast != 0,
		Counter:   binary.BigEndian.Uint16(b[5:]),
		Timestamp: binary.BigEndian.Uint64(b[7:]),
	}, true
}
