package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/auth"
)

// participantCmd sees and changes participants through a server's API.
type participantCmd struct {
	List    participantList    `cmd:"" help:"List who is in a room."`
	Get     participantGet     `cmd:"" help:"Show one participant."`
	Update  participantUpdate  `cmd:"" help:"Change what a participant may do, its name, metadata or attributes."`
	Mute    participantMute    `cmd:"" help:"Mute a track of a participant. Only the participant can unmute it."`
	Move    participantMove    `cmd:"" help:"Take a participant to another room, in the middle of its session."`
	Limit   participantLimit   `cmd:"" help:"Say until when a participant may stay."`
	Remove  participantRemove  `cmd:"" help:"Put a participant out; the tokens it has used do not let it in again."`
	Explain participantExplain `cmd:"" help:"Say why a participant may or may not do each thing: what every layer said, who and when."`
}

// A participantInfo is a participant as LiveKit's API tells it.
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
	Tracks     []trackInfo       `json:"tracks"`

	ejectAt time.Time // as usher's own API tells it; zero: never, or not known
}

type trackInfo struct {
	SID    string `json:"sid"`
	Type   string `json:"type"`
	Source string `json:"source"`
	Name   string `json:"name"`
	Muted  bool   `json:"muted"`
}

type permissionInfo struct {
	CanSubscribe      bool     `json:"can_subscribe"`
	CanPublish        bool     `json:"can_publish"`
	CanPublishData    bool     `json:"can_publish_data"`
	CanPublishSources []string `json:"can_publish_sources"`
	Hidden            bool     `json:"hidden"`
	CanUpdateMetadata bool     `json:"can_update_metadata"`
}

type participantList struct{ roomFlags }

func (c *participantList) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, administers(c.Room), "ListParticipants", struct {
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
	t := newTable(std.Out, "IDENTITY", "NAME", "STATE", "KIND", "MAY", "TRACKS", "JOINED")
	for _, p := range list.Participants {
		t.row(p.Identity, p.Name, lower(p.State), lower(p.Kind), p.Permission.words(), strconv.Itoa(len(p.Tracks)), clock(time.Unix(p.JoinedAt, 0)))
	}
	return t.w.Flush()
}

// roomParticipant is the request of GetParticipant, and begins others.
type roomParticipant struct {
	Room     string `json:"room"`
	Identity string `json:"identity"`
}

func (f *personFlags) person() roomParticipant { return roomParticipant{f.Room, f.Identity} }

type participantGet struct{ personFlags }

func (c *participantGet) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, administers(c.Room), "GetParticipant", c.person())
	if err != nil {
		return c.about(err)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var p participantInfo
	if err := json.Unmarshal(answer, &p); err != nil {
		return errAnswer(err)
	}
	return p.show(std)
}

type participantMute struct {
	personFlags
	Track string `arg:"" name:"track_sid" help:"Which track, as TR_…; usher participant get shows them."`
}

func (c *participantMute) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, administers(c.Room), "MutePublishedTrack", struct {
		roomParticipant
		Track string `json:"track_sid"`
		Muted bool   `json:"muted"`
	}{c.person(), c.Track, true})
	if err != nil {
		return c.about(err)
	}
	var muted struct {
		Track *trackInfo `json:"track"`
	}
	if err := json.Unmarshal(answer, &muted); err != nil {
		return errAnswer(err)
	}
	switch {
	case muted.Track == nil: // for LiveKit that is no error
		return withHint(fmt.Errorf("%q publishes no track %s in room %q", c.Identity, c.Track, c.Room),
			"usher participant get shows what it publishes")
	case c.JSON:
		return printJSON(std.Out, answer)
	}
	fmt.Fprintf(std.Out, "muted %s of %s\n", visible(muted.Track.words()), visible(c.Identity))
	return nil
}

type participantMove struct {
	personFlags
	To string `required:"" placeholder:"ROOM" help:"Name of the room to go to. It is made if a join may make it."`
}

func (c *participantMove) Run(ctx context.Context, std *streams) error {
	grant := administers(c.Room)
	grant.DestinationRoom = c.To
	answer, err := c.call(ctx, grant, "MoveParticipant", struct {
		roomParticipant
		To string `json:"destination_room"`
	}{c.person(), c.To})
	if err != nil {
		return missing(err, c.about(err), noRoom(c.To))
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	fmt.Fprintf(std.Out, "moved %s from room %s to room %s\n", visible(c.Identity), visible(c.Room), visible(c.To))
	return nil
}

type participantRemove struct {
	personFlags
	RevokeUntil moment `placeholder:"TIME" help:"Refuse the tokens issued until then, as 2026-01-02T15:04:05Z, rather than until now; at most a day ahead."`
}

func (c *participantRemove) Run(ctx context.Context, std *streams) error {
	request := struct {
		roomParticipant
		RevokeBefore int64 `json:"revoke_token_ts,omitempty,string"`
	}{roomParticipant: c.person()}
	if !c.RevokeUntil.IsZero() {
		request.RevokeBefore = c.RevokeUntil.Unix() + 1
	}
	answer, err := c.call(ctx, administers(c.Room), "RemoveParticipant", request)
	if err != nil {
		return c.about(err)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	fmt.Fprintf(std.Out, "removed %s from room %s\n", visible(c.Identity), visible(c.Room))
	return nil
}

type participantUpdate struct {
	personFlags

	Name      *string           `placeholder:"NAME" help:"New name; an empty one clears it."`
	Metadata  *string           `placeholder:"TEXT" help:"New metadata; empty clears it."`
	Attribute map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Set an attribute; an empty value deletes it. Can be repeated."`

	CanPublish            *bool    `negatable:"" help:"Publish tracks, from every source."`
	CanPublishSource      []string `placeholder:"SOURCE" help:"Publish tracks, from these sources only: camera, microphone, screen_share, screen_share_audio, custom_video, custom_audio, unknown (the last two); or all. Can be repeated."`
	CanPublishData        *bool    `negatable:"" help:"Send data and presence."`
	CanSubscribe          *bool    `negatable:"" help:"Receive tracks."`
	CanUpdateOwnMetadata  *bool    `negatable:"" help:"Change its own name, metadata and attributes."`
	CanSubscribeMetrics   *bool    `negatable:"" hidden:""`
	CanManageAgentSession *bool    `negatable:"" hidden:""`
	Hidden                *bool    `negatable:"" help:"Be invisible to the others."`
}

// Help is the long text of --help.
func (participantUpdate) Help() string {
	return `
What is not given stays as it is; --can-publish=false (or --no-can-publish) takes a right away. The change is in force when the command returns. It is about everybody with that identity in the room, and holds when they come back with the tokens that they have.
`
}

// A permissionChange is what changes of the permission, in the API's words.
type permissionChangeRequest struct {
	CanSubscribe          *bool     `json:"canSubscribe,omitempty"`
	CanPublish            *bool     `json:"canPublish,omitempty"`
	CanPublishData        *bool     `json:"canPublishData,omitempty"`
	CanPublishSources     *[]string `json:"canPublishSources,omitempty"`
	Hidden                *bool     `json:"hidden,omitempty"`
	CanUpdateMetadata     *bool     `json:"canUpdateMetadata,omitempty"`
	CanSubscribeMetrics   *bool     `json:"canSubscribeMetrics,omitempty"`
	CanManageAgentSession *bool     `json:"canManageAgentSession,omitempty"`
}

func (c *participantUpdate) Run(ctx context.Context, std *streams) error {
	permission := permissionChangeRequest{
		c.CanSubscribe, c.CanPublish, c.CanPublishData, nil, c.Hidden,
		c.CanUpdateOwnMetadata, c.CanSubscribeMetrics, c.CanManageAgentSession,
	}
	sources, err := c.sources()
	if err != nil {
		return err
	}
	if c.CanPublishSource != nil {
		permission.CanPublishSources = &sources
	}
	request := struct {
		Name       *string                  `json:"name,omitempty"`
		Metadata   *string                  `json:"metadata,omitempty"`
		Attributes map[string]string        `json:"attributes,omitempty"`
		Permission *permissionChangeRequest `json:"permission,omitempty"`
	}{Name: c.Name, Metadata: c.Metadata, Attributes: c.Attribute}
	if permission != (permissionChangeRequest{}) {
		request.Permission = &permission
	} else if c.Name == nil && c.Metadata == nil && len(c.Attribute) == 0 {
		return usageErrorf("nothing to change is given")
	}
	answer, err := c.ask(ctx, administers(c.Room), http.MethodPatch, []string{"rooms", c.Room, "participants", c.Identity}, nil, request)
	if err != nil {
		return c.about(err)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var told nativeParticipant
	if err := json.Unmarshal(answer, &told); err != nil {
		return errAnswer(err)
	}
	return told.info().show(std)
}

// sources returns the names of the sources given: none for all.
func (c *participantUpdate) sources() ([]string, error) {
	names := []string{}
	for _, s := range c.CanPublishSource {
		_, known := auth.ParseSource(s)
		switch {
		case s == "all":
			if len(c.CanPublishSource) > 1 {
				return nil, usageErrorf("--can-publish-source all goes with no other source")
			}
		case known, s == "unknown":
			names = append(names, s)
		default:
			return nil, usageErrorf("--can-publish-source: there is no source %q", s)
		}
	}
	if c.CanPublishSource != nil && c.CanPublish != nil && !*c.CanPublish {
		return nil, usageErrorf("--can-publish-source lets it publish, --can-publish=false does not")
	}
	return names, nil
}

// A nativeParticipant is a participant as usher's own API tells it.
type nativeParticipant struct {
	person
	Kind     string `json:"kind"`
	JoinedAt int64  `json:"joinedAt"`    // Unix milliseconds
	EjectAt  int64  `json:"willEjectAt"` // the same; 0: never
}

func (n *nativeParticipant) info() *participantInfo {
	p := &participantInfo{
		SID: n.SID, Identity: n.Identity, Name: n.Name, State: n.State, Kind: n.Kind, Metadata: n.Metadata,
		Attributes: n.Attributes, JoinedAt: n.JoinedAt / 1000,
		Permission: &permissionInfo{
			CanSubscribe: n.Permissions.CanSubscribe, CanPublish: n.Permissions.CanPublish,
			CanPublishData: n.Permissions.CanPublishData, CanPublishSources: n.Permissions.CanPublishSources,
			Hidden: n.Permissions.Hidden, CanUpdateMetadata: n.Permissions.CanUpdateOwnMetadata,
		},
	}
	if n.EjectAt > 0 {
		p.ejectAt = time.UnixMilli(n.EjectAt)
	}
	for _, t := range n.Tracks {
		p.Tracks = append(p.Tracks, trackInfo{t.SID, t.Kind, t.Source, t.Name, t.Muted})
	}
	return p
}

// show prints a participant for people.
func (p *participantInfo) show(std *streams) error {
	t := newTable(std.Out)
	t.field("identity", p.Identity)
	t.field("sid", p.SID)
	t.field("name", p.Name)
	t.field("state", lower(p.State))
	t.field("kind", lower(p.Kind))
	t.field("joined", clock(time.Unix(p.JoinedAt, 0)))
	t.field("stays until", clock(p.ejectAt))
	t.field("may", p.Permission.words())
	t.field("metadata", p.Metadata)
	if len(p.Attributes) > 0 {
		t.field("attributes", pairs(p.Attributes))
	}
	for _, track := range p.Tracks {
		what := track.words()
		if track.Muted {
			what += " (muted)"
		}
		t.field("track", what)
	}
	return t.w.Flush()
}

func (t *trackInfo) words() string {
	return strings.TrimSpace(cmp.Or(lower(t.Source), lower(t.Type)) + " " + t.SID + " " + t.Name)
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
