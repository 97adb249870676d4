package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

type tokenExplainCmd struct {
	tokenKey
	Token string `arg:"" help:"The token; - reads it from the input."`
}

// Help is the long text of --help.
func (tokenExplainCmd) Help() string {
	return `
Without a secret the signature is not checked, and anybody may have written what is explained. The exit code is 0 when the token could be read, whatever is wrong with it.
`
}

func (c *tokenExplainCmd) Run(_ context.Context, std *streams) error {
	token, err := readToken(c.Token, std.In)
	if err != nil {
		return err
	}
	return explainToken(std.Out, token, c.signature(token), time.Now())
}

const notHolding = "DOES NOT HOLD"

// signature says what a check with the key comes to. Times, which are checked
// too, are spoken of elsewhere.
func (k *tokenKey) signature(token string) []string {
	if k.APISecret == "" {
		return []string{"not checked, for there is no secret to check it with"}
	}
	var lines []string
	switch _, err := k.check(token); {
	case errors.Is(err, auth.ErrSignature):
		lines = append(lines, notHolding+": the secret is another one, or the token was changed")
	case errors.Is(err, auth.ErrUnknownKey):
		lines = append(lines, "not checked, for the token is of another key")
	default:
		lines = append(lines, "holds")
	}
	if n := len(k.APISecret); n < auth.MinSecretBytes {
		lines = append(lines, fmt.Sprintf("the secret has %d characters; with fewer than %d it can be guessed, and a server takes it with --dev only", n, auth.MinSecretBytes))
	}
	return lines
}

// explainToken says in plain words what a token is good for.
func explainToken(w io.Writer, token string, signature []string, now time.Time) error {
	g, err := auth.ReadUnverified(token, livekit.Format{})
	if g == nil {
		return fmt.Errorf("no server would take this token: %s", reason(err))
	}
	e := explanation{g: g, rights: auth.Resolve(g.Base...).Rights, now: now}
	// Whatever is not as it should be in here has been refused above.
	_ = json.Unmarshal(g.Claims, &e.said)

	may, wrong := e.may(), e.problems()
	forged := len(signature) > 0 && strings.HasPrefix(signature[0], notHolding)
	if forged {
		wrong = append([]string{"the signature does not hold"}, wrong...)
	}
	if len(may) > 0 && (forged || e.barred()) {
		may = append([]string{"nothing as it stands; with what is wrong mended:"}, may...)
	}
	for _, part := range []struct {
		label string
		lines []string
	}{
		{"key", []string{quoted(g.KeyID)}},
		{"signature", signature},
		{"holder", []string{e.holder()}},
		{"room", []string{quoted(g.Room)}},
		{"valid", []string{e.validity()}},
		{"refreshed", e.origin()},
		{"may", may},
		{"may not", e.mayNot()},
		{"wrong", wrong},
		{"no effect", e.unused()},
	} {
		for i, line := range part.lines {
			label := part.label + ":"
			if i > 0 {
				label = ""
			}
			if _, err := fmt.Fprintf(w, "%-11s%s\n", label, visible(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// explanation is a token to be explained.
type explanation struct {
	g      *auth.Grant
	rights auth.Rights
	now    time.Time

	said struct { // what the grant does not tell
		IssuedAt  json.Number `json:"iat"`
		NotBefore json.Number `json:"nbf"`
		Video     *struct {
			CanPublish        *bool    `json:"canPublish"`
			CanPublishSources []string `json:"canPublishSources"`
		} `json:"video"`
	}
}

func (e *explanation) holder() string {
	text := quoted(e.g.Identity)
	if e.g.Name != "" {
		text += ", called " + quoted(e.g.Name)
	}
	if e.g.Kind != auth.Standard {
		text += ", of the kind " + string(e.g.Kind)
	}
	if e.g.Dependent || e.g.Kind.Dependent() {
		text += "; takes no place in the room, and does not keep it open"
	}
	return text
}

func (e *explanation) validity() string {
	text := "for ever"
	if !e.g.Expires.IsZero() {
		text = "until " + e.when(e.g.Expires)
	}
	if from, ok := instant(e.said.NotBefore); ok && from.After(e.now) {
		text = "from " + e.when(from) + ", " + text
	}
	return text
}

func (e *explanation) origin() []string {
	o := e.g.Origin
	if o == nil {
		return nil
	}
	return []string{fmt.Sprintf("by a server, in session %s; the first token was of key %s, issued %s",
		quoted(o.Session), quoted(o.KeyID), e.when(time.Unix(o.Issued, 0)))}
}

// insideRights is what to say of the rights that matter inside a room, but for
// publishing.
var insideRights = []struct {
	rights auth.Rights
	words  string
}{
	{auth.ReceiveTracks, "receive the tracks of the others"},
	{auth.SendData, "send data and presence"},
	{auth.UpdateOwnMetadata, "change its own name, metadata and attributes"},
	{auth.ModerateParticipants, "moderate the room from inside"},
}

func (e *explanation) may() []string {
	var lines []string
	if e.g.Join {
		if e.g.CreateRoom {
			lines = append(lines, "join the room, and make it by joining")
		} else {
			lines = append(lines, "join the room")
		}
		switch sources := e.sources(e.rights); {
		case e.rights.Has(auth.Hidden): // cannot publish
		case e.rights.Has(auth.SendTracks):
			lines = append(lines, "publish tracks from every source")
		case sources != "":
			lines = append(lines, "publish tracks from "+sources)
		}
		for _, r := range insideRights {
			if e.rights.Has(r.rights) {
				lines = append(lines, r.words)
			}
		}
		if e.rights.Has(auth.Hidden) {
			lines = append(lines, "stay invisible to the others, who see nothing of its tracks and presence")
		}
	}
	if e.g.RoomAdmin && e.g.Room != "" {
		lines = append(lines, "administer the room through the server API")
	}
	if e.g.CreateRoom {
		lines = append(lines, "make and delete rooms through the server API")
	}
	if e.g.ListRooms {
		lines = append(lines, "list rooms through the server API")
	}
	return lines
}

func (e *explanation) mayNot() []string {
	if !e.g.Join {
		return []string{"join a room"}
	}
	var lines []string
	switch denied := auth.SendTracks &^ e.rights; {
	case e.rights.Has(auth.Hidden):
		lines = append(lines, "publish tracks, for it is hidden")
	case denied == auth.SendTracks:
		lines = append(lines, "publish tracks")
	case denied != 0:
		lines = append(lines, "publish tracks from "+e.sources(denied))
	}
	for _, r := range insideRights {
		if !e.rights.Has(r.rights) {
			lines = append(lines, r.words)
		}
	}
	return lines
}

func (e *explanation) sources(rights auth.Rights) string {
	var names []string
	for source := auth.Camera; source <= auth.CustomAudio; source++ {
		if rights.Has(source.Send()) {
			names = append(names, source.String())
		}
	}
	return strings.Join(names, ", ")
}

// barred reports whether a server would refuse the token, whoever signed it.
func (e *explanation) barred() bool {
	g := e.g
	from, dated := instant(e.said.NotBefore)
	return g.Expires.IsZero() || !e.now.Before(g.Expires.Add(auth.Leeway)) ||
		dated && e.now.Before(from.Add(-auth.Leeway)) ||
		g.Join && (g.Room == "" || g.Identity == "")
}

func (e *explanation) problems() []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	g, video := e.g, e.said.Video

	switch {
	case video == nil:
		say("it has no video grant, so it is good for nothing here")
	case !g.Join && !g.RoomAdmin && !g.CreateRoom && !g.ListRooms:
		say("roomJoin is not set, so nobody can join with it")
	case g.Join && g.Room == "":
		say("it names no room, so nobody can join with it")
	case g.RoomAdmin && g.Room == "":
		say("roomAdmin is good for nothing without a room")
	}
	if g.Join && g.Identity == "" {
		say("it names no identity (sub), so nobody can join with it")
	}

	switch {
	case g.Expires.IsZero():
		say("it has no exp, and is refused for that")
	case !e.now.Before(g.Expires.Add(auth.Leeway)):
		say("it expired %s ago", span(e.now.Sub(g.Expires)))
	case !e.now.Before(g.Expires):
		say("it expired %s ago; for the sake of clocks that differ it is taken for %s more",
			span(e.now.Sub(g.Expires)), span(g.Expires.Add(auth.Leeway).Sub(e.now)))
	case g.Expires.Year() >= 9999:
		say("its exp is so far away that it may be in milliseconds; it has to be in seconds")
	}
	if from, ok := instant(e.said.NotBefore); ok && e.now.Before(from.Add(-auth.Leeway)) {
		say("it is not valid yet (nbf): in %s it will be", span(from.Sub(e.now)))
	}
	if issued, ok := instant(e.said.IssuedAt); ok && issued.After(e.now.Add(auth.Leeway)) {
		say("its iat is in the future and does not count: every revocation that is about the holder bars it")
	}

	if video != nil {
		for _, name := range video.CanPublishSources {
			if _, ok := auth.ParseSource(name); !ok && name != "unknown" {
				say("canPublishSources has %s, which is no source and opens nothing", quoted(name))
			}
		}
		if video.CanPublish != nil && !*video.CanPublish && len(video.CanPublishSources) > 0 {
			say("canPublishSources opens nothing, for canPublish is false")
		}
	}
	return lines
}

func (e *explanation) unused() []string {
	names := livekit.Unused(e.g.Claims)
	if len(names) == 0 {
		return nil
	}
	return []string{strings.Join(names, ", ")}
}

// when tells a time, and how far away it is.
func (e *explanation) when(t time.Time) string {
	text := t.UTC().Format("2006-01-02 15:04:05 UTC")
	if d := t.Sub(e.now); d >= 0 {
		return text + " (in " + span(d) + ")"
	}
	return text + " (" + span(e.now.Sub(t)) + " ago)"
}

// span tells a duration as exactly as people want it.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d < 3650*day:
		return fmt.Sprintf("%d days", d/day)
	}
	return "more than 10 years"
}

// instant reads a time of the claims, which may not be there.
func instant(n json.Number) (time.Time, bool) {
	seconds, err := n.Float64()
	return time.Unix(int64(seconds), 0), err == nil
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return strconv.Quote(s)
}

// refusal is what to tell somebody whose token does not hold.
func refusal(token string, err error, now time.Time) error {
	text := reason(err)
	if g, _ := auth.ReadUnverified(token, livekit.Format{}); g != nil {
		e := explanation{g: g, now: now}
		_ = json.Unmarshal(g.Claims, &e.said)
		switch {
		case errors.Is(err, auth.ErrExpired):
			text = "it was valid until " + e.when(g.Expires)
		case errors.Is(err, auth.ErrNotYetValid):
			if from, ok := instant(e.said.NotBefore); ok {
				text = "it is valid from " + e.when(from)
			}
		case errors.Is(err, auth.ErrUnknownKey) && g.KeyID != "":
			text = "it is of another key, " + quoted(g.KeyID)
		}
	}
	return withHint(fmt.Errorf("the token does not hold: %s", text), "usher token explain tells more")
}

// reason is the text of an error of auth, without the name of the package.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "auth: ") }
