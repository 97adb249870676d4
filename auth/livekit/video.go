package livekit

import (
	"encoding/json"

	"usher/auth"
	"usher/auth/internal/object"
)

// video is the grant in a token. A nil flag is one that the token leaves to
// the server.
type video struct {
	room, destinationRoom                     string
	roomJoin, roomAdmin, roomCreate, roomList bool
	hidden, recorder, agent                   bool
	kind                                      string // see [claims.participantKind]

	canPublish, canSubscribe, canPublishData   *bool
	canUpdateOwnMetadata                       *bool
	canSubscribeMetrics, canManageAgentSession *bool
	canPublishSources                          []string

	granted bool // the token has a video grant at all
}

func (v *video) read(raw json.RawMessage) error {
	v.granted = true
	var flag bool
	return object.Read(raw,
		object.Field{Name: "room", Into: &v.room},
		object.Field{Name: "destinationRoom", Into: &v.destinationRoom},
		object.Field{Name: "roomJoin", Into: &v.roomJoin},
		object.Field{Name: "roomAdmin", Into: &v.roomAdmin},
		object.Field{Name: "roomCreate", Into: &v.roomCreate},
		object.Field{Name: "roomList", Into: &v.roomList},
		object.Field{Name: "hidden", Into: &v.hidden},
		object.Field{Name: "recorder", Into: &v.recorder},
		object.Field{Name: "agent", Into: &v.agent},
		object.Field{Name: "kind", Into: &v.kind},
		object.Field{Name: "canPublish", Into: &v.canPublish},
		object.Field{Name: "canSubscribe", Into: &v.canSubscribe},
		object.Field{Name: "canPublishData", Into: &v.canPublishData},
		object.Field{Name: "canPublishSources", Into: &v.canPublishSources},
		object.Field{Name: "canUpdateOwnMetadata", Into: &v.canUpdateOwnMetadata},
		object.Field{Name: "canSubscribeMetrics", Into: &v.canSubscribeMetrics},
		object.Field{Name: "canManageAgentSession", Into: &v.canManageAgentSession},
		// Without effect here; see [claims.read].
		object.Field{Name: "roomRecord", Into: &flag},
		object.Field{Name: "ingressAdmin", Into: &flag},
	)
}

// permission returns the flags with LiveKit's values for those that are unset.
// Each is looked at alone.
func (v *video) permission() Permission {
	if !v.granted {
		return Permission{}
	}
	publish := unset(v.canPublish, true)
	return Permission{
		CanSubscribe:          unset(v.canSubscribe, true),
		CanPublish:            publish,
		CanPublishData:        unset(v.canPublishData, publish),
		CanPublishSources:     v.canPublishSources,
		Hidden:                v.hidden,
		Recorder:              v.recorder,
		CanUpdateMetadata:     unset(v.canUpdateOwnMetadata, false),
		CanSubscribeMetrics:   unset(v.canSubscribeMetrics, false),
		CanManageAgentSession: unset(v.canManageAgentSession, false),
	}
}

func unset(flag *bool, otherwise bool) bool {
	if flag == nil {
		return otherwise
	}
	return *flag
}

// rights returns what the grant allows, of the rights in known.
func (v *video) rights() auth.Rights {
	r := v.permission().rights()
	if v.roomAdmin {
		r |= moderate
	}
	return r
}
