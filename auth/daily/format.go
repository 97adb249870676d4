package daily

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/internal/object"
)

// format is an [auth.Format]: a project's, whose settings a reload changes.
type format struct {
	expiry, room atomic.Bool // required
	said         atomic.Pointer[said]
}

// said is what a domain says of people who are no owners.
type said struct {
	own   auth.Say // over the defaults
	layer auth.Say // with the defaults
}

// Names of the layers.
const (
	DomainLayer = "domain"
	RoomLayer   = "room"
	TokenLayer  = "token"
	OwnerLayer  = "owner"
)

var (
	// byDefault is what Daily lets everybody do. It names every right.
	byDefault = func() auth.Say {
		allowed := auth.SendTracks | auth.ReceiveTracks | present
		return auth.Say{Layer: DomainLayer, Allow: allowed, Deny: auth.AllRights &^ allowed}
	}()
	owners = auth.Say{
		Layer: OwnerLayer, Allow: auth.SendTracks | auth.ReceiveTracks | present | moderate | auth.Owner, Deny: narrowing,
		AllFromIdentity: true, AllFromParticipant: true,
	}
)

func newFormat() *format {
	f := new(format)
	f.setDomain(auth.Say{})
	return f
}

func (f *format) setDomain(own auth.Say) { f.said.Store(&said{own, byDefault.Then(whole(own))}) }

// whole returns a layer below which nothing is said of what may be received once it
// says something of that.
func whole(say auth.Say) auth.Say {
	if (say.Allow | say.Deny).Any(auth.ReceiveTracks) || say.AllFromIdentity || say.AllFromParticipant ||
		len(say.ReceiveFromIdentity)+len(say.ReceiveFromParticipant) > 0 {
		say.AllFromIdentity, say.AllFromParticipant = true, true
		say.Deny |= auth.ReceiveOnlyOwners &^ say.Allow
	}
	return say
}

// New returns the format of Daily's tokens with nothing set, which reads those of
// every domain.
func New() auth.Format { return newFormat() }

// Name returns "daily".
func (*format) Name() string { return "daily" }

// NamesKey is [auth.ByDomain].
func (*format) NamesKey() auth.KeyName { return auth.ByDomain }

// Leeway is none: Daily's times are exact.
func (*format) Leeway() time.Duration { return 0 }

// RequireExpiry is false, as with Daily, but where the project says otherwise.
func (f *format) RequireExpiry() bool { return f.expiry.Load() }

// details is what Decode keeps of a token for Base and Refresh.
type details struct {
	owner bool
	token auth.Say // what the claim p says
	live  *live    // of a refreshed token
	named bool     // it says who its holder is
}

// Errors of Decode. They hold nothing of the token.
var (
	errEmptyRoom  = errors.New("the claim r is empty")
	errUserID     = fmt.Errorf("the claim ud has more than %d characters", MaxUserIDLength)
	errAnonymous  = fmt.Errorf("user ids that begin with %s are the server's own", auth.AnonymousPrefix)
	errElapsed    = errors.New("the claim eje is not a number of seconds from 0 on")
	errMillis     = errors.New("the claim exp is not in seconds")
	errPermission = errors.New("the claim p")
	errNotOurs    = errors.New("the claim live, which belongs to this server, says something else")
)

// Decode fills in what the claims say.
func (f *format) Decode(payload []byte, g *auth.Grant) error {
	d, err := f.decode(payload, g)
	if err != nil {
		return fmt.Errorf("%w: %w", auth.ErrMalformed, err)
	}
	if d.live == nil && g.Room == "" && f.room.Load() {
		return auth.ErrNoRoom
	}
	return nil
}

func (f *format) decode(payload []byte, g *auth.Grant) (*details, error) {
	var (
		room, issued, elapsed, permissions, state json.RawMessage

		d     details
		stays auth.Stay
	)
	err := object.ReadExact(payload,
		object.Field{Name: "r", Into: &room},
		object.Field{Name: "ud", Into: &g.Identity},
		object.Field{Name: "u", Into: &g.Name},
		object.Field{Name: "o", Into: &d.owner},
		object.Field{Name: "k", Into: &g.Knocks},
		object.Field{Name: "p", Into: &permissions},
		object.Field{Name: "ss", Into: &g.Start.ScreenShare},
		object.Field{Name: "vo", Into: &g.Start.VideoOff},
		object.Field{Name: "ao", Into: &g.Start.AudioOff},
		object.Field{Name: "ejt", Into: &stays.AtExpiry},
		object.Field{Name: "eje", Into: &elapsed},
		object.Field{Name: "iat", Into: &issued},
		object.Field{Name: "live", Into: &state},
	)
	if err != nil {
		return nil, err
	}
	if g.Room, err = readRoom(room); err != nil {
		return nil, err
	}
	if err := checkIdentity(g.Identity); err != nil {
		return nil, err
	}
	d.named = g.Identity != ""
	if !d.named {
		g.Identity = anonymous(g.TokenHash)
	}
	if g.TokenID == "" && g.TokenHash != (auth.TokenHash{}) {
		// Such a token has an id nevertheless, by which it can be revoked.
		g.TokenID = "sha256:" + base64.RawURLEncoding.EncodeToString(g.TokenHash[:])
	}
	if permissions != nil {
		said, err := readPermissions(permissions, short)
		if err != nil {
			return nil, fmt.Errorf("%w%w", errPermission, err)
		}
		d.token = whole(said.say(TokenLayer))
	}
	if state == nil && !g.Expires.Before(lastExpiry) {
		return nil, errMillis
	}
	g.Issued = issueTime(g.Issued, issued)
	g.Kind, g.Join, g.Read = auth.Standard, true, &d
	g.Roams = g.Room == ""
	if g.Roams {
		g.Organization = auth.DefaultOrganization
	}
	switch {
	case (state != nil) != (g.Origin != nil):
		return nil, errNotOurs
	case state != nil: // how long its holder stays is settled
		d.live = new(live)
		return &d, d.live.read(state, g, d.named)
	}
	stays.After, err = readSpan(elapsed)
	g.Stay = stays
	return &d, err
}

// issueTime returns when a token was issued of which that is known otherwise: only
// iat says it, nbf does not.
func issueTime(known time.Time, raw json.RawMessage) time.Time {
	if seconds, ok := object.Number(raw); !ok || int64(seconds) != known.Unix() {
		return time.Unix(0, 0)
	}
	return known
}

// readRoom reads the claim r. An empty name is no way to say every room.
func readRoom(raw json.RawMessage) (string, error) {
	if raw == nil {
		return "", nil
	}
	var name string
	switch {
	case raw[0] != '"' || json.Unmarshal(raw, &name) != nil:
		return "", fmt.Errorf("%w: r", object.ErrType)
	case name == "":
		return "", errEmptyRoom
	}
	return name, nil
}

func checkIdentity(id string) error {
	switch {
	case len(id) > MaxUserIDLength && utf8.RuneCountInString(id) > MaxUserIDLength:
		return errUserID
	case strings.HasPrefix(id, auth.AnonymousPrefix):
		return errAnonymous
	}
	return nil
}

// anonymous is the identity of somebody whose token does not say who they are: the
// same one each time that the token comes.
func anonymous(hash auth.TokenHash) string {
	return auth.AnonymousPrefix + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(hash[:16])
}

// lastExpiry is the end of the year 9999, which later times are read as: they can
// only be meant in milliseconds.
var lastExpiry = time.Unix(253402300799, 0)

// longest bounds how long somebody may stay, so that it can be reckoned with.
const longest = 100 * 365 * 24 * time.Hour

func readSpan(raw json.RawMessage) (time.Duration, error) {
	if raw == nil {
		return 0, nil
	}
	seconds, ok := object.Number(raw)
	if !ok || math.IsInf(seconds, 0) || seconds < 0 {
		return 0, errElapsed
	}
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second)), nil
}

// Base implements [auth.Format]. Whether a token is for the room is not asked here.
// What an owner may do is not for the room to narrow, nor for the token. What a
// refreshed token has of its session comes on top.
func (f *format) Base(g *auth.Grant, _ string, rules auth.RoomRules) []auth.Say {
	d, _ := g.Read.(*details)
	if d == nil && rules.Daily == nil {
		return nil
	}
	says := append(make([]auth.Say, 0, 4), f.said.Load().layer)
	if d != nil && d.owner {
		says = append(says, owners)
	} else {
		if rules.Daily != nil && !rules.Daily.IsZero() {
			said := whole(*rules.Daily)
			said.Layer = RoomLayer
			says = append(says, said)
		}
		if d != nil && !d.token.IsZero() {
			says = append(says, d.token)
		}
	}
	if d != nil && d.live != nil {
		if say := d.live.say(says); !say.IsZero() {
			says = append(says, say)
		}
	}
	return says
}

// Warnings is what to tell whoever runs a server of a token that holds, though it
// opens more than they may know. The words follow "a token".
func Warnings(g *auth.Grant) []string {
	if g.Claims == nil || g.Origin != nil {
		return nil
	}
	var lines []string
	if g.Expires.IsZero() {
		lines = append(lines, "without exp: it never expires")
	}
	if g.Room == "" {
		lines = append(lines, "without a room: it is good for every room of the domain")
	}
	return lines
}
