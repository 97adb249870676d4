package usher

import (
	"net/http"
	"strings"
	"time"

	"usher/auth"
	"usher/room"
	"usher/web"
	"usher/web/explain"
)

// tokenReport is what there is to say of a text that should be a token.
type tokenReport struct {
	Kind     explain.Kind   `json:"kind"`
	What     string         `json:"what"`     // follows "this is"
	Accepted bool           `json:"accepted"` // by this server, now
	Report   explain.Report `json:"report"`
	Room     *inRoom        `json:"room,omitempty"` // when the request names one, and the token holds
}

// inRoom is what the holder of a token may do in a room, before anything has been
// stated there about them.
type inRoom struct {
	Name  string `json:"name"`
	Enter bool   `json:"enter"`
	story
}

// explainToken says what a token of whatever kind is good for. Nothing of it is
// logged, nor in an error.
func (a *api) explainToken(r *request) (int, any, error) {
	if err := r.may(""); err != nil {
		return 0, nil, err
	}
	var body struct {
		Token string `json:"token"`
		Room  string `json:"room"`
	}
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	token := strings.TrimSpace(body.Token)
	g, err := a.Verifier.Verify(token)
	// Keys of other projects are nobody's business here, whether the token holds or
	// only names one.
	if g != nil && g.Project != r.grant.Project {
		g, err = nil, auth.ErrUnknownKey
	}
	if project, ok := a.Verifier.Keys().Named(token); ok && project != r.grant.Project {
		g, err = nil, auth.ErrUnknownKey
	}
	now := time.Now()
	var out tokenReport
	out.Kind, out.Report = explain.Any(token, []string{explain.Signature(err)}, now)
	out.What = out.Kind.What()
	here := ""
	switch out.Kind {
	case explain.LiveblocksSecret:
		here, out.Accepted = keyHere(a.SecretKey, token, r.grant.Project)
	case explain.LiveblocksPublic:
		here, out.Accepted = keyHere(a.PublicKey, token, r.grant.Project)
	case explain.LiveKitToken, explain.LiveblocksID, explain.LiveblocksAccess, explain.DailyToken:
		switch {
		case err != nil:
			here = "this server refuses it: " + explain.Refusal(token, err, now)
		case web.Revoked(a.Rooms, a.Verifier, g):
			here = "this server refuses it: it was revoked"
		case explain.NamesNoRoom(g):
			here = "this server refuses it: it names no room"
		default:
			here, out.Accepted = "this server takes it", true
		}
	default:
		return http.StatusOK, out, nil
	}
	out.Report = append(out.Report, explain.Part{Label: "here", Lines: []string{here}})
	if body.Room != "" && g != nil {
		var part explain.Part
		out.Room, part = a.inRoom(g, body.Room)
		out.Report = append(out.Report, part)
	}
	return http.StatusOK, out, nil
}

// keyHere says whether a key of Liveblocks' API is one of the project's. Those of
// others are as unknown as any.
func keyHere(lookup func(string) (string, bool), key, project string) (words string, ours bool) {
	if lookup != nil {
		if owner, ok := lookup(key); ok && owner == project {
			return "this server takes it", true
		}
	}
	return "this server refuses it: it is no key of this project", false
}

// inRoom says what the holder of a token that holds may do in a room.
func (a *api) inRoom(g *auth.Grant, name string) (*inRoom, explain.Part) {
	at := explain.Place{Name: name}
	part, noLiveblocks := a.Rooms.Liveblocks(g.Project, name)
	if noLiveblocks == nil {
		at.Organization, at.Access = part.Organization, &part.Access
	}
	call, noDaily := a.Rooms.Daily(g.Project, name)
	if noDaily == nil {
		at.Daily = &call.Settings.Permissions
	}
	_, lives := a.Rooms.Lookup(g.Project, name)
	at.Missing = noLiveblocks != nil && noDaily != nil && !lives
	says, words := explain.InRoom(g, at)
	layers := make([]room.Layer, len(says))
	for i, say := range says {
		layers[i] = room.Layer{Say: say}
	}
	out := &inRoom{Name: name, Enter: len(says) > 0, story: tell(layers, true)}
	if out.Enter && web.Revoked(a.Rooms, a.Verifier, forRoom(g, name)) {
		out.Enter = false
		words.Lines = append(words.Lines[:1], "may not enter: the token was revoked for this room")
	}
	return out, words
}

// forRoom is a grant as it counts in a room, for a token that names none.
func forRoom(g *auth.Grant, name string) *auth.Grant {
	there := *g
	there.Room = name
	return &there
}
