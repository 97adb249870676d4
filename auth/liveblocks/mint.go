package liveblocks

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/internal/object"
)

// DefaultLifetime is how long a token holds when nothing else is said: as long
// as those of Liveblocks.
const DefaultLifetime = time.Hour

// NewKey returns the key that signs a project's tokens. Its id is made of the
// project and the secret: it is the same after a restart, another one when the
// secret is another, and tells nothing of it.
func NewKey(f auth.Format, project string, secret auth.Secret) auth.Key {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("usher: id of the key for Liveblocks tokens of the project " + project))
	return auth.Key{ID: "lb_" + hex.EncodeToString(mac.Sum(nil)[:10]), Secret: secret, Project: project, Format: f}
}

// An IDToken is an ID token to be made: it says who its holder is.
type IDToken struct {
	User         string
	Groups       []string
	Info         json.RawMessage // a JSON object; nil: none
	Organization string          // empty: auth.DefaultOrganization
}

// An AccessToken is an access token to be made: it says who its holder is and
// what it allows.
type AccessToken struct {
	User         string
	Permissions  map[string][]string // by pattern, see [ParsePatterns]
	Info         json.RawMessage     // a JSON object; nil: none
	Organization string              // empty: auth.DefaultOrganization
}

// Mint returns the token, signed, for a lifetime from now, of
// [DefaultLifetime] if that is 0. No two are alike. What is wrong with the token
// is an [*InvalidError], any other error the key's.
func (t IDToken) Mint(key auth.Key, lifetime time.Duration) (string, error) {
	if err := firstOf(checkTexts(t.Groups...), checkGroups(t.Groups)); err != nil {
		return "", err
	}
	var groups json.RawMessage
	if len(t.Groups) > 0 {
		groups = object.Value(t.Groups)
	}
	return mint(key, idKind, t.User, t.Info, t.Organization, lifetime, object.Member{Name: "gids", Value: groups})
}

// Mint is like [IDToken.Mint].
func (t AccessToken) Mint(key auth.Key, lifetime time.Duration) (string, error) {
	if err := ParsePatterns(t.Permissions); err != nil {
		return "", err
	}
	lists := make(map[string][]string, len(t.Permissions))
	for text, list := range t.Permissions {
		if err := checkTexts(text); err != nil {
			return "", err
		}
		lists[text] = append([]string{}, list...) // never null
	}
	return mint(key, accessKind, t.User, t.Info, t.Organization, lifetime, object.Member{Name: "perms", Value: object.Value(lists)})
}

func mint(key auth.Key, kind, user string, info json.RawMessage, organization string, lifetime time.Duration, more object.Member) (string, error) {
	if info = bytes.TrimSpace(info); len(info) == 0 || string(info) == "null" {
		info = nil
	}
	if info != nil && (!json.Valid(info) || !utf8.Valid(info)) {
		return "", invalid("the info of a user is a JSON object")
	}
	if err := firstOf(checkTexts(user, organization), checkUser(user), checkOrganization(organization), checkInfo(info)); err != nil {
		return "", err
	}
	if key.Project == "" {
		return "", errors.New("liveblocks: a key to sign with needs a project")
	}
	if lifetime <= 0 {
		lifetime = DefaultLifetime
	}
	now := time.Now()
	members := []object.Member{
		{Name: "k", Value: object.String(kind)},
		{Name: "pid", Value: object.String(key.Project)},
		{Name: "uid", Value: object.String(user)},
		more,
		{Name: "ui", Value: Compact(info)},
	}
	if organization != "" {
		members = append(members, object.Member{Name: "org", Value: object.String(organization)})
	}
	members = append(members,
		object.Member{Name: "iat", Value: seconds(now)},
		object.Member{Name: "exp", Value: seconds(now.Add(lifetime))},
		object.Member{Name: "jti", Value: object.String(rand.Text())},
	)
	claims, err := object.Set([]byte("{}"), members...)
	if err != nil {
		return "", err
	}
	return key.Sign(claims)
}

// checkTexts refuses what JSON has no way to say as it is.
func checkTexts(texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return invalid("a text is not UTF-8")
		}
	}
	return nil
}

// Compact returns valid JSON without the space around its pieces; nil stays nil.
func Compact(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return nil
	}
	var buf bytes.Buffer
	if json.Compact(&buf, raw) != nil {
		return raw
	}
	return buf.Bytes()
}
