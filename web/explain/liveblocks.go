package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
)

// Liveblocks says what a Liveblocks ID or access token is good for, whatever its
// signature is worth; signature is what to say about that. The error says why
// usher could not read the token; then [Any] says what is in it all the same.
//
// An ID token says who somebody is. What they may do is for the access list of a
// room to say, see [InRoom].
func Liveblocks(token string, signature []string, now time.Time) (Report, error) {
	kind := Recognize(token)
	if kind != LiveblocksID && kind != LiveblocksAccess {
		return nil, errors.New("it is no Liveblocks token")
	}
	g, err := read(token, kind)
	if g == nil {
		return nil, errors.New(Reason(err))
	}
	c, alg, _ := takeApart(token)
	e := explanation{g: g, now: now}
	_ = json.Unmarshal(g.Claims, &e.said)

	may, wrong := asItStands(signature, e.barred(), e.liveblocksMay(kind, c), append(c.problems(kind, alg, now), c.liveblocksProblems()...))
	var r Report
	r.add("key", quoted(g.KeyID))
	r.add("signature", signature...)
	r.add("holder", e.holder())
	if g.Room != "" {
		r.add("room", quoted(g.Room))
	}
	r.addLiveblocks(c, g.Organization)
	r.add("valid", e.validity())
	r.add("refreshed", e.origin()...)
	r.add("may", may...)
	if kind == LiveblocksID {
		r.add("may not", "make a room that is missing")
	}
	r.add("wrong", wrong...)
	return r, nil
}

// addLiveblocks appends what only Liveblocks' tokens say.
func (r *Report) addLiveblocks(c claims, organization string) {
	r.add("project", quoted(c.text("pid")))
	if organization != "" && organization != auth.DefaultOrganization {
		r.add("tenant", quoted(organization))
	}
	if groups := c.list("gids"); len(groups) > 0 {
		r.add("groups", strings.Join(groups, ", "))
	}
	if info := string(c["ui"]); info != "" && info != "null" {
		r.add("info", info)
	}
}

// liveblocksMay is what a token says that its holder may do.
func (e *explanation) liveblocksMay(kind Kind, c claims) []string {
	if kind == LiveblocksAccess {
		lines := c.scopes()
		if len(lines) > 0 {
			lines = append(lines, "make such a room by entering it, when it is missing and auto_create is not off")
		}
		return lines
	}
	if e.g.Room != "" {
		return []string{"enter that room, and do there what its access list says"}
	}
	return []string{"enter rooms, and do there what their access lists say"}
}

// liveblocksProblems is what an application got wrong that signs such tokens
// itself. Those of a server have been checked.
func (c claims) liveblocksProblems() []string {
	var perms map[string][]string
	if json.Unmarshal(c["perms"], &perms) != nil || len(perms) == 0 {
		if c.text("k") == "acc" {
			return []string{"it has no permissions, so it is good for no room"}
		}
		return nil
	}
	if err := liveblocks.ParsePatterns(perms); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// A Place is a room as far as it matters to who may do what there.
type Place struct {
	Name         string
	Organization string
	Access       *auth.AccessList // nil: it has none
	Daily        *auth.Say        // what Daily's part says of people's permissions; nil: it has no such part
	Missing      bool             // there is no such room
}

// roomRights is what to say of rights in a room, in Liveblocks' words.
var roomRights = []struct {
	right auth.Rights
	words string
}{
	{auth.ReadStorage, "storage:read"},
	{auth.WriteStorage, "canWrite"},
	{auth.WritePublicComments, "comments:public:write"},
	{auth.WritePrivateComments, "comments:private:write"},
	{auth.WriteFeeds, "feeds:write"},
	{auth.SendPresence, "presence"},
	{auth.SendData, "broadcastEvent"},
	{auth.SendTracks, "canPublish"},
}

// InRoom says what the holder of a token may do in a room when nothing has been
// stated there about them, and which layer decides it; layers is nil when they may
// not enter.
func InRoom(g *auth.Grant, at Place) (layers []auth.Say, part Part) {
	part.Label = "in room"
	say := func(format string, args ...any) { part.Lines = append(part.Lines, fmt.Sprintf(format, args...)) }
	say("%s", quoted(at.Name))
	switch {
	case g.Room != "" && g.Room != at.Name:
		say("may not enter: the token is for room %s", quoted(g.Room))
		return nil, part
	case !g.Join:
		say("may not enter: it is no token to join with")
		return nil, part
	case at.Missing && !g.CreateListed && !g.CreateRoom && (g.Room == "" || g.Organization != "" || isDaily(g)):
		say("may not enter: there is no such room, and this token does not make one")
		return nil, part
	case at.Missing:
		at.Access, at.Daily = nil, nil
	case !g.Reaches(orDefault(at.Organization)):
		say("may not enter: the room is of organization %s, the token of %s", quoted(orDefault(at.Organization)), quoted(orDefault(g.Organization)))
		return nil, part
	}
	layers = g.Format.Base(g, at.Name, auth.RoomRules{List: at.Access, Daily: at.Daily})
	if len(layers) == 0 {
		say("may not enter: %s", noBase(g, at))
		return nil, part
	}
	say("may enter")
	rights := roomRights
	if isDaily(g) {
		rights = dailyRights
	}
	for _, r := range rights {
		allowed, by := auth.Explain(r.right, layers...)
		named := func(l auth.Say) bool { return (l.Allow | l.Deny).Any(r.right) }
		switch {
		case allowed:
			say("%s: allowed by %s", r.words, by)
		case slices.ContainsFunc(layers, named):
			say("%s: denied by %s", r.words, by)
		default:
			say("%s: no, as nothing allows it", r.words)
		}
	}
	return layers, part
}

// noBase says why no layer lets the holder of a token in.
func noBase(g *auth.Grant, at Place) string {
	var said claims
	_ = json.Unmarshal(g.Claims, &said)
	switch {
	case g.Format.Name() != "liveblocks" || said.text("k") == "acc":
		return "no permission of the token is for this room"
	case at.Access == nil:
		return "the room has no access list, so its list is []"
	}
	names := []string{"defaultAccesses"}
	for _, group := range slices.Sorted(slices.Values(g.Groups)) {
		if _, ok := at.Access.Groups[group]; ok {
			names = append(names, "groupsAccesses."+group)
		}
	}
	if _, ok := at.Access.Users[g.Identity]; ok {
		names = append(names, "usersAccesses."+g.Identity)
	}
	return "neither read nor write is in " + strings.Join(names, ", ")
}

func orDefault(organization string) string {
	if organization == "" {
		return auth.DefaultOrganization
	}
	return organization
}
