package auth

import (
	"maps"
	"math/bits"
	"slices"
)

// Rights is a set of things a participant may do. It is the union of what the
// LiveKit, Liveblocks and Daily tokens can express; each token format maps its
// own words onto it and back.
type Rights uint64

const (
	// SendCamera and the five that follow allow publishing tracks from one
	// source each.
	SendCamera Rights = 1 << iota
	SendMicrophone
	SendScreenShare
	SendScreenShareAudio
	SendCustomVideo
	SendCustomAudio

	// ReceiveCamera and the five that follow allow receiving tracks from one
	// source each; ReceiveDataTracks allows receiving data tracks.
	ReceiveCamera
	ReceiveMicrophone
	ReceiveScreenShare
	ReceiveScreenShareAudio
	ReceiveCustomVideo
	ReceiveCustomAudio
	ReceiveDataTracks

	// SendData allows data messages and data tracks.
	SendData
	// SendPresence allows changing one's own presence.
	SendPresence
	// UpdateOwnMetadata allows changing one's own name, metadata and attributes.
	UpdateOwnMetadata

	// ReadStorage and WriteStorage allow reading and changing a room's document.
	ReadStorage
	WriteStorage
	// ReadPublicComments and the five that follow are Liveblocks' rights to
	// comments and feeds. They are resolved and told to clients, and nothing
	// here is governed by them yet.
	ReadPublicComments
	WritePublicComments
	ReadPrivateComments
	WritePrivateComments
	ReadFeeds
	WriteFeeds

	// ModerateParticipants allows changing, muting and removing others.
	ModerateParticipants
	// ModerateStreaming and ModerateTranscription allow starting and stopping
	// a stream and a transcription of the room.
	ModerateStreaming
	ModerateTranscription
	// Owner marks a Daily owner, whom only owners may touch.
	Owner

	// SubscribeMetrics and ManageAgents are LiveKit's canSubscribeMetrics and
	// canManageAgentSession. They are carried, and mean nothing to the server.
	SubscribeMetrics
	ManageAgents

	// ReceiveOnlyOwners narrows what is received, as far as nothing else is said
	// of a publisher, to tracks of owners.
	ReceiveOnlyOwners

	// Hidden is visibility rather than a right: a hidden participant is not
	// shown to the others and cannot publish tracks or presence.
	Hidden

	endOfRights
)

const (
	// SendTracks is the rights to publish, one for each source.
	SendTracks = SendCamera | SendMicrophone | SendScreenShare | SendScreenShareAudio | SendCustomVideo | SendCustomAudio
	// ReceiveTracks is the rights to receive tracks.
	ReceiveTracks = ReceiveCamera | ReceiveMicrophone | ReceiveScreenShare | ReceiveScreenShareAudio | ReceiveCustomVideo | ReceiveCustomAudio | ReceiveDataTracks
	// AllRights has every bit that has a meaning.
	AllRights = endOfRights - 1
)

// Has reports whether every right of want is in r.
func (r Rights) Has(want Rights) bool { return r&want == want }

// Any reports whether at least one right of want is in r.
func (r Rights) Any(want Rights) bool { return r&want != 0 }

// Each calls f with each right in r, lowest first.
func (r Rights) Each(f func(Rights)) {
	for r != 0 {
		one := Rights(1) << bits.TrailingZeros64(uint64(r))
		f(one)
		r &^= one
	}
}

// Source is where a track comes from.
type Source uint8

const (
	// NoSource is the source of data tracks, which come from the application.
	NoSource Source = iota
	Camera
	Microphone
	ScreenShare
	ScreenShareAudio
	CustomVideo
	CustomAudio
	endOfSources
)

var sourceNames = [endOfSources]string{
	NoSource: "", Camera: "camera", Microphone: "microphone",
	ScreenShare: "screen_share", ScreenShareAudio: "screen_share_audio",
	CustomVideo: "custom_video", CustomAudio: "custom_audio",
}

// String returns the source's name as LiveKit's tokens and usher's protocol spell it.
func (s Source) String() string {
	if s < endOfSources {
		return sourceNames[s]
	}
	return ""
}

// ParseSource returns the source with that name. NoSource has none.
func ParseSource(name string) (Source, bool) {
	if name == "" {
		return NoSource, false
	}
	i := slices.Index(sourceNames[:], name)
	return Source(max(i, 0)), i > 0
}

// Send is the right to publish from s. Data tracks need [SendData].
func (s Source) Send() Rights {
	if s == NoSource {
		return SendData
	}
	return SendCamera << (s - Camera)
}

// Receive is the right to receive a track from s.
func (s Source) Receive() Rights {
	if s == NoSource {
		return ReceiveDataTracks
	}
	return ReceiveCamera << (s - Camera)
}

// A Permission is what a participant may do at this moment. It is a value:
// the maps are never changed once it has been made.
type Permission struct {
	Rights Rights

	// ReceiveFromIdentity and ReceiveFromParticipant replace the ReceiveTracks
	// part of Rights for the tracks of an identity, or of one participant by
	// its sid, which comes first.
	ReceiveFromIdentity    map[string]Rights
	ReceiveFromParticipant map[string]Rights
}

// Allows reports whether all of want is permitted.
func (p Permission) Allows(want Rights) bool { return p.Rights.Has(want) }

// Hidden reports whether the participant is hidden.
func (p Permission) Hidden() bool { return p.Rights.Has(Hidden) }

// Receives reports whether a track from s of the named participant, who may be an
// owner, may be received.
func (p Permission) Receives(s Source, identity, sid string, owner bool) bool {
	rights, ok := exception(p.ReceiveFromParticipant, sid)
	if !ok {
		rights, ok = exception(p.ReceiveFromIdentity, identity)
	}
	if !ok {
		rights = p.Rights
		if !owner && rights.Has(ReceiveOnlyOwners) {
			return false
		}
	}
	return rights.Has(s.Receive())
}

// Everybody is the key of the maps of exceptions for those who have none of their own.
const Everybody = "*"

func exception(by map[string]Rights, who string) (Rights, bool) {
	rights, ok := by[who]
	if !ok && len(by) > 0 {
		rights, ok = by[Everybody]
	}
	return rights, ok
}

// ReceivesFromAll reports whether p has no exception by which somebody's tracks
// may not be received.
func (p Permission) ReceivesFromAll() bool {
	for _, exceptions := range []map[string]Rights{p.ReceiveFromIdentity, p.ReceiveFromParticipant} {
		for _, rights := range exceptions {
			if !rights.Has(ReceiveTracks) {
				return false
			}
		}
	}
	return true
}

// Equal reports whether p and q permit the same.
func (p Permission) Equal(q Permission) bool {
	return p.Rights == q.Rights &&
		maps.Equal(p.ReceiveFromIdentity, q.ReceiveFromIdentity) &&
		maps.Equal(p.ReceiveFromParticipant, q.ReceiveFromParticipant)
}

// A Say is what one layer states about somebody: rights it allows, rights it
// denies. What it does not name it leaves to the layers before it.
type Say struct {
	// Layer names the origin, for explanations: "token", "live",
	// "usersAccesses.bob".
	Layer       string
	Allow, Deny Rights

	// ReceiveFromIdentity and ReceiveFromParticipant replace, key by key, what
	// the layers before it said. The key "*" stands for everybody not named.
	ReceiveFromIdentity    map[string]Rights
	ReceiveFromParticipant map[string]Rights
	// AllFromIdentity and AllFromParticipant say that those maps are all there is:
	// what the layers before it said of other keys is void.
	AllFromIdentity    bool
	AllFromParticipant bool
}

// Live is the layer of what server APIs and moderators stated about a person.
// It is always the last one.
const Live = "live"

// Then returns what s and a later say of the same layer state together: each
// right goes by the last one that named it.
func (s Say) Then(later Say) Say {
	if s.Layer == "" {
		s.Layer = later.Layer
	}
	named := later.Allow | later.Deny
	s.Allow = s.Allow&^named | later.Allow&^later.Deny
	s.Deny = s.Deny&^named | later.Deny
	s.ReceiveFromIdentity = overlay(s.ReceiveFromIdentity, later.ReceiveFromIdentity, later.AllFromIdentity)
	s.ReceiveFromParticipant = overlay(s.ReceiveFromParticipant, later.ReceiveFromParticipant, later.AllFromParticipant)
	s.AllFromIdentity = s.AllFromIdentity || later.AllFromIdentity
	s.AllFromParticipant = s.AllFromParticipant || later.AllFromParticipant
	return s
}

// IsZero reports whether s states nothing.
func (s Say) IsZero() bool {
	return s.Allow|s.Deny == 0 && len(s.ReceiveFromIdentity) == 0 && len(s.ReceiveFromParticipant) == 0 &&
		!s.AllFromIdentity && !s.AllFromParticipant
}

// Resolve computes what somebody may do. It is the only function that does.
// Each layer, weakest first, adds what it allows and takes what it denies;
// what no layer names is not permitted. With the live layer last that is
// (base ∪ allow) − deny.
func Resolve(layers ...Say) Permission {
	var p Permission
	for _, s := range layers {
		p.Rights = (p.Rights | s.Allow) &^ s.Deny
		p.ReceiveFromIdentity = overlay(p.ReceiveFromIdentity, s.ReceiveFromIdentity, s.AllFromIdentity)
		p.ReceiveFromParticipant = overlay(p.ReceiveFromParticipant, s.ReceiveFromParticipant, s.AllFromParticipant)
	}
	return p
}

// Explain names the layer that decided the right: the last one that named it,
// or the first when none did.
func Explain(right Rights, layers ...Say) (allowed bool, layer string) {
	if len(layers) > 0 {
		layer = layers[0].Layer
	}
	for _, s := range layers {
		switch {
		case s.Deny.Any(right):
			allowed, layer = false, s.Layer
		case s.Allow.Has(right):
			allowed, layer = true, s.Layer
		}
	}
	return allowed, layer
}

func overlay(under, over map[string]Rights, whole bool) map[string]Rights {
	if whole {
		return over
	}
	if len(over) == 0 {
		return under
	}
	sum := make(map[string]Rights, len(under)+len(over))
	maps.Copy(sum, under)
	maps.Copy(sum, over)
	return sum
}
