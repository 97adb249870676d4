package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"usher/auth"
)

// DailyRoom is Daily's part of a room.
type DailyRoom struct {
	ID              string          `json:"id"` // a UUID
	Created         time.Time       `json:"created"`
	Changed         time.Time       `json:"changed"` // who may do what, and come in
	Private         bool            `json:"private,omitempty"`
	NotBefore       time.Time       `json:"notBefore,omitzero"`
	Expires         time.Time       `json:"expires,omitzero"`
	MaxParticipants int             `json:"maxParticipants,omitempty"`
	EjectAtExpiry   bool            `json:"ejectAtExpiry,omitempty"`
	EjectAfter      time.Duration   `json:"ejectAfter,omitempty"`
	Knocking        bool            `json:"knocking,omitempty"`
	UniqueUsers     bool            `json:"uniqueUsers,omitempty"`
	Permissions     Says            `json:"permissions,omitzero"`
	Start           Start           `json:"start,omitzero"`
	Properties      json.RawMessage `json:"properties,omitempty"` // an object
	Revision        uint64          `json:"revision"`             // grows with each change
}

// Start is [auth.Start].
type Start struct {
	VideoOff    *bool `json:"videoOff,omitempty"`
	AudioOff    *bool `json:"audioOff,omitempty"`
	ScreenShare *bool `json:"screenShare,omitempty"`
}

// Says is what a part of a room says of people. In JSON its rights are names.
type Says struct{ auth.Say }

// said is the JSON of it.
type said struct {
	Layer string   `json:"layer,omitempty"`
	Allow []string `json:"allow,omitempty"` // names of rights, see [auth.Rights.Names]
	Deny  []string `json:"deny,omitempty"`
	exceptions
}

// exceptions is what may be received from somebody in particular.
type exceptions struct {
	ReceiveFromIdentity    map[string][]string `json:"receiveFromIdentity,omitempty"`
	ReceiveFromParticipant map[string][]string `json:"receiveFromParticipant,omitempty"`
	// AllFromIdentity and AllFromParticipant say that these maps are all there is,
	// whatever was said before.
	AllFromIdentity    bool `json:"allFromIdentity,omitempty"`
	AllFromParticipant bool `json:"allFromParticipant,omitempty"`
}

func exceptionsOf(say auth.Say) exceptions {
	return exceptions{namesOf(say.ReceiveFromIdentity), namesOf(say.ReceiveFromParticipant), say.AllFromIdentity, say.AllFromParticipant}
}

// say returns what the words say. A right that this version does not know is an
// error: leaving out a denial would allow.
func (e *exceptions) say(layer string, allow, deny []string) (auth.Say, error) {
	say := auth.Say{Layer: layer, AllFromIdentity: e.AllFromIdentity, AllFromParticipant: e.AllFromParticipant}
	for _, f := range []struct {
		names []string
		into  *auth.Rights
	}{{allow, &say.Allow}, {deny, &say.Deny}} {
		rights, ok := auth.ParseRights(f.names)
		if !ok {
			return say, fmt.Errorf("%w: a statement names a right that is unknown: %q", ErrDamaged, f.names)
		}
		*f.into = rights
	}
	var err error
	if say.ReceiveFromIdentity, err = rightsOf(e.ReceiveFromIdentity); err == nil {
		say.ReceiveFromParticipant, err = rightsOf(e.ReceiveFromParticipant)
	}
	return say, err
}

// IsZero reports whether nothing is said.
func (s Says) IsZero() bool { return s.Say.IsZero() }

// MarshalJSON implements [json.Marshaler].
func (s Says) MarshalJSON() ([]byte, error) {
	return json.Marshal(said{s.Layer, s.Allow.Names(), s.Deny.Names(), exceptionsOf(s.Say)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *Says) UnmarshalJSON(b []byte) error {
	var words said
	err := json.Unmarshal(b, &words)
	if err == nil {
		s.Say, err = words.say(words.Layer, words.Allow, words.Deny)
	}
	return err
}

// check reports what cannot be a part of a room.
func (r *DailyRoom) check() error {
	switch properties := bytes.TrimSpace(r.Properties); {
	case r.ID == "" || r.Created.IsZero():
		return fmt.Errorf("%w: a Daily room without id or time", ErrDamaged)
	case r.MaxParticipants < 0 || r.EjectAfter < 0:
		return fmt.Errorf("%w: a Daily room with a limit below 0", ErrDamaged)
	case len(properties) > 0 && properties[0] != '{':
		return fmt.Errorf("%w: the properties of a Daily room are no object", ErrDamaged)
	}
	return nil
}
