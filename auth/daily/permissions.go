package daily

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"usher/auth"
	"usher/auth/internal/object"
)

// permissions is what is said of somebody. What is nil is not said.
type permissions struct {
	presence    *bool
	send, admin *auth.Rights
	receive     *receive
}

// receive is what canReceive says.
type receive struct {
	base                  *auth.Rights
	byUser, byParticipant map[string]auth.Rights
}

// MaxExceptions is how many people each map of canReceive may name.
const MaxExceptions = 1000

// ParsePermissions reads permissions as rooms, update-permissions and the API of the
// domain have them: {hasPresence, canSend, canReceive, canAdmin}, each optional. The
// say names only what is there: the three parts of canReceive each by itself. As a
// layer of a domain, a room or a token, canReceive is one statement all the same: the
// format sees to that. Its errors are [*InvalidError].
func ParsePermissions(raw json.RawMessage, layer string) (auth.Say, error) {
	p, err := parsePermissions(raw)
	if err != nil {
		return auth.Say{}, err
	}
	return p.say(layer), nil
}

func parsePermissions(raw json.RawMessage) (*permissions, error) {
	if !json.Valid(raw) || !utf8.Valid(raw) {
		return nil, invalid("permissions should be an object")
	}
	p, err := readPermissions(raw, long)
	if err != nil {
		return nil, invalid("permissions%s", err)
	}
	return p, nil
}

// A fault is what is wrong with permissions, and where: its text goes on from the
// name of all of them. In a token's spelling it tells nothing but names of ours.
type fault struct{ where, what string }

func (f *fault) Error() string { return f.where + " " + f.what }

// at puts a fault into what it is a part of.
func at(where string, err error) error {
	if f, ok := err.(*fault); ok {
		return &fault{"." + where + f.where, f.what}
	}
	return &fault{"." + where, err.Error()}
}

// readPermissions reads valid JSON in one spelling. What it does not know it does
// not pass over: it may have been meant to take something away.
func readPermissions(raw json.RawMessage, s *spelling) (*permissions, error) {
	p := new(permissions)
	err := members(raw, func(name string, value []byte) (err error) {
		switch name {
		case s.presence:
			p.presence, err = readBoolean(value)
		case s.send:
			p.send, err = readSet(value, s, sources, sending)
		case s.admin:
			p.admin, err = readSet(value, s, admins, moderation)
		case s.receive:
			p.receive, err = readReceive(value, s)
		default:
			return s.unknown(name, []string{s.presence, s.send, s.receive, s.admin})
		}
		if err != nil {
			return at(name, err)
		}
		return nil
	})
	return p, err
}

// members calls f for each member of an object that is not null. A name that comes
// twice is a fault.
func members(raw []byte, f func(name string, value []byte) error) error {
	if len(raw) == 0 || raw[0] != '{' {
		return &fault{"", "should be an object"}
	}
	seen := map[string]bool{}
	err := object.Each(raw, func(name, value []byte) error {
		text := string(name)
		if seen[text] {
			return &fault{"", "has a name that comes twice"}
		}
		seen[text] = true
		if string(value) == "null" {
			return nil
		}
		return f(text, value)
	})
	if errors.Is(err, object.ErrInvalid) {
		return &fault{"", "should be an object"}
	}
	return err
}

// unknown is the fault of a name that is none of those there are. Of a token's
// nothing is quoted.
func (s *spelling) unknown(name string, known []string) error {
	if s == short {
		return &fault{"", "has something other than " + strings.Join(known, ", ")}
	}
	return &fault{"", "has '" + clip(name) + "', which is not one of " + strings.Join(known, ", ")}
}

func readBoolean(value []byte) (*bool, error) {
	switch string(value) {
	case "true", "false":
		b := string(value) == "true"
		return &b, nil
	}
	return nil, &fault{"", "should be a boolean"}
}

// readSet reads a boolean or a list of names. Those are of one spelling; in a request
// short ones are taken, too.
func readSet(value []byte, s *spelling, of func(*spelling) []string, rights []auth.Rights) (*auth.Rights, error) {
	var set auth.Rights
	if b, err := readBoolean(value); err == nil {
		if *b {
			for _, right := range rights {
				set |= right
			}
		}
		return &set, nil
	}
	names := of(s)
	list, ok := listed(value, s)
	if !ok {
		if s == short {
			return nil, &fault{"", "should be a boolean or a text of " + strings.Join(names, ", ") + " with commas between them"}
		}
		return nil, &fault{"", "should be a boolean or an array of " + strings.Join(names, ", ")}
	}
	for _, name := range list {
		i := slices.Index(names, name)
		if i < 0 && s == long {
			i = slices.Index(of(short), name)
		}
		if i < 0 {
			return nil, s.unknown(name, names)
		}
		set |= rights[i]
	}
	return &set, nil
}

// listed returns the names of a list. Tokens have a text, requests an array or a text.
func listed(value []byte, s *spelling) (names []string, ok bool) {
	if value[0] == '[' && s == long {
		return names, json.Unmarshal(value, &names) == nil
	}
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return nil, false
	}
	if strings.TrimSpace(text) == "" {
		return nil, true
	}
	for name := range strings.SplitSeq(text, ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return names, true
}

func readReceive(value []byte, s *spelling) (*receive, error) {
	var (
		r                     receive
		base, users, sessions []byte
	)
	err := members(value, func(name string, value []byte) error {
		switch name {
		case s.base:
			base = value
		case s.byUser:
			users = value
		case s.byParticipant:
			sessions = value
		default:
			return s.unknown(name, []string{s.base, s.byUser, s.byParticipant})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if base != nil {
		rights, err := readMedia(base, s, true, nil)
		if err != nil {
			return nil, at(s.base, err)
		}
		r.base = &rights
	}
	for _, m := range []struct {
		name string
		raw  []byte
		into *map[string]auth.Rights
	}{{s.byUser, users, &r.byUser}, {s.byParticipant, sessions, &r.byParticipant}} {
		if m.raw == nil {
			continue
		}
		exceptions := map[string]auth.Rights{}
		err := members(m.raw, func(who string, value []byte) error {
			if len(exceptions) == MaxExceptions {
				return &fault{"", "names too many people"}
			}
			rights, err := readMedia(value, s, false, r.base)
			exceptions[who] = rights
			return err
		})
		if err != nil {
			return nil, at(m.name, err)
		}
		*m.into = exceptions
	}
	return &r, nil
}

// readMedia reads what may be received of somebody. As base an object says all of
// it; else what it leaves out is as in base, which may be unsaid.
func readMedia(value []byte, s *spelling, isBase bool, base *auth.Rights) (auth.Rights, error) {
	if b, err := readBoolean(value); err == nil {
		if *b {
			return auth.ReceiveTracks, nil
		}
		return 0, nil
	}
	if value[0] != '{' {
		return 0, &fault{"", "should be a boolean or an object"}
	}
	var allowed, named auth.Rights
	err := members(value, func(name string, value []byte) error {
		i := slices.Index(s.media, name)
		if i < 0 {
			return s.unknown(name, s.media)
		}
		read := readBoolean
		if customMedia.Has(receiving[i]) {
			read = func(value []byte) (*bool, error) { return readCustom(value, isBase) }
		}
		open, err := read(value)
		if err != nil {
			return at(s.media[i], err)
		}
		if open != nil {
			named |= receiving[i]
			if *open {
				allowed |= receiving[i]
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, err
	case isBase && named != media:
		return 0, &fault{"", "should have all of " + strings.Join(s.media, ", ")}
	case named != media && base == nil:
		return 0, &fault{"", "should have all of " + strings.Join(s.media, ", ") + " where nothing is said of " + s.base}
	case named != media:
		allowed |= *base & media &^ named
	}
	switch allowed {
	case media:
		return auth.ReceiveTracks, nil
	case 0:
		return 0, nil
	}
	return allowed | auth.ReceiveDataTracks, nil
}

const customMedia = auth.ReceiveCustomVideo | auth.ReceiveCustomAudio

// readCustom reads what may be received of custom tracks, by their names. Usher has
// one right for all of them, so one that is closed closes all. Without "*", which a
// base has, what is open says nothing, and nil is returned.
func readCustom(value []byte, isBase bool) (*bool, error) {
	rest, every := false, true
	err := members(value, func(name string, value []byte) error {
		b, err := readBoolean(value)
		if err != nil {
			return &fault{"", "should be an object of booleans"}
		}
		every = every && *b
		rest = rest || name == auth.Everybody
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !rest && isBase:
		return nil, &fault{"", `should have "*"`}
	case !rest && every:
		return nil, nil
	}
	return &every, nil
}

// say returns the permissions as what a layer states.
func (p *permissions) say(layer string) auth.Say {
	say := auth.Say{Layer: layer}
	state := func(allowed, all auth.Rights) {
		say.Allow |= allowed
		say.Deny |= all &^ allowed
	}
	if p.presence != nil {
		if *p.presence {
			say.Deny |= auth.Hidden
		} else {
			say.Allow |= auth.Hidden
		}
	}
	if p.send != nil {
		state(*p.send, auth.SendTracks)
	}
	if p.admin != nil {
		state(*p.admin, moderate)
	}
	if r := p.receive; r != nil {
		if r.base != nil {
			state(*r.base, auth.ReceiveTracks|auth.ReceiveOnlyOwners)
		}
		say.ReceiveFromIdentity, say.ReceiveFromParticipant = r.byUser, r.byParticipant
		say.AllFromIdentity, say.AllFromParticipant = r.byUser != nil, r.byParticipant != nil
	}
	return say
}

// AppendPermissions appends a permission in those words, all four of them. Where
// everything is permitted, or nothing, it says so with a boolean.
func AppendPermissions(b []byte, p auth.Permission) []byte {
	b = append(b, `{"hasPresence":`...)
	b = appendBoolean(b, !p.Hidden())
	b = append(b, `,"canSend":`...)
	b = appendSet(b, p.Rights, sending, long.media)
	b = append(b, `,"canReceive":{"base":`...)
	b = appendMedia(b, p.Rights)
	b = appendExceptions(b, `,"byUserId":`, p.ReceiveFromIdentity)
	b = appendExceptions(b, `,"byParticipantId":`, p.ReceiveFromParticipant)
	b = append(b, `},"canAdmin":`...)
	b = appendSet(b, p.Rights, moderation, long.admins)
	return append(b, '}')
}

func appendBoolean(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

func appendSet(b []byte, have auth.Rights, rights []auth.Rights, names []string) []byte {
	count := 0
	for _, right := range rights {
		if have.Has(right) {
			count++
		}
	}
	if count == 0 || count == len(rights) {
		return appendBoolean(b, count > 0)
	}
	open := byte('[')
	for i, right := range rights {
		if have.Has(right) {
			b = append(append(append(append(b, open), '"'), names[i]...), '"')
			open = ','
		}
	}
	return append(b, ']')
}

func appendMedia(b []byte, have auth.Rights) []byte {
	if have &= media; have == media || have == 0 {
		return appendBoolean(b, have != 0)
	}
	open := byte('{')
	for i, right := range receiving {
		b = append(append(append(append(b, open), '"'), long.media[i]...), `":`...)
		if customMedia.Has(right) {
			b = append(appendBoolean(append(b, `{"*":`...), have.Has(right)), '}')
		} else {
			b = appendBoolean(b, have.Has(right))
		}
		open = ','
	}
	return append(b, '}')
}

func appendExceptions(b []byte, name string, by map[string]auth.Rights) []byte {
	if len(by) == 0 {
		return b
	}
	b = append(b, name...)
	open := byte('{')
	people := make([]string, 0, len(by))
	for who := range by {
		people = append(people, who)
	}
	slices.Sort(people)
	for _, who := range people {
		b = append(append(append(b, open), object.String(who)...), ':')
		b = appendMedia(b, by[who])
		open = ','
	}
	return append(b, '}')
}
