package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"usher/auth"
	"usher/room/store"
)

// liveblocksSecret and dailySecret begin the settings in the store that are the
// secrets which the tokens of each are signed with; the project follows.
const (
	liveblocksSecret = "liveblocks/secret/"
	dailySecret      = "daily/secret/"
)

// tokenSecretBytes is the size of a secret that is made here.
const tokenSecretBytes = 32

// tokenSecrets is what signs the tokens of projects whose configuration says nothing
// about it, by setting: made once for each, and kept.
type tokenSecrets map[string]auth.Secret

// loadTokenSecrets reads what was made before.
func loadTokenSecrets(kept store.Store) (tokenSecrets, error) {
	secrets := tokenSecrets{}
	err := store.LoadSettings(kept, func(s store.Setting) error {
		if !strings.HasPrefix(s.Key, liveblocksSecret) && !strings.HasPrefix(s.Key, dailySecret) {
			return nil
		}
		if len(s.Value) != tokenSecretBytes {
			return fmt.Errorf("%w: the setting %q is no secret", store.ErrDamaged, s.Key)
		}
		secrets[s.Key] = s.Value
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
	need := func(setting string, configured bool, own secret) {
		if _, ok := t[setting]; ok || !configured || len(own) > 0 {
			return
		}
		secret := make([]byte, tokenSecretBytes)
		_, _ = rand.Read(secret) // never fails
		made[setting] = secret
		changes = append(changes, store.Setting{Key: setting, Value: secret}.Put())
	}
	for _, p := range c.Projects {
		need(liveblocksSecret+p.Name, p.Liveblocks.configured(), p.Liveblocks.TokenSecret)
		need(dailySecret+p.Name, p.Daily.configured(), p.Daily.TokenSecret)
	}
	if len(changes) == 0 {
		return nil
	}
	if err := kept.Commit(changes...).Wait(); err != nil {
		return fmt.Errorf("keeping the secrets that sign tokens: %w", err)
	}
	for setting, secret := range made {
		t[setting] = secret
	}
	return nil
}
