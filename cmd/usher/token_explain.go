package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"usher/auth"
	"usher/web/explain"
)

type tokenExplainCmd struct {
	anyKey
	Token string `arg:"" help:"The token; - reads it from the input."`
}

// Help is the long text of --help.
func (tokenExplainCmd) Help() string {
	return `
LiveKit's tokens, Liveblocks' ID and access tokens, and Daily's meeting tokens. Without a secret the signature is not checked, and anybody may have written what is explained. What the holder of a Liveblocks token may do in a room is for the room's access list to say: a server explains that, at /usher/v1/tokens/explain; and so it is with what a Daily token leaves to the room. The exit code is 0 when the token could be read, whatever is wrong with it.
`
}

func (c *tokenExplainCmd) Run(_ context.Context, std *streams) error {
	token, err := readToken(c.Token, std.In)
	if err != nil {
		return err
	}
	return explainToken(std.Out, token, c.signature(token), time.Now())
}

const notHolding = explain.NotHolding

// signature says what a check with the key comes to.
func (k *anyKey) signature(token string) []string {
	secret := auth.Secret(k.APISecret)
	var err error
	switch g, _ := explain.Read(token); {
	case g != nil && g.Format.NamesKey() == auth.ByDomain && k.APIKey+k.APISecret != "":
		_, secret, err = k.checkDaily(token, g)
	case k.APISecret == "":
		return []string{"not checked, for there is no secret to check it with"}
	default:
		_, err = k.check(token)
	}
	lines := []string{explain.Signature(err)}
	if n := len(secret); n > 0 && n < auth.MinSecretBytes {
		lines = append(lines, fmt.Sprintf("the secret has %d characters; with fewer than %d it can be guessed, and a server takes it with --dev only", n, auth.MinSecretBytes))
	}
	return lines
}

// explainToken says in plain words what a token is good for.
func explainToken(w io.Writer, token string, signature []string, now time.Time) error {
	switch kind := explain.Recognize(token); kind {
	case explain.LiveblocksSecret, explain.LiveblocksPublic:
		return fmt.Errorf("this is no token, but %s", kind.What())
	}
	report, err := explain.Token(token, signature, now)
	if err != nil {
		return fmt.Errorf("no server would take this token: %w", err)
	}
	for _, part := range report {
		for i, line := range part.Lines {
			label := part.Label + ":"
			if i > 0 {
				label = ""
			}
			if _, err := fmt.Fprintf(w, "%-11s%s\n", label, visible(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// refusal is what to tell somebody whose token does not hold.
func refusal(token string, err error, now time.Time) error {
	return withHint(fmt.Errorf("the token does not hold: %s", explain.Refusal(token, err, now)), "usher token explain tells more")
}

// reason is the text of an error of auth, without the name of the package.
func reason(err error) string { return explain.Reason(err) }
