package livekit

//lint:file-ignore SA1019 recorder and agent are deprecated, and still a part of what is told.

import (
	"strings"

	"github.com/livekit/protocol/livekit"

	"usher/auth"
	tokens "usher/auth/livekit"
	"usher/room"
)

// states is LiveKit's word for each state. It has none for a participant whose
// connection is cut and who may come back: it is still there.
var states = map[room.State]livekit.ParticipantInfo_State{
	room.Joining:      livekit.ParticipantInfo_JOINING,
	room.Active:       livekit.ParticipantInfo_ACTIVE,
	room.Reconnecting: livekit.ParticipantInfo_ACTIVE,
	room.Gone:         livekit.ParticipantInfo_DISCONNECTED,
}

func participantInfo(i *room.Info) *livekit.ParticipantInfo {
	info := &livekit.ParticipantInfo{
		Sid:         i.SID,
		Identity:    i.Identity,
		Name:        i.Name,
		State:       states[i.State],
		Metadata:    i.Metadata,
		Attributes:  i.Attributes,
		JoinedAt:    i.JoinedAt.Unix(),
		JoinedAtMs:  i.JoinedAt.UnixMilli(),
		Version:     uint32(i.Version),
		Permission:  participantPermission(i),
		IsPublisher: len(i.Tracks) > 0,
		Kind:        livekit.ParticipantInfo_Kind(livekit.ParticipantInfo_Kind_value[strings.ToUpper(string(i.Kind))]),
	}
	for _, d := range i.KindDetails {
		if detail, ok := livekit.ParticipantInfo_KindDetail_value[strings.ToUpper(d)]; ok {
			info.KindDetails = append(info.KindDetails, livekit.ParticipantInfo_KindDetail(detail))
		}
	}
	for _, t := range i.Tracks {
		info.Tracks = append(info.Tracks, trackInfo(t))
	}
	return info
}

var trackTypes = map[room.TrackKind]livekit.TrackType{
	room.Audio:     livekit.TrackType_AUDIO,
	room.Video:     livekit.TrackType_VIDEO,
	room.DataTrack: livekit.TrackType_DATA,
}

func trackInfo(t *room.TrackInfo) *livekit.TrackInfo {
	return &livekit.TrackInfo{
		Sid:    t.SID,
		Type:   trackTypes[t.Kind],
		Source: trackSource(t.Source.String()), // UNKNOWN for what LiveKit has no word for
		Name:   t.Name,
		Muted:  t.Muted,
	}
}

func trackSource(name string) livekit.TrackSource {
	return livekit.TrackSource(livekit.TrackSource_value[strings.ToUpper(name)])
}

// participantPermission tells what a participant may do. LiveKit's words are
// coarser than ours; they never say more than is permitted.
func participantPermission(i *room.Info) *livekit.ParticipantPermission {
	p := tokens.PermissionOf(i.Permission)
	out := &livekit.ParticipantPermission{
		CanSubscribe:          p.CanSubscribe,
		CanPublish:            p.CanPublish,
		CanPublishData:        p.CanPublishData,
		Hidden:                p.Hidden,
		CanUpdateMetadata:     p.CanUpdateMetadata,
		CanSubscribeMetrics:   p.CanSubscribeMetrics,
		CanManageAgentSession: p.CanManageAgentSession,
		Recorder:              i.Recorder && i.Kind != auth.Agent,
		Agent:                 i.Recorder && i.Kind == auth.Agent,
	}
	for _, name := range p.CanPublishSources {
		// One of the two custom sources alone has no word.
		if source, ok := livekit.TrackSource_value[strings.ToUpper(name)]; ok {
			out.CanPublishSources = append(out.CanPublishSources, livekit.TrackSource(source))
		}
	}
	if len(p.CanPublishSources) > 0 && len(out.CanPublishSources) == 0 {
		out.CanPublish = false // an empty list would say every source
	}
	return out
}

// permissionOf reads the permission of a request. Recorder and agent are not
// among what a request can make somebody.
func permissionOf(p *livekit.ParticipantPermission) (tokens.Permission, error) {
	sources, err := sourceNames(p.CanPublishSources)
	return tokens.Permission{
		CanSubscribe:          p.CanSubscribe,
		CanPublish:            p.CanPublish,
		CanPublishData:        p.CanPublishData,
		CanPublishSources:     sources,
		Hidden:                p.Hidden,
		CanUpdateMetadata:     p.CanUpdateMetadata,
		CanSubscribeMetrics:   p.CanSubscribeMetrics,
		CanManageAgentSession: p.CanManageAgentSession,
	}, err
}
