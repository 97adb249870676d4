package session

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"usher/room"
	"usher/session/internal/text"
)

// native encodes events in the native protocol. What is sent often is put
// together by hand: nothing is reflected on, and parts that were encoded
// before are copied.
type native struct {
	// tokenIgnored is said in the listener's own snapshots. All else that it
	// encodes is the same for everybody.
	tokenIgnored bool
}

const nativeDialect = 0

func (native) Dialect() int { return nativeDialect }

func (n native) Encode(ev room.Event) []byte {
	s := encodings.Get().(*[]byte)
	body := appendEvent((*s)[:0], ev)
	if _, opens := ev.(*room.Snapshot); opens && n.tokenIgnored {
		body = append(body[:len(body)-1], `,"tokenIgnored":true}`...)
	}
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
	case *room.Waiting:
		b = append(b, `{"type":"waiting"`...)
		b = appendField(b, "session", e.SID)
	case *room.WaitingJoined:
		b = append(b, `{"type":"waitingParticipantJoined","participant":`...)
		b = appendWaiting(b, e.Participant)
	case *room.WaitingLeft:
		b = append(b, `{"type":"waitingParticipantLeft"`...)
		b = appendField(b, "sid", e.SID)
		b = append(b, `,"admitted":`...)
		b = strconv.AppendBool(b, e.Admitted)
	case *room.SessionDataChanged:
		b = append(b, `{"type":"sessionData","data":`...)
		b = appendPresence(b, room.Presence(e.Data))
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
	if e.Waiting != nil {
		b = append(b, `,"waiting":[`...)
		for i, p := range e.Waiting {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendWaiting(b, p)
		}
		b = append(b, ']')
	}
	if len(e.SessionData) > 0 {
		b = append(b, `,"sessionData":`...)
		b = appendPresence(b, room.Presence(e.SessionData))
	}
	b = appendStart(b, e.Start)
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

func changedNames(c room.Changed) []string {
	names := []string{}
	for i, name := range []string{"name", "metadata", "attributes", "permissions", "state", "willEjectAt"} {
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
