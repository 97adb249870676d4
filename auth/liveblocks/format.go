package liveblocks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/internal/object"
)

// Config is what a project sets about the tokens of Liveblocks.
type Config struct {
	// ReadersBroadcast lets people broadcast events who may not write the
	// document, as Liveblocks lets them.
	ReadersBroadcast bool
	// ExistingOnly keeps access tokens and public keys from making rooms that are
	// missing: they enter those that there are.
	ExistingOnly bool
}

// format is an [auth.Format].
type format struct{ readersBroadcast, existingOnly bool }

// New returns the format of Liveblocks' tokens.
func New(c Config) auth.Format {
	return &format{readersBroadcast: c.ReadersBroadcast, existingOnly: c.ExistingOnly}
}

// Name returns "liveblocks".
func (*format) Name() string { return "liveblocks" }

// NamesKey is [auth.ByKeyID]: Liveblocks' payload has no issuer.
func (*format) NamesKey() auth.KeyName { return auth.ByKeyID }

// Leeway is [auth.Leeway].
func (*format) Leeway() time.Duration { return auth.Leeway }

// RequireExpiry is true: the client computes with exp (auth-manager.ts).
func (*format) RequireExpiry() bool { return true }

// Limits of tokens. Lengths are in characters. Those of user ids and of userInfo
// are Liveblocks'; of organizations and of groups in a token it names none.
const (
	MaxUserLength         = 128
	MaxInfoLength         = 1024 // as JSON
	MaxGroupLength        = 256
	MaxGroups             = 1000
	MaxOrganizationLength = 128
)

// Kinds of tokens, as the claim k has them (protocol/AuthToken.ts).
const (
	idKind     = "id"
	accessKind = "acc"
)

// claims is a payload. Pieces that are nil were not there.
type claims struct {
	kind, project, user string
	groups              []string
	organization        string
	info                json.RawMessage
	permissions         json.RawMessage
	live                json.RawMessage
}

// details is what Decode keeps of a token for Base.
type details struct {
	access   bool      // an access token
	patterns []pattern // of one, the most specific last
	live     live      // of a refreshed token
}

// Decode fills in what the claims say.
func (f *format) Decode(payload []byte, g *auth.Grant) error {
	var c claims
	err := object.Read(payload,
		object.Field{Name: "k", Into: &c.kind},
		object.Field{Name: "pid", Into: &c.project},
		object.Field{Name: "uid", Into: &c.user},
		object.Field{Name: "gids", Into: &c.groups},
		object.Field{Name: "org", Into: &c.organization},
		object.Field{Name: "ui", Into: &c.info},
		object.Field{Name: "perms", Into: &c.permissions},
		object.Field{Name: "live", Into: &c.live},
	)
	if err == nil {
		err = c.check(g)
	}
	var d details
	if err == nil {
		d.access = c.kind == accessKind
		d.patterns, err = readPatterns(c.permissions)
	}
	if err == nil {
		g.Name, g.Metadata = describe(c.info)
		err = d.live.read(c.live, g)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", auth.ErrMalformed, err)
	}
	g.Identity = c.user
	g.Kind = auth.Standard
	g.Groups = c.groups
	if g.Organization = c.organization; g.Organization == "" {
		g.Organization = auth.DefaultOrganization
	}
	g.Join, g.Roams = true, true
	g.CreateListed = d.access && !f.existingOnly
	if d.access || c.live != nil {
		g.Read = &d
	}
	if g.Identity == "" {
		return auth.ErrNoIdentity
	}
	return nil
}

// Errors of check. They hold nothing of the token.
var (
	errKind         = errors.New("the claim k is neither of an ID token nor of an access token")
	errOtherKind    = errors.New("claims of an ID token and of an access token in one")
	errOtherProject = errors.New("the claim pid names another project than the key is of")
	errWord         = errors.New("a permission that nobody knows")
	errPatterns     = fmt.Errorf("the claim perms is not an object of up to %d patterns with a list of permissions each", MaxPatterns)
	errNotOurs      = errors.New("the claim live, which belongs to this server, says something else")
)

// check reports what is wrong with the claims of a token of g.
func (c *claims) check(g *auth.Grant) error {
	switch {
	case c.kind != idKind && c.kind != accessKind:
		return errKind
	case c.kind == idKind && c.permissions != nil, c.kind == accessKind && (c.groups != nil || c.permissions == nil):
		return errOtherKind
	case c.project == "", g.Project != "" && c.project != g.Project:
		return errOtherProject
	case (c.live != nil) != (g.Origin != nil):
		return errNotOurs
	}
	err := firstOf(checkGroups(c.groups), checkOrganization(c.organization), checkInfo(c.info))
	if err == nil && c.user != "" { // without one Decode says so
		err = checkUser(c.user)
	}
	return err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The checks that follow hold for tokens to be made as for those that come.
// Their errors are [*InvalidError] and hold nothing of what they are about.

func checkUser(id string) error {
	switch n := length(id); {
	case n == 0 || n > MaxUserLength:
		return invalid("a user id has 1 to %d characters", MaxUserLength)
	case strings.HasPrefix(id, auth.AnonymousPrefix):
		return invalid("user ids that begin with %s are the server's own", auth.AnonymousPrefix)
	}
	return nil
}

func checkGroups(ids []string) error {
	if len(ids) > MaxGroups {
		return invalid("a token names up to %d groups", MaxGroups)
	}
	for _, id := range ids {
		if n := length(id); n == 0 || n > MaxGroupLength {
			return invalid("the id of a group has 1 to %d characters", MaxGroupLength)
		}
	}
	return nil
}

func checkOrganization(id string) error {
	if length(id) > MaxOrganizationLength {
		return invalid("the id of an organization has up to %d characters", MaxOrganizationLength)
	}
	return nil
}

func checkInfo(info json.RawMessage) error {
	switch {
	case info == nil:
	case info[0] != '{':
		return invalid("the info of a user is a JSON object")
	case len(info) > MaxInfoLength && InfoLength(info) > MaxInfoLength:
		return invalid("the info of a user has up to %d characters as JSON", MaxInfoLength)
	}
	return nil
}

// length returns how many characters s has. It does not count those of a text
// that is too long for any limit.
func length(s string) int {
	if len(s) > 4*MaxInfoLength {
		return len(s)
	}
	return utf8.RuneCountInString(s)
}

// InfoLength returns how many characters the info of a user has, which is valid
// JSON, as JavaScript would write it: an escaped letter counts as one, the space
// around pieces not at all. It is at most len(info).
func InfoLength(info json.RawMessage) int {
	var value any
	d := json.NewDecoder(bytes.NewReader(info))
	d.UseNumber()
	if d.Decode(&value) != nil {
		return len(info)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return len(info)
	}
	return utf8.RuneCountInString(separators.Replace(strings.TrimSuffix(out.String(), "\n")))
}

// separators undoes the escapes of Go that JavaScript does without. A backslash
// that is itself escaped begins none.
var separators = strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029")

// readPatterns reads the permissions of an access token.
func readPatterns(perms json.RawMessage) ([]pattern, error) {
	if perms == nil {
		return nil, nil
	}
	var patterns []pattern
	err := object.Each(perms, func(name, value []byte) error {
		text := string(name)
		var list []string
		if len(patterns) == MaxPatterns || !isPattern(text) || value[0] != '[' || json.Unmarshal(value, &list) != nil {
			return errPatterns
		}
		for _, p := range patterns {
			if p.text == text {
				return object.ErrDuplicate
			}
		}
		for _, word := range list {
			if _, ok := meanings[word]; !ok {
				return errWord
			}
		}
		patterns = append(patterns, newPattern(text, list))
		return nil
	})
	if errors.Is(err, object.ErrInvalid) {
		err = errPatterns
	}
	sortPatterns(patterns)
	return patterns, err
}

// describe returns the name of a participant and its metadata: what userInfo has
// as name, if that is a string, and all of userInfo as JSON.
func describe(info json.RawMessage) (name, metadata string) {
	if info == nil {
		return "", ""
	}
	// userInfo is the application's and may have what tokens may not, such as
	// names alike but for case. As for its pages, the last one of a name counts.
	var named json.RawMessage
	_ = object.Each(info, func(name, value []byte) error {
		if string(name) == "name" {
			named = value
		}
		return nil
	})
	if len(named) > 0 && named[0] == '"' {
		_ = json.Unmarshal(named, &name)
	}
	return name, string(Compact(info))
}

// Base implements [auth.Format]. For an ID token the room's list decides, for an
// access token its own patterns. What a refreshed token has of its session comes
// on top of that.
func (f *format) Base(g *auth.Grant, room string, rules auth.RoomRules) []auth.Say {
	d, _ := g.Read.(*details)
	var says []auth.Say
	switch {
	case g.Room != "" && g.Room != room:
		return nil
	case d != nil && d.access:
		sources := patternsFor(d.patterns, room)
		says = f.layers(decide(sources, true), sources)
	case g.Base != nil: // without a token
		return g.Base
	default:
		sources := levelsOf(rules.List, g.Identity, g.Groups)
		says = f.layers(decide(sources, false), sources)
	}
	if d != nil && len(says) > 0 {
		if say := d.live.say(); !say.IsZero() {
			says = append(says, say)
		}
	}
	return says
}
