package session

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/internal/text"
)

// native encodes events in the native protocol. What is sent often is put
// together by hand: nothing is reflected on, and parts that were encoded
// before are copied.
type native struct{}

const nativeDialect = 0

func (native) Dialect() int { return nativeDialect }

func (native) Encode(ev room.Event) []byte {
	s := encodings.Get().(*[]byte)
	body := appendEvent((*s)[:0], ev)
	// Of the right size, since it may be kept for a while.
	frame := AppendText(make([]byte, 0, TextFrameBytes(len(body))), body)
	if cap(body) <= keepBufferBytes {
		*s = body
		encodings.Put(s)
	}
	return frame
}

// encodings are what frames are put together in.
var encodings = sync.Pool{New: func() any { return new([]byte) }}

func appendEvent(b []byte, ev room.Event) []byte {
	switch e := ev.(type) {
	case *room.Data:
		b = append(b, `{"type":"data"`...)
		if e.From != nil {
			b = append(b, `,"from":{"sid":`...)
			b = appendString(b, e.From.SID)
			b = append(b, `,"identity":`...)
			b = appendString(b, e.From.Identity)
			b = append(b, '}')
		}
		b = appendField(b, "topic", e.Topic)
		if e.Encoding != "" {
			b = appendField(b, "encoding", e.Encoding)
		}
		b = append(b, `,"reliable":`...)
		b = strconv.AppendBool(b, e.Reliable)
		b = append(b, `,"payload":`...)
		b = append(b, e.Payload...)
	case *room.PresenceUpdated:
		b = append(b, `{"type":"presence"`...)
		b = appendField(b, "sid", e.SID)
		b = append(b, `,"presence":`...)
		b = appendPresence(b, e.Presence)
	case *room.ParticipantJoined:
		b = append(b, `{"type":"participantJoined"`...)
		b = appendSeq(b, e.Seq)
		b = append(b, `,"participant":`...)
		b = appendParticipant(b, e.Participant, nil)
	case *room.ParticipantLeft:
		b = append(b, `{"type":"participantLeft"`...)
		b = appendSeq(b, e.Seq)
		b = appendField(b, "sid", e.SID)
		b = appendField(b, "identity", e.Identity)
		b = appendField(b, "reason", string(e.Reason))
	case *room.ParticipantUpdated:
		b = append(b, `{"type":"participantUpdated"`...)
		b = appendSeq(b, e.Seq)
		b = append(b, `,"changed":`...)
		b = appendJSON(b, changedNames(e.Changed))
		b = append(b, `,"participant":`...)
		b = appendParticipant(b, e.Participant, nil)
	case *room.Changes:
		b = append(b, `{"type":"participants"`...)
		b = appendSeq(b, e.Seq)
		b = append(b, `,"changes":[`...)
		for i, c := range e.Changes {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendEvent(b, c)
		}
		b = append(b, `],"numParticipants":`...)
		b = strconv.AppendInt(b, int64(e.NumParticipants), 10)
	case *room.TrackPublished:
		b = append(b, `{"type":"trackPublished"`...)
		b = appendSeq(b, e.Seq)
		b = appendField(b, "participantSid", e.SID)
		b = appendField(b, "identity", e.Identity)
		b = append(b, `,"track":`...)
		b = appendTrack(b, e.Track)
	case *room.TrackUnpublished:
		b = append(b, `{"type":"trackUnpublished"`...)
		b = appendSeq(b, e.Seq)
		b = appendField(b, "participantSid", e.SID)
		b = appendField(b, "identity", e.Identity)
		b = appendField(b, "trackSid", e.TrackSID)
		b = appendField(b, "reason", e.Reason)
	case *room.TrackMuted:
		b = append(b, `{"type":"trackMuted"`...)
		b = appendSeq(b, e.Seq)
		b = appendField(b, "participantSid", e.SID)
		b = appendField(b, "trackSid", e.TrackSID)
		b = append(b, `,"muted":`...)
		b = strconv.AppendBool(b, e.Muted)
	case *room.RoomUpdated:
		b = append(b, `{"type":"roomUpdated"`...)
		b = appendSeq(b, e.Seq)
		b = append(b, `,"room":`...)
		b = appendRoom(b, e.Room)
	case *room.TrackSubscribed:
		b = append(b, `{"type":"trackSubscribed"`...)
		b = appendField(b, "participantSid", e.SID)
		b = append(b, `,"track":`...)
		b = appendTrack(b, e.Track)
	case *room.TrackUnsubscribed:
		b = append(b, `{"type":"trackUnsubscribed"`...)
		b = appendField(b, "trackSid", e.TrackSID)
		b = appendField(b, "reason", e.Reason)
	case *room.KeyFrameRequested:
		b = append(b, `{"type":"keyFrameRequested"`...)
		b = appendField(b, "trackSid", e.TrackSID)
	case *room.TokenRefreshed:
		b = append(b, `{"type":"refreshToken"`...)
		b = appendField(b, "token", e.Token)
		b = append(b, `,"expiresAt":`...)
		b = appendMillis(b, e.Expires)
	case *room.ReconnectHint:
		b = append(b, `{"type":"reconnect","afterMs":`...)
		b = strconv.AppendInt(b, e.After.Milliseconds(), 10)
	case *room.Pong:
		b = append(b, `{"type":"pong"`...)
		if e.ID != 0 {
			b = append(b, `,"id":`...)
			b = strconv.AppendUint(b, e.ID, 10)
		}
		b = append(b, `,"time":`...)
		b = appendMillis(b, e.Time)
	case *room.Reply:
		return appendReply(b, e)
	case *room.Snapshot:
		b = append(b, `{"type":"joined"`...)
		return append(appendSnapshot(b, e), '}')
	case *room.Moved:
		b = append(b, `{"type":"moved"`...)
		if e.Token != "" {
			b = appendField(b, "token", e.Token)
			b = append(b, `,"expiresAt":`...)
			b = appendMillis(b, e.Expires)
		}
		return append(appendSnapshot(b, &e.Snapshot), '}')
	case *room.RemoteCall:
		b = append(b, `{"type":"rpc"`...)
		b = appendField(b, "rpc", e.Call)
		b = appendField(b, "method", e.Method)
		b = appendField(b, "payload", e.Payload)
		if !e.Deadline.IsZero() {
			b = append(b, `,"deadline":`...)
			b = appendMillis(b, e.Deadline)
		}
	}
	return append(b, '}')
}

// appendSnapshot appends the fields of a snapshot, without the closing brace.
func appendSnapshot(b []byte, e *room.Snapshot) []byte {
	b = appendField(b, "session", e.Session)
	b = appendField(b, "secret", e.Secret)
	b = append(b, `,"recovered":`...)
	b = strconv.AppendBool(b, e.Recovered)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = appendField(b, "epoch", e.Epoch)
	b = append(b, `,"lastRequest":`...)
	b = strconv.AppendUint(b, e.LastRequest, 10)
	b = append(b, `,"room":`...)
	b = appendRoom(b, e.Room)
	b = append(b, `,"self":`...)
	b = appendParticipant(b, e.Self, e.Presence[e.Session])
	if e.Recovered {
		b = append(b, `,"presence":{`...)
		first := true
		for sid, p := range e.Presence {
			if len(p) == 0 {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(appendString(b, sid), ':')
			b = appendPresence(b, p)
		}
		b = append(b, '}')
	} else {
		b = append(b, `,"participants":`...)
		b = appendParticipants(b, e.Participants, e.Presence)
	}
	b = append(b, `,"resume":{"graceMs":`...)
	b = strconv.AppendInt(b, e.Grace.Milliseconds(), 10)
	b = append(b, `},"pingIntervalMs":`...)
	return strconv.AppendInt(b, e.PingInterval.Milliseconds(), 10)
}

func appendReply(b []byte, e *room.Reply) []byte {
	if e.Err == nil {
		b = append(b, `{"type":"ok"`...)
	} else {
		b = append(b, `{"type":"error"`...)
	}
	if e.ID != 0 {
		b = append(b, `,"id":`...)
		b = strconv.AppendUint(b, e.ID, 10)
	}
	if e.Err != nil {
		code, message := describe(e.Err)
		b = appendField(b, "code", code)
		if e.Denial != nil {
			b = appendField(b, "permission", e.Denial.Permission)
			b = appendField(b, "layer", e.Denial.Layer)
			message = e.Denial.Permission + " does not allow it (" + e.Denial.Layer + ")"
		}
		if message != "" {
			b = appendField(b, "message", message)
		}
		return append(b, '}')
	}
	if e.Track != nil {
		b = append(b, `,"track":`...)
		b = appendTrack(b, e.Track)
	}
	if e.Participant != nil {
		b = append(b, `,"participant":`...)
		b = appendParticipant(b, e.Participant, nil)
	}
	if e.Participants != nil {
		b = append(b, `,"participants":`...)
		b = appendParticipants(b, e.Participants, e.Presence)
		if e.Next != "" {
			b = appendField(b, "next", e.Next)
		}
		b = append(b, `,"numParticipants":`...)
		b = strconv.AppendInt(b, int64(e.NumParticipants), 10)
	}
	return append(b, '}')
}

// describe turns an error of a request into its code and words for people.
func describe(err error) (code, message string) {
	var limit *room.LimitError
	var invalid *room.InvalidError
	var bad *badMessage
	switch {
	case errors.As(err, &limit):
		return "limit_exceeded", limit.Error()
	case errors.As(err, &bad):
		return bad.code, bad.problem
	case errors.As(err, &invalid):
		return "invalid_request", invalid.Error()
	case errors.Is(err, room.ErrNotAllowed):
		return "not_allowed", ""
	case errors.Is(err, room.ErrRequestOrder):
		return "invalid_request", "id must be larger than every id before it"
	case errors.Is(err, room.ErrMoved):
		return "moved", "you were moved to another room; acknowledge that first"
	case errors.Is(err, room.ErrUnavailable):
		return "unavailable", "durable state cannot be written; what the request takes away is in force"
	case errors.Is(err, room.ErrNoCall):
		return "not_found", "no such call waits for a reply"
	case errors.Is(err, room.ErrNoParticipant):
		return "not_found", "participant does not exist"
	case errors.Is(err, room.ErrNoTrack):
		return "not_found", "track does not exist"
	}
	return "internal", ""
}

func appendRoom(b []byte, r room.Summary) []byte {
	b = append(b, `{"sid":`...)
	b = appendString(b, r.ID)
	b = appendField(b, "name", r.Name)
	b = appendField(b, "metadata", r.Metadata)
	b = append(b, `,"numParticipants":`...)
	b = strconv.AppendInt(b, int64(r.NumParticipants), 10)
	b = append(b, `,"maxParticipants":`...)
	b = strconv.AppendInt(b, int64(r.MaxParticipants), 10)
	b = append(b, `,"createdAt":`...)
	b = appendMillis(b, r.CreatedAt)
	return append(b, '}')
}

func appendParticipants(b []byte, list []*room.Info, presence map[string]room.Presence) []byte {
	b = append(b, '[')
	for i, p := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendParticipant(b, p, presence[p.SID])
	}
	return append(b, ']')
}

// appendParticipant appends a participant, with its presence when there is one.
// ParticipantJSON returns a participant as the native protocol tells it.
func ParticipantJSON(i *room.Info) []byte { return appendParticipant(nil, i, nil) }

func appendParticipant(b []byte, i *room.Info, presence room.Presence) []byte {
	b = append(b, i.Encoded(nativeDialect, func() []byte { return encodeParticipant(i) })...)
	if len(presence) > 0 {
		b = append(b, `,"presence":`...)
		b = appendPresence(b, presence)
	}
	return append(b, '}')
}

// encodeParticipant encodes a participant without the closing brace.
func encodeParticipant(i *room.Info) []byte {
	b := make([]byte, 0, 384+len(i.Metadata))
	b = append(b, `{"sid":`...)
	b = appendString(b, i.SID)
	b = appendField(b, "identity", i.Identity)
	b = appendField(b, "name", i.Name)
	b = appendField(b, "kind", string(i.Kind))
	b = appendField(b, "state", string(i.State))
	b = appendField(b, "metadata", i.Metadata)
	b = append(b, `,"attributes":`...)
	if len(i.Attributes) == 0 {
		b = append(b, `{}`...)
	} else {
		b = appendJSON(b, i.Attributes)
	}
	b = append(b, `,"permissions":`...)
	b = appendPermission(b, i.Permission, i.Recorder)
	b = append(b, `,"tracks":[`...)
	for n, t := range i.Tracks {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendTrack(b, t)
	}
	b = append(b, `],"joinedAt":`...)
	b = appendMillis(b, i.JoinedAt)
	b = append(b, `,"version":`...)
	return strconv.AppendUint(b, i.Version, 10)
}

func appendPermission(b []byte, p auth.Permission, recorder bool) []byte {
	lk := livekit.PermissionOf(p)
	b = append(b, `{"canPublish":`...)
	b = strconv.AppendBool(b, lk.CanPublish)
	b = append(b, `,"canPublishSources":[`...)
	for i, s := range lk.CanPublishSources {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	b = append(b, `],"canPublishData":`...)
	b = strconv.AppendBool(b, p.Allows(auth.SendData))
	b = append(b, `,"canSubscribe":`...)
	b = strconv.AppendBool(b, p.Rights.Any(auth.ReceiveTracks))
	b = append(b, `,"canUpdateOwnMetadata":`...)
	b = strconv.AppendBool(b, p.Allows(auth.UpdateOwnMetadata))
	b = append(b, `,"canUpdatePresence":`...)
	b = strconv.AppendBool(b, p.Allows(auth.SendPresence))
	b = append(b, `,"hidden":`...)
	b = strconv.AppendBool(b, p.Hidden())
	if recorder {
		b = append(b, `,"recorder":true`...)
	}
	b = append(b, `,"admin":[`...)
	comma := false
	for _, a := range []struct {
		right auth.Rights
		name  string
	}{{auth.ModerateParticipants, `"participants"`}, {auth.ModerateStreaming, `"streaming"`}, {auth.ModerateTranscription, `"transcription"`}} {
		if p.Allows(a.right) {
			if comma {
				b = append(b, ',')
			}
			b, comma = append(b, a.name...), true
		}
	}
	return append(b, `]}`...)
}

func appendTrack(b []byte, t *room.TrackInfo) []byte {
	b = append(b, `{"sid":`...)
	b = appendString(b, t.SID)
	b = append(b, `,"handle":`...)
	b = strconv.AppendUint(b, uint64(t.Handle), 10)
	b = appendField(b, "kind", string(t.Kind))
	b = appendField(b, "source", t.Source.String())
	b = appendField(b, "name", t.Name)
	b = append(b, `,"muted":`...)
	b = strconv.AppendBool(b, t.Muted)
	if len(t.Codec) > 0 {
		b = append(b, `,"codec":`...)
		b = append(b, t.Codec...)
	}
	return append(b, '}')
}

func appendPresence(b []byte, p room.Presence) []byte {
	b = append(b, '{')
	first := true
	for k, v := range p {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, k), ':')
		b = append(b, v...)
	}
	return append(b, '}')
}

func changedNames(c room.Changed) []string {
	names := []string{}
	for i, name := range []string{"name", "metadata", "attributes", "permissions", "state"} {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func appendSeq(b []byte, seq uint64) []byte {
	if seq == 0 {
		return b
	}
	b = append(b, `,"seq":`...)
	return strconv.AppendUint(b, seq, 10)
}

func appendMillis(b []byte, t time.Time) []byte { return strconv.AppendInt(b, t.UnixMilli(), 10) }

func appendField(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte { return text.AppendString(b, s) }

// appendJSON appends v; strings and maps of strings cannot fail.
func appendJSON(b []byte, v any) []byte {
	encoded, _ := json.Marshal(v)
	return append(b, encoded...)
}
