package livekit

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protojson"

	"usher/room"
	"usher/web/webhook"
)

// Names of webhook events that LiveKit does not have.
const (
	permissionChanged   = "participant_permission_changed"
	participantUpdated  = "participant_updated"
	roomMetadataChanged = "room_metadata_changed"
	tokensRevoked       = "tokens_revoked"
)

// WebhookEvents returns the names of the events that [EncodeWebhook] makes.
func WebhookEvents() (livekit, extra []string) {
	for _, o := range []room.Occasion{room.RoomStarted, room.RoomFinished, room.ParticipantEntered,
		room.ParticipantDeparted, room.TrackAdded, room.TrackEnded} {
		livekit = append(livekit, string(o))
	}
	return livekit, []string{permissionChanged, participantUpdated, roomMetadataChanged, tokensRevoked}
}

// EncodeWebhook tells an occurrence in the words of LiveKit's webhooks: the
// JSON of a livekit.WebhookEvent without what has its default. Events that
// LiveKit does not have are written in the same way, with one member more where
// there is no field for what they tell; LiveKit's SDKs read them. LiveKit has no
// words for meetings, nor for people who wait to be let in: it is told nothing of
// them.
func EncodeWebhook(o *room.Occurrence, newID func() string) []webhook.Event {
	w := webhookWriter{o: o, newID: newID}
	switch o.Occasion {
	case room.RoomStarted:
		w.add(string(o.Occasion), &livekit.WebhookEvent{Room: roomInfo(o.Room)})
	case room.RoomFinished:
		w.add(string(o.Occasion), &livekit.WebhookEvent{Room: roomInfo(o.Room), RoomEndReason: endReasons[o.Reason]})
	case room.ParticipantEntered:
		w.add(string(o.Occasion), &livekit.WebhookEvent{Room: roomInfo(o.Room), Participant: participantInfo(o.Participant)})
	case room.ParticipantDeparted:
		who := participantInfo(o.Participant)
		who.State = livekit.ParticipantInfo_DISCONNECTED
		who.DisconnectReason = livekit.DisconnectReason(livekit.DisconnectReason_value[string(o.Reason)])
		w.add(string(o.Occasion), &livekit.WebhookEvent{Room: roomInfo(o.Room), Participant: who})
	case room.TrackAdded, room.TrackEnded:
		w.add(string(o.Occasion), &livekit.WebhookEvent{
			Room:        &livekit.Room{Sid: o.Room.ID, Name: o.Room.Name},
			Participant: &livekit.ParticipantInfo{Sid: o.Participant.SID, Identity: o.Participant.Identity},
			Track:       trackInfo(o.Track),
		})

	case room.ParticipantChanged:
		if o.Changed&room.ChangedPermission != 0 {
			w.addExtra(permissionChanged, w.aboutParticipant(), "changed", []string{"permission"})
		}
		var changed []string
		for _, c := range []struct {
			part room.Changed
			name string
		}{{room.ChangedName, "name"}, {room.ChangedMetadata, "metadata"}, {room.ChangedAttributes, "attributes"}} {
			if o.Changed&c.part != 0 {
				changed = append(changed, c.name)
			}
		}
		if len(changed) > 0 {
			w.addExtra(participantUpdated, w.aboutParticipant(), "changed", changed)
		}
	case room.RoomChanged:
		w.addExtra(roomMetadataChanged, &livekit.WebhookEvent{Room: roomInfo(o.Room)}, "", nil)
	case room.TokensRevoked:
		about := &livekit.WebhookEvent{}
		if o.Room.ID != "" || o.Room.Name != "" {
			about.Room = &livekit.Room{Sid: o.Room.ID, Name: o.Room.Name}
		}
		w.addExtra(tokensRevoked, about, "revocation", revocationOf(o.Revocation))
	}
	return w.events
}

// endReasons has no word for the others: LiveKit's servers leave it out, too.
var endReasons = map[room.Reason]livekit.RoomEndReason{
	room.RoomDeleted:    livekit.RoomEndReason_ROOM_END_API_DELETE,
	room.RoomClosed:     livekit.RoomEndReason_ROOM_END_IDLE_TIMEOUT,
	room.ServerShutdown: livekit.RoomEndReason_ROOM_END_SERVER_SHUTDOWN,
}

type webhookWriter struct {
	o      *room.Occurrence
	newID  func() string
	events []webhook.Event
}

func (w *webhookWriter) aboutParticipant() *livekit.WebhookEvent {
	return &livekit.WebhookEvent{Room: roomInfo(w.o.Room), Participant: participantInfo(w.o.Participant)}
}

func (w *webhookWriter) add(name string, e *livekit.WebhookEvent) {
	e.Event, e.Id, e.CreatedAt = name, w.newID(), w.o.At.Unix()
	w.events = append(w.events, webhook.Event{ID: e.Id, Name: name, Body: webhookJSON(e)})
}

// addExtra adds an event with one member that LiveKit has no field for.
func (w *webhookWriter) addExtra(name string, e *livekit.WebhookEvent, member string, value any) {
	w.add(name, e)
	added := &w.events[len(w.events)-1]
	added.Extra = true
	if member == "" {
		return
	}
	encoded, err := json.Marshal(map[string]any{member: value})
	if err != nil {
		return // a time that cannot be written; the event goes without it
	}
	added.Body = append(added.Body[:len(added.Body)-1], ',') // there is an event and an id
	added.Body = append(added.Body, encoded[1:]...)
}

// webhookJSON encodes an event without the spaces that protojson adds at random.
func webhookJSON(e *livekit.WebhookEvent) []byte {
	encoded, err := protojson.Marshal(e)
	if err != nil {
		// Text that is no UTF-8. Neither tokens nor requests bring any.
		encoded, _ = protojson.Marshal(&livekit.WebhookEvent{Event: e.Event, Id: e.Id, CreatedAt: e.CreatedAt})
	}
	var b bytes.Buffer
	_ = json.Compact(&b, encoded)
	return b.Bytes()
}

// A webhookRevocation is a revocation in the words of usher's own API.
type webhookRevocation struct {
	ID       string    `json:"id"`
	Room     string    `json:"room,omitempty"`
	Identity string    `json:"identity,omitempty"`
	TokenID  string    `json:"tokenId,omitempty"`
	KeyID    string    `json:"keyId,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Made     time.Time `json:"made,omitzero"`
	By       string    `json:"by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
}

func revocationOf(r *room.Revocation) webhookRevocation {
	return webhookRevocation{ID: r.ID, Room: r.Room, Identity: r.Identity, TokenID: r.TokenID, KeyID: r.KeyID,
		Until: r.Until.UTC(), Made: r.Made.UTC(), By: r.By, Reason: r.Reason, Expires: r.Expires.UTC()}
}
