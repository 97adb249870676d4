package auth

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"
)

// Kind says what sort of program a participant is. Its text is LiveKit's.
type Kind string

const (
	Standard  Kind = "standard"
	Ingress   Kind = "ingress"
	Egress    Kind = "egress"
	SIP       Kind = "sip"
	Agent     Kind = "agent"
	Connector Kind = "connector"
	Bridge    Kind = "bridge"
)

// Dependent reports whether participants of this kind exist for the sake of
// others: they do not count toward a room's limit and do not keep it open.
func (k Kind) Dependent() bool { return k == Agent || k == Ingress || k == Egress }

// A Grant is what a verified token says: who its holder is and what it allows.
// It is not changed after it has been made.
type Grant struct {
	Format  Format // of the token; nil for people without one
	Project string
	KeyID   string // the key that signed it

	TokenID   string    // jti, may be empty
	TokenHash TokenHash // of the token's bytes
	Issued    time.Time // iat, else nbf, else the Unix epoch; one in the future does not count
	Expires   time.Time // zero: never
	Origin    *Origin   // what it descends from; nil for a token that is no refreshed one

	Identity    string
	Name        string
	Kind        Kind
	KindDetails []string
	Metadata    string
	Attributes  map[string]string

	// Groups are what the holder belongs to, for rooms whose access list names
	// groups.
	Groups []string
	// Organization is the tenant that a token is confined to, see
	// [Grant.Reaches]. Empty: the token knows of none.
	Organization string

	Room       string // empty: the token names none
	Join       bool   // may enter Room
	CreateRoom bool   // may make a room, by joining or by a server API
	// CreateListed says that joining may make a room that is missing, with an
	// access list that is open to all.
	CreateListed bool
	ListRooms    bool
	RoomAdmin    bool // may administer Room by a server API
	// DestinationRoom is where a RoomAdmin may move people to.
	DestinationRoom string

	// Dependent marks recorders and agents by grant rather than by kind;
	// see [Kind.Dependent].
	Dependent bool

	Base       []Say // the token's own layers, weakest first; see [Format].Base
	RoomConfig RoomConfig

	// Read is what the format's Decode keeps for its Base. It concerns nobody else.
	Read any

	// Claims is the signed payload as it came, so that a refreshed token can
	// carry every claim of the original. Nil for people without a token.
	Claims json.RawMessage
}

// DefaultOrganization is the organization of rooms and tokens that name none.
const DefaultOrganization = "default"

// AnonymousPrefix begins the identities that the server makes for people who
// come without one. No token may claim such an identity.
const AnonymousPrefix = "anon:"

// TokenHash is the SHA-256 of a token.
type TokenHash [32]byte

// An Origin is what a refreshed token says about what it descends from. It
// travels as a signed claim of our own, and revocations are checked against it.
//
// Whoever holds a key can sign any origin. That gains nothing against the
// revocation of that key: the key that did sign is added to every token that
// descends from this one, see [Grant.KeyIDs].
type Origin struct {
	KeyID     string   `json:"kid"`            // key of the original token
	KeyIDs    []string `json:"kids,omitempty"` // keys of the tokens between that and this one
	Issued    int64    `json:"iat"`            // the original's issue time, Unix seconds
	TokenID   string   `json:"jti,omitempty"`  // its jti
	TokenHash string   `json:"hash,omitempty"` // its hash, in base64url
	Session   string   `json:"sid"`            // the session that was refreshed
}

// MaxKeyIDs is how many keys a token may descend from. A session that came back
// through more of them than that has to come with a token of the application.
const MaxKeyIDs = 64

// originOf returns what to say of the token of g in one that is refreshed from it.
func originOf(g *Grant, session string) *Origin {
	o := &Origin{KeyID: g.FirstKeyID(), KeyIDs: g.KeyIDs()[1:], Issued: g.FirstIssued().Unix(), TokenID: g.FirstTokenID(), Session: session}
	if hash := g.FirstTokenHash(); hash != (TokenHash{}) {
		o.TokenHash = base64.RawURLEncoding.EncodeToString(hash[:])
	}
	return o
}

// check reports whether o can be one that this server has written.
func (o *Origin) check() bool {
	if o.KeyID == "" || len(o.KeyIDs) >= MaxKeyIDs || slices.Contains(o.KeyIDs, "") {
		return false
	}
	_, ok := o.hash()
	return ok || o.TokenHash == ""
}

func (o *Origin) hash() (h TokenHash, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(o.TokenHash)
	return h, err == nil && copy(h[:], b) == len(h) && len(b) == len(h)
}

// OriginClaim returns the claim, named usher, by which a token that is refreshed
// from g says where it descends from.
func (g *Grant) OriginClaim(session string) (json.RawMessage, error) {
	return json.Marshal(originOf(g, session))
}

// Reaches reports whether g can enter rooms of an organization. A token that
// names one reaches only rooms of that, be it refreshed and about one room or
// not. Of those that name none, one that names its room reaches that, since its
// signer owns the project, and others reach [DefaultOrganization].
func (g *Grant) Reaches(organization string) bool {
	if g.Organization == "" && g.Room != "" {
		return true
	}
	return cmp.Or(g.Organization, DefaultOrganization) == cmp.Or(organization, DefaultOrganization)
}

// FirstIssued is when the token that g descends from was issued.
func (g *Grant) FirstIssued() time.Time {
	if g.Origin != nil {
		return time.Unix(g.Origin.Issued, 0)
	}
	return g.Issued
}

// FirstKeyID is the key that signed the token that g descends from.
func (g *Grant) FirstKeyID() string {
	if g.Origin != nil {
		return g.Origin.KeyID
	}
	return g.KeyID
}

// KeyIDs are the keys that signed the token of g and every token that it
// descends from: the first one's, then each once, the token's own included.
func (g *Grant) KeyIDs() []string {
	ids := []string{g.FirstKeyID()}
	if g.Origin == nil {
		return ids
	}
	for _, id := range append(slices.Clip(g.Origin.KeyIDs), g.KeyID) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// FirstTokenHash is the hash of the token that g descends from, as far back as
// is known.
func (g *Grant) FirstTokenHash() TokenHash {
	if g.Origin != nil {
		if hash, ok := g.Origin.hash(); ok {
			return hash
		}
	}
	return g.TokenHash
}

// FirstTokenID is the jti of the token that g descends from.
func (g *Grant) FirstTokenID() string {
	if g.Origin != nil {
		return g.Origin.TokenID
	}
	return g.TokenID
}

// RoomConfig is the part of a token's room settings that means something here.
// It counts when the join makes the room. Zero values leave the server's settings.
type RoomConfig struct {
	EmptyTimeout     time.Duration
	DepartureTimeout time.Duration
	MaxParticipants  int
	Metadata         string
}

// Current is the state of a session that a refreshed token has to tell.
type Current struct {
	Session    string // the participant's sid
	Room       string
	Identity   string
	Name       string
	Metadata   string
	Attributes map[string]string
	Permission Permission
	// Base is the layers below what was stated live, as [Format].Base returned
	// them last. A format whose tokens leave it to the room what their holder may
	// do tells by them what was denied to the session. Nil: not known.
	Base []Say
}

// KeyName is where the tokens of a format name the key that signed them. A key
// is found in that way and no other.
type KeyName uint8

const (
	ByIssuer KeyName = iota // the claim iss
	ByKeyID                 // the header's kid, of a token without an issuer
)

// A Format reads and writes one ecosystem's tokens. Its methods may be called
// concurrently.
type Format interface {
	// Name is a word for logs and metrics: "livekit".
	Name() string
	// NamesKey says where a token names the key that signed it.
	NamesKey() KeyName
	// RequireExpiry reports whether a token without exp is refused.
	RequireExpiry() bool
	// Decode reads the payload of a token whose signature and times hold and
	// fills in what the payload says. Its errors wrap [ErrMalformed] or
	// [ErrNoIdentity].
	Decode(payload []byte, g *Grant) error
	// Base returns the layers that decide what the holder may do in a room,
	// weakest first, before anything was stated there: the token's own, or what
	// the room's access list says. The list is nil in a room that has none.
	// Without any layer the holder may not be in the room at all. The room's
	// organization has been checked.
	Base(g *Grant, room string, list *AccessList) []Say
	// Refresh returns the claims of a token that tells the present state of a
	// session, from issued until expires. Every claim of the original is kept.
	Refresh(g *Grant, now Current, keyID string, issued, expires time.Time) (json.RawMessage, error)
}
