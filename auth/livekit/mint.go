package livekit

import (
	"encoding/json"
	"errors"
	"time"

	"usher/auth"
	"usher/auth/internal/object"
)

// Claims is what a token to be made shall say. Zero values leave their claim
// unset.
type Claims struct {
	Identity    string
	TokenID     string // jti
	Name        string
	Kind        auth.Kind
	KindDetails []string
	Metadata    string
	Attributes  map[string]string
	Video       *VideoGrant
	RoomConfig  json.RawMessage // as LiveKit's RoomConfiguration
	RoomPreset  string
	NotBefore   time.Time // the time of signing when zero
}

// VideoGrant is the grant of a token to be made. A nil flag leaves the claim
// unset, which is not the same as false: see [Permission].
type VideoGrant struct {
	RoomCreate bool   `json:"roomCreate,omitempty"`
	RoomList   bool   `json:"roomList,omitempty"`
	RoomAdmin  bool   `json:"roomAdmin,omitempty"`
	RoomJoin   bool   `json:"roomJoin,omitempty"`
	Room       string `json:"room,omitempty"`

	CanPublish           *bool    `json:"canPublish,omitempty"`
	CanSubscribe         *bool    `json:"canSubscribe,omitempty"`
	CanPublishData       *bool    `json:"canPublishData,omitempty"`
	CanPublishSources    []string `json:"canPublishSources,omitempty"`
	CanUpdateOwnMetadata *bool    `json:"canUpdateOwnMetadata,omitempty"`
	CanSubscribeMetrics  *bool    `json:"canSubscribeMetrics,omitempty"`

	Hidden   bool `json:"hidden,omitempty"`
	Recorder bool `json:"recorder,omitempty"`
	Agent    bool `json:"agent,omitempty"`

	CanManageAgentSession *bool `json:"canManageAgentSession,omitempty"`

	RoomRecord      bool   `json:"roomRecord,omitempty"`
	IngressAdmin    bool   `json:"ingressAdmin,omitempty"`
	DestinationRoom string `json:"destinationRoom,omitempty"`
}

// Mint makes a token that holds for a time from now.
func Mint(apiKey string, secret auth.Secret, c Claims, validFor time.Duration, now time.Time) (string, error) {
	if apiKey == "" || len(secret) == 0 {
		return "", errors.New("livekit: a token needs an API key and a secret")
	}
	notBefore := c.NotBefore
	if notBefore.IsZero() {
		notBefore = now
	}
	members := []object.Member{
		{Name: "iss", Value: object.String(apiKey)},
		{Name: "sub", Value: stringOrNone(c.Identity)},
		{Name: "jti", Value: stringOrNone(c.TokenID)},
		{Name: "iat", Value: seconds(now)},
		{Name: "nbf", Value: seconds(notBefore)},
		{Name: "exp", Value: seconds(now.Add(validFor))},
		{Name: "name", Value: stringOrNone(c.Name)},
		{Name: "kind", Value: stringOrNone(string(c.Kind))},
		{Name: "kindDetails", Value: listOrNone(c.KindDetails)},
		{Name: "metadata", Value: stringOrNone(c.Metadata)},
		{Name: "attributes", Value: mapOrNone(c.Attributes)},
		{Name: "roomConfig", Value: c.RoomConfig},
		{Name: "roomPreset", Value: stringOrNone(c.RoomPreset)},
	}
	if c.Video != nil {
		members = append(members, object.Member{Name: "video", Value: object.Value(c.Video)})
	}
	claims, err := object.Set([]byte("{}"), members...)
	if err != nil {
		return "", err
	}
	return auth.Sign(claims, secret)
}
