package daily

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/internal/object"
)

// Mint returns a token with the properties, which are those of POST /meeting-tokens,
// signed with the domain's token secret, as if it had been issued at that time.
// Without properties it is good for every room, and for ever. Its errors are
// [*InvalidError], in Daily's words, where what was asked for is wrong.
func Mint(d Domain, properties json.RawMessage, issued time.Time) (string, error) {
	return MintWith(d, d.TokenSecret, properties, issued)
}

// MintWith is like [Mint] with another of the domain's keys, as an application does
// that signs with its API key.
func MintWith(d Domain, secret auth.Secret, asked json.RawMessage, issued time.Time) (string, error) {
	claims, err := claimsOf(asked) // by long names
	if err != nil {
		return "", err
	}
	switch {
	case len(secret) == 0 || d.ID == "":
		return "", errors.New("daily: a token needs a domain id and a secret")
	case d.RequireExpiry && claims["exp"] == nil:
		return "", invalid("exp is missing, which this server requires (require_exp)")
	case d.RequireRoom && claims["room_name"] == nil:
		return "", invalid("room_name is missing, which this server requires (require_room)")
	}
	members := make([]object.Member, 0, len(claims)+2)
	for i, p := range properties {
		if raw := claims[p.long]; raw != nil {
			members = append(members, object.Member{Name: p.short, Value: raw})
		}
		if i == 0 { // Daily's own order
			members = append(members,
				object.Member{Name: "d", Value: object.String(d.ID)},
				object.Member{Name: "iat", Value: seconds(issued)})
		}
	}
	payload, err := object.SetExact([]byte("{}"), members...)
	if err != nil {
		return "", err
	}
	return auth.Sign(payload, secret)
}

// claimsOf returns what is asked for as the values of claims, by long names. What is
// null is not asked for.
func claimsOf(asked json.RawMessage) (map[string]json.RawMessage, error) {
	asked = bytes.TrimSpace(asked)
	if len(asked) == 0 || string(asked) == "null" {
		return nil, nil
	}
	if asked[0] != '{' || !json.Valid(asked) || !utf8.Valid(asked) {
		return nil, invalid("properties should be an object")
	}
	claims := map[string]json.RawMessage{}
	err := members(asked, func(name string, value []byte) error {
		i := slices.IndexFunc(properties, func(p property) bool { return p.long == name })
		if i < 0 {
			return invalid("'%s' is not a property of a meeting token", clip(name))
		}
		if err := properties[i].check(name, value); err != nil {
			return err
		}
		claims[name] = claimOf(name, value)
		return nil
	})
	var f *fault
	if errors.As(err, &f) {
		err = invalid("properties%s", f)
	}
	return claims, err
}

// claimOf returns the value of a property, which is right, as it stands in a token;
// nil when that says nothing.
func claimOf(name string, value []byte) json.RawMessage {
	switch name {
	case "exp", "nbf", "eject_after_elapsed":
		n, _ := object.Number(value)
		return strconv.AppendInt(nil, int64(n), 10)
	case "permissions":
		return respell(value, long, short)
	}
	if string(value) == `""` {
		return nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, value) != nil {
		return value
	}
	return compact.Bytes()
}

// lastSecond is the last second that a number of which every reader of JSON takes
// for the same one can be.
const lastSecond = 1<<53 - 1

// The checks of properties, in the words of Daily where these are known.

func checkTime(name string, raw []byte) error {
	n, ok := object.Number(raw)
	if !ok || raw[0] == '"' || n < 0 || n >= float64(lastExpiry.Unix()) {
		return invalid("%s was '%s' but should be a number of seconds since the unix epoch", name, told(raw))
	}
	return nil
}

func checkExpiry(name string, raw []byte) error {
	if err := checkTime(name, raw); err != nil {
		return err
	}
	if n, _ := object.Number(raw); int64(n) <= time.Now().Unix() {
		return invalid("%s was '%s', which is in the past rather than in the future", name, told(raw))
	}
	return nil
}

func checkSpan(name string, raw []byte) error {
	n, ok := object.Number(raw)
	if !ok || raw[0] == '"' || n < 0 || n > lastSecond {
		return invalid("%s was '%s' but should be a number of seconds", name, told(raw))
	}
	return nil
}

func checkFlag(name string, raw []byte) error {
	if _, err := readBoolean(raw); err != nil {
		return invalid("%s was '%s' but should be a boolean", name, told(raw))
	}
	return nil
}

func checkText(name string, raw []byte) error {
	if raw[0] != '"' {
		return invalid("%s was '%s' but should be a string", name, told(raw))
	}
	return nil
}

func checkRoom(name string, raw []byte) error {
	if err := checkText(name, raw); err != nil {
		return err
	}
	if textOf(raw) == "" {
		return invalid("%s was '' but should be the name of a room", name)
	}
	return nil
}

func checkUserID(name string, raw []byte) error {
	if err := checkText(name, raw); err != nil {
		return err
	}
	switch err := checkIdentity(textOf(raw)); err {
	case nil:
		return nil
	case errUserID:
		return invalid("%s was '%s' but should have at most %d characters", name, told(raw), MaxUserIDLength)
	}
	return invalid("%s was '%s', but those that begin with %s are the server's own", name, told(raw), auth.AnonymousPrefix)
}

func checkObject(name string, raw []byte) error {
	if raw[0] != '{' {
		return invalid("%s was '%s' but should be an object", name, told(raw))
	}
	return nil
}

func checkLanguage(name string, raw []byte) error {
	if raw[0] != '"' || !slices.Contains(languages, textOf(raw)) {
		return invalid("%s was '%s' but should be one of %s", name, told(raw), strings.Join(languages, ", "))
	}
	return nil
}

// checkRecording takes one mode or an array of them.
func checkRecording(name string, raw []byte) error {
	modes := []string{textOf(raw)}
	if raw[0] == '[' && json.Unmarshal(raw, &modes) != nil || raw[0] != '[' && raw[0] != '"' {
		modes = []string{""}
	}
	for _, mode := range modes {
		if !slices.Contains(recordings, mode) {
			return invalid("%s was '%s' but should be one of %s, or an array of them", name, told(raw), strings.Join(recordings, ", "))
		}
	}
	return nil
}

func checkPermissions(_ string, raw []byte) error {
	_, err := parsePermissions(raw)
	return err
}

func textOf(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

// told is a value as it is quoted: of a text what it says.
func told(raw []byte) string {
	if raw[0] == '"' {
		return clip(textOf(raw))
	}
	return clip(string(raw))
}

// Properties returns what a token says by the long names of its properties, for
// GET /meeting-tokens/{token}. Claims that are none it leaves out.
func Properties(g *auth.Grant) (json.RawMessage, error) {
	values := make([]json.RawMessage, len(properties))
	fields := make([]object.Field, len(properties))
	for i, p := range properties {
		fields[i] = object.Field{Name: p.short, Into: &values[i]}
	}
	if err := object.ReadExact(g.Claims, fields...); err != nil {
		return nil, err
	}
	var told []object.Member
	for i, p := range properties {
		value := values[i]
		switch {
		case p.long == "room_name" && g.Room != "":
			value = object.String(g.Room) // a refreshed token is for one
		case p.long == "permissions" && value != nil:
			value = respell(value, short, long)
		}
		if value != nil {
			told = append(told, object.Member{Name: p.long, Value: value})
		}
	}
	return object.SetExact([]byte("{}"), told...)
}

// respell returns permissions that are right in one spelling in another one. What
// they say stays as it is, be it more than the server makes of it.
func respell(raw json.RawMessage, from, to *spelling) json.RawMessage {
	return renamed(raw, func(name string, value []byte) (string, json.RawMessage) {
		switch name {
		case from.send:
			return to.send, respellList(value, sources, from, to)
		case from.admin:
			return to.admin, respellList(value, admins, from, to)
		case from.receive:
			return to.receive, renamed(value, func(name string, value []byte) (string, json.RawMessage) {
				if name == from.base {
					return to.base, respellMedia(value, from, to)
				}
				of := renamed(value, func(who string, value []byte) (string, json.RawMessage) {
					return who, respellMedia(value, from, to)
				})
				if name == from.byUser {
					return to.byUser, of
				}
				return to.byParticipant, of
			})
		}
		return to.presence, value
	})
}

// renamed returns an object with other names and values, without what is null.
func renamed(raw []byte, as func(name string, value []byte) (string, json.RawMessage)) json.RawMessage {
	out := []byte{'{'}
	_ = object.Each(raw, func(name, value []byte) error { // it has been read before
		if string(value) == "null" {
			return nil
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		to, value := as(string(name), value)
		out = append(append(append(out, object.String(to)...), ':'), value...)
		return nil
	})
	return append(out, '}')
}

func respellMedia(value []byte, from, to *spelling) json.RawMessage {
	if value[0] != '{' {
		return value
	}
	return renamed(value, func(name string, value []byte) (string, json.RawMessage) {
		var compact bytes.Buffer
		_ = json.Compact(&compact, value)
		return to.media[slices.Index(from.media, name)], compact.Bytes()
	})
}

func respellList(value []byte, of func(*spelling) []string, from, to *spelling) json.RawMessage {
	list, ok := listed(value, from)
	if !ok {
		return value // a boolean
	}
	names := make([]string, len(list))
	for i, name := range list {
		at := slices.Index(of(from), name)
		if at < 0 { // a request may have short names, too
			at = slices.Index(of(short), name)
		}
		names[i] = of(to)[at]
	}
	if to == short {
		return object.String(strings.Join(names, ","))
	}
	return object.Value(names)
}
