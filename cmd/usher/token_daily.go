package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"usher/auth"
	"usher/auth/daily"
)

// devDailyDomain is the id of the Daily domain of --dev.
const devDailyDomain = "00000000-0000-4000-8000-000000000001"

// dailySources is what Daily calls the sources of tracks.
var dailySources = map[string]string{
	"camera": "video", "microphone": "audio", "screen_share": "screenVideo", "screen_share_audio": "screenAudio",
	"custom_video": "customVideo", "custom_audio": "customAudio",
}

// mintDaily makes a Daily meeting token as an application does that signs itself.
func (c *tokenCreateCmd) mintDaily(now time.Time) (string, error) {
	if c.APIKey == "" || c.DomainID == "" {
		return "", withHint(usageErrorf("--daily needs --api-key, which is the Daily API key, and --domain-id; or USHER_API_KEY and USHER_DAILY_DOMAIN_ID"),
			"for usher serve --dev they are %s and %s", devDailyKey, devDailyDomain)
	}
	for _, f := range []struct {
		given bool
		flag  string
	}{
		{c.Create, "create"}, {c.List, "list"}, {c.CanPublishData != nil, "can-publish-data"},
		{c.CanUpdateOwnMetadata != nil, "can-update-own-metadata"}, {c.CanSubscribeMetrics != nil, "can-subscribe-metrics"},
		{c.Recorder, "recorder"}, {c.Kind != "", "kind"}, {c.Metadata != "", "metadata"}, {c.Attribute != nil, "attribute"},
		{c.AttributeFile != "", "attribute-file"}, {c.TokenID != "", "token-id"}, {c.RoomConfig != "", "room-config"}, {c.RoomPreset != "", "room-preset"},
	} {
		if f.given {
			return "", usageErrorf("--%s says nothing that a Daily token has a word for", f.flag)
		}
	}
	if c.ValidFor < time.Second {
		return "", usageErrorf("--valid-for %s is no time at all", c.ValidFor)
	}
	properties, err := c.dailyProperties(now)
	if err != nil {
		return "", err
	}
	domain := daily.Domain{ID: c.DomainID}
	token, err := daily.MintWith(domain, auth.Secret(c.APIKey), properties, now)
	var invalid *daily.InvalidError
	if errors.As(err, &invalid) {
		return "", usageErrorf("the token cannot be made: %s", invalid.Problem)
	}
	return token, err
}

// dailyProperties returns --grant with what the other flags say over it.
func (c *tokenCreateCmd) dailyProperties(now time.Time) (json.RawMessage, error) {
	properties := map[string]any{}
	if c.Grant != "" {
		d := json.NewDecoder(bytes.NewReader([]byte(c.Grant)))
		d.UseNumber()
		if err := d.Decode(&properties); err != nil || properties == nil {
			return nil, usageErrorf("--grant: with --daily it is a JSON object of a meeting token's properties")
		}
	}
	for name, text := range map[string]string{"room_name": c.Room, "user_id": c.Identity, "user_name": c.Name} {
		if text != "" {
			properties[name] = text
		}
	}
	if c.Admin {
		properties["is_owner"] = true
	}
	if _, ok := properties["exp"]; !ok { // null is for ever
		properties["exp"] = now.Add(c.ValidFor).Unix()
	}
	if !c.NotBefore.IsZero() {
		properties["nbf"] = c.NotBefore.Unix()
	}
	permissions, ok := properties["permissions"].(map[string]any)
	if !ok {
		if properties["permissions"] != nil {
			return nil, usageErrorf("--grant: permissions is an object")
		}
		permissions = map[string]any{}
	}
	if c.CanPublish != nil {
		permissions["canSend"] = *c.CanPublish
	}
	if c.CanPublishSource != nil && (c.CanPublish == nil || *c.CanPublish) {
		sources := []string{}
		for _, source := range c.CanPublishSource {
			name, ok := dailySources[source]
			if !ok {
				return nil, withHint(usageErrorf("--can-publish-source: a Daily token has no source %q", source),
					"the sources are camera, microphone, screen_share, screen_share_audio, custom_video and custom_audio")
			}
			sources = append(sources, name)
		}
		permissions["canSend"] = sources
	}
	if c.CanSubscribe != nil {
		permissions["canReceive"] = map[string]any{"base": *c.CanSubscribe}
	}
	if c.Hidden {
		permissions["hasPresence"] = false
	}
	if len(permissions) > 0 {
		properties["permissions"] = permissions
	}
	return json.Marshal(properties)
}

// checkDaily verifies a Daily token with what was given as keys of its domain. It
// names one of them only by having been signed with it.
func (k *anyKey) checkDaily(token string, g *auth.Grant) (*auth.Grant, auth.Secret, error) {
	var said struct {
		Domain string `json:"d"`
	}
	_ = json.Unmarshal(g.Claims, &said)
	if said.Domain == "" || k.DomainID != "" && k.DomainID != said.Domain {
		return nil, nil, auth.ErrUnknownKey
	}
	var (
		keys    []auth.Key
		secrets = map[string]auth.Secret{}
	)
	for _, text := range []string{k.APIKey, k.APISecret} {
		key := daily.NewKey(g.Format, daily.Domain{ID: said.Domain}, auth.Secret(text))
		if _, ok := secrets[key.ID]; text != "" && !ok {
			secrets[key.ID] = key.Secret
			keys = append(keys, key)
		}
	}
	set, err := auth.NewKeys(keys, nil)
	if err != nil {
		return nil, nil, err
	}
	verified, err := auth.NewVerifier(set, 0).Verify(token)
	if err != nil {
		return nil, nil, err
	}
	return verified, secrets[verified.KeyID], nil
}
