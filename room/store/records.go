package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"usher/auth"
)

// A Room is a room's record: what APIs have made of it. Its id is never used
// again; the name is an index.
type Room struct {
	ID      string `json:"id"`
	Project string `json:"project"`
	Name    string `json:"name"`

	// LiveKit is there while LiveKit's API has the room.
	LiveKit *LiveKitRoom `json:"livekit,omitempty"`
	// Liveblocks is there while Liveblocks' API has it.
	Liveblocks *LiveblocksRoom `json:"liveblocks,omitempty"`
	// Daily is there while Daily's API has it.
	Daily *DailyRoom `json:"daily,omitempty"`

	// Renamed is when a room of this name was given another one. Tokens that
	// were issued until then do not make a room of the name.
	Renamed time.Time `json:"renamed,omitzero"`

	// Losses is when levels of the access list gave rights last, by level
	// ("default", "group/ID", "user/ID"; "daily" is what Daily's part says) and
	// right: what was allowed live until then by name of that level's people does not
	// hold for them.
	Losses map[string]map[string]time.Time `json:"losses,omitempty"`
}

// LiveKitRoom is LiveKit's part of a room.
type LiveKitRoom struct {
	SID              string        `json:"sid"` // of its life, which a restart does not end
	Created          time.Time     `json:"created"`
	EmptyTimeout     time.Duration `json:"emptyTimeout,omitempty"`
	DepartureTimeout time.Duration `json:"departureTimeout,omitempty"`
	MaxParticipants  int           `json:"maxParticipants,omitempty"`
	Metadata         string        `json:"metadata,omitempty"`
}

// Put returns the change that keeps the record.
func (r *Room) Put() Change { return put(RoomRecords, r.ID, r) }

// Delete returns the change that drops it.
func (r *Room) Delete() Change { return Change{Bucket: RoomRecords, Key: r.ID} }

// A Person is what server APIs and moderators have stated about an identity in
// a room.
type Person struct {
	Room       string      `json:"room"` // the record's id
	Project    string      `json:"project,omitempty"`
	Name       string      `json:"name,omitempty"` // of the room
	Identity   string      `json:"identity"`
	Statements []Statement `json:"statements"` // oldest first
}

// A Statement is rights that were allowed and denied at one moment.
type Statement struct {
	At time.Time `json:"at"`
	// Life is the sid of the room's life it was made in: while that goes on it
	// holds against every token, later against those issued until At.
	Life string `json:"life"`
	By   string `json:"by,omitempty"` // who made it, for explanations

	Allow []string `json:"allow,omitempty"` // names of rights, see [auth.Rights.Names]
	Deny  []string `json:"deny,omitempty"`
	exceptions
}

// NewStatement returns the record of what was stated.
func NewStatement(say auth.Say, at time.Time, life, by string) Statement {
	return Statement{At: at, Life: life, By: by, Allow: say.Allow.Names(), Deny: say.Deny.Names(), exceptions: exceptionsOf(say)}
}

// Say returns what was stated. A right that this version does not know is an
// error: leaving out a denial would allow.
func (s *Statement) Say() (auth.Say, error) { return s.say(auth.Live, s.Allow, s.Deny) }

func namesOf(by map[string]auth.Rights) map[string][]string {
	if len(by) == 0 {
		return nil
	}
	names := make(map[string][]string, len(by))
	for who, rights := range by {
		names[who] = rights.Names()
	}
	return names
}

func rightsOf(by map[string][]string) (map[string]auth.Rights, error) {
	if len(by) == 0 {
		return nil, nil
	}
	rights := make(map[string]auth.Rights, len(by))
	for who, names := range by {
		r, ok := auth.ParseRights(names)
		if !ok {
			return nil, fmt.Errorf("%w: a statement names a right that is unknown: %q", ErrDamaged, names)
		}
		rights[who] = r
	}
	return rights, nil
}

// Put returns the change that keeps the statements, or drops them when there
// are none.
func (p *Person) Put() Change {
	if len(p.Statements) == 0 {
		return Change{Bucket: Statements, Key: p.key()}
	}
	return put(Statements, p.key(), p)
}

func (p *Person) key() string { return p.Room + "/" + p.Identity }

// A Revocation refuses tokens: those of an identity in a room, of an identity,
// of a room, those with a token id, or those that descend from a key. Empty
// fields mean all.
type Revocation struct {
	ID       string `json:"id"`
	Project  string `json:"project"`
	Room     string `json:"room,omitempty"`
	Identity string `json:"identity,omitempty"`
	TokenID  string `json:"tokenId,omitempty"`
	KeyID    string `json:"keyId,omitempty"`
	// Naming says that of Room only tokens are refused that name it themselves.
	Naming bool `json:"naming,omitempty"`

	// Until is the Unix second until which issued tokens are refused. Negative:
	// only what follows is refused.
	Until    int64            `json:"until"`
	Tokens   []auth.TokenHash `json:"tokens,omitempty"`   // by their hash
	Sessions []string         `json:"sessions,omitempty"` // tokens refreshed in these

	Made    time.Time `json:"made"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // when no such token is valid any more; zero: never
}

// Put returns the change that keeps the revocation.
func (r *Revocation) Put() Change { return put(Revocations, r.ID, r) }

// Delete returns the change that lifts it.
func (r *Revocation) Delete() Change { return Change{Bucket: Revocations, Key: r.ID} }

// A loader is a [Store] to read from.
type loader interface {
	Load(b Bucket, each func(key string, value []byte) error) error
}

// LoadRooms calls each for every room's record.
func LoadRooms(s loader, each func(*Room) error) error {
	return load(s, RoomRecords, func(key string, r *Room) error {
		if key != r.ID || r.ID == "" || r.Name == "" {
			return fmt.Errorf("%w: the record of room %q does not fit its key", ErrDamaged, key)
		}
		if r.Liveblocks != nil {
			if err := r.Liveblocks.check(); err != nil {
				return fmt.Errorf("%w: room %q: %w", ErrDamaged, key, err)
			}
		}
		if r.Daily != nil {
			if err := r.Daily.check(); err != nil {
				return fmt.Errorf("%w: room %q: %w", ErrDamaged, key, err)
			}
		}
		return each(r)
	})
}

// LoadPeople calls each for everybody of whom something was stated.
func LoadPeople(s loader, each func(*Person) error) error {
	return load(s, Statements, func(key string, p *Person) error {
		if room, _, ok := strings.Cut(key, "/"); !ok || room != p.Room || key != p.key() {
			return fmt.Errorf("%w: the statements %q do not fit their key", ErrDamaged, key)
		}
		return each(p)
	})
}

// LoadRevocations calls each for every revocation.
func LoadRevocations(s loader, each func(*Revocation) error) error {
	return load(s, Revocations, func(key string, r *Revocation) error {
		if key != r.ID {
			return fmt.Errorf("%w: the revocation %q does not fit its key", ErrDamaged, key)
		}
		return each(r)
	})
}

// understood reports what would stop a start that reads a record that is whole.
func understood(b Bucket, key string, value []byte) error {
	one := single{Change{b, key, value}}
	switch b {
	case RoomRecords:
		return LoadRooms(one, func(*Room) error { return nil })
	case Revocations:
		return LoadRevocations(one, func(*Revocation) error { return nil })
	case Settings:
		return LoadSettings(one, func(Setting) error { return nil })
	case Statements:
		return LoadPeople(one, func(p *Person) error {
			for i := range p.Statements {
				if _, err := p.Statements[i].Say(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if !json.Valid(value) {
		return fmt.Errorf("%w: record %q in %s is no JSON", ErrDamaged, key, b)
	}
	return nil
}

// A single is a store to load one record from.
type single struct{ Change }

func (s single) Load(_ Bucket, each func(string, []byte) error) error { return each(s.Key, s.Value) }

func put(b Bucket, key string, record any) Change {
	value, err := json.Marshal(record)
	if err != nil {
		panic("store: " + err.Error()) // the types above always encode
	}
	return Change{Bucket: b, Key: key, Value: value}
}

func load[T any](s loader, b Bucket, each func(string, *T) error) error {
	return s.Load(b, func(key string, value []byte) error {
		record := new(T)
		if err := json.Unmarshal(value, record); err != nil {
			return fmt.Errorf("%w: record %q in %s: %w", ErrDamaged, key, b, err)
		}
		return each(key, record)
	})
}
