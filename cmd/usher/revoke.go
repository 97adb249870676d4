package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"usher/web/explain"
)

// revokeCmd refuses tokens from now on.
type revokeCmd struct {
	apiFlags

	Identity string `placeholder:"IDENTITY" help:"Tokens of this identity; with --room, in that room."`
	Room     string `placeholder:"ROOM" help:"Tokens for this room; with --identity, of that identity."`
	TokenID  string `placeholder:"ID" help:"The token with this id (jti), and what it was refreshed to."`
	Expires  moment `placeholder:"TIME" help:"When the token of --token-id expires; after that it need not be remembered."`
	KeyID    string `placeholder:"KEY" help:"Tokens that come from this API key."`
	Token    string `placeholder:"TOKEN" help:"This token: by its id if it has one, else by its identity and room. - reads it from the input. It is not sent anywhere."`

	Until  moment `placeholder:"TIME" help:"Tokens issued until then (now), as 2026-01-02T15:04:05Z; at most ten years ahead."`
	Reason string `placeholder:"TEXT" help:"Why, for whoever reads the list."`
}

// Help is the long text of --help.
func (revokeCmd) Help() string {
	return `
Whoever is in a room with such a token is put out, and nobody comes in with one, before and after a restart of the server. Tokens that are issued later are good; --until keeps out somebody who gets new ones. A token counts as issued when its session's first token was: refreshed ones go with it.

	usher revoke --identity bob --room lab --reason "spam"
	usher revoke --identity bob
	usher revoke --identity bob --room lab --until 2030-01-01T00:00:00Z
	usher revoke --token-id 42 --expires 2026-01-02T15:04:05Z
	usher revoke --token - <token.txt
`
}

func (c *revokeCmd) Validate() error {
	named := 0
	for _, given := range []bool{c.Identity != "" || c.Room != "", c.TokenID != "", c.KeyID != "", c.Token != ""} {
		if given {
			named++
		}
	}
	switch {
	case named != 1:
		return errors.New("name what to revoke by --identity, --room or both, or by --token-id, or by --key-id, or by --token")
	case !c.Expires.IsZero() && c.TokenID == "":
		return errors.New("--expires needs --token-id")
	case !c.Until.IsZero() && c.TokenID != "":
		return errors.New("--until does not go with --token-id: that token is refused whenever it was issued")
	}
	return nil
}

// A revocationRequest is what the API is asked to refuse.
type revocationRequest struct {
	Room     string `json:"room,omitempty"`
	Identity string `json:"identity,omitempty"`
	TokenID  string `json:"tokenId,omitempty"`
	KeyID    string `json:"keyId,omitempty"`
	Until    int64  `json:"until,omitempty"`   // Unix seconds
	Expires  int64  `json:"expires,omitempty"` // Unix seconds
	Reason   string `json:"reason,omitempty"`
}

func (c *revokeCmd) Run(ctx context.Context, std *streams) error {
	request := revocationRequest{Room: c.Room, Identity: c.Identity, TokenID: c.TokenID, KeyID: c.KeyID, Reason: c.Reason}
	if !c.Expires.IsZero() {
		request.Expires = c.Expires.Unix()
	}
	if !c.Until.IsZero() {
		request.Until = c.Until.Unix()
	}
	if c.Token != "" {
		token, err := readToken(c.Token, std.In)
		if err != nil {
			return err
		}
		if err := request.readToken(token, time.Now()); err != nil {
			return err
		}
	}
	answer, err := c.ask(ctx, administers(request.Room), http.MethodPost, []string{"revocations"}, nil, request)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var made revocation
	if err := json.Unmarshal(answer, &made); err != nil {
		return errAnswer(err)
	}
	fmt.Fprintf(std.Out, "revoked: %s%s\n", visible(made.what()), visible(made.issued()))
	fmt.Fprintf(std.Out, "usher revocation lift %s takes it back\n", visible(made.ID))
	return nil
}

// afterExpiry is how long the revocation of a token is kept beyond its expiry:
// what it was refreshed to lives a little longer.
const afterExpiry = 24 * time.Hour

// readToken fills in what refuses a token. What it says need not be true: the
// project's own key revokes, and nothing else is done with it.
func (r *revocationRequest) readToken(token string, now time.Time) error {
	g, err := explain.Read(token)
	if g == nil {
		return fmt.Errorf("the token cannot be read: %s", reason(err))
	}
	switch {
	case g.FirstTokenID() != "":
		r.TokenID = g.FirstTokenID()
		if !g.Expires.IsZero() {
			until := g.Expires
			if until.Before(now) {
				until = now
			}
			r.Expires = until.Add(afterExpiry).Unix()
		}
	case g.Identity != "":
		r.Identity, r.Room = g.Identity, g.Room
	default:
		return errors.New("the token has neither an id nor an identity to revoke it by")
	}
	return nil
}

// A revocation is one as the API tells it.
type revocation struct {
	ID       string    `json:"id"`
	Room     string    `json:"room"`
	Identity string    `json:"identity"`
	TokenID  string    `json:"tokenId"`
	KeyID    string    `json:"keyId"`
	Naming   bool      `json:"naming"`
	Until    time.Time `json:"until"`
	Made     time.Time `json:"made"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Expires  time.Time `json:"expires"`
}

// what says which tokens are refused.
func (r *revocation) what() string {
	switch {
	case r.TokenID != "":
		return "token " + r.TokenID
	case r.KeyID != "":
		return "key " + r.KeyID
	case r.Naming:
		return "tokens that name room " + r.Room
	case r.Identity == "":
		return "everybody in room " + r.Room
	case r.Room == "":
		return r.Identity + " in every room"
	}
	return r.Identity + " in room " + r.Room
}

// issued says for which times of issue that holds. Of one that is about single
// tokens none counts.
func (r *revocation) issued() string {
	if r.TokenID != "" || r.Until.IsZero() {
		return ""
	}
	return ", tokens issued until " + clock(r.Until)
}

// revocationCmd looks after what was revoked.
type revocationCmd struct {
	List revocationListCmd `cmd:"" help:"List what is revoked, the latest first."`
	Lift revocationLiftCmd `cmd:"" help:"Take a revocation back: the tokens are good again."`
}

type revocationListCmd struct {
	apiFlags
	Room string `placeholder:"ROOM" help:"Of this room only."`
}

func (c *revocationListCmd) Run(ctx context.Context, std *streams) error {
	all := struct {
		Revocations []json.RawMessage `json:"revocations"`
	}{[]json.RawMessage{}}
	query := url.Values{}
	if c.Room != "" {
		query.Set("room", c.Room)
	}
	for {
		answer, err := c.ask(ctx, administers(c.Room), http.MethodGet, []string{"revocations"}, query, nil)
		if err != nil {
			return err
		}
		var page struct {
			Revocations []json.RawMessage `json:"revocations"`
			Next        string            `json:"next"`
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return errAnswer(err)
		}
		all.Revocations = append(all.Revocations, page.Revocations...)
		if page.Next == "" || len(page.Revocations) == 0 {
			break
		}
		query.Set("after", page.Next)
	}
	if c.JSON {
		return printJSON(std.Out, encode(all))
	}
	if len(all.Revocations) == 0 {
		fmt.Fprintln(std.Out, "nothing is revoked")
		return nil
	}
	t := newTable(std.Out, "ID", "REVOKED", "ISSUED UNTIL", "MADE", "BY", "FORGOTTEN", "REASON")
	for _, raw := range all.Revocations {
		var r revocation
		if err := json.Unmarshal(raw, &r); err != nil {
			return errAnswer(err)
		}
		t.row(r.ID, r.what(), cmp.Or(strings.TrimPrefix(r.issued(), ", tokens issued until "), "-"), clock(r.Made), r.By,
			cmp.Or(clock(r.Expires), "never"), short(r.Reason))
	}
	return t.w.Flush()
}

type revocationLiftCmd struct {
	apiFlags
	ID string `arg:"" name:"id" help:"Which one, as RV_…; usher revocation list shows them."`
}

func (c *revocationLiftCmd) Run(ctx context.Context, std *streams) error {
	if c.ID == "" {
		return usageErrorf("the id is empty")
	}
	answer, err := c.ask(ctx, administers(""), http.MethodDelete, []string{"revocations", c.ID}, nil, nil)
	if err != nil {
		none := withHint(fmt.Errorf("there is no revocation %s", c.ID), "usher revocation list shows those there are")
		return missing(err, none, nil)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var lifted revocation
	if err := json.Unmarshal(answer, &lifted); err != nil {
		return errAnswer(err)
	}
	fmt.Fprintf(std.Out, "lifted: %s\n", visible(lifted.what()))
	return nil
}
