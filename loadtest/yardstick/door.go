package yardstick

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"usher/auth"
	"usher/auth/livekit"
	"usher/session/wire"
)

// The key of usher serve --dev, so that one token opens every server compared.
const (
	devKey    = "devkey"
	devSecret = "secret"
)

// A door checks tokens. Usher's own verifier does it: what a token costs is the
// same for all.
type door struct{ verifier *auth.Verifier }

func newDoor() (*door, error) {
	keys, err := auth.NewKeys([]auth.Key{{ID: devKey, Secret: auth.Secret(devSecret), Project: "dev", Format: livekit.Format{}}}, nil)
	if err != nil {
		return nil, fmt.Errorf("yardstick: %w", err)
	}
	return &door{auth.NewVerifier(keys, 0)}, nil
}

// A person is who a token says somebody is.
type person struct {
	room, identity, name, kind, metadata string

	attributes  map[string]string
	permissions permissions
}

// permissions is a participant's, as it is told.
type permissions struct {
	CanPublish           bool     `json:"canPublish"`
	CanPublishSources    []string `json:"canPublishSources"`
	CanPublishData       bool     `json:"canPublishData"`
	CanSubscribe         bool     `json:"canSubscribe"`
	CanUpdateOwnMetadata bool     `json:"canUpdateOwnMetadata"`
	CanUpdatePresence    bool     `json:"canUpdatePresence"`
	Hidden               bool     `json:"hidden"`
	Admin                []string `json:"admin"`
}

// admit returns who comes with the token, or why they may not.
func (d *door) admit(token string) (person, wire.CloseCode) {
	if token == "" {
		return person{}, wire.InvalidToken
	}
	g, err := d.verifier.Verify(token)
	switch {
	case errors.Is(err, auth.ErrTooLarge):
		return person{}, wire.TokenTooLarge
	case errors.Is(err, auth.ErrExpired):
		return person{}, wire.TokenExpired
	case errors.Is(err, auth.ErrNotYetValid):
		return person{}, wire.TokenNotYetValid
	case err != nil, g.Room == "":
		return person{}, wire.InvalidToken
	case !g.Join:
		return person{}, wire.NotAllowed
	}
	return person{
		room: g.Room, identity: g.Identity, name: g.Name, kind: string(g.Kind), metadata: g.Metadata,
		attributes: g.Attributes, permissions: permissionsOf(auth.Resolve(g.Base...)),
	}, 0
}

func permissionsOf(p auth.Permission) permissions {
	lk := livekit.PermissionOf(p)
	told := permissions{
		CanPublish: lk.CanPublish, CanPublishSources: []string{}, CanPublishData: p.Allows(auth.SendData),
		CanSubscribe: p.Rights.Any(auth.ReceiveTracks), CanUpdateOwnMetadata: p.Allows(auth.UpdateOwnMetadata),
		CanUpdatePresence: p.Allows(auth.SendPresence), Admin: []string{},
	}
	told.CanPublishSources = append(told.CanPublishSources, lk.CanPublishSources...)
	for _, a := range []struct {
		right auth.Rights
		name  string
	}{{auth.ModerateParticipants, "participants"}, {auth.ModerateStreaming, "streaming"}, {auth.ModerateTranscription, "transcription"}} {
		if p.Allows(a.right) {
			told.Admin = append(told.Admin, a.name)
		}
	}
	return told
}

// offer reads what a client offers in Sec-WebSocket-Protocol: whether ours is
// among it, whether anything is, and a token.
func offer(header string) (ours, any bool, token string) {
	for p := range strings.SplitSeq(header, ",") {
		p = strings.TrimSpace(p)
		if p == "" {
			continue
		}
		any = true
		if p == wire.Subprotocol {
			ours = true
		} else if t, ok := strings.CutPrefix(p, wire.BearerPrefix); ok {
			token = t
		}
	}
	return ours, any, token
}

// bearer returns the token of an Authorization header.
func bearer(header string) string {
	if scheme, token, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// trackProblem says what is wrong with a track that somebody asks to publish.
func trackProblem(kind, source string) string {
	switch kind {
	case "data":
		if source != "" {
			return "a data track has no source"
		}
		return ""
	case "video":
		if source == "camera" || source == "screen_share" || source == "custom_video" {
			return ""
		}
	case "audio":
		if source == "microphone" || source == "screen_share_audio" || source == "custom_audio" {
			return ""
		}
	default:
		return `kind is "audio", "video" or "data"`
	}
	return "source is none of this kind"
}

// Identifiers, as long as usher's. The secret opens nothing.
func participantSID() string { return "PA_" + rand.Text()[:18] }
func trackSID() string       { return "TR_" + rand.Text()[:18] }
func roomSID() string        { return "RM_" + rand.Text()[:16] }
func newEpoch() string       { return rand.Text()[:8] }
func newSecret() string      { return rand.Text() + rand.Text()[:22] }
