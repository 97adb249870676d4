package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"usher/session/wire"
)

// chatTopic is the topic of what people type to each other.
const chatTopic = "chat"

// A slashCommand is one of the commands of the plain mode.
type slashCommand struct {
	usage string
	help  string
	run   func(f *plainFace, arg string) ([]request, error)
}

var slashCommands map[string]slashCommand

func init() { // a plain initializer would refer to itself through /help
	slashCommands = map[string]slashCommand{
		"/help": {"/help", "this list", func(f *plainFace, _ string) ([]request, error) {
			for _, name := range slices.Sorted(maps.Keys(slashCommands)) {
				f.say(plainInk, "  %-18s %s", slashCommands[name].usage, slashCommands[name].help)
			}
			return nil, nil
		}},
		"/who":      {"/who", "who is here and what they may do", (*plainFace).list},
		"/name":     {"/name NAME", "change your name", (*plainFace).rename},
		"/meta":     {"/meta TEXT", "change your metadata", (*plainFace).setMetadata},
		"/attr":     {"/attr KEY=VALUE", "set an attribute; an empty value deletes it", (*plainFace).setAttribute},
		"/presence": {"/presence JSON", "change your presence: an object", (*plainFace).setPresence},
		"/promote":  {"/promote IDENTITY", "let somebody publish and send data", promotion(true)},
		"/demote":   {"/demote IDENTITY", "let somebody only watch", promotion(false)},
		"/remove":   {"/remove IDENTITY", "put somebody out for good", (*plainFace).remove},
		"/eject":    {"/eject IDENTITY", "put somebody out; their tokens stay good", (*plainFace).eject},
		"/admit":    {"/admit SID|all", "let in who waits", answering("admitParticipant", "letting in ")},
		"/deny":     {"/deny SID|all", "send away who waits", answering("denyParticipant", "sending away ")},
		"/reply":    {"/reply TEXT", "answer the application's last call", (*plainFace).reply},
		"/leave": {"/leave", "leave the room", func(*plainFace, string) ([]request, error) {
			return []request{leaveRequest()}, nil
		}},
	}
}

// line sends what was typed, or does what it says.
func (f *plainFace) line(text []byte) []request {
	typed := string(text)
	if !strings.HasPrefix(typed, "/") {
		return f.ask("your message", wire.Message{Type: "publishData", Topic: chatTopic, Payload: encode(typed)})
	}
	name, arg, _ := strings.Cut(typed, " ")
	command, ok := slashCommands[name]
	if !ok {
		f.say(trouble, "! there is no command %s; /help lists them", name)
		return nil
	}
	requests, err := command.run(f, strings.TrimSpace(arg))
	if err != nil {
		f.say(trouble, "! %s: %v", command.usage, err)
	}
	return requests
}

// ask makes a request with a new id and remembers what it is for. The success
// of those is told that nothing else tells.
func (f *plainFace) ask(what string, m wire.Message) []request {
	f.lastID++
	f.asked[f.lastID] = errand{what, m.Type == "updateParticipant" || m.Type == "removeParticipant" || m.Type == "ejectParticipant" || m.Type == "rpcReply"}
	m.ID = f.lastID
	return []request{{id: m.ID, text: encode(m)}}
}

func (f *plainFace) list(string) ([]request, error) {
	me := f.people[f.self]
	if me == nil {
		return nil, nil
	}
	f.say(plainInk, "  %s (you) may %s", me.title(), me.Permissions.wordsOf("your", "you"))
	for _, p := range f.others() {
		note := ""
		if p.State == "reconnecting" {
			note = " (connection lost)"
		}
		f.say(plainInk, "  %s%s may %s", p.title(), note, p.Permissions.wordsOf("its", "it"))
	}
	return nil, nil
}

func (f *plainFace) rename(name string) ([]request, error) {
	return f.ask("changing your name", wire.Message{Type: "updateMetadata", Name: &name}), nil
}

func (f *plainFace) setMetadata(metadata string) ([]request, error) {
	return f.ask("changing your metadata", wire.Message{Type: "updateMetadata", Metadata: &metadata}), nil
}

func (f *plainFace) setAttribute(pair string) ([]request, error) {
	key, value, ok := strings.Cut(pair, "=")
	if !ok || key == "" {
		return nil, fmt.Errorf("write it like /attr colour=red")
	}
	return f.ask("changing your attribute "+key,
		wire.Message{Type: "updateMetadata", Attributes: map[string]string{key: value}}), nil
}

func (f *plainFace) setPresence(text string) ([]request, error) {
	var presence map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &presence); err != nil || presence == nil {
		return nil, fmt.Errorf(`write it like /presence {"cursor":[1,2]}`)
	}
	return f.ask("changing your presence", wire.Message{Type: "updatePresence", Presence: presence}), nil
}

// promotion gives or takes the rights to publish. An update replaces all rights,
// so those it is not about are sent as they are.
func promotion(up bool) func(*plainFace, string) ([]request, error) {
	return func(f *plainFace, identity string) ([]request, error) {
		i := slices.IndexFunc(f.others(), func(p *person) bool { return p.Identity == identity })
		if i < 0 {
			return nil, fmt.Errorf("nobody called %s is shown here; /who lists everybody", orNothing(identity))
		}
		now := f.others()[i].Permissions
		what := "demoting "
		if up {
			what = "promoting "
		}
		return f.ask(what+identity, wire.Message{Type: "updateParticipant", Identity: identity, Permission: &wire.Permission{
			CanPublish:        up,
			CanPublishData:    up,
			CanSubscribe:      now.CanSubscribe,
			CanUpdateMetadata: now.CanUpdateOwnMetadata,
			Hidden:            now.Hidden,
		}}), nil
	}
}

func (f *plainFace) remove(identity string) ([]request, error) {
	if identity == "" {
		return nil, fmt.Errorf("who?")
	}
	return f.ask("removing "+identity, wire.Message{Type: "removeParticipant", Identity: identity}), nil
}

func (f *plainFace) eject(identity string) ([]request, error) {
	if identity == "" {
		return nil, fmt.Errorf("who?")
	}
	return f.ask("ejecting "+identity, wire.Message{Type: "ejectParticipant", Identity: identity}), nil
}

// answering answers those who wait: one, by sid or by a name that only one has, or all.
func answering(kind, what string) func(*plainFace, string) ([]request, error) {
	return func(f *plainFace, who string) ([]request, error) {
		switch who {
		case "":
			return nil, fmt.Errorf("who?")
		case "all":
			return f.ask(what+who, wire.Message{Type: kind, All: true}), nil
		}
		var found []string
		for sid, p := range f.lobby {
			if sid == who || p.Name == who || p.Identity == who {
				found = append(found, sid)
			}
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%d who wait are called %s", len(found), who)
		}
		return f.ask(what+who, wire.Message{Type: kind, SID: found[0]}), nil
	}
}

func (f *plainFace) reply(text string) ([]request, error) {
	if f.call == "" {
		return nil, fmt.Errorf("no call waits for a reply")
	}
	m := wire.Message{Type: "rpcReply", RPC: f.call, Payload: encode(text)}
	f.call = ""
	return f.ask("your reply", m), nil
}

func orNothing(s string) string {
	if s == "" {
		return `""`
	}
	return s
}
