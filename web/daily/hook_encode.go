package daily

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/room/stringify"
	"usher/web/webhook"
)

// Names of the webhook events that are sent.
const (
	meetingStarted    = "meeting.started"
	meetingEnded      = "meeting.ended"
	participantJoined = "participant.joined"
	participantLeft   = "participant.left"
	waitingJoined     = "waiting-participant.joined"
	waitingLeft       = "waiting-participant.left"
)

// EncodeWebhook tells an occurrence in the words of Daily's webhooks, when it is
// of a room with a Daily part and Daily has words for it. The body is what
// JavaScript's JSON.stringify makes of it, so that who signs the text of the event
// again, as Daily's guide does, comes to the same signature as who signs the bytes.
func EncodeWebhook(o *room.Occurrence, _ func() string) []webhook.Event {
	if !o.Room.Daily {
		return nil
	}
	var (
		name, id string
		payload  []byte
		at       = strconv.FormatInt(o.At.UnixMilli(), 10)
		meeting  = o.Room.Meeting
	)
	switch o.Occasion {
	case room.MeetingStarted:
		name, id = meetingStarted, "met-sta-"+meeting.ID+"-"+strconv.FormatInt(o.At.Unix(), 10)
		payload = appendSeconds([]byte(`{"start_ts":`), meeting.Began)
	case room.MeetingEnded:
		name, id = meetingEnded, "met-end-"+meeting.ID+"-"+strconv.FormatInt(o.At.Unix(), 10)
		payload = appendSeconds([]byte(`{"start_ts":`), meeting.Began)
		payload = appendSeconds(append(payload, `,"end_ts":`...), o.At)
	case room.ParticipantEntered:
		name, id = participantJoined, "ptcpt-join-"+sessionOf(o.Participant)+"-"+at
		payload = appendParticipant(nil, o)
	case room.ParticipantDeparted:
		name, id = participantLeft, "ptcpt-left-"+sessionOf(o.Participant)+"-"+at
		payload = appendParticipant(nil, o)
	case room.WaitingEntered:
		name, id = waitingJoined, "1-w-ptcpt-joined-"+o.Participant.SID
		payload = appendParticipant(nil, o)
	case room.WaitingDeparted:
		if o.Reason == "" {
			return nil // it was let in, which the event after this one tells
		}
		name, id = waitingLeft, "1-w-ptcpt-left-"+o.Participant.SID
		payload = appendParticipant(nil, o)
	default:
		return nil
	}
	if o.Participant == nil { // of a meeting
		payload = stringify.AppendText(append(payload, `,"meeting_id":`...), meeting.ID)
		payload = append(stringify.AppendText(append(payload, `,"room":`...), o.Room.Name), '}')
	}
	b := append([]byte(`{"version":"1.0.0","type":"`), name...)
	b = stringify.AppendText(append(b, `","id":`...), id)
	b = append(append(b, `,"payload":`...), payload...)
	b = append(appendSeconds(append(b, `,"event_ts":`...), o.At), '}')
	return []webhook.Event{{ID: id, Name: name, Body: b}}
}

// anonymous reports whether an identity is one that was made up for somebody who
// has none.
func anonymous(identity string) bool { return strings.HasPrefix(identity, auth.AnonymousPrefix) }

// userOf is the user_id of a participant: somebody who has none is called by the
// session, as Daily does.
func userOf(identity, sid string) string {
	if identity == "" || anonymous(identity) {
		return sid
	}
	return identity
}

// sessionOf is how ids of events call a participant: of one user, too, no two
// sessions are called the same.
func sessionOf(i *room.Info) string {
	if user := userOf(i.Identity, i.SID); user != i.SID {
		return user + "-" + i.SID
	}
	return i.SID
}

func appendParticipant(b []byte, o *room.Occurrence) []byte {
	i := o.Participant
	waiting := o.Occasion == room.WaitingEntered || o.Occasion == room.WaitingDeparted
	b = stringify.AppendText(append(b, `{"room":`...), o.Room.Name)
	if !waiting { // of whom Daily does not say it
		b = stringify.AppendText(append(b, `,"user_id":`...), userOf(i.Identity, i.SID))
	}
	b = stringify.AppendText(append(b, `,"user_name":`...), i.Name)
	b = stringify.AppendText(append(b, `,"session_id":`...), i.SID)
	b = appendSeconds(append(b, `,"joined_at":`...), i.JoinedAt)
	b = append(b, `,"will_eject_at":`...)
	if i.EjectAt.IsZero() {
		b = append(b, "null"...)
	} else {
		b = appendSeconds(b, i.EjectAt)
	}
	b = strconv.AppendBool(append(b, `,"owner":`...), i.Permission.Rights.Has(auth.Owner))
	b = appendStringified(append(b, `,"permissions":`...), daily.AppendPermissions(nil, i.Permission))
	if o.Occasion == room.ParticipantDeparted || o.Occasion == room.WaitingDeparted {
		b = appendMillis(append(b, `,"duration":`...), max(0, o.At.Sub(i.JoinedAt)).Milliseconds())
	}
	return append(b, '}')
}

// appendSeconds appends a time as seconds, to the millisecond.
func appendSeconds(b []byte, t time.Time) []byte { return appendMillis(b, t.UnixMilli()) }

func appendMillis(b []byte, ms int64) []byte {
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
}

// appendStringified appends JSON without numbers as JSON.stringify writes it after
// JSON.parse: the members of an object that are numbers come first, by their size.
func appendStringified(b, raw []byte) []byte {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return append(b, "null"...)
	case raw[0] == '"':
		var s string
		_ = json.Unmarshal(raw, &s) // it is JSON
		return stringify.AppendText(b, s)
	case raw[0] == '[':
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		b = append(b, '[')
		for i, v := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendStringified(b, v)
		}
		return append(b, ']')
	case raw[0] != '{':
		return append(b, raw...)
	}
	type member struct {
		name  string
		index uint64
		array bool // its name is an index of an array
		value json.RawMessage
	}
	var members []member
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token()
	for d.More() {
		name, _ := d.Token()
		m := member{}
		m.name, _ = name.(string)
		if d.Decode(&m.value) != nil {
			break
		}
		// 2³²-1 is no index, and "01" is none.
		n, err := strconv.ParseUint(m.name, 10, 32)
		m.index, m.array = n, err == nil && n < 1<<32-1 && strconv.FormatUint(n, 10) == m.name
		members = append(members, m)
	}
	slices.SortStableFunc(members, func(x, y member) int {
		switch {
		case x.array && y.array:
			return int(int64(x.index) - int64(y.index))
		case x.array:
			return -1
		case y.array:
			return 1
		}
		return 0
	})
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendStringified(append(stringify.AppendText(b, m.name), ':'), m.value)
	}
	return append(b, '}')
}
