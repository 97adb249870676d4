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

	// Roams says that the application's token named no room, though Room, in a
	// refreshed one, does. A pattern of rooms names none.
	Roams bool
	// Knocks says that the holder waits to be let in, in rooms where people do.
	Knocks bool
	// Stay is how long the holder may stay in a room.
	Stay Stay
	// Start is what its page should begin with.
	Start Start

	Base       []Say // the token's own layers, weakest first; see [Format].Base
	RoomConfig RoomConfig

	// Read is what the format's Decode keeps for its Base. It concerns nobody else.
	Read any

	// Claims is the signed payload as it came, so that a refreshed token can
	// carry every claim of the original. Nil for people without a token.
	Claims json.RawMessage
}

// Stay is what a token says of how long its holder may stay once it is in a room.
// Of a refreshed token only At counts. Zero values say nothing.
type Stay struct {
	At       time.Time     // when its session is put out: fixed when it joined first
	AtExpiry bool          // when the token expires
	After    time.Duration // after it has joined
	// Fixed says that At is all that counts, and that zero is never: when the holder
	// joined first that was settled. It is so of every refreshed token.
	Fixed bool
}

// Start is what a page should do with the devices of somebody who joins. Nil: what
// it likes, or what the room says.
type Start struct {
	VideoOff, AudioOff, ScreenShare *bool
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
	// Enter is from when the token lets nobody in, Unix seconds, where refreshing a
	// token does not put off its end; 0: its own exp says it.
	Enter int64 `json:"enter,omitempty"`
	// Eject is when the session is put out, Unix milliseconds, see [Stay].At; 0: never.
	Eject int64 `json:"eject,omitempty"`
}

// MaxKeyIDs is how many keys a token may descend from. A session that came back
// through more of them than that has to come with a token of the application.
const MaxKeyIDs = 64

// originOf returns what to say of the token of g in one that is refreshed from it.
func originOf(g *Grant, now Current, enter time.Time) *Origin {
	o := &Origin{KeyID: g.FirstKeyID(), KeyIDs: g.KeyIDs()[1:], Issued: g.FirstIssued().Unix(), TokenID: g.FirstTokenID(), Session: now.Session}
	if !enter.IsZero() {
		o.Enter = max(1, enter.Unix())
	}
	if !now.EjectAt.IsZero() {
		o.Eject = max(1, now.EjectAt.UnixMilli())
	}
	if hash := g.FirstTokenHash(); hash != (TokenHash{}) {
		o.TokenHash = base64.RawURLEncoding.EncodeToString(hash[:])
	}
	return o
}

// check reports whether o can be one that this server has written.
func (o *Origin) check() bool {
	if o.KeyID == "" || o.Enter < 0 || o.Eject < 0 || len(o.KeyIDs) >= MaxKeyIDs || slices.Contains(o.KeyIDs, "") {
		return false
	}
	_, ok := o.hash()
	return ok || o.TokenHash == ""
}

func (o *Origin) stay() Stay {
	s := Stay{Fixed: true}
	if o.Eject > 0 {
		s.At = time.UnixMilli(o.Eject)
	}
	return s
}

func (o *Origin) hash() (h TokenHash, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(o.TokenHash)
	return h, err == nil && copy(h[:], b) == len(h) && len(b) == len(h)
}

// OriginClaim returns the claim, named usher, by which a token that is refreshed
// from g says where it descends from and when its session is put out. After enter,
// unless that is zero, the token lets nobody in, however long it would hold.
func (g *Grant) OriginClaim(now Current, enter time.Time) (json.RawMessage, error) {
	return json.Marshal(originOf(g, now, enter))
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

// Barred returns [ErrExpired] when the token of g lets nobody in any more: it has
// expired, or the one that it descends from has where that counts.
func (g *Grant) Barred(now time.Time) error {
	var leeway time.Duration
	if g.Format != nil {
		leeway = g.Format.Leeway()
	}
	over := !g.Expires.IsZero() && !now.Before(g.Expires.Add(leeway))
	if g.Origin != nil && g.Origin.Enter > 0 {
		over = over || !now.Before(time.Unix(g.Origin.Enter, 0))
	}
	if over {
		return ErrExpired
	}
	return nil
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
	// EjectAt is when the session is put out; zero: never.
	EjectAt time.Time
}

// RoomRules is what a room's record says of who may do what in it, a part for each
// ecosystem. It is a value.
type RoomRules struct {
	List  *AccessList // Liveblocks'; nil: the room has none
	Daily *Say        // what Daily's part says of people who are no owners; nil: it has none
}

// KeyName is where the tokens of a format name the key that signed them. A key
// is found in that way and no other.
type KeyName uint8

const (
	ByIssuer KeyName = iota // the claim iss
	ByKeyID                 // the header's kid, of a token without an issuer
	// ByDomain is the claim d. It names all keys of a domain, of which one has
	// signed the token.
	ByDomain
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
	// Leeway is how far clocks may differ when exp and nbf are checked.
	Leeway() time.Duration
	// Decode reads the payload of a token whose signature and times hold and
	// fills in what the payload says. Its errors wrap [ErrMalformed],
	// [ErrNoIdentity] or [ErrNoRoom].
	Decode(payload []byte, g *Grant) error
	// Base returns the layers that decide what the holder may do in a room,
	// weakest first, before anything was stated there: the token's own, or what
	// the room's record says. Without any layer the holder may not be in the room
	// at all. The room's organization has been checked.
	Base(g *Grant, room string, rules RoomRules) []Say
	// Refresh returns the claims of a token that tells the present state of a
	// session, from issued until expires. Every claim of the original is kept.
	Refresh(g *Grant, now Current, keyID string, issued, expires time.Time) (json.RawMessage, error)
}
