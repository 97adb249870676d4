package session

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/wire"
)

// badMessage is a message that could not be understood.
type badMessage struct{ code, problem string }

func (e *badMessage) Error() string { return e.problem }

func invalid(problem string) error { return &badMessage{"invalid_request", problem} }

// handlers is what each type of message does. Package room checks whether the
// sender may, at the moment it is handled.
var handlers = map[string]func(*room.Participant, room.Call, *wire.Message) error{
	"ack": func(p *room.Participant, c room.Call, m *wire.Message) error { return p.Ack(c, m.Received) },
	"ping": func(p *room.Participant, c room.Call, m *wire.Message) error {
		return p.Ping(c)
	},
	"leave":           func(p *room.Participant, c room.Call, m *wire.Message) error { return p.Leave(c) },
	"publishData":     publishData,
	"updatePresence":  updatePresence,
	"updateMetadata":  updateMetadata,
	"publishTrack":    publishTrack,
	"unpublishTrack":  onTrack((*room.Participant).UnpublishTrack),
	"subscribe":       onTrack((*room.Participant).Subscribe),
	"unsubscribe":     onTrack((*room.Participant).Unsubscribe),
	"requestKeyFrame": onTrack((*room.Participant).RequestKeyFrame),
	"muteTrack":       muteTrack,
	"listParticipants": func(p *room.Participant, c room.Call, m *wire.Message) error {
		return p.ListParticipants(c, m.After, m.Limit)
	},
	"updateParticipant": updateParticipant,
	"removeParticipant": removeParticipant,
	"ejectParticipant":  ejectParticipant,
	"updatePermissions": updatePermissions,
	"admitParticipant":  answerWaiting(true),
	"denyParticipant":   answerWaiting(false),
	"updateSessionData": updateSessionData,
	"rpcReply":          rpcReply,
	"join":              refuseAgain,
	"resume":            refuseAgain,
}

// messageKinds is the label values for messages in metrics.
func messageKinds(dialects []Dialect) []string {
	kinds := []string{"frame", "unknown"}
	for k := range handlers {
		kinds = append(kinds, k)
	}
	for _, d := range dialects {
		kinds = append(kinds, d.Kinds()...)
	}
	return kinds
}

// Handle implements [Peer].
func (n *nativePeer) Handle(conn *Connection, p *room.Participant, binary bool, message []byte) error {
	c := (*session)(n)
	if !conn.Allow() {
		return c.overRate(p, binary, message)
	}
	call := conn.Call()
	if binary {
		c.server.metrics.message("frame")
		return c.frame(p, call, message)
	}
	var m wire.Message
	if err := wire.Decode(message, &m); err != nil {
		c.server.metrics.message("unknown")
		call.ID = idOf(message)
		return p.Reject(call, invalid(err.Error()))
	}
	call.ID = m.ID
	handler, ok := handlers[m.Type]
	if !ok {
		c.server.metrics.message("unknown")
		return p.Reject(call, &badMessage{"unknown_type", "no such type of message: " + quote(m.Type)})
	}
	c.server.metrics.message(m.Type)
	return handler(p, call, &m)
}

// overRate answers a message over the rate limit; a client that goes on all the
// same is put out.
func (c *session) overRate(p *room.Participant, binary bool, message []byte) error {
	if c.refused > 100 && c.refused > int(10*c.server.cfg.MessagesPerSecond) {
		return errFlood
	}
	if binary {
		return nil
	}
	return p.Reject(room.Call{Generation: c.generation, ID: idOf(message), Batch: c.batch},
		&badMessage{"rate_limited", "too many messages"})
}

// idOf finds the id of a message that is otherwise not understood.
func idOf(message []byte) uint64 {
	var m struct {
		ID uint64 `json:"id"`
	}
	_ = json.Unmarshal(message, &m)
	return m.ID
}

// quote shortens and quotes a client's word for an error message.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.Quote(s)
}

// frame passes a track frame on. It is copied once, behind a header that all
// receivers share.
func (c *session) frame(p *room.Participant, call room.Call, message []byte) error {
	h, ok := wire.ParseFrameHeader(message)
	if !ok || len(message) > wire.FrameHeaderBytes+wire.MaxFragmentBytes {
		return p.Reject(call, invalid("a binary message is a track frame: a header of 15 bytes, and at most 16 KiB"))
	}
	if !h.Last && len(message) == wire.FrameHeaderBytes {
		// Without end, these would cost every receiver and bring it nothing.
		return p.Reject(call, invalid("a binary message that is not the last fragment of its frame carries some of it"))
	}
	b := make([]byte, 0, headerBytes(len(message))+len(message))
	b = append(appendHeader(b, opBinary, len(message)), message...)
	return p.PassFrame(call, room.TrackFrame{Handle: h.Handle, Key: h.Key, Layer: h.Layer, Last: h.Last, Counter: h.Counter, Wire: b})
}

func publishData(p *room.Participant, c room.Call, m *wire.Message) error {
	switch {
	case m.Payload == nil:
		return p.Reject(c, invalid("payload is missing"))
	case m.Encoding != "" && m.Encoding != "base64":
		return p.Reject(c, invalid(`encoding is "base64" or absent`))
	case m.Encoding == "base64" && !isBase64(m.Payload):
		return p.Reject(c, invalid("payload is a string in base64 when encoding says so"))
	}
	return p.PublishData(c, room.Message{
		Topic: m.Topic, Payload: m.Payload, Encoding: m.Encoding, Reliable: m.Reliable == nil || *m.Reliable,
		Identities: m.DestinationIdentities, SIDs: m.DestinationSIDs,
	})
}

// isBase64 reports whether a JSON value is a string in base64.
func isBase64(value []byte) bool {
	var text string
	if json.Unmarshal(value, &text) != nil || value[0] != '"' {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(text)
	return err == nil
}

func updatePresence(p *room.Participant, c room.Call, m *wire.Message) error {
	if m.Presence == nil {
		return p.Reject(c, invalid("presence is missing"))
	}
	presence := make(room.Presence, len(m.Presence))
	for k, v := range m.Presence {
		presence[k] = bytes.TrimSpace(v)
	}
	return p.UpdatePresence(c, presence, m.Full)
}

func updateMetadata(p *room.Participant, c room.Call, m *wire.Message) error {
	return p.UpdateMetadata(c, room.Change{Name: m.Name, Metadata: m.Metadata, Attributes: m.Attributes})
}

// trackKinds is what each source carries.
var trackKinds = map[auth.Source]room.TrackKind{
	auth.Camera: room.Video, auth.ScreenShare: room.Video, auth.CustomVideo: room.Video,
	auth.Microphone: room.Audio, auth.ScreenShareAudio: room.Audio, auth.CustomAudio: room.Audio,
	auth.NoSource: room.DataTrack,
}

func publishTrack(p *room.Participant, c room.Call, m *wire.Message) error {
	kind := room.TrackKind(m.Kind)
	if kind != room.Audio && kind != room.Video && kind != room.DataTrack {
		return p.Reject(c, invalid(`kind is "audio", "video" or "data"`))
	}
	source := auth.NoSource
	switch {
	case kind == room.DataTrack && m.Source != "":
		return p.Reject(c, invalid("a data track has no source"))
	case kind != room.DataTrack:
		var ok bool
		if source, ok = auth.ParseSource(m.Source); !ok {
			return p.Reject(c, invalid("source is one of camera, microphone, screen_share, screen_share_audio, custom_video, custom_audio"))
		}
		if trackKinds[source] != kind {
			return p.Reject(c, invalid(source.String()+" is no "+m.Kind+" source"))
		}
	}
	t := room.Track{Kind: kind, Source: source, Codec: m.Codec}
	if m.Name != nil {
		t.Name = *m.Name
	}
	if m.Muted != nil {
		t.Muted = *m.Muted
	}
	return p.PublishTrack(c, t)
}

func muteTrack(p *room.Participant, c room.Call, m *wire.Message) error {
	if m.TrackSID == "" || m.Muted == nil {
		return p.Reject(c, invalid("trackSid or muted is missing"))
	}
	return p.MuteTrack(c, m.TrackSID, *m.Muted)
}

func onTrack(do func(*room.Participant, room.Call, string) error) func(*room.Participant, room.Call, *wire.Message) error {
	return func(p *room.Participant, c room.Call, m *wire.Message) error {
		if m.TrackSID == "" {
			return p.Reject(c, invalid("trackSid is missing"))
		}
		return do(p, c, m.TrackSID)
	}
}

func target(m *wire.Message) (room.Target, error) {
	if (m.Identity == "") == (m.SID == "") {
		return room.Target{}, invalid("name the participant by identity or by sid")
	}
	return room.Target{Identity: m.Identity, SID: m.SID}, nil
}

func updateParticipant(p *room.Participant, c room.Call, m *wire.Message) error {
	t, err := target(m)
	if err != nil {
		return p.Reject(c, err)
	}
	change := room.Change{Name: m.Name, Metadata: m.Metadata, Attributes: m.Attributes}
	if w := m.Permission; w != nil {
		for _, s := range w.CanPublishSources {
			if _, ok := auth.ParseSource(s); !ok && s != "unknown" {
				return p.Reject(c, invalid("canPublishSources: no source is called "+quote(s)))
			}
		}
		say := livekit.StatementOf(livekit.Permission{
			CanSubscribe: w.CanSubscribe, CanPublish: w.CanPublish, CanPublishData: w.CanPublishData,
			CanPublishSources: w.CanPublishSources, Hidden: w.Hidden, CanUpdateMetadata: w.CanUpdateMetadata,
			CanSubscribeMetrics: w.CanSubscribeMetrics, CanManageAgentSession: w.CanManageAgentSession,
		})
		change.Permission = &say
	}
	return p.UpdateParticipant(c, t, change)
}

func removeParticipant(p *room.Participant, c room.Call, m *wire.Message) error {
	t, err := target(m)
	if err != nil {
		return p.Reject(c, err)
	}
	return p.RemoveParticipant(c, t)
}

func rpcReply(p *room.Participant, c room.Call, m *wire.Message) error {
	var payload string
	switch {
	case m.RPC == "":
		return p.Reject(c, invalid("rpc is missing: the call that is answered"))
	case m.Error != nil:
		code := m.Error.Code
		if code == 0 {
			code = room.RPCApplication
		}
		return p.ReplyRPC(c, m.RPC, "", &room.RPCError{Code: code, Message: m.Error.Message, Data: m.Error.Data})
	case m.Payload != nil && json.Unmarshal(m.Payload, &payload) != nil:
		return p.Reject(c, invalid("payload is a string"))
	}
	return p.ReplyRPC(c, m.RPC, payload, nil)
}

func refuseAgain(p *room.Participant, c room.Call, m *wire.Message) error {
	return p.Reject(c, invalid(m.Type+" comes first, and once"))
}
