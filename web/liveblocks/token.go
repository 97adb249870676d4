package liveblocks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
)

// life is how long a token is good for: as long as with Liveblocks, or as the
// server takes.
func (a *api) life() time.Duration {
	if a.TokenLife > 0 {
		return min(a.TokenLife, liveblocks.DefaultLifetime)
	}
	return liveblocks.DefaultLifetime
}

// identify makes an ID token: it says who somebody is, and the rooms' access
// lists what they may do.
func identify(c *call) (int, any, error) {
	o, err := c.object("userId", "groupIds", "userInfo", "organizationId", "tenantId")
	if err != nil {
		return 0, nil, err
	}
	var t liveblocks.IDToken
	if t.User, t.Info, t.Organization, err = o.person(); err != nil {
		return 0, nil, err
	}
	if o.has("groupIds") {
		if t.Groups, err = listOf("groupIds", o.fields["groupIds"]); err != nil {
			return 0, nil, err
		}
		for i, id := range t.Groups {
			what := fmt.Sprintf("groupIds[%d]", i)
			if id == "" {
				return 0, nil, unprocessable("%s is empty", what)
			}
			if err := atMost(what, id, liveblocks.MaxGroupLength); err != nil {
				return 0, nil, err
			}
		}
	}
	key, err := c.signing()
	if err != nil {
		return 0, nil, err
	}
	return c.minted(t.Mint(key, c.api.life()))
}

// authorize makes an access token: it says itself what somebody may do where.
func authorize(c *call) (int, any, error) {
	o, err := c.object("userId", "permissions", "userInfo", "organizationId", "tenantId")
	if err != nil {
		return 0, nil, err
	}
	var t liveblocks.AccessToken
	if t.User, t.Info, t.Organization, err = o.person(); err != nil {
		return 0, nil, err
	}
	if !o.has("permissions") {
		return 0, nil, unprocessable("permissions is missing")
	}
	patterns, err := o.object("permissions")
	if err != nil {
		return 0, nil, err
	}
	t.Permissions = make(map[string][]string, len(patterns.fields))
	for pattern, b := range patterns.fields {
		if t.Permissions[pattern], err = listOf(patterns.path(pattern), b); err != nil {
			return 0, nil, err
		}
	}
	if err := liveblocks.ParsePatterns(t.Permissions); err != nil {
		return 0, nil, unprocessable("permissions: %s", err)
	}
	key, err := c.signing()
	if err != nil {
		return 0, nil, err
	}
	return c.minted(t.Mint(key, c.api.life()))
}

// person reads who a token is for.
func (o object) person() (user string, info json.RawMessage, organization string, err error) {
	if user, err = o.required("userId"); err == nil {
		err = checkUserID(user)
	}
	if err == nil {
		info, err = o.userInfo()
	}
	if err == nil {
		organization, err = o.organization()
	}
	return user, info, organization, err
}

// userInfo reads what is told to everybody about somebody, nil for nothing.
func (o object) userInfo() (json.RawMessage, error) {
	if !o.has("userInfo") {
		return nil, nil
	}
	if _, err := o.object("userInfo"); err != nil {
		return nil, err
	}
	info := liveblocks.Compact(o.fields["userInfo"])
	if liveblocks.InfoLength(info) > liveblocks.MaxInfoLength {
		return nil, tooLong("userInfo", liveblocks.MaxInfoLength)
	}
	return info, nil
}

// signing returns the key of the project's tokens. A reload may have taken the
// project away since the call was let in.
func (c *call) signing() (auth.Key, error) {
	key := c.api.Door.Key(c.project)
	if key.Format == nil {
		return auth.Key{}, errKey
	}
	return key, nil
}

// minted answers with a token.
func (c *call) minted(token string, err error) (int, any, error) {
	if err != nil {
		return 0, nil, err
	}
	if len(token) > maxToken {
		return 0, nil, unprocessable("the token would have %d bytes; it travels in an address, which leaves %d: give fewer groups, patterns or less userInfo", len(token), maxToken)
	}
	if err := c.joinable(token); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, struct {
		Token string `json:"token"`
	}{token}, nil
}

// joinable refuses a token that no room would let in: rooms count the bytes of
// identities, names and metadata, whatever kind of token says them.
func (c *call) joinable(token string) error {
	format := c.api.Door.Format(c.project)
	if format == nil {
		return errKey // since it was made
	}
	g, err := auth.ReadUnverified(token, format) // our own
	if err != nil {
		return err
	}
	l := c.api.Rooms.Limits()
	return cmp.Or(l.Identity(g.Identity), l.Name(g.Name), l.Metadata(g.Metadata))
}
