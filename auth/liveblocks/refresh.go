package liveblocks

import (
	"encoding/json"
	"strconv"
	"time"

	"usher/auth"
	"usher/auth/internal/object"
)

// live is the claim live of a refreshed token: what its session was when it was
// refreshed, as far as the other claims do not say it. It ties the token to one
// room, and it takes from what the holder is given there whatever the session
// had been denied. It never gives a right: what a live statement gave is the
// server's to remember, and an access list may have taken it since.
type live struct {
	room       string
	attributes map[string]string
	denied     auth.Rights
	hidden     bool
}

// Layer is the layer in which a refreshed token states what its session had been
// denied.
const Layer = "token"

func (l *live) say() auth.Say {
	say := auth.Say{Layer: Layer, Deny: l.denied}
	if l.hidden {
		say.Allow = auth.Hidden
	}
	return say
}

// read reads the claim, if there is one, into l and into the grant, which has
// been given what the other claims say.
func (l *live) read(claim json.RawMessage, g *auth.Grant) error {
	if claim == nil {
		return nil
	}
	var denied []string
	err := object.Read(claim,
		object.Field{Name: "room", Into: &l.room},
		object.Field{Name: "name", Into: &g.Name},
		object.Field{Name: "metadata", Into: &g.Metadata},
		object.Field{Name: "attributes", Into: &l.attributes},
		object.Field{Name: "denied", Into: &denied},
		object.Field{Name: "hidden", Into: &l.hidden},
	)
	var ok bool
	if l.denied, ok = auth.ParseRights(denied); err != nil || !ok || l.room == "" {
		return errNotOurs
	}
	g.Room, g.Attributes = l.room, l.attributes
	return nil
}

// Refresh returns the claims of g, each as it was, and the state of the session
// in a claim of its own. The token allows nothing that the session has not: what
// the session was denied of what its token or the room's list gave, the token
// does not get from them either.
func (f *format) Refresh(g *auth.Grant, now auth.Current, _ string, issued, expires time.Time) (json.RawMessage, error) {
	origin, err := g.OriginClaim(now, time.Time{})
	if err != nil {
		return nil, err
	}
	var info json.RawMessage
	if err := object.Read(g.Claims, object.Field{Name: "ui", Into: &info}); err != nil {
		return nil, err
	}
	members := []object.Member{{Name: "room", Value: object.String(now.Room)}}
	name, metadata := describe(info) // as long as that holds it is not told again
	if now.Name != name {
		members = append(members, object.Member{Name: "name", Value: object.String(now.Name)})
	}
	if now.Metadata != metadata {
		members = append(members, object.Member{Name: "metadata", Value: object.String(now.Metadata)})
	}
	if len(now.Attributes) > 0 {
		members = append(members, object.Member{Name: "attributes", Value: object.Value(now.Attributes)})
	}
	if names := denied(g, now).Names(); names != nil {
		members = append(members, object.Member{Name: "denied", Value: object.Value(names)})
	}
	if now.Permission.Hidden() {
		members = append(members, object.Member{Name: "hidden", Value: json.RawMessage("true")})
	}
	live, err := object.Set([]byte("{}"), members...)
	if err != nil {
		return nil, err
	}
	return object.Set(g.Claims,
		object.Member{Name: "iat", Value: seconds(issued)},
		object.Member{Name: "exp", Value: seconds(expires)},
		object.Member{Name: "live", Value: live},
		object.Member{Name: "usher", Value: origin},
	)
}

// denied returns the rights that the session does not have though its base gives
// them, or though an earlier session of the token would have got them. When the
// base is not known that is all that it does not have: then the token does not
// follow an access list that opens after it was signed.
func denied(g *auth.Grant, now auth.Current) auth.Rights {
	given := spoken
	if now.Base != nil {
		given = auth.Resolve(now.Base...).Rights & spoken
		if d, ok := g.Read.(*details); ok {
			given |= d.live.denied
		}
	}
	denied := given &^ now.Permission.Rights
	if !now.Permission.ReceivesFromAll() {
		denied |= auth.ReceiveTracks // exceptions are the server's to remember
	}
	return denied
}

func seconds(t time.Time) json.RawMessage { return strconv.AppendInt(nil, t.Unix(), 10) }
