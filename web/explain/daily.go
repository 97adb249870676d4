package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/daily"
)

// Daily says what a Daily meeting token is good for, whatever its signature is worth;
// signature is what to say about that. The error says why usher could not read the
// token; then [Any] says what is in it all the same.
//
// What the token does not say of its holder's permissions the room says, and else the
// domain, see [InRoom].
func Daily(token string, signature []string, now time.Time) (Report, error) {
	if Recognize(token) != DailyToken {
		return nil, errors.New("it is no Daily token")
	}
	g, err := read(token, DailyToken)
	if g == nil {
		return nil, errors.New(Reason(err))
	}
	c, alg, _ := takeApart(token)
	e := explanation{g: g, rights: auth.Resolve(g.Format.Base(g, g.Room, auth.RoomRules{})...).Rights, now: now}
	_ = json.Unmarshal(g.Claims, &e.said)

	may, wrong := asItStands(signature, e.barred(), e.dailyMay(), append(c.problems(DailyToken, alg, now), e.dailyProblems(c)...))
	var r Report
	r.add("domain", quoted(c.text("d")))
	r.add("signature", signature...)
	r.add("holder", e.dailyHolder())
	if g.Room == "" {
		r.add("room", "every one of the domain")
	} else {
		r.add("room", quoted(g.Room))
	}
	r.add("valid", e.validity())
	r.add("stay", e.stay()...)
	r.add("refreshed", e.origin()...)
	r.add("may", may...)
	r.add("may not", e.dailyMayNot()...)
	r.add("start", c.start()...)
	r.add("wrong", wrong...)
	r.add("beware", e.beware()...)
	return r, nil
}

func isDaily(g *auth.Grant) bool { return g.Format != nil && g.Format.Name() == daily.New().Name() }

func (e *explanation) isOwner() bool { return e.rights.Has(auth.Owner) }

func (e *explanation) dailyHolder() string {
	text := quoted(e.g.Identity)
	if strings.HasPrefix(e.g.Identity, auth.AnonymousPrefix) {
		text = "somebody without a user id"
	}
	if e.g.Name != "" {
		text += ", called " + quoted(e.g.Name)
	}
	if e.isOwner() {
		text += "; an owner of the meeting"
	}
	return text
}

// stay says how long the holder may stay in a room.
func (e *explanation) stay() []string {
	var lines []string
	s := e.g.Stay
	switch {
	case !s.At.IsZero():
		lines = append(lines, "put out at "+e.when(s.At))
	case s.Fixed:
		return nil
	}
	if s.AtExpiry && !e.g.Expires.IsZero() {
		lines = append(lines, "put out when the token expires")
	}
	if s.After > 0 {
		lines = append(lines, "put out "+span(s.After)+" after joining; until the token expires it may join again")
	}
	return lines
}

// dailyPermissions is what a token may say of its holder, and what holds when neither
// it nor the room or the domain says anything.
var dailyPermissions = []struct{ name, words string }{
	{"hasPresence", "being seen by the others: "},
	{"canSend", "publishing tracks: "},
	{"canReceive", "receiving the tracks of the others: "},
	{"canAdmin", "moderating from inside: "},
}

func (e *explanation) dailyMay() []string {
	lines := []string{"join the room, if there is one"}
	if e.g.Room == "" {
		lines[0] = "join every room of the domain"
	}
	if e.isOwner() {
		return append([]string{"everything: its holder is an owner of the meeting"}, lines...)
	}
	var said struct {
		Permissions map[string]json.RawMessage `json:"permissions"`
	}
	if properties, err := daily.Properties(e.g); err == nil {
		_ = json.Unmarshal(properties, &said)
	}
	for _, p := range dailyPermissions {
		if value, ok := said.Permissions[p.name]; ok {
			lines = append(lines, p.words+p.name+" is "+string(value))
		} else {
			lines = append(lines, p.words+"as the room says, else the domain ("+p.name+")")
		}
	}
	return lines
}

func (e *explanation) dailyMayNot() []string {
	lines := []string{"make a room that is missing"}
	if e.g.Knocks && !e.isOwner() {
		lines = append([]string{"enter at once where people knock: an owner or an admin lets it in"}, lines...)
	}
	return lines
}

// start is what its page is asked to begin with.
func (c claims) start() []string {
	var lines []string
	for _, s := range []struct {
		claim    string
		off, on  string
		inverted bool
	}{
		{"vo", "with the camera off", "with the camera on", true},
		{"ao", "with the microphone off", "with the microphone on", true},
		{"ss", "with no offer to share the screen", "with an offer to share the screen", false},
	} {
		if raw, ok := c[s.claim]; !ok || string(raw) != "true" && string(raw) != "false" {
			continue
		}
		if c.flag(s.claim) == s.inverted {
			lines = append(lines, s.off)
		} else {
			lines = append(lines, s.on)
		}
	}
	return lines
}

// dailyProblems is what is wrong with the claims of a Daily token, read or not.
func (c claims) dailyProblems() []string {
	var lines []string
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, long := range names {
		if short, ok := daily.ShortOf(long); ok && short != long {
			lines = append(lines, fmt.Sprintf("%s is not read in a token; there it is %s", long, short))
		}
	}
	if c.text("d") == "" {
		lines = append(lines, "it names no domain (d)")
	}
	return lines
}

// dailyProblems is what is wrong with a token that could be read.
func (e *explanation) dailyProblems(c claims) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if enter := e.enters(); !enter.IsZero() && !e.now.Before(enter) {
		say("it lets nobody in, for the token it was refreshed from expired %s ago", span(e.now.Sub(enter)))
	}
	if c.flag("ejt") && e.g.Expires.IsZero() {
		say("eject_at_token_exp (ejt) has no effect without exp")
	}
	if c.flag("k") && e.isOwner() {
		say("knocking (k) has no effect, for an owner never waits")
	}
	if issued, ok := instant(e.said.IssuedAt); !ok {
		say("it has no iat: every revocation that is about the holder bars it")
	} else if issued.After(e.now.Add(auth.Leeway)) {
		say("its iat is in the future and does not count: every revocation that is about the holder bars it")
	}
	return lines
}

// beware is what is right, and more than people know.
func (e *explanation) beware() []string {
	var lines []string
	for _, words := range daily.Warnings(e.g) {
		_, says, _ := strings.Cut(words, ": ")
		lines = append(lines, says)
	}
	return lines
}

// dailyRefusal says why a token does not hold whose key is none of those here. Which
// key has signed it, it does not say.
func (e *explanation) dailyRefusal() string {
	var c claims
	_ = json.Unmarshal(e.g.Claims, &c)
	return "it is of another domain, " + quoted(c.text("d")) + ", or comes from a key that holds no longer"
}

// dailyRights is what to say of rights in a room, in Daily's words.
var dailyRights = []struct {
	right auth.Rights
	words string
}{
	{auth.SendCamera, "canSend video"},
	{auth.SendMicrophone, "canSend audio"},
	{auth.SendScreenShare, "canSend screenVideo"},
	{auth.SendScreenShareAudio, "canSend screenAudio"},
	{auth.SendCustomVideo, "canSend customVideo"},
	{auth.SendCustomAudio, "canSend customAudio"},
	{auth.ReceiveCamera, "canReceive video"},
	{auth.ReceiveMicrophone, "canReceive audio"},
	{auth.ReceiveScreenShare, "canReceive screenVideo"},
	{auth.ReceiveScreenShareAudio, "canReceive screenAudio"},
	{auth.ModerateParticipants, "canAdmin participants"},
	{auth.ModerateStreaming, "canAdmin streaming"},
	{auth.ModerateTranscription, "canAdmin transcription"},
	{auth.Owner, "owner"},
	{auth.SendData, "app messages"},
	{auth.Hidden, "hidden"},
}
