package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
	"usher/auth/livekit"
	"usher/web/explain"
)

// tokenCmd makes tokens and looks into them.
type tokenCmd struct {
	Create  tokenCreateCmd  `cmd:"" help:"Make a token to join a room or call the server API with."`
	Verify  tokenVerifyCmd  `cmd:"" help:"Check a token as the server does, and print its claims."`
	Explain tokenExplainCmd `cmd:"" help:"Say in plain words what a token is good for, and what is wrong with it."`
}

// tokenKey is the key to sign or check with.
type tokenKey struct {
	APIKey    string `name:"api-key" env:"USHER_API_KEY" placeholder:"KEY" help:"API key of the project."`
	APISecret string `name:"api-secret" env:"USHER_API_SECRET" placeholder:"SECRET" help:"Its secret. Others on this machine can read the command line, but not the environment."`
}

// anyKey is the key to sign or check a token of any kind with.
type anyKey struct {
	tokenKey
	DomainID string `name:"domain-id" env:"USHER_DAILY_DOMAIN_ID" placeholder:"UUID" help:"Id of the Daily domain that a Daily token is of. Its API key is --api-key, and its own secret."`
}

// complete reports what is missing to sign with the key.
func (k *tokenKey) complete() error {
	if k.APIKey != "" && k.APISecret != "" {
		return nil
	}
	return withHint(usageErrorf("--api-key and --api-secret are needed, or USHER_API_KEY and USHER_API_SECRET"),
		"for usher serve --dev they are %s and %s", devKey, devSecret)
}

type tokenCreateCmd struct {
	anyKey

	Daily bool `help:"Make a Daily meeting token in place of a LiveKit token (needs --domain-id)."`

	Identity string `short:"i" placeholder:"IDENTITY" help:"Who the holder is. One identity is one person: joining again replaces the first."`
	Name     string `short:"n" placeholder:"NAME" help:"Name that the others see."`
	Room     string `short:"r" placeholder:"ROOM" help:"Room the token is for."`

	Join   bool `help:"Join the room (needs --room and --identity)."`
	Admin  bool `help:"Moderate the room from inside, and administer it through the server API; without --room and --join, the whole project through the server APIs."`
	Create bool `help:"Make and delete rooms."`
	List   bool `help:"List rooms."`

	CanPublish           *bool    `negatable:"" help:"Publish tracks (unless said otherwise, yes)."`
	CanPublishSource     []string `aliases:"allow-source" placeholder:"SOURCE" help:"Publish from these sources only: camera, microphone, screen_share, screen_share_audio, unknown (what comes from the application itself), custom_video, custom_audio. Can be repeated."`
	CanPublishData       *bool    `negatable:"" help:"Send data and presence (unless said otherwise, as --can-publish)."`
	CanSubscribe         *bool    `negatable:"" help:"Receive tracks (unless said otherwise, yes)."`
	CanUpdateOwnMetadata *bool    `aliases:"allow-update-metadata" negatable:"" help:"Change one's own name, metadata and attributes (unless said otherwise, no)."`
	CanSubscribeMetrics  *bool    `negatable:"" hidden:""`
	Hidden               bool     `help:"Be invisible to the others."`
	Recorder             bool     `help:"Be a recorder: it takes no place in the room and does not keep it open."`
	Kind                 string   `enum:",standard,ingress,egress,sip,agent,connector,bridge" default:"" placeholder:"KIND" help:"What the holder is: standard, agent, ingress, egress, sip, connector or bridge."`

	Metadata      string            `placeholder:"TEXT" help:"Metadata of the participant."`
	Attribute     map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Attribute of the participant. Can be repeated."`
	AttributeFile string            `type:"existingfile" placeholder:"FILE" help:"Attributes from a file with a JSON object of strings; --attribute comes first."`

	ValidFor  time.Duration `default:"6h" placeholder:"TIME" help:"How long the token lets in, as 5m or 1h30m (${default}). Who is inside stays."`
	NotBefore time.Time     `name:"nbf" format:"2006-01-02T15:04:05Z07:00" placeholder:"TIME" help:"From when the token lets in, as 2026-01-02T15:04:05Z."`
	TokenID   string        `placeholder:"ID" help:"Id of the token (jti), by which it can be revoked."`

	Grant      string `placeholder:"JSON" help:"More of the video grant, as {\"canManageAgentSession\":true}; with --daily more properties. It comes before the flags."`
	RoomConfig string `placeholder:"JSON" help:"Settings of the room if this join makes it, as {\"maxParticipants\":10}."`
	RoomPreset string `hidden:""`
	Verbose    bool   `short:"v" help:"Say on standard error what was made, as is done when the output is a terminal."`
}

// Help is the long text of --help.
func (tokenCreateCmd) Help() string {
	return `
Prints a LiveKit token, or with --daily a Daily meeting token, and nothing else, so that TOKEN=$(usher token create …) works. Liveblocks tokens come from a server: POST /v2/identify-user and /v2/authorize-user. What is not given is left out of the token, and the server decides. The flags are those of LiveKit's CLI, but for the time a token holds: there it is 5 minutes when not given, here 6 hours as in LiveKit's SDKs.

	export USHER_API_KEY=devkey USHER_API_SECRET=secret
	usher token create --join --room lab --identity ada
	usher token create --join --room lab --identity bob --can-publish=false
	usher token create --admin --room lab

With --daily --admin makes an owner, and --grant has properties of a meeting token, as {"knocking":true}. Daily's exp bars nobody who has entered; {"exp":null} leaves it out.

	usher token create --daily --api-key daily_dev_secret --domain-id 00000000-0000-4000-8000-000000000001 --room lab --identity ada
`
}

func (c *tokenCreateCmd) Run(_ context.Context, std *streams) error {
	now := time.Now()
	if c.Daily {
		token, err := c.mintDaily(now)
		if err != nil {
			return err
		}
		return c.print(std, token, now)
	}
	if err := c.complete(); err != nil {
		return err
	}
	claims, err := c.claims()
	if err != nil {
		return err
	}
	token, err := livekit.Mint(c.APIKey, auth.Secret(c.APISecret), *claims, c.ValidFor, now)
	if err != nil {
		return fmt.Errorf("making the token: %w", err)
	}
	if _, err := auth.ReadUnverified(token, livekit.Format{}); errors.Is(err, auth.ErrMalformed) {
		return usageErrorf("no server would take this token: %s", reason(err))
	}
	v := claims.Video
	if !v.RoomJoin && !v.RoomAdmin && !v.RoomCreate && !v.RoomList {
		fmt.Fprintln(std.Err, "usher: warning: nobody can join with this token: it was made without --join")
	}
	return c.print(std, token, now)
}

// print shows a token, and what it is good for to somebody who watches.
func (c *tokenCreateCmd) print(std *streams, token string, now time.Time) error {
	if c.Verbose || isTerminal(std.Out) {
		if err := explainToken(std.Err, token, nil, now); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(std.Out, token)
	return err
}

func (c *tokenCreateCmd) claims() (*livekit.Claims, error) {
	video, err := c.video()
	if err != nil {
		return nil, err
	}
	attributes, err := c.attributes()
	if err != nil {
		return nil, err
	}
	config, err := c.roomConfig()
	switch {
	case err != nil:
		return nil, err
	case video.RoomJoin && (video.Room == "" || c.Identity == ""):
		return nil, usageErrorf("--join needs --room and --identity")
	case c.ValidFor < time.Second:
		return nil, usageErrorf("--valid-for %s is no time at all", c.ValidFor)
	}
	return &livekit.Claims{
		Identity:   c.Identity,
		TokenID:    c.TokenID,
		Name:       c.Name,
		Kind:       auth.Kind(c.Kind),
		Metadata:   c.Metadata,
		Attributes: attributes,
		Video:      video,
		RoomConfig: config,
		RoomPreset: c.RoomPreset,
		NotBefore:  c.NotBefore,
	}, nil
}

// video returns --grant with what the other flags say over it.
func (c *tokenCreateCmd) video() (*livekit.VideoGrant, error) {
	v := new(livekit.VideoGrant)
	if c.Grant != "" {
		d := json.NewDecoder(strings.NewReader(c.Grant))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			return nil, usageErrorf("--grant: %w", err)
		}
	}
	if c.Room != "" {
		v.Room = c.Room
	}
	for _, f := range []struct {
		given bool
		flag  *bool
	}{
		{c.Join, &v.RoomJoin},
		{c.Admin, &v.RoomAdmin},
		{c.Create, &v.RoomCreate},
		{c.List, &v.RoomList},
		{c.Hidden, &v.Hidden},
		{c.Recorder, &v.Recorder},
	} {
		*f.flag = *f.flag || f.given
	}
	for _, f := range []struct {
		given *bool
		flag  **bool
	}{
		{c.CanPublish, &v.CanPublish},
		{c.CanPublishData, &v.CanPublishData},
		{c.CanSubscribe, &v.CanSubscribe},
		{c.CanUpdateOwnMetadata, &v.CanUpdateOwnMetadata},
		{c.CanSubscribeMetrics, &v.CanSubscribeMetrics},
	} {
		if f.given != nil {
			*f.flag = f.given
		}
	}
	for _, name := range c.CanPublishSource {
		if _, ok := auth.ParseSource(name); !ok && name != "unknown" {
			return nil, withHint(usageErrorf("--can-publish-source: there is no source %q", name),
				"the sources are camera, microphone, screen_share, screen_share_audio, unknown, custom_video and custom_audio")
		}
	}
	if c.CanPublishSource != nil {
		v.CanPublishSources = c.CanPublishSource
	}
	return v, nil
}

func (c *tokenCreateCmd) attributes() (map[string]string, error) {
	if c.AttributeFile == "" {
		return c.Attribute, nil
	}
	text, err := os.ReadFile(c.AttributeFile)
	if err != nil {
		return nil, err
	}
	var attributes map[string]string
	if err := json.Unmarshal(text, &attributes); err != nil {
		return nil, fmt.Errorf("%s is not a JSON object of strings: %w", c.AttributeFile, err)
	}
	if attributes == nil {
		return c.Attribute, nil
	}
	maps.Copy(attributes, c.Attribute)
	return attributes, nil
}

func (c *tokenCreateCmd) roomConfig() (json.RawMessage, error) {
	if c.RoomConfig == "" {
		return nil, nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(c.RoomConfig)); err != nil {
		return nil, usageErrorf("--room-config: %w", err)
	}
	return compact.Bytes(), nil
}

type tokenVerifyCmd struct {
	anyKey
	Token string `arg:"" help:"The token; - reads it from the input."`
}

// Help is the long text of --help.
func (tokenVerifyCmd) Help() string {
	return `
The exit code is 0 when a server with this key would take the token, to join the room it names or, without roomJoin, for its API; and 1 when not. Only the server knows whether it was revoked. Without --api-key the key that the token names is taken to be yours. The secret of a Liveblocks token is the project's token_secret, if the configuration has one; it tells the key. A Daily token is checked with the API key, which is its own secret, or with the domain's token_secret.
`
}

func (c *tokenVerifyCmd) Run(_ context.Context, std *streams) error {
	if c.APISecret == "" && c.APIKey == "" {
		return withHint(usageErrorf("--api-secret is needed, or USHER_API_SECRET"), "usher token explain works without")
	}
	token, err := readToken(c.Token, std.In)
	if err != nil {
		return err
	}
	if c.APISecret == "" && explain.Recognize(token) != explain.DailyToken {
		return withHint(usageErrorf("--api-secret is needed, or USHER_API_SECRET"), "usher token explain works without")
	}
	g, err := c.check(token)
	if err != nil {
		return refusal(token, err, time.Now())
	}
	if explain.NamesNoRoom(g) {
		return withHint(errors.New("the token names no room, so nobody can join with it"), "usher token explain tells more")
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, g.Claims, "", "  "); err != nil {
		return err
	}
	for line := range strings.Lines(pretty.String()) {
		if _, err := fmt.Fprintln(std.Out, visible(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

// check verifies a token with the key. Without an id, the key is the one that
// the token names.
func (k *anyKey) check(token string) (*auth.Grant, error) {
	g, err := explain.Read(token)
	if g != nil && g.Format.NamesKey() == auth.ByDomain {
		g, _, err := k.checkDaily(token, g)
		return g, err
	}
	id, format := k.APIKey, auth.Format(livekit.Format{})
	if g != nil {
		format = g.Format
	}
	if g != nil && (id == "" || liveblocksKeyID(g, k.APISecret) == g.KeyID) {
		id = g.KeyID
	}
	switch {
	case id == "" && g == nil:
		return nil, err
	case id == "":
		return nil, auth.ErrUnknownKey
	}
	keys, err := auth.NewKeys([]auth.Key{{ID: id, Secret: auth.Secret(k.APISecret), Format: format}}, nil)
	if err != nil {
		return nil, err
	}
	return auth.NewVerifier(keys, 0).Verify(token)
}

// liveblocksKeyID is the id of the key that signs a project's Liveblocks tokens with
// a secret: the secret makes it, so that --api-key, which is in the environment for
// LiveKit, need not name it. The project is the one that the token names.
func liveblocksKeyID(g *auth.Grant, secret string) string {
	var of struct {
		Project string `json:"pid"`
	}
	_ = json.Unmarshal(g.Claims, &of)
	return liveblocks.NewKey(g.Format, of.Project, auth.Secret(secret)).ID
}

// readToken returns the token that an argument gives, or stands in the input.
func readToken(arg string, in io.Reader) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	// A little more than a token may have, so that a longer one is told so.
	text, err := io.ReadAll(io.LimitReader(in, auth.DefaultMaxTokenBytes+1024))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", errors.New("there is no token on the input")
	}
	return token, nil
}
