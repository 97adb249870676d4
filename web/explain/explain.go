// Package explain says in plain words what a token is good for and what is wrong
// with it. The command line and the console say it in the same words.
package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/liveblocks"
	"usher/auth/livekit"
	"usher/web"
)

// A Report is what there is to say of a token, part by part. Its lines quote the
// token, which anybody may have written.
type Report []Part

// A Part is what there is to say of one thing, which the label names.
type Part struct {
	Label string   `json:"label"`
	Lines []string `json:"lines"`
}

// NotHolding begins what [Signature] says of a signature that is wrong.
const NotHolding = "DOES NOT HOLD"

// Signature says what a check of the signature came to that ended with err, nil
// included. Times, which are checked too, are spoken of elsewhere.
func Signature(err error) string {
	switch {
	case errors.Is(err, auth.ErrSignature):
		return NotHolding + ": the secret is another one, or the token was changed"
	case ofAnotherKey(err):
		return "not checked, for the token is of another key than those that hold here, or comes from one"
	case err == nil, errors.Is(err, auth.ErrExpired), errors.Is(err, auth.ErrNotYetValid), errors.Is(err, auth.ErrNoExpiry),
		errors.Is(err, auth.ErrNoIdentity), errors.Is(err, auth.ErrTooLongLived):
		return "holds"
	}
	return "not checked: " + Reason(err) // it was refused before that
}

// LiveKit says what a LiveKit token is good for, whatever its signature is worth;
// signature is what to say about that. The error says why no server could
// read the token.
func LiveKit(token string, signature []string, now time.Time) (Report, error) {
	g, err := read(token, LiveKitToken)
	if g == nil {
		return nil, errors.New(Reason(err))
	}
	e := explanation{g: g, rights: auth.Resolve(g.Base...).Rights, now: now}
	// Whatever is not as it should be in here has been refused above.
	_ = json.Unmarshal(g.Claims, &e.said)

	may, wrong := asItStands(signature, e.barred(), e.may(), e.problems())
	var r Report
	r.add("key", quoted(g.KeyID))
	r.add("signature", signature...)
	r.add("holder", e.holder())
	r.add("room", quoted(g.Room))
	r.add("valid", e.validity())
	r.add("refreshed", e.origin()...)
	r.add("may", may...)
	r.add("may not", e.mayNot()...)
	r.add("wrong", wrong...)
	r.add("no effect", e.unused()...)
	return r, nil
}

// Token says what a token is good for that is of a kind read here: it is [Liveblocks],
// [Daily] or [LiveKit].
func Token(token string, signature []string, now time.Time) (Report, error) {
	switch Recognize(token) {
	case LiveblocksID, LiveblocksAccess:
		return Liveblocks(token, signature, now)
	case DailyToken:
		return Daily(token, signature, now)
	}
	return LiveKit(token, signature, now)
}

// asItStands puts what a token may do and what is wrong with it in the light of
// its signature.
func asItStands(signature []string, barred bool, may, wrong []string) ([]string, []string) {
	forged := len(signature) > 0 && strings.HasPrefix(signature[0], NotHolding)
	if forged {
		wrong = append([]string{"the signature does not hold"}, wrong...)
	}
	if len(may) > 0 && (forged || barred) {
		may = append([]string{"nothing as it stands; with what is wrong mended:"}, may...)
	}
	return may, wrong
}

// Read returns what a token of a kind that is read here says, whoever wrote it, as
// [auth.ReadUnverified] does. Of any other text it returns an error.
func Read(token string) (*auth.Grant, error) { return read(token, Recognize(token)) }

func read(token string, kind Kind) (*auth.Grant, error) {
	switch kind {
	case LiveblocksID, LiveblocksAccess:
		return auth.ReadUnverified(token, liveblocks.New(liveblocks.Config{ReadersBroadcast: true}))
	case DailyToken:
		return auth.ReadUnverified(token, daily.New())
	}
	return auth.ReadUnverified(token, livekit.Format{})
}

// add appends a part, unless there is nothing to say.
func (r *Report) add(label string, lines ...string) {
	if len(lines) > 0 {
		*r = append(*r, Part{label, lines})
	}
}

// ofAnotherKey reports whether a token was refused for its key. Which keys were
// revoked is told to nobody here: a key's name anybody can write into a token, and
// it may be another project's.
func ofAnotherKey(err error) bool {
	return errors.Is(err, auth.ErrUnknownKey) || errors.Is(err, auth.ErrRevokedKey)
}

// Refusal says why a token does not hold, of which a verifier said err.
func Refusal(token string, err error, now time.Time) string {
	g, unreadable := Read(token)
	switch {
	case errors.Is(err, auth.ErrTooLarge): // refused unread
		return Reason(err)
	case g == nil:
		// A verifier looks at the signature first, and what it says then tells
		// whose key it is.
		return Reason(unreadable)
	}
	e := explanation{g: g, now: now}
	_ = json.Unmarshal(g.Claims, &e.said)
	switch {
	case errors.Is(err, auth.ErrExpired):
		if enter := e.enters(); !enter.IsZero() && !now.Before(enter) {
			return "it lets nobody in after the token it was refreshed from, which was valid until " + e.when(enter)
		}
		return "it was valid until " + e.when(g.Expires)
	case errors.Is(err, auth.ErrNotYetValid):
		if from, ok := instant(e.said.NotBefore); ok {
			return "it is valid from " + e.when(from)
		}
	case ofAnotherKey(err) && isDaily(g):
		return e.dailyRefusal()
	case ofAnotherKey(err) && g.Origin != nil:
		return "it is of another key than those that hold here, " + quoted(g.KeyID) + ", or comes from one, " + quoted(g.Origin.KeyID)
	case ofAnotherKey(err) && g.KeyID != "":
		return "it is of another key, " + quoted(g.KeyID)
	}
	return Reason(err)
}

// Reason is the text of an error of auth, without the name of the package.
func Reason(err error) string { return strings.TrimPrefix(err.Error(), "auth: ") }

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

// enters is until when a refreshed token lets in whatever its exp says; zero: that
// says it.
func (e *explanation) enters() (t time.Time) {
	if o := e.g.Origin; o != nil && o.Enter > 0 {
		t = time.Unix(o.Enter, 0)
	}
	return t
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
	if e.g.RoomAdmin && e.g.DestinationRoom != "" {
		lines = append(lines, "move people to room "+e.g.DestinationRoom)
	}
	if web.AdministersProject(e.g) {
		lines = append(lines, "administer the whole project through the server APIs")
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
	return g.Expires.IsZero() && g.Format.RequireExpiry() || g.Barred(e.now) != nil ||
		dated && e.now.Before(from.Add(-g.Format.Leeway())) ||
		NamesNoRoom(g) || g.Join && g.Identity == ""
}

// NamesNoRoom reports whether a token would let its holder join, if it said where.
// Liveblocks' tokens need not.
func NamesNoRoom(g *auth.Grant) bool {
	return g.Join && g.Room == "" && g.Format != nil && g.Format.Name() == livekit.Format{}.Name()
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
	case g.RoomAdmin && g.Room == "" && !web.AdministersProject(g):
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
