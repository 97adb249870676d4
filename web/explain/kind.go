package explain

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Kind is what a text that somebody took for a token turns out to be.
type Kind string

// The kinds that are told apart, by the claims that only they have.
const (
	LiveKitToken     Kind = "livekit"
	LiveKitWebhook   Kind = "livekit-webhook"
	LiveblocksID     Kind = "liveblocks-id"
	LiveblocksAccess Kind = "liveblocks-access"
	LiveblocksSecret Kind = "liveblocks-secret-key"
	LiveblocksPublic Kind = "liveblocks-public-key"
	DailyToken       Kind = "daily"
	OtherToken       Kind = "jwt"
	NoToken          Kind = "none"
)

// whats is what a kind is, in words.
var whats = map[Kind]string{
	LiveKitToken:     "a LiveKit token",
	LiveKitWebhook:   "the signature of a LiveKit webhook, not a token to join with",
	LiveblocksID:     "a Liveblocks ID token: it says who somebody is, and the room's access list what they may do",
	LiveblocksAccess: "a Liveblocks access token: it says itself what its holder may do in which rooms",
	LiveblocksSecret: "a Liveblocks secret key. It opens everything: keep it on a server, and replace it if others have seen it",
	LiveblocksPublic: "a Liveblocks public key: it lets anybody into rooms, without an identity",
	DailyToken:       "a Daily meeting token",
	OtherToken:       "a JSON Web Token of a kind that is not known here",
	NoToken:          "no token",
}

// What says what the kind is, in words that follow "this is".
func (k Kind) What() string { return whats[k] }

// Recognize returns what a text is. Nothing that it says is believed.
func Recognize(text string) Kind {
	switch {
	case strings.HasPrefix(text, "sk_"):
		return LiveblocksSecret
	case strings.HasPrefix(text, "pk_"):
		return LiveblocksPublic
	}
	c, _, err := takeApart(text)
	if err != nil {
		return NoToken
	}
	return c.kind()
}

// Any says of a text of whatever kind what it is, what is wrong with it, and what
// usher does with it. Of a token that is read here it says what [LiveKit],
// [Liveblocks] or [Daily] says. Of Liveblocks' keys only a server knows more.
func Any(text string, signature []string, now time.Time) (Kind, Report) {
	kind := Recognize(text)
	var r Report
	switch kind {
	case LiveblocksSecret, LiveblocksPublic:
		return kind, r
	case NoToken:
		_, _, err := takeApart(text)
		r.add("wrong", err.Error())
		return kind, r
	case LiveKitToken:
		report, err := LiveKit(text, signature, now)
		if err == nil {
			return kind, report
		}
		r.add("wrong", "no server would take this token: "+err.Error())
		return kind, r
	}
	c, alg, _ := takeApart(text)
	e := explanation{now: now}
	var unread error
	switch kind {
	case LiveblocksID, LiveblocksAccess:
		var report Report
		if report, unread = Liveblocks(text, signature, now); unread == nil {
			return kind, report
		}
		r.add("holder", quoted(c.text("uid")))
		r.addLiveblocks(c, c.text("org"))
		r.add("valid", c.validity(&e))
		r.add("may", c.scopes()...)
	case DailyToken:
		var report Report
		if report, unread = Daily(text, signature, now); unread == nil {
			return kind, report
		}
		r.add("domain", quoted(c.text("d")))
		r.add("holder", quoted(c.text("ud")))
		r.add("valid", c.validity(&e))
	default:
		r.add("key", quoted(c.text("iss")))
		r.add("holder", quoted(c.text("sub")))
		r.add("valid", c.validity(&e))
	}
	wrong := c.problems(kind, alg, now)
	if unread != nil {
		wrong = append([]string{"no server would take this token: " + unread.Error()}, wrong...)
	}
	r.add("wrong", wrong...)
	switch kind {
	case LiveblocksID, LiveblocksAccess, DailyToken:
	case LiveKitWebhook:
		r.add("here", "it lets nobody in; your backend checks it with the body that it came with")
	default:
		r.add("here", "it is refused: a LiveKit token has iss (the API key), sub (the identity) and video (the grant)")
	}
	return kind, r
}

// claims is a payload that may be of anybody's making.
type claims map[string]json.RawMessage

// takeApart returns the payload of a token and its algorithm. Its errors say what
// people paste in place of one.
func takeApart(text string) (c claims, alg string, err error) {
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == "":
		return nil, "", errors.New("there is nothing")
	case len(trimmed) > 7 && strings.EqualFold(trimmed[:7], "bearer "):
		return nil, "", errors.New("\"Bearer\" is of the header it was sent in; leave it out")
	case strings.Contains(trimmed, "://"):
		return nil, "", errors.New("this is an address; a token may be in it, behind access_token= or #token=")
	case strings.Trim(trimmed, `"'`+"`") != trimmed:
		return nil, "", errors.New("it is in quotation marks; leave them out")
	case strings.ContainsAny(trimmed, " \t\r\n"):
		return nil, "", errors.New("there are spaces or line breaks within it; a token has none")
	case strings.HasPrefix(trimmed, "API") && !strings.Contains(trimmed, "."):
		return nil, "", errors.New("this looks like the id of a LiveKit API key; a token is signed with the secret that goes with it")
	case strings.HasPrefix(trimmed, "{"):
		return nil, "", errors.New("these are claims that nobody has signed")
	}
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 3 {
		return nil, "", fmt.Errorf("a token has three parts with a dot between them; this has %d", len(parts))
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if err := decodePart(parts[0], &header); err != nil {
		return nil, "", fmt.Errorf("its first part, the header, %w", err)
	}
	if err := decodePart(parts[1], &c); err != nil {
		return nil, "", fmt.Errorf("its second part, the claims, %w; perhaps it was cut short", err)
	}
	if c == nil {
		return nil, "", errors.New("its second part, the claims, is not a JSON object")
	}
	return c, header.Alg, nil
}

func decodePart(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part, "="))
	if err != nil {
		return errors.New("is not base64url")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return errors.New("is not a JSON object")
	}
	return nil
}

func (c claims) kind() Kind {
	switch has := func(name string) bool { _, ok := c[name]; return ok }; {
	case c.text("iss") != "" && has("video"):
		return LiveKitToken // by its issuer, whatever else it claims
	case c.text("k") == "id" && has("uid"):
		return LiveblocksID
	case c.text("k") == "acc" && (has("uid") || has("perms")):
		return LiveblocksAccess
	case has("video"), has("sip") && has("iss"):
		return LiveKitToken
	case has("sha256") && has("iss"):
		return LiveKitWebhook
	case isDomainID(c.text("d")), !has("iss") && has("d") && (has("r") || has("iat")), !has("iss") && !has("sub") && has("r"):
		return DailyToken
	case has("iss") && (has("sub") || has("jti") || has("roomConfig")) && !has("aud"):
		return LiveKitToken // without a grant; to be told so
	}
	return OtherToken
}

// isDomainID reports whether a text looks like the id of a Daily domain.
func isDomainID(text string) bool { return len(text) == 36 && strings.Count(text, "-") == 4 }

// text is a claim that is text, else empty.
func (c claims) text(name string) string {
	var s string
	_ = json.Unmarshal(c[name], &s)
	return s
}

func (c claims) flag(name string) bool { return string(c[name]) == "true" }

func (c claims) list(name string) []string {
	var list []string
	_ = json.Unmarshal(c[name], &list)
	for i, s := range list {
		list[i] = quoted(s)
	}
	return list
}

func (c claims) time(name string) (time.Time, bool) {
	var n json.Number
	if json.Unmarshal(c[name], &n) != nil {
		return time.Time{}, false
	}
	return instant(n)
}

func (c claims) validity(e *explanation) string {
	text := "for ever"
	if exp, ok := c.time("exp"); ok {
		text = "until " + e.when(exp)
	}
	if from, ok := c.time("nbf"); ok && from.After(e.now) {
		text = "from " + e.when(from) + ", " + text
	}
	return text
}

// scopes is what an access token allows, by pattern of rooms.
func (c claims) scopes() []string {
	var perms map[string][]string
	_ = json.Unmarshal(c["perms"], &perms)
	var lines []string
	for pattern, scopes := range perms {
		lines = append(lines, strings.Join(scopes, ", ")+" in "+quoted(pattern))
	}
	slices.Sort(lines)
	return lines
}

func (c claims) problems(kind Kind, alg string, now time.Time) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch {
	case strings.EqualFold(alg, "none"), alg == "":
		say("it is not signed: anybody can have written it")
	case kind == DailyToken && alg != "HS256", kind == OtherToken && alg != "HS256":
		say("it is signed by the algorithm %.20q, where HS256 is needed", alg)
	}
	if exp, ok := c.time("exp"); ok {
		switch {
		case exp.Year() >= 9999:
			say("its exp is so far away that it may be in milliseconds; it has to be in seconds")
		case !now.Before(exp):
			say("it expired %s ago", span(now.Sub(exp)))
		}
	} else if kind != DailyToken {
		say("it has no exp")
	}
	if from, ok := c.time("nbf"); ok && now.Before(from) {
		say("it is not valid yet (nbf): in %s it will be", span(from.Sub(now)))
	}
	if kind == DailyToken {
		lines = append(lines, c.dailyProblems()...)
	}
	return lines
}
