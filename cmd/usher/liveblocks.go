package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/auth/livekit"
	"usher/room/store"
)

// tokenSecretPrefix begins the settings in the store that are the secrets which
// Liveblocks' tokens are signed with; the project follows.
const tokenSecretPrefix = "liveblocks/secret/"

// tokenSecretBytes is the size of a secret that is made here.
const tokenSecretBytes = 32

// tokenSecrets is what signs the Liveblocks tokens of projects whose
// configuration says nothing about it: made once for each, and kept.
type tokenSecrets map[string]auth.Secret

// loadTokenSecrets reads what was made before.
func loadTokenSecrets(kept store.Store) (tokenSecrets, error) {
	secrets := tokenSecrets{}
	err := store.LoadSettings(kept, func(s store.Setting) error {
		project, ok := strings.CutPrefix(s.Key, tokenSecretPrefix)
		if !ok {
			return nil
		}
		if len(s.Value) != tokenSecretBytes {
			return fmt.Errorf("%w: the setting %q is no secret", store.ErrDamaged, s.Key)
		}
		secrets[project] = s.Value
		return nil
	})
	return secrets, err
}

// complete makes the secrets that c needs and that are not there, and returns when
// they are durable: no token is signed with one that the next start does not know.
func (t tokenSecrets) complete(c *config, kept store.Store) error {
	var (
		made    = tokenSecrets{}
		changes []store.Change
	)
	for _, p := range c.Projects {
		if _, ok := t[p.Name]; ok || !p.Liveblocks.configured() || len(p.Liveblocks.TokenSecret) > 0 {
			continue
		}
		secret := make([]byte, tokenSecretBytes)
		_, _ = rand.Read(secret) // never fails
		made[p.Name] = secret
		changes = append(changes, store.Setting{Key: tokenSecretPrefix + p.Name, Value: secret}.Put())
	}
	if len(changes) == 0 {
		return nil
	}
	if err := kept.Commit(changes...).Wait(); err != nil {
		return fmt.Errorf("keeping the secret of Liveblocks tokens: %w", err)
	}
	for project, secret := range made {
		t[project] = secret
	}
	return nil
}

// liveblocks returns the Liveblocks projects of c, with the secrets that sign
// their tokens where c has none.
func (c *config) liveblocks(made tokenSecrets) []liveblocks.DoorEntry {
	var entries []liveblocks.DoorEntry
	for _, p := range c.Projects {
		l := p.Liveblocks
		if !l.configured() {
			continue
		}
		secret := auth.Secret(l.TokenSecret)
		if len(secret) == 0 {
			secret = made[p.Name]
		}
		format := liveblocks.New(liveblocks.Config{ReadersBroadcast: l.readersBroadcast(), ExistingOnly: !l.autoCreate()})
		entries = append(entries, liveblocks.DoorEntry{
			Project: p.Name,
			Secret:  auth.Secret(l.SecretKey),
			Public:  l.PublicKey,
			Key:     liveblocks.NewKey(format, p.Name, secret),
			Format:  format,
		})
	}
	return entries
}

// keys returns the keys in force, those of LiveKit and those that sign for
// Liveblocks' door, and those revoked.
func (c *config) keys(door []liveblocks.DoorEntry) (*auth.Keys, error) {
	var (
		keys    []auth.Key
		revoked []string
	)
	for _, p := range c.Projects {
		for _, k := range p.LiveKit.Keys {
			keys = append(keys, auth.Key{ID: k.ID, Secret: auth.Secret(k.Secret), Project: p.Name, Format: livekit.Format{}})
		}
		revoked = append(revoked, p.LiveKit.RevokedKeys...)
	}
	for _, e := range door {
		keys = append(keys, e.Key)
	}
	return auth.NewKeys(keys, revoked)
}
