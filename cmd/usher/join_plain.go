package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"usher/session/wire"
)

// plainFace tells a session in words and takes what a person types.
type plainFace struct {
	out      io.Writer
	colour   bool
	terminal bool // somebody types, so the end of the input is a goodbye

	self   string             // sid
	people map[string]*person // by sid; those that are shown
	room   string
	lastID uint64
	asked  map[uint64]errand  // requests without an answer
	lobby  map[string]*person // by sid; those who wait to be let in, when one may do that
	call   string             // the last remote call, until it is answered
}

// An errand is what a request is for.
type errand struct {
	what string // "demoting bob"
	// told says that its success is told: what it changes may be nothing, or
	// somebody who is not shown, and then no event tells it.
	told bool
}

// A person is a participant as the protocol tells it, as far as it is shown here.
type person struct {
	SID         string            `json:"sid"`
	Identity    string            `json:"identity"`
	Name        string            `json:"name"`
	State       string            `json:"state"`
	Metadata    string            `json:"metadata"`
	Attributes  map[string]string `json:"attributes"`
	Permissions rights            `json:"permissions"`
	Tracks      []*track          `json:"tracks"`
	EjectAt     int64             `json:"willEjectAt"` // Unix milliseconds; 0: never
}

type rights struct {
	CanPublish           bool     `json:"canPublish"`
	CanPublishSources    []string `json:"canPublishSources"`
	CanPublishData       bool     `json:"canPublishData"`
	CanSubscribe         bool     `json:"canSubscribe"`
	CanUpdateOwnMetadata bool     `json:"canUpdateOwnMetadata"`
	Hidden               bool     `json:"hidden"`
	Admin                []string `json:"admin"`
	Owner                bool     `json:"owner"`
}

type track struct {
	SID    string `json:"sid"`
	Kind   string `json:"kind"`
	Source string `json:"source"`
	Name   string `json:"name"`
	Muted  bool   `json:"muted"`
}

func newPlainFace(std *streams) *plainFace {
	return &plainFace{
		out:      std.Out,
		colour:   isTerminal(std.Out) && os.Getenv("NO_COLOR") == "",
		terminal: isTerminal(std.In),
		people:   map[string]*person{},
		asked:    map[uint64]errand{},
		lobby:    map[string]*person{},
	}
}

// An ink is how a line looks on a terminal.
type ink string

const (
	plainInk ink = ""
	event    ink = "\x1b[2m"  // what happens in the room
	change   ink = "\x1b[33m" // what changes for oneself
	trouble  ink = "\x1b[31m" // what went wrong
	speech   ink = "\x1b[36m" // names before what they say
)

// say prints one line. What others wrote is in args only; it cannot move the
// cursor or change the terminal.
func (f *plainFace) say(with ink, format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = visible(s)
		}
	}
	line := fmt.Sprintf(format, args...)
	if f.colour && with != plainInk {
		line = string(with) + line + "\x1b[0m"
	}
	_, _ = io.WriteString(f.out, line+"\n")
}

// visible replaces what a terminal would obey rather than show.
func visible(s string) string {
	const joiner = '\u200d' // in emoji
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == joiner {
			return r
		}
		if r == '\n' || r == '\t' {
			return ' '
		}
		return unicode.ReplacementChar
	}, s)
}

func (f *plainFace) notice(format string, args ...any) {
	f.say(change, "* "+format, args...)
}

func (f *plainFace) frame([]byte) {} // not for people

func (f *plainFace) endOfInput() bool { return f.terminal }

// who names a participant by its sid.
func (f *plainFace) who(sid string) string {
	p := f.people[sid]
	switch {
	case sid == f.self:
		return "you"
	case p == nil:
		return "somebody"
	}
	return p.title()
}

func (p *person) title() string {
	if p.Name == "" || p.Name == p.Identity {
		return p.Identity
	}
	return p.Identity + " (" + p.Name + ")"
}

// A change is an event about somebody. In big rooms several come in one.
type changeEvent struct {
	Type        string        `json:"type"`
	Participant *person       `json:"participant"`
	Changed     []string      `json:"changed"`
	SID         string        `json:"sid"`
	Identity    string        `json:"identity"`
	Reason      string        `json:"reason"`
	Changes     []changeEvent `json:"changes"`
}

func (f *plainFace) message(m message) {
	var err error
	switch m.Type {
	case "joined", "moved":
		err = f.joined(m)
	case "waiting":
		f.say(change, "* you wait to be let in")
	case "waitingParticipantJoined", "waitingParticipantLeft":
		err = f.knocked(m)
	case "sessionData":
		var e struct {
			Data json.RawMessage `json:"data"`
		}
		if err = json.Unmarshal(m.text, &e); err == nil {
			f.say(event, "* the session data: %s", string(e.Data))
		}
	case "rpc":
		err = f.called(m)
	case "participantJoined", "participantLeft", "participantUpdated", "participants":
		var e changeEvent
		if err = json.Unmarshal(m.text, &e); err == nil {
			f.changed(e)
		}
	case "trackPublished", "trackUnpublished", "trackMuted", "trackSubscribed", "trackUnsubscribed", "keyFrameRequested":
		err = f.track(m)
	case "data":
		err = f.data(m)
	case "presence":
		var e struct {
			SID      string          `json:"sid"`
			Presence json.RawMessage `json:"presence"`
		}
		if err = json.Unmarshal(m.text, &e); err == nil {
			f.say(event, "* presence of %s: %s", f.who(e.SID), string(e.Presence))
		}
	case "roomUpdated":
		var e struct {
			Room struct {
				Metadata string `json:"metadata"`
			} `json:"room"`
		}
		if err = json.Unmarshal(m.text, &e); err == nil {
			f.say(event, "* the room's metadata: %s", e.Room.Metadata)
		}
	case "reconnect":
		f.say(change, "* the server is about to stop; coming back by itself if it can")
	case "ok":
		err = f.answered(m)
	case "error":
		err = f.refused(m)
	}
	if err != nil {
		f.say(trouble, "! the server's %s is not understood: %v", m.Type, err)
	}
}

func (f *plainFace) joined(m message) error {
	var e struct {
		Room struct {
			Name            string `json:"name"`
			NumParticipants int    `json:"numParticipants"`
			Metadata        string `json:"metadata"`
		} `json:"room"`
		Self         *person   `json:"self"`
		Participants []*person `json:"participants"`
		Waiting      []*person `json:"waiting"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	if e.Self == nil {
		return fmt.Errorf("it does not say who joined")
	}
	again := f.self == e.Self.SID
	moved := again && f.room != e.Room.Name
	f.self = e.Self.SID
	if m.Recovered {
		f.people[f.self] = e.Self
		f.say(change, "* back in %s; nothing was missed", f.room) // if it was moved, that is told next
		return nil
	}
	f.room = e.Room.Name
	f.people = map[string]*person{f.self: e.Self}
	for _, p := range e.Participants {
		f.people[p.SID] = p
	}
	switch {
	case moved:
		f.call = "" // nobody waits for the reply any more
		f.say(change, "* you were moved to room %s", f.room)
	case again:
		f.say(change, "* back in %s; something may have been missed", f.room)
	default:
		f.call = ""
		f.say(change, "* you are %s in room %s", e.Self.title(), f.room)
	}
	if !again || moved {
		f.say(plainInk, "  you may %s", e.Self.Permissions.wordsOf("your", "you"))
	}
	if at := ejectWords(e.Self.EjectAt); at != "" && !again {
		f.say(plainInk, "  you may stay %s", at)
	}
	f.roster(e.Room.NumParticipants)
	f.lobby = map[string]*person{}
	for _, p := range e.Waiting {
		f.knocks(p)
	}
	return nil
}

// knocked tells of somebody who waits, or does not any more.
func (f *plainFace) knocked(m message) error {
	var e struct {
		Participant *person `json:"participant"`
		SID         string  `json:"sid"`
		Admitted    bool    `json:"admitted"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	if e.Participant != nil {
		f.knocks(e.Participant)
		return nil
	}
	p := f.lobby[e.SID]
	delete(f.lobby, e.SID)
	if p != nil && !e.Admitted { // who is let in joins
		f.say(event, "* %s does not wait any more", p.title())
	}
	return nil
}

// knocks tells of somebody who waits, again when the name has changed.
func (f *plainFace) knocks(p *person) {
	f.lobby[p.SID] = p
	f.say(change, "* %s waits to be let in: /admit %s or /deny %s", p.title(), p.SID, p.SID)
}

// roster lists who is here. total counts those that are not listed, too.
func (f *plainFace) roster(total int) {
	others := f.others()
	if len(others) == 0 && total <= 1 {
		f.say(plainInk, "  nobody else is here")
		return
	}
	titles := make([]string, len(others))
	for i, p := range others {
		titles[i] = p.title()
	}
	line := "  here: " + strings.Join(titles, ", ")
	if more := total - 1 - len(others); more > 0 && total > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	f.say(plainInk, "%s", line)
}

// others returns those who are shown and are not oneself, by identity.
func (f *plainFace) others() []*person {
	var others []*person
	for sid, p := range f.people {
		if sid != f.self {
			others = append(others, p)
		}
	}
	slices.SortFunc(others, func(a, b *person) int {
		if c := strings.Compare(a.Identity, b.Identity); c != 0 {
			return c
		}
		return strings.Compare(a.SID, b.SID)
	})
	return others
}

func (f *plainFace) changed(e changeEvent) {
	switch e.Type {
	case "participants":
		for _, c := range e.Changes {
			f.changed(c)
		}
	case "participantJoined":
		if p := e.Participant; p != nil && f.people[p.SID] == nil {
			f.people[p.SID] = p
			f.say(event, "* %s joined", p.title())
		}
	case "participantLeft":
		who := e.Identity
		if p := f.people[e.SID]; p != nil {
			who = p.title()
		}
		delete(f.people, e.SID)
		f.say(event, "* %s %s", who, leaveWords(e.Reason))
	case "participantUpdated":
		if e.Participant != nil {
			f.updated(e.Participant, e.Changed)
		}
	}
}

func (f *plainFace) updated(p *person, changed []string) {
	old := f.people[p.SID]
	if old == nil {
		old = &person{}
	}
	f.people[p.SID] = p
	whose, with := p.title()+"'s", event
	if p.SID == f.self {
		whose, with = "your", change
	}
	for _, what := range changed {
		switch what {
		case "name":
			name := strconv.Quote(p.Name)
			if p.Name == "" {
				name = "gone"
			}
			f.say(with, "* %s name is now %s", strings.Replace(whose, p.title(), p.Identity, 1), name)
		case "metadata":
			f.say(with, "* %s metadata: %s", whose, cmp.Or(p.Metadata, "none"))
		case "attributes":
			f.say(with, "* %s attributes: %s", whose, pairs(p.Attributes))
		case "willEjectAt":
			who, verb := p.title(), "may"
			if p.SID == f.self {
				who = "you"
			}
			f.say(with, "* %s %s now stay %s", who, verb, cmp.Or(ejectWords(p.EjectAt), "as long as they like"))
		case "permissions", "permission":
			f.say(with, "* %s permissions changed: %s", whose, permissionChange(old.Permissions, p.Permissions))
		case "state":
			if p.State == "reconnecting" {
				f.say(event, "* %s lost the connection", p.title())
			} else if p.State == "active" && old.State == "reconnecting" {
				f.say(event, "* %s is back", p.title())
			}
		}
	}
}

func (f *plainFace) track(m message) error {
	var e struct {
		ParticipantSID string `json:"participantSid"`
		TrackSID       string `json:"trackSid"`
		Track          *track `json:"track"`
		Reason         string `json:"reason"`
		Muted          bool   `json:"muted"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	p := f.people[e.ParticipantSID]
	if p == nil {
		p = &person{}
	}
	who := f.who(e.ParticipantSID)
	switch m.Type {
	case "trackPublished":
		if e.Track == nil {
			return fmt.Errorf("it names no track")
		}
		p.Tracks = append(p.Tracks, e.Track)
		f.say(event, "* %s published: %s", who, e.Track.words())
	case "trackUnpublished":
		what := f.trackWords(e.TrackSID)
		p.Tracks = slices.DeleteFunc(p.Tracks, func(t *track) bool { return t.SID == e.TrackSID })
		why := ""
		if e.Reason == "not_allowed" {
			why = ": not allowed any more"
		}
		f.say(event, "* %s unpublished: %s%s", who, what, why)
	case "trackMuted":
		verb := "unmuted"
		if e.Muted {
			verb = "muted"
		}
		f.say(event, "* %s %s: %s", who, verb, f.trackWords(e.TrackSID))
	case "trackUnsubscribed":
		f.say(event, "* you no longer receive: %s", f.trackWords(e.TrackSID))
	}
	return nil
}

func (f *plainFace) trackWords(sid string) string {
	for _, p := range f.people {
		for _, t := range p.Tracks {
			if t.SID == sid {
				return t.words()
			}
		}
	}
	return "a track"
}

func (f *plainFace) data(m message) error {
	var e struct {
		From *struct {
			SID      string `json:"sid"`
			Identity string `json:"identity"`
		} `json:"from"`
		Topic   string          `json:"topic"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	from := "(no sender)"
	if e.From != nil {
		from = e.From.Identity
	}
	var text string
	if json.Unmarshal(e.Payload, &text) != nil {
		text = string(e.Payload)
	}
	if e.Topic != chatTopic && e.Topic != "" {
		from += " [" + e.Topic + "]"
	}
	if f.colour {
		// Only the name has a colour; both parts are cleaned on the way.
		f.say(plainInk, string(speech)+"%s:\x1b[0m %s", from, text)
	} else {
		f.say(plainInk, "%s: %s", from, text)
	}
	return nil
}

// called shows a remote call.
func (f *plainFace) called(m message) error {
	var e struct {
		RPC     string `json:"rpc"`
		Method  string `json:"method"`
		Payload string `json:"payload"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	f.call = e.RPC
	f.say(change, "* the application calls %s: %s", e.Method, orNothing(e.Payload))
	f.say(plainInk, "  /reply TEXT answers it")
	return nil
}

func (f *plainFace) answered(m message) error {
	asked := f.asked[m.ID]
	delete(f.asked, m.ID)
	if !asked.told {
		return nil
	}
	var e struct {
		Participant *person `json:"participant"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	if p := e.Participant; p != nil {
		f.say(plainInk, "  done: %s may %s", p.title(), p.Permissions.wordsOf("its", "it"))
	} else {
		f.say(plainInk, "  done: %s", asked.what)
	}
	return nil
}

func (f *plainFace) refused(m message) error {
	var e struct {
		Code       string `json:"code"`
		Permission string `json:"permission"`
		Layer      string `json:"layer"`
		Message    string `json:"message"`
	}
	if err := json.Unmarshal(m.text, &e); err != nil {
		return err
	}
	what := f.asked[m.ID].what
	delete(f.asked, m.ID)
	if what == "" {
		what = "the request"
	}
	f.say(trouble, "! refused: %s: %s", what, refusalWords(e.Code, e.Permission, e.Layer, e.Message))
	return nil
}

func (f *plainFace) closed(end closing) {
	switch {
	case end.Code == wire.Left:
		f.say(change, "* you left")
		return
	case f.self == "" && end.err != nil:
		return // it never began; the command itself says why
	}
	f.say(trouble, "* closed: %s", end.words())
	switch end.Code {
	case wire.InvalidToken, wire.TokenExpired, wire.TokenRevoked, wire.NotAllowed:
		f.say(plainInk, "  usher token create makes a token, usher token explain says what one allows")
	}
}
