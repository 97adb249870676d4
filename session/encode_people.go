package session

import (
	"strconv"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
)

// This file encodes what a room is and who is there, for the events of encode.go.

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

// ParticipantJSON returns a participant as the native protocol tells it.
func ParticipantJSON(i *room.Info) []byte { return appendParticipant(nil, i, nil) }

// appendParticipant appends a participant, with its presence when there is one.
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
	if !i.EjectAt.IsZero() {
		b = append(b, `,"willEjectAt":`...)
		b = appendMillis(b, i.EjectAt)
	}
	b = append(b, `,"version":`...)
	return strconv.AppendUint(b, i.Version, 10)
}

// appendWaiting appends what a moderator is told of somebody who waits.
func appendWaiting(b []byte, i *room.Info) []byte {
	b = append(b, `{"sid":`...)
	b = appendString(b, i.SID)
	b = appendField(b, "identity", i.Identity)
	b = appendField(b, "name", i.Name)
	b = append(b, `,"joinedAt":`...)
	return append(appendMillis(b, i.JoinedAt), '}')
}

// appendStart appends what a page should begin with, as far as somebody said so.
func appendStart(b []byte, s auth.Start) []byte {
	opened := false
	for _, said := range []struct {
		name string
		is   *bool
	}{{"videoOff", s.VideoOff}, {"audioOff", s.AudioOff}, {"screenShare", s.ScreenShare}} {
		if said.is == nil {
			continue
		}
		if opened {
			b = append(b, ',')
		} else {
			b, opened = append(b, `,"start":{`...), true
		}
		b = append(appendString(b, said.name), ':')
		b = strconv.AppendBool(b, *said.is)
	}
	if opened {
		b = append(b, '}')
	}
	return b
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
	if p.Allows(auth.Owner) {
		b = append(b, `,"owner":true`...)
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
