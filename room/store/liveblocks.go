package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"usher/auth"
)

// LiveblocksRoom is Liveblocks' part of a room.
type LiveblocksRoom struct {
	Organization   string               `json:"organization"`
	Created        time.Time            `json:"created"`
	Changed        time.Time            `json:"changed"` // the access list
	LastConnection time.Time            `json:"lastConnection,omitzero"`
	Metadata       map[string]Metadatum `json:"metadata,omitempty"`
	Access         auth.AccessList      `json:"access"`
	Revision       uint64               `json:"revision"` // grows with each change
}

// A Metadatum is one value of a room's metadata for Liveblocks: a text or a
// list of texts. In JSON it is a string or an array.
type Metadatum struct {
	Text string
	List []string // not nil: it is a list
}

// MarshalJSON implements [json.Marshaler].
func (m Metadatum) MarshalJSON() ([]byte, error) {
	if m.List != nil {
		return json.Marshal(m.List)
	}
	return json.Marshal(m.Text)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (m *Metadatum) UnmarshalJSON(b []byte) error {
	*m = Metadatum{}
	switch {
	case len(b) > 0 && b[0] == '"':
		return json.Unmarshal(b, &m.Text)
	case len(b) > 0 && b[0] == '[':
		var list []*string
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		m.List = make([]string, len(list))
		for i, s := range list {
			if s == nil {
				return errors.New("a list of metadata holds strings only")
			}
			m.List[i] = *s
		}
		return nil
	}
	return errors.New("metadata is a string or a list of strings")
}

// check reports what cannot be a part of a room.
func (r *LiveblocksRoom) check() error {
	if r.Organization == "" || r.Created.IsZero() {
		return fmt.Errorf("%w: a room without organization or time", ErrDamaged)
	}
	return nil
}
