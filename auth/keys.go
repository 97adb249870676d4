package auth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
)

// A Secret signs and verifies tokens. It never shows itself in logs or errors,
// as long as it is not within an unexported field of what is printed.
type Secret []byte

// MinSecretBytes is the shortest shared secret that resists guessing: the size
// of an HS256 digest (RFC 7518 §3.2).
const MinSecretBytes = 32

func (Secret) String() string       { return "[secret]" }
func (Secret) GoString() string     { return "[secret]" }
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Format keeps every verb, %x included, from printing the secret.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText keeps encoders from printing the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// A Key signs one project's tokens of one format.
type Key struct {
	ID      string
	Domain  string // what the claim d of its tokens is, of a format with [ByDomain]
	Secret  Secret
	Project string
	Format  Format
	// Strict says that tokens which descend from a key that is not listed any more
	// are refused, as if it had been revoked, see [Keys.Refuses]. One such key
	// makes it so for all of the project's tokens of the format, and it stays so when
	// none is listed any more, see [Keys.After].
	Strict bool
}

// Keys is the set of keys in force. It is not changed after it has been made;
// a reload makes another.
type Keys struct {
	byID     map[string][]sealed // static; one each
	byDomain map[string][]sealed // static; in the order they were listed in
	heads    map[string]string   // static; by the header that tokens of a key have, where that names it, its id
	slots    map[[2]string]*slot // static; by project and format name
	revoked  map[string]struct{} // static; ids
}

// A slot is what holds for a project's keys of one format.
type slot struct {
	first  sealed // the one to sign with; nil: none is listed any more, see [Keys.After]
	strict bool   // see [Key].Strict
}

// A sealed key is one that cannot be printed. Secret's methods are out of fmt's
// reach below an unexported field, where it prints bytes; of a function it
// prints the address.
type sealed func() Key

// NewKeys returns the set of the given keys. Tokens signed by a revoked key,
// and all that descends from them, are refused. A project signs with the first
// key it lists. A key id belongs to one project, and so does a domain.
func NewKeys(keys []Key, revoked []string) (*Keys, error) {
	k := &Keys{byID: map[string][]sealed{}, byDomain: map[string][]sealed{}, heads: map[string]string{}, slots: map[[2]string]*slot{}, revoked: map[string]struct{}{}}
	for _, id := range revoked {
		k.revoked[id] = struct{}{}
	}
	for _, key := range keys {
		if key.ID == "" || len(key.Secret) == 0 || key.Format == nil {
			return nil, errors.New("auth: a key needs an id, a secret and a format")
		}
		if k.Revoked(key.ID) {
			return nil, fmt.Errorf("auth: key %q is listed both as a key and as revoked", key.ID)
		}
		if other, ok := k.Lookup(key.ID); ok {
			return nil, fmt.Errorf("auth: key %q is listed twice, in project %q and in project %q; a key belongs to one", key.ID, other.Project, key.Project)
		}
		seal := func() Key { return key }
		k.byID[key.ID] = []sealed{seal}
		switch key.Format.NamesKey() {
		case ByKeyID:
			k.heads[key.header()] = key.ID
		case ByDomain:
			if key.Domain == "" {
				return nil, errors.New("auth: a key that tokens name by their domain needs one")
			}
			if others := k.byDomain[key.Domain]; len(others) > 0 && others[0]().Project != key.Project {
				return nil, fmt.Errorf("auth: the domain %q is listed in project %q and in project %q; a domain belongs to one", key.Domain, others[0]().Project, key.Project)
			}
			k.byDomain[key.Domain] = append(k.byDomain[key.Domain], seal)
		}
		at := slotOf(key.Project, key.Format)
		if k.slots[at] == nil {
			k.slots[at] = &slot{first: seal}
		}
		k.slots[at].strict = k.slots[at].strict || key.Strict
	}
	return k, nil
}

// After returns the set as one that comes after earlier, which was in force: where no
// key of a project's format is listed any more nothing says whether tokens that
// descend from one are refused, so it is as it was, see [Key].Strict.
func (k *Keys) After(earlier *Keys) *Keys {
	next := *k
	next.slots = maps.Clone(k.slots)
	for at, s := range earlier.slots {
		if next.slots[at] == nil && s.strict {
			next.slots[at] = &slot{strict: true}
		}
	}
	return &next
}

func slotOf(project string, f Format) [2]string { return [2]string{project, f.Name()} }

// Lookup returns the key with that id.
func (k *Keys) Lookup(id string) (Key, bool) {
	if key, ok := k.byID[id]; ok {
		return key[0](), true
	}
	return Key{}, false
}

// Revoked reports whether one of the keys with those ids was revoked.
func (k *Keys) Revoked(ids ...string) bool {
	if len(k.revoked) == 0 {
		return false
	}
	return slices.ContainsFunc(ids, func(id string) bool {
		_, ok := k.revoked[id]
		return ok
	})
}

// Refuses reports whether a key that the token of g descends from was revoked, or
// is not listed any more where that comes to the same, see [Key].Strict.
func (k *Keys) Refuses(g *Grant) bool {
	ids := g.KeyIDs()
	if k.Revoked(ids...) {
		return true
	}
	if g.Format == nil || g.Claims == nil { // nothing was signed
		return false
	}
	at := slotOf(g.Project, g.Format)
	if s := k.slots[at]; s == nil || !s.strict {
		return false
	}
	return slices.ContainsFunc(ids, func(id string) bool {
		key, ok := k.Lookup(id)
		return !ok || slotOf(key.Project, key.Format) != at
	})
}

// choose returns the keys to verify a token with: the one that is its issuer, or
// if it names none the one whose id its header has; else those of the domain it
// names. A key is found only in the way its format's tokens name it, so that a
// token that would be read as one of another format finds none. What names no key
// in its way says nothing, for applications put there what they like.
func (k *Keys) choose(claims *payload) ([]sealed, error) {
	id, way := claims.issuer, ByIssuer
	if id == "" {
		id, way = claims.keyID, ByKeyID
	}
	if k.Revoked(id) {
		return nil, ErrRevokedKey
	}
	if key, ok := k.byID[id]; ok && key[0]().Format.NamesKey() == way {
		return key, nil
	}
	if len(k.byDomain) == 0 {
		return nil, ErrUnknownKey
	}
	domain, err := claims.domain()
	if err != nil {
		return nil, err
	}
	if keys, ok := k.byDomain[domain]; ok {
		return keys, nil
	}
	return nil, ErrUnknownKey
}

// Named returns the project whose key a token names, whoever wrote it, and false when
// that is nobody's.
func (k *Keys) Named(token string) (project string, ok bool) {
	claims, err := parseUnverified(token)
	if err != nil {
		return "", false
	}
	keys, err := k.choose(claims)
	if err != nil {
		return "", false
	}
	return keys[0]().Project, true
}

func (k *Keys) headed(head string) (id string, ok bool) {
	id, ok = k.heads[head]
	return id, ok
}

// SigningKey returns the key to refresh a session with that came with key id:
// the same one, or when that is retired a current one of the project.
func (k *Keys) SigningKey(id, project string, f Format) (Key, bool) {
	if key, ok := k.Lookup(id); ok && key.Project == project && key.Format.Name() == f.Name() {
		return key, true
	}
	if s := k.slots[slotOf(project, f)]; s != nil && s.first != nil {
		return s.first(), true
	}
	return Key{}, false
}

// Outdated reports whether the tokens that sessions of g were refreshed with
// under earlier keys hold no longer, and another can be signed: the key that
// signed them is not listed any more, or with another secret.
func (k *Keys) Outdated(g *Grant, earlier *Keys) bool {
	if g.Format == nil || g.Claims == nil {
		return false
	}
	if _, ok := k.SigningKey(g.KeyID, g.Project, g.Format); !ok {
		return false
	}
	signed, ok := earlier.SigningKey(g.KeyID, g.Project, g.Format)
	if !ok {
		return true // there was none
	}
	now, ok := k.Lookup(signed.ID)
	return !ok || now.Project != signed.Project || now.Format.Name() != signed.Format.Name() || !bytes.Equal(now.Secret, signed.Secret)
}

// Projects returns the names of the projects that have keys, sorted.
func (k *Keys) Projects() []string {
	var names []string
	for _, key := range k.byID {
		if name := key[0]().Project; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
