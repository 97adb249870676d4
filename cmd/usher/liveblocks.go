package main

import (
	"usher/auth"
	"usher/auth/liveblocks"
	"usher/auth/livekit"
)

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
			secret = made[liveblocksSecret+p.Name]
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

// keys returns the keys in force, those of LiveKit, those that sign for Liveblocks'
// door and those of Daily's domains, and those revoked.
func (c *config) keys(door []liveblocks.DoorEntry, domains []auth.Key) (*auth.Keys, error) {
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
	keys = append(keys, domains...)
	return auth.NewKeys(keys, revoked)
}
