package daily

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
)

// createToken makes a meeting token. The room need not exist.
func createToken(c *call) (any, error) {
	o, err := c.object("properties")
	if err != nil {
		return nil, err
	}
	token, err := c.mint(o.fields["properties"])
	if err != nil {
		return nil, err
	}
	return struct {
		Token string `json:"token"`
	}{token}, nil
}

// mint signs a token that can be used at once. What was revoked in this second is
// refused with all that was issued in it, and each deletion of a room takes a second
// of its own: a token that is made afterwards is issued in the next one that is
// free.
func (c *call) mint(properties json.RawMessage) (string, error) {
	now := time.Now()
	token, g, err := c.minted(properties, now)
	if err != nil {
		return "", err
	}
	for _, about := range daily.Warnings(g) {
		c.warn("a token " + about)
	}
	if !c.api.Rooms.Revoked(g) {
		return token, nil
	}
	later := *g
	later.TokenID, later.TokenHash = "", auth.TokenHash{} // it is another token then
	for s := 1; s <= ahead; s++ {
		later.Issued = now.Truncate(time.Second).Add(time.Duration(s) * time.Second)
		if !c.api.Rooms.Revoked(&later) {
			token, _, err = c.minted(properties, later.Issued)
			return token, err
		}
	}
	c.warn("a token that is refused by a revocation which reaches into the future")
	return token, nil
}

// ahead is how many seconds ahead a token may have been issued, within what is
// taken: [auth.Leeway].
const ahead = 50

// minted signs a token, and refuses one that no room would let in: rooms count the
// bytes of identities, names and metadata, whatever kind of token says them.
func (c *call) minted(properties json.RawMessage, issued time.Time) (string, *auth.Grant, error) {
	token, err := daily.Mint(c.domain, properties, issued)
	if err != nil {
		return "", nil, err
	}
	g, err := c.api.Verifier.VerifyEarly(token)
	if err != nil {
		return "", nil, unusable(err)
	}
	l := c.api.Rooms.Limits()
	return token, g, cmp.Or(l.Identity(g.Identity), l.Name(g.Name), l.Metadata(g.Metadata))
}

// warn tells of something that is allowed and may not have been meant, in a header
// of the answer and in the log.
func (c *call) warn(text string) {
	c.header.Add("Warning", `299 usher "`+text+`"`)
	if c.api.warnings.Allow() {
		c.api.Log.Warn("made "+text, "project", c.domain.Project)
	}
}

// showToken says what is in a token that holds.
func showToken(c *call) (any, error) {
	verify := c.api.Verifier.Verify
	if c.query.Get("ignoreNbf") == "true" {
		verify = c.api.Verifier.VerifyEarly
	}
	g, err := c.verify(c.name, verify)
	if err != nil {
		return nil, err
	}
	if c.api.Rooms.Revoked(g) {
		return nil, invalid("the token was revoked")
	}
	return daily.Properties(g)
}

// verify reads a token of this domain, by one of the ways of [auth.Verifier].
func (c *call) verify(token string, by func(string) (*auth.Grant, error)) (*auth.Grant, error) {
	g, err := by(token)
	switch {
	case err != nil:
		return nil, unusable(err)
	case g.Project != c.domain.Project || g.Format == nil || g.Format.NamesKey() != auth.ByDomain:
		return nil, errStranger
	}
	return g, nil
}

var errStranger = invalid("the token is not one of this domain")

// unusable says why a token does not hold. What [auth] says of a token has no part of
// it, so where it knows more that is told: whoever signs tokens themselves has no
// other way to learn it.
func unusable(err error) error {
	for _, reason := range []struct {
		err  error
		text string
		more bool
	}{
		{auth.ErrExpired, "the token has expired", false},
		{auth.ErrNotYetValid, "the token is not valid yet", false},
		{auth.ErrTooLarge, "the token is too large", false},
		{auth.ErrTooLongLived, "the token lives longer than this server lets tokens live (limits.token_life)", false},
		{auth.ErrNoExpiry, "the token does not expire: the tokens of this domain have to (require_exp)", false},
		{auth.ErrNoRoom, "the token names no room: the tokens of this domain have to (require_room)", false},
		{auth.ErrRevokedKey, "the key of the token was revoked", false},
		{auth.ErrUnknownKey, "the token is not one of this domain", false},
		{auth.ErrSignature, "the token is not signed with a key of this domain", false},
		{auth.ErrAlgorithm, "the token is not signed with HS256", false},
		{auth.ErrNoIdentity, "the token is malformed", false},
		{auth.ErrMalformed, "the token is malformed", true},
	} {
		if !errors.Is(err, reason.err) {
			continue
		}
		detail, ok := strings.CutPrefix(err.Error(), reason.err.Error()+": ")
		if ok && reason.more {
			return invalid("%s: %s", reason.text, clip(detail))
		}
		return invalid("%s", reason.text)
	}
	return err
}

// revokeTokens refuses tokens from now on, durably, and puts out whoever came with
// one: a single token, or those issued until now for a room, for a user, or for a
// user in a room. Daily has nothing like it.
func revokeTokens(c *call) (any, error) {
	o, err := c.object("token", "room_name", "user_id")
	if err != nil {
		return nil, err
	}
	var of [3]string
	for i, name := range []string{"token", "room_name", "user_id"} {
		if of[i], err = o.text(name); err != nil {
			return nil, err
		}
	}
	token, where, who := of[0], of[1], of[2]
	rv := room.Revocation{Project: c.domain.Project, Room: where, Identity: who, Until: time.Now(), By: by}
	switch {
	case token == "" && where == "" && who == "":
		return nil, invalid("there has to be a token, or a room_name, a user_id or both")
	case token != "" && (where != "" || who != ""):
		return nil, invalid("a token is revoked by itself: there may be no room_name and no user_id with it")
	case token != "":
		g, err := c.verify(token, c.api.Verifier.VerifyWhenever) // who is inside may stay beyond its exp
		if err != nil {
			return nil, err
		}
		// A refreshed token goes together with the one that it descends from.
		rv.TokenID, rv.Until, rv.Expires = g.FirstTokenID(), time.Time{}, g.Expires
		if g.Origin != nil {
			rv.Expires = time.Time{} // not known of the first
		}
	}
	b := c.api.Rooms.Batch()
	made, err := c.api.Rooms.Revoke(b, rv)
	b.Flush()
	if err != nil {
		return nil, err
	}
	c.api.Log.Info("tokens revoked", "project", rv.Project, "revocation", made.ID, "room", where, "identity", who, "api", "daily")
	return struct {
		Revoked bool   `json:"revoked"`
		ID      string `json:"id"`
	}{true, made.ID}, nil
}
