package livekit

import "usher/auth"

// Permission is what a participant may do in the words of LiveKit's server API
// and signal protocol.
type Permission struct {
	CanSubscribe   bool
	CanPublish     bool
	CanPublishData bool
	// CanPublishSources restricts CanPublish to some sources, by the names that
	// tokens have for them. Empty means every source. An unknown name opens
	// nothing.
	CanPublishSources []string

	Hidden                bool
	Recorder              bool
	CanUpdateMetadata     bool
	CanSubscribeMetrics   bool
	CanManageAgentSession bool
}

const (
	// data is what canPublishData governs. LiveKit has no presence; what is
	// said in its place there, is said by data messages.
	data = auth.SendData | auth.SendPresence
	// moderate is what roomAdmin gives inside the room.
	moderate = auth.ModerateParticipants | auth.ModerateStreaming | auth.ModerateTranscription
	// stated is the rights that UpdateParticipant sets. It sets all of them:
	// what a request leaves out is denied.
	stated = auth.SendTracks | auth.ReceiveTracks | data | auth.UpdateOwnMetadata |
		auth.SubscribeMetrics | auth.ManageAgents | auth.Hidden
	// known is the rights that a token speaks of.
	known = stated | moderate
)

// flags is the table between LiveKit's flags and our rights, read in both
// directions. canPublish is not in it: it and canPublishSources say one thing
// together.
var flags = []struct {
	rights auth.Rights
	of     func(*Permission) *bool
}{
	{auth.ReceiveTracks, func(p *Permission) *bool { return &p.CanSubscribe }},
	{data, func(p *Permission) *bool { return &p.CanPublishData }},
	{auth.Hidden, func(p *Permission) *bool { return &p.Hidden }},
	{auth.UpdateOwnMetadata, func(p *Permission) *bool { return &p.CanUpdateMetadata }},
	{auth.SubscribeMetrics, func(p *Permission) *bool { return &p.CanSubscribeMetrics }},
	{auth.ManageAgents, func(p *Permission) *bool { return &p.CanManageAgentSession }},
}

// unknownSource is LiveKit's word for whatever comes from the application
// itself, audio or video.
const unknownSource = "unknown"

const customTracks = auth.SendCustomVideo | auth.SendCustomAudio

// rights returns what p allows, of the rights in stated.
func (p Permission) rights() auth.Rights {
	var r auth.Rights
	for _, f := range flags {
		if *f.of(&p) {
			r |= f.rights
		}
	}
	switch {
	case !p.CanPublish:
	case len(p.CanPublishSources) == 0:
		r |= auth.SendTracks
	default:
		for _, name := range p.CanPublishSources {
			if name == unknownSource {
				r |= customTracks
			} else if source, ok := auth.ParseSource(name); ok {
				r |= source.Send()
			}
		}
	}
	return r
}

// StatementOf returns what an UpdateParticipant with this permission states.
// It names every right that LiveKit lets it set, and no other. Recorder is not
// among them: only a signed token makes somebody a recorder.
func StatementOf(p Permission) auth.Say {
	allowed := p.rights()
	return auth.Say{Layer: auth.Live, Allow: allowed, Deny: stated &^ allowed}
}

// PermissionOf tells a permission in LiveKit's words. Where they are coarser
// than ours a flag is set only if all that it stands for is permitted.
func PermissionOf(p auth.Permission) Permission {
	var out Permission
	for _, f := range flags {
		*f.of(&out) = p.Allows(f.rights)
	}
	out.CanPublish = p.Rights.Any(auth.SendTracks)
	if out.CanPublish && !p.Allows(auth.SendTracks) {
		out.CanPublishSources = sourceNames(p.Rights)
	}
	return out
}

func sourceNames(rights auth.Rights) []string {
	var names []string
	for source := auth.Camera; source <= auth.CustomAudio; source++ {
		right := source.Send()
		if rights.Has(customTracks) && customTracks.Has(right) {
			continue // told together, in LiveKit's word
		}
		if rights.Has(right) {
			names = append(names, source.String())
		}
	}
	if rights.Has(customTracks) {
		names = append(names, unknownSource)
	}
	return names
}
