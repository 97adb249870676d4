// Package livekit reads and writes LiveKit's join tokens.
//
// A token is read as LiveKit's own server reads it: what is unset has the
// server's defaults, a name counts in any case, unknown claims are passed over
// and kept. It differs where LiveKit's reading opens something by accident: a
// claim that comes twice is refused, and so are identities that begin with
// [auth.AnonymousPrefix].
package livekit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/internal/object"
)

// Format is LiveKit's token format, an [auth.Format].
type Format struct{}

var _ auth.Format = Format{}

// Name returns "livekit".
func (Format) Name() string { return "livekit" }

// NamesKey is [auth.ByIssuer]: LiveKit writes the API key into iss.
func (Format) NamesKey() auth.KeyName { return auth.ByIssuer }

// Leeway is LiveKit's.
func (Format) Leeway() time.Duration { return auth.Leeway }

// RequireExpiry is true: LiveKit refuses a token without exp, too.
func (Format) RequireExpiry() bool { return true }

// Layer is the name of the one layer a LiveKit token states.
const Layer = "token"

// Decode fills in what the claims say.
func (Format) Decode(payload []byte, g *auth.Grant) error {
	var c claims
	if err := c.read(payload); err != nil {
		return fmt.Errorf("%w: %w", auth.ErrMalformed, err)
	}
	g.Identity = c.subject
	if g.Identity == "" {
		g.Identity = c.id
	}
	g.Name = c.name
	g.Kind = c.participantKind()
	g.KindDetails = c.details()
	g.Metadata = c.metadata
	g.Attributes = c.attributes

	v := &c.video
	g.Room = v.room
	g.Join = v.roomJoin
	g.CreateRoom = v.roomCreate
	g.ListRooms = v.roomList
	g.RoomAdmin = v.roomAdmin
	g.DestinationRoom = v.destinationRoom
	g.Dependent = v.recorder || v.agent
	allowed := v.rights()
	g.Base = []auth.Say{{Layer: Layer, Allow: allowed, Deny: known &^ allowed}}
	g.RoomConfig = c.roomConfig

	switch {
	case g.Identity == "" && g.Join: // a server API's caller needs none
		return auth.ErrNoIdentity
	case strings.HasPrefix(g.Identity, auth.AnonymousPrefix):
		return fmt.Errorf("%w: identities that begin with %s are the server's own", auth.ErrMalformed, auth.AnonymousPrefix)
	}
	return nil
}

// Base implements [auth.Format]: the token says it all.
func (Format) Base(g *auth.Grant, _ string, _ auth.RoomRules) []auth.Say { return g.Base }

// claims is what a token says, as far as anything here asks.
type claims struct {
	subject, id string
	name        string
	kind        string
	kindDetails []string
	metadata    string
	attributes  map[string]string
	video       video
	roomConfig  auth.RoomConfig
}

func (c *claims) read(payload []byte) error {
	var (
		video, sip, agent, inference, observability, roomConfig json.RawMessage

		ignored string
	)
	err := object.Read(payload,
		object.Field{Name: "sub", Into: &c.subject},
		object.Field{Name: "jti", Into: &c.id},
		object.Field{Name: "name", Into: &c.name},
		object.Field{Name: "kind", Into: &c.kind},
		object.Field{Name: "kindDetails", Into: &c.kindDetails},
		object.Field{Name: "metadata", Into: &c.metadata},
		object.Field{Name: "attributes", Into: &c.attributes},
		object.Field{Name: "video", Into: &video},
		object.Field{Name: "roomConfig", Into: &roomConfig},
		// What follows has no effect here. LiveKit knows it, and refuses it
		// when it is of the wrong type.
		object.Field{Name: "identity", Into: &ignored},
		object.Field{Name: "roomPreset", Into: &ignored},
		object.Field{Name: "sha256", Into: &ignored},
		object.Field{Name: "sip", Into: &sip},
		object.Field{Name: "agent", Into: &agent},
		object.Field{Name: "inference", Into: &inference},
		object.Field{Name: "observability", Into: &observability},
	)
	if err != nil {
		return err
	}
	for _, grant := range []struct {
		raw   json.RawMessage
		flags []string
	}{
		{sip, []string{"admin", "call"}},
		{agent, []string{"admin", "simulationAdmin", "databaseAdmin"}},
		{inference, []string{"perform"}},
		{observability, []string{"write"}},
	} {
		if grant.raw == nil {
			continue
		}
		if err := checkFlags(grant.raw, grant.flags); err != nil {
			return err
		}
	}
	if video != nil {
		if err := c.video.read(video); err != nil {
			return err
		}
	}
	if roomConfig != nil {
		return readRoomConfig(roomConfig, &c.roomConfig)
	}
	return nil
}

func checkFlags(raw json.RawMessage, names []string) error {
	var ignored bool
	fields := make([]object.Field, len(names))
	for i, name := range names {
		fields[i] = object.Field{Name: name, Into: &ignored}
	}
	return object.Read(raw, fields...)
}

var kinds = []auth.Kind{
	auth.Standard, auth.Ingress, auth.Egress, auth.SIP, auth.Agent, auth.Connector, auth.Bridge,
}

// participantKind returns the kind at the top level, where LiveKit writes it,
// else the one in video, where its documentation has it.
func (c *claims) participantKind() auth.Kind {
	said := c.kind
	if said == "" {
		said = c.video.kind
	}
	if said == "" {
		return auth.Standard
	}
	if i := slices.Index(kinds, auth.Kind(strings.ToLower(said))); i >= 0 {
		return kinds[i]
	}
	return auth.Standard
}

var kindDetails = []string{
	"cloud_agent", "forwarded", "connector_whatsapp", "connector_twilio", "bridge_rtsp", "simulation",
}

// details returns the kind details that LiveKit knows; it drops others, too.
func (c *claims) details() []string {
	var known []string
	for _, said := range c.kindDetails {
		if i := slices.Index(kindDetails, strings.ToLower(said)); i >= 0 {
			known = append(known, kindDetails[i])
		}
	}
	return known
}

// readRoomConfig reads the JSON form of the protobuf message RoomConfiguration,
// which has two spellings of each name and of each number.
func readRoomConfig(raw json.RawMessage, to *auth.RoomConfig) error {
	var empty, departure, participants [2]json.RawMessage
	err := object.Read(raw,
		object.Field{Name: "emptyTimeout", Into: &empty[0]},
		object.Field{Name: "empty_timeout", Into: &empty[1]},
		object.Field{Name: "departureTimeout", Into: &departure[0]},
		object.Field{Name: "departure_timeout", Into: &departure[1]},
		object.Field{Name: "maxParticipants", Into: &participants[0]},
		object.Field{Name: "max_participants", Into: &participants[1]},
		object.Field{Name: "metadata", Into: &to.Metadata},
	)
	if err != nil {
		return err
	}
	var numbers [3]uint32
	for i, spellings := range [][2]json.RawMessage{empty, departure, participants} {
		raw := spellings[0]
		switch {
		case raw == nil:
			raw = spellings[1]
		case spellings[1] != nil:
			return fmt.Errorf("%w: a number of roomConfig, in two spellings", object.ErrDuplicate)
		}
		if raw == nil {
			continue
		}
		var ok bool
		if numbers[i], ok = parseUint32(raw); !ok {
			return fmt.Errorf("%w: a number of roomConfig", object.ErrType)
		}
	}
	to.EmptyTimeout = time.Duration(numbers[0]) * time.Second
	to.DepartureTimeout = time.Duration(numbers[1]) * time.Second
	to.MaxParticipants = int(numbers[2])
	return nil
}

func parseUint32(raw json.RawMessage) (uint32, bool) {
	f, ok := object.Number(raw)
	n := uint32(max(0, min(f, 1<<32-1)))
	return n, ok && float64(n) == f
}
