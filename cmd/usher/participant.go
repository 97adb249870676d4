package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// participantCmd sees and changes participants through a server's API.
type participantCmd struct {
	List   participantList   `cmd:"" help:"List who is in a room."`
	Get    participantGet    `cmd:"" help:"Show one participant."`
	Update participantUpdate `cmd:"" help:"Change what a participant may do, its name, metadata or attributes."`
	Remove participantRemove `cmd:"" help:"Put a participant out; the tokens it has used do not let it in again."`
}

// apiFlags is how to reach a server's API.
type apiFlags struct {
	URL string `default:"http://127.0.0.1:7880" placeholder:"URL" help:"Address of the server's API (${default})."`
	tokenKey
	Room string `required:"" placeholder:"ROOM" help:"Name of the room."`
	JSON bool   `help:"Print the server's answer as it came."`
}

type participantList struct{ apiFlags }

type participantGet struct {
	apiFlags
	Identity string `required:"" placeholder:"IDENTITY" help:"Who."`
}

type participantRemove struct {
	apiFlags
	Identity string `required:"" placeholder:"IDENTITY" help:"Who."`
}

type participantUpdate struct {
	apiFlags
	Identity string `required:"" placeholder:"IDENTITY" help:"Who."`

	Name      *string           `help:"New name."`
	Metadata  *string           `help:"New metadata."`
	Attribute map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Set an attribute; an empty value deletes it. Can be repeated."`

	CanPublish            *bool    `negatable:"" help:"Publish tracks."`
	CanPublishSource      []string `placeholder:"SOURCE" help:"Publish from these sources only: camera, microphone, screen_share, screen_share_audio, unknown; or all. Can be repeated."`
	CanPublishData        *bool    `negatable:"" help:"Send data."`
	CanSubscribe          *bool    `negatable:"" help:"Receive tracks."`
	CanUpdateOwnMetadata  *bool    `negatable:"" help:"Change its own name, metadata and attributes."`
	CanSubscribeMetrics   *bool    `negatable:"" hidden:""`
	CanManageAgentSession *bool    `negatable:"" hidden:""`
	Hidden                *bool    `negatable:"" help:"Be invisible to the others."`
}

// Help is the long text of --help.
func (participantUpdate) Help() string {
	return `
What is not given stays as it is; --can-publish=false (or --no-can-publish) takes a right away. The API replaces all rights at once, so they are read first; a change that somebody else makes in that instant is lost.
`
}

// A participantInfo is a participant as the API tells it.
type participantInfo struct {
	SID        string            `json:"sid"`
	Identity   string            `json:"identity"`
	Name       string            `json:"name"`
	State      string            `json:"state"`
	Kind       string            `json:"kind"`
	Metadata   string            `json:"metadata"`
	Attributes map[string]string `json:"attributes"`
	Permission *permissionInfo   `json:"permission"`
	JoinedAt   int64             `json:"joined_at,string"` // Unix seconds
	Tracks     []struct {
		SID    string `json:"sid"`
		Type   string `json:"type"`
		Source string `json:"source"`
		Name   string `json:"name"`
		Muted  bool   `json:"muted"`
	} `json:"tracks"`
}

type permissionInfo struct {
	CanSubscribe          bool     `json:"can_subscribe"`
	CanPublish            bool     `json:"can_publish"`
	CanPublishData        bool     `json:"can_publish_data"`
	CanPublishSources     []string `json:"can_publish_sources,omitempty"`
	Hidden                bool     `json:"hidden"`
	CanUpdateMetadata     bool     `json:"can_update_metadata"`
	CanSubscribeMetrics   bool     `json:"can_subscribe_metrics"`
	CanManageAgentSession bool     `json:"can_manage_agent_session"`
}

// roomParticipant is the request of GetParticipant and RemoveParticipant.
type roomParticipant struct {
	Room     string `json:"room"`
	Identity string `json:"identity"`
}

func (c *participantList) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, "ListParticipants", struct {
		Room string `json:"room"`
	}{c.Room})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var list struct {
		Participants []participantInfo `json:"participants"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return errAnswer(err)
	}
	if len(list.Participants) == 0 {
		fmt.Fprintf(std.Out, "nobody is in room %q\n", c.Room)
		return nil
	}
	slices.SortFunc(list.Participants, func(a, b participantInfo) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.SID, b.SID))
	})
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IDENTITY\tNAME\tSTATE\tKIND\tMAY\tTRACKS\tJOINED")
	for _, p := range list.Participants {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", visible(p.Identity), visible(p.Name), lower(p.State), lower(p.Kind),
			p.Permission.words(), len(p.Tracks), p.joined())
	}
	return w.Flush()
}

func (c *participantGet) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, "GetParticipant", roomParticipant{c.Room, c.Identity})
	if err != nil {
		return c.about(c.Identity, err)
	}
	return c.show(std, answer)
}

func (c *participantRemove) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, "RemoveParticipant", roomParticipant{c.Room, c.Identity})
	if err != nil {
		return c.about(c.Identity, err)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	fmt.Fprintf(std.Out, "removed %s from room %s\n", visible(c.Identity), visible(c.Room))
	return nil
}

func (c *participantUpdate) Run(ctx context.Context, std *streams) error {
	request := struct {
		roomParticipant
		Name       string            `json:"name,omitempty"`
		Metadata   string            `json:"metadata,omitempty"`
		Attributes map[string]string `json:"attributes,omitempty"`
		Permission *permissionInfo   `json:"permission,omitempty"`
	}{roomParticipant: roomParticipant{c.Room, c.Identity}, Attributes: c.Attribute}
	for _, text := range []struct {
		flag string
		from *string
		to   *string
	}{{"--name", c.Name, &request.Name}, {"--metadata", c.Metadata, &request.Metadata}} {
		if text.from == nil {
			continue
		}
		if *text.from == "" {
			return usageErrorf("%s cannot be empty: in this API that means to leave it alone", text.flag)
		}
		*text.to = *text.from
	}
	if c.changesPermission() {
		sources, err := c.sources()
		if err != nil {
			return err
		}
		answer, err := c.call(ctx, "GetParticipant", roomParticipant{c.Room, c.Identity})
		if err != nil {
			return c.about(c.Identity, err)
		}
		var now participantInfo
		if err := json.Unmarshal(answer, &now); err != nil {
			return errAnswer(err)
		}
		request.Permission = c.apply(now.Permission, sources)
	} else if c.Name == nil && c.Metadata == nil && len(c.Attribute) == 0 {
		return usageErrorf("nothing to change is given")
	}
	answer, err := c.call(ctx, "UpdateParticipant", request)
	if err != nil {
		return c.about(c.Identity, err)
	}
	return c.show(std, answer)
}

func (c *participantUpdate) changesPermission() bool {
	return c.CanPublish != nil || c.CanPublishSource != nil || c.CanPublishData != nil || c.CanSubscribe != nil ||
		c.CanUpdateOwnMetadata != nil || c.CanSubscribeMetrics != nil || c.CanManageAgentSession != nil || c.Hidden != nil
}

// sources returns the API's names of the sources given: none for all.
func (c *participantUpdate) sources() ([]string, error) {
	var names []string
	for _, s := range c.CanPublishSource {
		switch s {
		case "all":
			if len(c.CanPublishSource) > 1 {
				return nil, usageErrorf("--can-publish-source all goes with no other source")
			}
		case "camera", "microphone", "screen_share", "screen_share_audio", "unknown":
			names = append(names, strings.ToUpper(s))
		default:
			return nil, usageErrorf("--can-publish-source: there is no source %q", s)
		}
	}
	return names, nil
}

// apply returns now with what the flags change.
func (c *participantUpdate) apply(now *permissionInfo, sources []string) *permissionInfo {
	var p permissionInfo
	if now != nil {
		p = *now
	}
	for _, f := range []struct {
		given *bool
		flag  *bool
	}{
		{c.CanPublish, &p.CanPublish},
		{c.CanPublishData, &p.CanPublishData},
		{c.CanSubscribe, &p.CanSubscribe},
		{c.CanUpdateOwnMetadata, &p.CanUpdateMetadata},
		{c.CanSubscribeMetrics, &p.CanSubscribeMetrics},
		{c.CanManageAgentSession, &p.CanManageAgentSession},
		{c.Hidden, &p.Hidden},
	} {
		if f.given != nil {
			*f.flag = *f.given
		}
	}
	if c.CanPublishSource != nil {
		p.CanPublishSources = sources
	}
	return &p
}

// show prints the participant that the API answered with.
func (a *apiFlags) show(std *streams, answer []byte) error {
	if a.JSON {
		return printJSON(std.Out, answer)
	}
	var p participantInfo
	if err := json.Unmarshal(answer, &p); err != nil {
		return errAnswer(err)
	}
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, visible(value))
		}
	}
	row("identity", p.Identity)
	row("sid", p.SID)
	row("name", p.Name)
	row("state", lower(p.State))
	row("kind", lower(p.Kind))
	row("joined", p.joined())
	row("may", p.Permission.words())
	row("metadata", p.Metadata)
	if len(p.Attributes) > 0 {
		row("attributes", pairs(p.Attributes))
	}
	for _, t := range p.Tracks {
		what := strings.TrimSpace(lower(t.Source) + " " + t.SID + " " + t.Name)
		if t.Muted {
			what += " (muted)"
		}
		row("track", what)
	}
	return w.Flush()
}

func (p *participantInfo) joined() string {
	if p.JoinedAt == 0 {
		return ""
	}
	return time.Unix(p.JoinedAt, 0).Format(time.DateTime)
}

func (p *permissionInfo) words() string {
	if p == nil {
		return ""
	}
	var may []string
	for _, f := range []struct {
		held bool
		word string
	}{
		{p.CanPublish, strings.TrimSpace("publish " + lower(strings.Join(p.CanPublishSources, "+")))},
		{p.CanPublishData, "data"},
		{p.CanSubscribe, "subscribe"},
		{p.CanUpdateMetadata, "own-metadata"},
		{p.Hidden, "(hidden)"},
	} {
		if f.held {
			may = append(may, f.word)
		}
	}
	if len(may) == 0 {
		return "nothing"
	}
	return strings.Join(may, ", ")
}

func lower(s string) string { return strings.ToLower(s) }

// about names the participant when err says that there is none.
func (a *apiFlags) about(identity string, err error) error {
	var api *apiError
	if errors.As(err, &api) && api.Code == "not_found" {
		return fmt.Errorf("%q is not in room %q", identity, a.Room)
	}
	return err
}

// An apiError is how the API says no.
type apiError struct {
	Code string `json:"code"`
	Msg  string `json:"msg"`
}

func (e *apiError) Error() string { return fmt.Sprintf("the server refused: %s (%s)", e.Msg, e.Code) }

func errAnswer(err error) error {
	return fmt.Errorf("the server's answer is not understood: %w", err)
}

const (
	apiTimeout  = 30 * time.Second
	maxAPIBytes = 64 << 20 // of an answer
)

// call calls a method of the RoomService and returns the answer's JSON.
func (a *apiFlags) call(ctx context.Context, method string, request any) ([]byte, error) {
	if err := a.complete(); err != nil {
		return nil, err
	}
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" {
		return nil, usageErrorf("--url %s is not an address; write it like http://127.0.0.1:7880", a.URL)
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	token, err := livekit.Mint(a.APIKey, auth.Secret(a.APISecret), livekit.Claims{
		Identity: "usher-cli",
		Video:    &livekit.VideoGrant{RoomAdmin: true, Room: a.Room},
	}, time.Minute, time.Now())
	if err != nil {
		return nil, fmt.Errorf("making a token: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		u.JoinPath("twirp", "livekit.RoomService", method).String(), bytes.NewReader(encode(request)))
	if err != nil {
		return nil, err
	}
	req.Close = true // the only one of its kind
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the outer text only repeats the address
		}
		return nil, withHint(fmt.Errorf("cannot reach %s: %w", a.URL, err), "is a server running there?")
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAPIBytes))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", a.URL, err)
	}
	if res.StatusCode == http.StatusOK {
		return body, nil
	}
	return nil, a.refusal(res, body)
}

// refusal says in words what an answer other than 200 means.
func (a *apiFlags) refusal(res *http.Response, body []byte) error {
	var api apiError
	if json.Unmarshal(body, &api) != nil || api.Msg == "" {
		api = apiError{Code: res.Status}
		api.Msg, _, _ = strings.Cut(strings.TrimSpace(string(body)), "\n")
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return withHint(fmt.Errorf("the server does not accept the key %s: %s", a.APIKey, api.Msg),
			"check --api-key and --api-secret, and that the clocks agree")
	case res.StatusCode == http.StatusNotFound && api.Code != "not_found":
		return withHint(fmt.Errorf("%s has no such API (%s)", a.URL, res.Status), "with admin_addr set, the server APIs are only there")
	}
	return &api
}

// printJSON prints a JSON document on one line.
func printJSON(w io.Writer, document []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, document); err != nil {
		return errAnswer(err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
