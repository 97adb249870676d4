package daily

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/internal/object"
)

// live is the claim live of a refreshed token: what its session was when it was
// refreshed, as far as the other claims do not say it. It ties the token to one room,
// and it takes from what the holder is given there whatever the session had been
// denied. It never gives a right: what a live statement gave is the server's to
// remember, and the room's permissions may have taken it since.
type live struct {
	room       string
	denied     auth.Rights // of what the layers below give
	restricted auth.Rights // of narrowing
	received   *received   // nil: what the layers below say
}

// received is from whom a session could receive what.
type received struct {
	rights                auth.Rights
	byUser, byParticipant map[string]auth.Rights
}

func receivedBy(p auth.Permission) *received {
	r := &received{p.Rights & auth.ReceiveTracks, p.ReceiveFromIdentity, p.ReceiveFromParticipant}
	if p.Allows(auth.ReceiveOnlyOwners) {
		r.rights = 0 // of people in general
	}
	return r
}

// least is what can be received of everybody.
func (r *received) least() auth.Rights {
	rights := r.rights
	for _, by := range []map[string]auth.Rights{r.byUser, r.byParticipant} {
		for _, of := range by {
			rights &= of
		}
	}
	return rights
}

// with returns exceptions by which no more is received than by either. What one of
// them has no exception for counts as the least that it has for anybody, since an
// exception for a session may stand beside one for its person.
func (r *received) with(s *received, of func(*received) map[string]auth.Rights) map[string]auth.Rights {
	both := maps.Clone(of(r))
	for who, rights := range both {
		if more, ok := of(s)[who]; ok {
			both[who] = rights & more
		} else {
			both[who] = rights & s.least()
		}
	}
	for who, rights := range of(s) {
		if _, ok := both[who]; ok {
			continue
		}
		if both == nil {
			both = map[string]auth.Rights{}
		}
		both[who] = rights & r.least()
	}
	return both
}

func byUser(r *received) map[string]auth.Rights        { return r.byUser }
func byParticipant(r *received) map[string]auth.Rights { return r.byParticipant }

// say returns what the claim takes from what the layers below give.
func (l *live) say(below []auth.Say) auth.Say {
	say := auth.Say{Layer: TokenLayer, Allow: l.restricted, Deny: l.denied}
	if l.received == nil {
		return say
	}
	under := receivedBy(auth.Resolve(below...))
	say.ReceiveFromIdentity, say.AllFromIdentity = under.with(l.received, byUser), true
	say.ReceiveFromParticipant, say.AllFromParticipant = under.with(l.received, byParticipant), true
	return say
}

// read reads the claim into l and into the grant, which has been given what the
// other claims say. Named is whether those say who the holder is.
func (l *live) read(claim json.RawMessage, g *auth.Grant, named bool) error {
	var (
		identity           string
		denied, restricted []string
		exceptions         json.RawMessage
	)
	err := object.ReadExact(claim,
		object.Field{Name: "room", Into: &l.room},
		object.Field{Name: "identity", Into: &identity},
		object.Field{Name: "name", Into: &g.Name},
		object.Field{Name: "metadata", Into: &g.Metadata},
		object.Field{Name: "attributes", Into: &g.Attributes},
		object.Field{Name: "denied", Into: &denied},
		object.Field{Name: "restricted", Into: &restricted},
		object.Field{Name: "receive", Into: &exceptions},
	)
	var ok, also bool
	l.denied, ok = auth.ParseRights(denied)
	l.restricted, also = auth.ParseRights(restricted)
	if err != nil || !ok || !also || !narrowing.Has(l.restricted) || l.room == "" ||
		named == (identity != "") || !named && !strings.HasPrefix(identity, auth.AnonymousPrefix) {
		return errNotOurs
	}
	if exceptions != nil {
		if l.received, err = readReceived(exceptions); err != nil {
			return errNotOurs
		}
	}
	g.Room = l.room
	if !named {
		g.Identity = identity
	}
	return nil
}

func readReceived(raw json.RawMessage) (*received, error) {
	var said struct {
		Rights      []string
		User        map[string][]string
		Participant map[string][]string
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return nil, err
	}
	r := new(received)
	var ok bool
	if r.rights, ok = auth.ParseRights(said.Rights); !ok {
		return nil, errNotOurs
	}
	for _, m := range []struct {
		names map[string][]string
		into  *map[string]auth.Rights
	}{{said.User, &r.byUser}, {said.Participant, &r.byParticipant}} {
		if len(m.names) == 0 {
			continue
		}
		*m.into = make(map[string]auth.Rights, len(m.names))
		for who, names := range m.names {
			if (*m.into)[who], ok = auth.ParseRights(names); !ok {
				return nil, errNotOurs
			}
		}
	}
	return r, nil
}

func (r *received) claim() json.RawMessage {
	names := func(by map[string]auth.Rights) json.RawMessage {
		lists := make(map[string][]string, len(by))
		for who, rights := range by {
			lists[who] = namesOf(rights)
		}
		return object.Value(lists)
	}
	raw, _ := object.Set([]byte("{}"), // an object
		object.Member{Name: "rights", Value: object.Value(namesOf(r.rights))},
		object.Member{Name: "user", Value: names(r.byUser)},
		object.Member{Name: "participant", Value: names(r.byParticipant)},
	)
	return raw
}

func namesOf(r auth.Rights) []string { return append([]string{}, r.Names()...) } // never null

// Refresh returns the claims of g, each as it was, and the state of the session in a
// claim of its own. The token allows nothing that the session has not: what the
// session was denied of what the layers below gave, the token does not get from them
// either. It lets in no longer than the original.
func (f *format) Refresh(g *auth.Grant, now auth.Current, _ string, issued, expires time.Time) (json.RawMessage, error) {
	enter := g.Expires
	if g.Origin != nil {
		enter = time.Time{}
		if g.Origin.Enter > 0 {
			enter = time.Unix(g.Origin.Enter, 0)
		}
	}
	origin, err := g.OriginClaim(now, enter)
	if err != nil {
		return nil, err
	}
	var name string
	if err := object.ReadExact(g.Claims, object.Field{Name: "u", Into: &name}); err != nil {
		return nil, err
	}
	d, _ := g.Read.(*details)
	if d == nil {
		d = new(details)
	}
	members := []object.Member{{Name: "room", Value: object.String(now.Room)}}
	add := func(name string, value json.RawMessage) {
		members = append(members, object.Member{Name: name, Value: value})
	}
	if !d.named {
		add("identity", object.String(g.Identity))
	}
	if now.Name != name {
		add("name", object.String(now.Name))
	}
	if now.Metadata != "" {
		add("metadata", object.String(now.Metadata))
	}
	if len(now.Attributes) > 0 {
		add("attributes", object.Value(now.Attributes))
	}
	if names := d.denied(now).Names(); names != nil {
		add("denied", object.Value(names))
	}
	if names := (now.Permission.Rights & narrowing).Names(); names != nil {
		add("restricted", object.Value(names))
	}
	if r := d.received(now); r != nil {
		add("receive", r.claim())
	}
	state, err := object.Set([]byte("{}"), members...)
	if err != nil {
		return nil, err
	}
	claims, err := object.Set(g.Claims,
		object.Member{Name: "iat", Value: seconds(issued)},
		object.Member{Name: "exp", Value: seconds(expires)},
		object.Member{Name: "usher", Value: origin},
	)
	if err != nil {
		return nil, err
	}
	return object.SetExact(claims, object.Member{Name: "live", Value: state})
}

// denied returns the rights that the session does not have though its base gives
// them, or though an earlier session of the token would have got them. When the base
// is not known that is all that it does not have.
func (d *details) denied(now auth.Current) auth.Rights {
	given := auth.AllRights
	if now.Base != nil {
		given = auth.Resolve(now.Base...).Rights
		if d.live != nil {
			given |= d.live.denied
		}
	}
	return given &^ now.Permission.Rights &^ narrowing
}

// received returns from whom the session can receive what, nil when that is what its
// base says.
func (d *details) received(now auth.Current) *received {
	p := now.Permission
	if now.Base != nil && (d.live == nil || d.live.received == nil) {
		base := auth.Resolve(now.Base...)
		if maps.Equal(base.ReceiveFromIdentity, p.ReceiveFromIdentity) && maps.Equal(base.ReceiveFromParticipant, p.ReceiveFromParticipant) {
			return nil
		}
	}
	return receivedBy(p)
}

func seconds(t time.Time) json.RawMessage { return strconv.AppendInt(nil, t.Unix(), 10) }
