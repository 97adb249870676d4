package auth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
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
	Secret  Secret
	Project string
	Format  Format
}

// Keys is the set of keys in force. It is not changed after it has been made;
// a reload makes another.
type Keys struct {
	byID    map[string]sealed    // static
	heads   map[string]string    // static; by the header that tokens of a key have, where that names it, its id
	first   map[[2]string]sealed // static; by project and format name, the one to sign with
	revoked map[string]struct{}  // static; ids
}

// A sealed key is one that cannot be printed. Secret's methods are out of fmt's
// reach below an unexported field, where it prints bytes; of a function it
// prints the address.
type sealed func() Key

// NewKeys returns the set of the given keys. Tokens signed by a revoked key,
// and all that descends from them, are refused. A project signs with the first
// key it lists. A key id belongs to one project.
func NewKeys(keys []Key, revoked []string) (*Keys, error) {
	k := &Keys{byID: map[string]sealed{}, heads: map[string]string{}, first: map[[2]string]sealed{}, revoked: map[string]struct{}{}}
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
		k.byID[key.ID] = seal
		if key.Format.NamesKey() == ByKeyID {
			k.heads[key.header()] = key.ID
		}
		slot := [2]string{key.Project, key.Format.Name()}
		if _, ok := k.first[slot]; !ok {
			k.first[slot] = seal
		}
	}
	return k, nil
}

// Lookup returns the key with that id.
func (k *Keys) Lookup(id string) (Key, bool) {
	if key, ok := k.byID[id]; ok {
		return key(), true
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

// choose returns the key to verify a token with that names this issuer, or that
// names none and has this key id in its header. A key is found only in the way
// its format's tokens name it, so that a token that would be read as one of
// another format finds none.
func (k *Keys) choose(issuer, keyID string) (Key, error) {
	id, way := issuer, ByIssuer
	if issuer == "" {
		id, way = keyID, ByKeyID
	}
	if k.Revoked(id) {
		return Key{}, ErrRevokedKey
	}
	key, ok := k.Lookup(id)
	if !ok || key.Format.NamesKey() != way {
		return Key{}, ErrUnknownKey
	}
	return key, nil
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
	if key, ok := k.first[[2]string{project, f.Name()}]; ok {
		return key(), true
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
		if name := key().Project; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
