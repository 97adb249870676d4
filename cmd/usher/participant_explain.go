package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// participantExplain says why somebody may do what they may.
type participantExplain struct{ personFlags }

// Help is the long text of --help.
func (participantExplain) Help() string {
	return `
Each line is a right, or several with the same story: whether it is held, which layer decided, and what every layer said, since when and at whose wish. The token is the first layer, or, for somebody with a Liveblocks ID token, the room's access list: defaultAccesses, groupsAccesses.ID, usersAccesses.ID; for somebody with a Daily token or none, what Daily's API said of the domain, of the room, and the token, or owner in place of the last two. Live is what server APIs and moderators stated since. A denial that came later wins, and what no layer allows is not permitted. Of somebody who is not in the room what was stated is shown; the rest is for the token to say with which they come. Last come the revocations that keep them out of the room.
`
}

// A permissionStory is why somebody may do what they may, as the API tells it.
type permissionStory struct {
	SID         string       `json:"sid"`
	Connected   bool         `json:"connected"`
	Permissions []rightStory `json:"permissions"`
	Receive     []struct {
		Identity string   `json:"identity"`
		SID      string   `json:"sid"`
		Allow    []string `json:"allow"`
	} `json:"receive"`
	Revocations []revocation `json:"revocations"`
}

type rightStory struct {
	Right     string `json:"right"`
	Allowed   *bool  `json:"allowed"` // nil: it depends on a token to come
	DecidedBy string `json:"decidedBy"`
	Said      []say  `json:"said"`
}

// say is what one layer says about a right.
type say struct {
	Layer string    `json:"layer"`
	Says  string    `json:"says"` // "allow" or "deny"
	At    time.Time `json:"at"`
	By    string    `json:"by"`
}

func (c *participantExplain) Run(ctx context.Context, std *streams) error {
	answer, err := c.ask(ctx, administers(c.Room), http.MethodGet, []string{"rooms", c.Room, "participants", c.Identity, "permissions"}, nil, nil)
	if err != nil {
		nobody := fmt.Errorf("%q is not in room %q, and nothing was stated about them there", c.Identity, c.Room)
		return missing(err, nobody, nobody)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var story permissionStory
	if err := json.Unmarshal(answer, &story); err != nil {
		return errAnswer(err)
	}
	where := "is not in room " + c.Room + "; what was stated about them holds when they come with a token of before"
	switch {
	case story.silent():
		fmt.Fprintf(std.Out, "%s is not in room %s, and nothing was stated about them there\n", visible(c.Identity), visible(c.Room))
		story.printRevocations(std.Out)
		return nil
	case story.Connected:
		where = "is in room " + c.Room + " as " + story.SID
	case story.SID != "":
		where = "is in room " + c.Room + " as " + story.SID + ", and its connection is cut"
	}
	fmt.Fprintf(std.Out, "%s %s\n\n", visible(c.Identity), visible(where))
	t := newTable(std.Out, "RIGHT", "HELD", "DECIDED BY", "WHAT EACH LAYER SAID")
	var unnamed []string
	for _, g := range storyGroups(story.Permissions) {
		if len(g.Said) == 0 && (g.Allowed == nil || !*g.Allowed) {
			unnamed = append(unnamed, g.names...)
			continue
		}
		t.row(rightWords(g.names), g.held(), g.decided(), g.said())
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	if len(unnamed) > 0 {
		fmt.Fprintf(std.Out, "\nnot held, as no layer says anything about it: %s\n", visible(rightWords(unnamed)))
	}
	for _, r := range story.Receive {
		of := "the participant " + r.SID
		if r.Identity != "" {
			of = r.Identity
		}
		what := "nothing"
		if len(r.Allow) > 0 {
			what = rightWords(r.Allow)
		}
		fmt.Fprintf(std.Out, "of %s, in place of the general: %s\n", visible(of), visible(what))
	}
	story.printRevocations(std.Out)
	return nil
}

// silent reports whether there is nothing to tell of rights: nobody is there, and
// no layer says anything.
func (s *permissionStory) silent() bool {
	return s.SID == "" && !slices.ContainsFunc(s.Permissions, func(r rightStory) bool { return len(r.Said) > 0 })
}

// printRevocations tells what keeps the person out, a line each.
func (s *permissionStory) printRevocations(w io.Writer) {
	if len(s.Revocations) > 0 {
		fmt.Fprintln(w)
	}
	for _, r := range s.Revocations {
		tokens := "with the tokens that were put out then" // it has no time
		if at := clock(r.Until); at != "" {
			tokens = "with tokens issued until " + at
		}
		line := "may not enter " + tokens + ": revocation " + r.ID + " of " + r.what()
		if r.By != "" {
			line += ", by " + r.By
		}
		if r.Reason != "" {
			line += ": " + short(r.Reason)
		}
		fmt.Fprintln(w, visible(line))
	}
}

// A storyGroup is rights of one family with the same story.
type storyGroup struct {
	rightStory
	names []string
}

// storyGroups puts rights of one family together that differ in nothing else.
func storyGroups(list []rightStory) []*storyGroup {
	var groups []*storyGroup
	for _, r := range list {
		i := slices.IndexFunc(groups, func(g *storyGroup) bool {
			return family(g.Right) == family(r.Right) && g.held() == r.held() && g.DecidedBy == r.DecidedBy && slices.Equal(g.Said, r.Said)
		})
		if i < 0 {
			groups = append(groups, &storyGroup{r, []string{r.Right}})
		} else {
			groups[i].names = append(groups[i].names, r.Right)
		}
	}
	return groups
}

func (r *rightStory) held() string {
	switch {
	case r.Allowed == nil:
		return "-"
	case *r.Allowed:
		return "yes"
	}
	return "no"
}

func (r *rightStory) decided() string {
	switch {
	case r.Allowed == nil:
		return "the token to come"
	case r.DecidedBy == "":
		return "-"
	}
	return r.DecidedBy
}

// said tells what each layer said, weakest first.
func (r *rightStory) said() string {
	var parts []string
	for _, s := range r.Said {
		word := "yes"
		if s.Says == "deny" {
			word = "no"
		}
		var about []string
		if at := clock(s.At); at != "" {
			about = append(about, at)
		}
		if s.By != "" {
			about = append(about, "by "+s.By)
		}
		part := s.Layer + ": " + word
		if len(about) > 0 {
			part += " (" + strings.Join(about, " ") + ")"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

// sourceRights is the rights to publish and to receive by source, in words.
var sourceRights = []struct{ name, words string }{
	{"Camera", "camera"}, {"Microphone", "microphone"}, {"ScreenShare", "screen share"}, {"ScreenShareAudio", "screen share audio"},
	{"CustomVideo", "custom video"}, {"CustomAudio", "custom audio"}, {"DataTracks", "data tracks"},
}

// keptThings is what there is to read and write in a room.
var keptThings = map[string]string{
	"Storage": "the room's document", "PublicComments": "public comments", "PrivateComments": "private comments", "Feeds": "feeds",
}

// otherRights is the rights that are about nothing else.
var otherRights = map[string]string{
	"sendData":          "send data",
	"sendPresence":      "change its own presence",
	"updateOwnMetadata": "change its own name, metadata and attributes",
	"owner":             "be an owner",
	"subscribeMetrics":  "receive metrics",
	"manageAgents":      "manage agents",
	"hidden":            "be hidden from the others",
	"receiveOnlyOwners": "receive from owners only",
}

// family is a verb for the rights that are about one source each or one thing
// to moderate, to read or to write, else the right itself.
func family(right string) string {
	if strings.HasPrefix(right, "moderate") {
		return "moderate"
	}
	for _, verb := range []string{"read", "write"} {
		if rest, ok := strings.CutPrefix(right, verb); ok && keptThings[rest] != "" {
			return verb
		}
	}
	for _, of := range []struct{ prefix, verb string }{{"send", "publish"}, {"receive", "receive"}} {
		if rest, ok := strings.CutPrefix(right, of.prefix); ok && sourceWords(rest) != "" {
			return of.verb
		}
	}
	return right
}

func sourceWords(name string) string {
	for _, s := range sourceRights {
		if s.name == name {
			return s.words
		}
	}
	return ""
}

// rightWords tells rights in words; a right without any goes by its name.
func rightWords(names []string) string {
	var parts []string
	told := map[string]bool{}
	for _, name := range names {
		of := family(name)
		if of == name {
			if words := otherRights[name]; words != "" {
				name = words
			}
			parts = append(parts, name)
			continue
		}
		if told[of] {
			continue
		}
		told[of] = true
		var what []string
		for _, n := range names {
			if family(n) != of {
				continue
			}
			if thing, ok := strings.CutPrefix(n, "moderate"); ok {
				what = append(what, lower(thing))
			} else if thing, ok := strings.CutPrefix(n, of); ok && keptThings[thing] != "" {
				what = append(what, keptThings[thing])
			} else {
				what = append(what, sourceWords(strings.TrimPrefix(strings.TrimPrefix(n, "send"), "receive")))
			}
		}
		switch {
		case of == "publish" && len(what) == len(sourceRights)-1, // data tracks need the right to send data
			of == "receive" && len(what) == len(sourceRights):
			parts = append(parts, of+" from every source")
		default:
			parts = append(parts, of+" "+strings.Join(what, ", "))
		}
	}
	return strings.Join(parts, ", ")
}
