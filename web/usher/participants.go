package usher

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
)

// optional is a member of an object that may be absent, null or text.
type optional struct {
	given bool
	text  string // empty for null
}

func (o *optional) UnmarshalJSON(b []byte) error {
	o.given = true
	if string(b) == "null" {
		return nil
	}
	return json.Unmarshal(b, &o.text)
}

// stay is a member of an object that may be absent, null or a time.
type stay struct {
	given bool
	at    time.Time // zero for null
}

func (s *stay) UnmarshalJSON(b []byte) error {
	s.given = true
	if string(b) == "null" {
		return nil
	}
	var ms int64
	if err := json.Unmarshal(b, &ms); err != nil {
		return err
	}
	if ms < 1 || ms > maxStay {
		return &json.UnmarshalTypeError{Value: "number", Type: reflect.TypeFor[int64](), Field: "willEjectAt"}
	}
	s.at = time.UnixMilli(ms)
	return nil
}

// maxStay is the latest time that somebody may be put out at, in Unix milliseconds:
// the year 9999. Seconds in place of milliseconds are in 1970 and end it now.
const maxStay = 253402300799999

func (o *optional) pointer() *string {
	if !o.given {
		return nil
	}
	return &o.text
}

// change changes a participant, all participants of the identity when there are
// several: what is absent stays, null clears. Of the permission, too, only what
// is named changes. When somebody has to leave is changed by itself, so that each
// request is done or not as a whole.
func (a *api) change(r *request) (int, any, error) {
	name, identity := r.PathValue("room"), r.PathValue("identity")
	var body struct {
		Name       optional                  `json:"name"`
		Metadata   optional                  `json:"metadata"`
		Attributes map[string]optional       `json:"attributes"`
		Permission *livekit.PermissionChange `json:"permission"`
		EjectAt    stay                      `json:"willEjectAt"` // Unix milliseconds; null: never
	}
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	if body.EjectAt.given && (body.Name.given || body.Metadata.given || body.Attributes != nil || body.Permission != nil) {
		return 0, nil, invalid("willEjectAt is changed by itself: there may be nothing else with it")
	}
	change := room.Change{Name: body.Name.pointer(), Metadata: body.Metadata.pointer(), By: r.by()}
	for k, v := range body.Attributes {
		if change.Attributes == nil {
			change.Attributes = make(map[string]string, len(body.Attributes))
		}
		change.Attributes[k] = v.text
	}
	if body.Permission != nil {
		say, err := body.Permission.Statement()
		if err != nil {
			return 0, nil, invalid("permission.%s", err)
		}
		if !say.IsZero() {
			change.Permission = &say
		}
	}
	found, ok := a.Rooms.Lookup(r.grant.Project, name)
	if !ok {
		return 0, nil, room.ErrNotFound
	}
	b := a.Rooms.Batch()
	who := room.Target{Identity: identity}
	var info *room.Info
	var err error
	if body.EjectAt.given {
		info, err = limit(found, b, who, body.EjectAt.at)
	} else {
		info, err = found.Update(b, who, change)
	}
	b.Flush()
	if err != nil {
		return 0, nil, err
	}
	a.Log.Info("participant updated", "project", r.grant.Project, "room", name, "identity", identity,
		"permission", change.Permission != nil, "stay", body.EjectAt.given, "by", r.grant.Identity, "key", r.grant.KeyID)
	return http.StatusOK, json.RawMessage(session.ParticipantJSON(info)), nil
}

// limit says when somebody has to leave, and returns what they are then, or were when
// that has put them out.
func limit(r *room.Room, b *room.Batch, who room.Target, at time.Time) (*room.Info, error) {
	info, err := r.Participant(who)
	if err != nil {
		return nil, err
	}
	if err := r.LimitStay(b, who, at); err != nil {
		return nil, err
	}
	if now, gone := r.Participant(who); gone == nil {
		info = now
	}
	return info, nil
}

// An explanation says why somebody may do what they may.
type explanation struct {
	Room      string `json:"room"`
	Identity  string `json:"identity"`
	SID       string `json:"sid,omitempty"`
	Connected bool   `json:"connected"`
	story
	Receive []receiveRule `json:"receive,omitempty"`
	// Revocations keep the person out of the room, the latest first.
	Revocations []revocation `json:"revocations"`
}

// explained is one right.
type explained struct {
	Right     string `json:"right"`
	Allowed   *bool  `json:"allowed"`             // null: nobody is there whose token would say
	DecidedBy string `json:"decidedBy,omitempty"` // a layer; empty: no layer names it
	Said      []said `json:"said"`
}

type said struct {
	Layer string    `json:"layer"`
	Says  string    `json:"says"` // "allow" or "deny"
	At    time.Time `json:"at,omitzero"`
	By    string    `json:"by,omitempty"`
}

type layer struct {
	Layer string    `json:"layer"`
	At    time.Time `json:"at,omitzero"`
	By    string    `json:"by,omitempty"`
	Allow []string  `json:"allow"`
	Deny  []string  `json:"deny"`
}

// receiveRule is what may be received from somebody, in place of the general.
type receiveRule struct {
	Identity string   `json:"identity,omitempty"`
	SID      string   `json:"sid,omitempty"`
	Allow    []string `json:"allow"`
}

func (a *api) explain(r *request) (int, any, error) {
	name, identity := r.PathValue("room"), r.PathValue("identity")
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	info, layers, err := a.Rooms.Explain(r.grant.Project, name, room.Target{Identity: identity})
	out := explanation{Room: name, Identity: identity, Revocations: a.against(r.grant.Project, name, identity)}
	if err != nil && !(errors.Is(err, room.ErrNoParticipant) && len(out.Revocations) > 0) {
		return 0, nil, err
	}
	if info != nil {
		out.SID, out.Connected = info.SID, info.State == room.Active
		for identity, rights := range info.Permission.ReceiveFromIdentity {
			out.Receive = append(out.Receive, receiveRule{Identity: identity, Allow: names(rights)})
		}
		for sid, rights := range info.Permission.ReceiveFromParticipant {
			out.Receive = append(out.Receive, receiveRule{SID: sid, Allow: names(rights)})
		}
	}
	out.story = tell(layers, info != nil)
	return http.StatusOK, out, nil
}

// against returns the revocations that concern an identity in a room, whatever
// token it comes with.
func (a *api) against(project, name, identity string) []revocation {
	list := []revocation{}
	for _, rv := range a.Rooms.Revocations(project, "") {
		if rv.TokenID != "" || rv.KeyID != "" || rv.Room != "" && rv.Room != name || rv.Identity != "" && rv.Identity != identity {
			continue
		}
		list = append(list, shown(rv))
	}
	return list
}

// A story is what each layer says, and what comes of it.
type story struct {
	Permissions []explained `json:"permissions"`
	Layers      []layer     `json:"layers"`
}

// tell puts layers, weakest first, into words. What comes of them is left open
// unless they are all there are.
func tell(layers []room.Layer, all bool) story {
	out := story{Layers: []layer{}}
	says := make([]auth.Say, len(layers))
	for i, l := range layers {
		says[i] = l.Say
		out.Layers = append(out.Layers, layer{l.Layer, l.At.UTC(), l.By, names(l.Allow), names(l.Deny)})
	}
	auth.AllRights.Each(func(right auth.Rights) {
		e := explained{Right: right.Names()[0], Said: []said{}}
		if all {
			allowed, by := auth.Explain(right, says...)
			e.Allowed, e.DecidedBy = &allowed, by
		}
		for _, l := range layers {
			switch {
			case l.Deny.Has(right):
				e.Said = append(e.Said, said{l.Layer, "deny", l.At.UTC(), l.By})
			case l.Allow.Has(right):
				e.Said = append(e.Said, said{l.Layer, "allow", l.At.UTC(), l.By})
			}
		}
		out.Permissions = append(out.Permissions, e)
	})
	return out
}

func names(r auth.Rights) []string {
	if r == 0 {
		return []string{}
	}
	return r.Names()
}
