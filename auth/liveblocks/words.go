package liveblocks

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A feature is what permission strings speak of. The base is among them: what
// goes for all that is not stated.
type feature uint8

const (
	base feature = iota
	storage
	comments
	publicComments
	privateComments
	feeds
	features // how many there are
)

// A level is how far a feature is open.
type level uint8

const (
	unstated level = iota
	none
	read
	write
	levels
)

// spelled is the words there are today, by feature and level: those that lists
// are told in.
var spelled = [features][levels]string{
	base:            {read: "*:read", write: "*:write"},
	storage:         {none: "storage:none", read: "storage:read", write: "storage:write"},
	comments:        {none: "comments:none", read: "comments:read", write: "comments:write"},
	publicComments:  {none: "comments:public:none", read: "comments:public:read", write: "comments:public:write"},
	privateComments: {none: "comments:private:none", read: "comments:private:read", write: "comments:private:write"},
	feeds:           {none: "feeds:none", read: "feeds:read", write: "feeds:write"},
}

// presenceWrite is from the time when presence could be configured. It states
// nothing, and lists may have it.
const presenceWrite = "room:presence:write"

type meaning struct {
	feature feature
	level   level
}

// meanings is every word with what it states.
var meanings = func() map[string]meaning {
	m := map[string]meaning{
		"room:read":   {base, read},
		"room:write":  {base, write},
		presenceWrite: {base, unstated},
	}
	for f, words := range spelled {
		for l, word := range words {
			if word != "" {
				m[word] = meaning{feature(f), level(l)}
			}
		}
	}
	return m
}()

// A statement is what a list states of each feature.
type statement [features]level

// state returns what a list states. Of several words for one feature the most
// permissive counts; a word that nobody knows states nothing. Whoever states
// comments states the public and the private ones with them.
func state(list []string) statement {
	var s statement
	for _, word := range list {
		if m, ok := meanings[word]; ok {
			s[m.feature] = max(s[m.feature], m.level)
		}
	}
	for _, f := range [...]feature{publicComments, privateComments} {
		if s[f] == unstated {
			s[f] = s[comments]
		}
	}
	return s
}

// shortest tells a statement in which every feature is decided in as few of
// today's words as it takes. Without a base that is none.
func (s statement) shortest() []string {
	list := []string{}
	if s[base] == unstated {
		return list
	}
	list = append(list, spelled[base][s[base]])
	for _, f := range [...]struct{ is, as feature }{
		{storage, base}, {comments, base}, {publicComments, comments}, {privateComments, comments}, {feeds, base},
	} {
		if s[f.is] != s[f.as] {
			list = append(list, spelled[f.is][s[f.is]])
		}
	}
	return list
}

// InvalidError is what is wrong with something an application has asked for, in
// words that may be shown to it.
type InvalidError struct{ Problem string }

func (e *InvalidError) Error() string { return e.Problem }

func invalid(format string, args ...any) error {
	return &InvalidError{Problem: fmt.Sprintf(format, args...)}
}

// ParseList reports what is wrong with a list that shall be stored as somebody's
// access to a room, an [*InvalidError]: a word that nobody knows, no base or
// several, a feature stated twice. An empty list states nothing and is right.
// The rules are those of the client (permissions.ts, validatePermissionsSet).
func ParseList(list []string) error {
	if len(list) == 0 {
		return nil
	}
	var stated [features]int
	for _, word := range list {
		m, ok := meanings[word]
		if !ok {
			return unknownWord(word)
		}
		if word == presenceWrite {
			continue
		}
		if stated[m.feature]++; stated[m.feature] > 1 && m.feature != base {
			return invalid("%s is stated twice: a list may have one permission for each feature", strings.TrimSuffix(spelled[m.feature][read], ":read"))
		}
	}
	if stated[base] != 1 {
		return invalid("a list of permissions must have exactly one of *:read and *:write (or room:read, room:write), or be empty; this one has %d", stated[base])
	}
	return nil
}

func unknownWord(word string) error {
	const most = 60
	if len(word) > most {
		word = strings.ToValidUTF8(word[:most], "") + "…"
	}
	return invalid("%q is not a permission", word)
}

// Limits of access tokens, as Liveblocks has them. Lengths are in characters.
const (
	MaxPatterns      = 10
	MaxPatternLength = 128 // the * at its end not counted
)

// ParsePatterns reports what is wrong with the permissions of an access token to
// be made, lists of words by pattern, an [*InvalidError]. A pattern is * or the
// name of a room, or how such names begin and a *. A list may state what it
// likes: patterns that match the same room complete each other. The rules are
// those of @liveblocks/node (Session) and of Liveblocks' own answer to more than
// ten patterns.
func ParsePatterns(permissions map[string][]string) error {
	if len(permissions) > MaxPatterns {
		return invalid("an access token may have %d patterns, this one has %d", MaxPatterns, len(permissions))
	}
	for text, list := range permissions {
		if !isPattern(text) {
			return invalid("a pattern is *, or 1 to %d characters with no * but at the end", MaxPatternLength)
		}
		for _, word := range list {
			if _, ok := meanings[word]; !ok {
				return unknownWord(word)
			}
		}
	}
	return nil
}

func isPattern(text string) bool {
	if text == "*" {
		return true
	}
	prefix := strings.TrimSuffix(text, "*")
	return prefix != "" && !strings.Contains(prefix, "*") && utf8.RuneCountInString(prefix) <= MaxPatternLength
}

// A pattern is one of an access token's, with what its list states.
type pattern struct {
	text     string // as it is in the token
	prefix   string // without the * at the end
	wildcard bool   // names of rooms begin with prefix; else the one room of that name
	states   statement
}

func newPattern(text string, list []string) pattern {
	prefix, wildcard := strings.CutSuffix(text, "*")
	return pattern{text, prefix, wildcard, state(list)}
}

func (p pattern) matches(room string) bool {
	return room == p.prefix || p.wildcard && strings.HasPrefix(room, p.prefix)
}

// sortPatterns puts the more specific ones last. Of two that match one room and
// are alike in that, the one without * comes last.
func sortPatterns(patterns []pattern) {
	slices.SortFunc(patterns, func(p, q pattern) int {
		if len(p.prefix) != len(q.prefix) {
			return len(p.prefix) - len(q.prefix)
		}
		return strings.Compare(q.text, p.text)
	})
}
