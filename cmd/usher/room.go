package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"usher/auth/livekit"
)

// roomCmd sees and changes rooms through a server's API.
type roomCmd struct {
	List     roomListCmd     `cmd:"" help:"List the rooms."`
	Create   roomCreateCmd   `cmd:"" help:"Make a room that is there before anybody joins it."`
	Delete   roomDeleteCmd   `cmd:"" help:"End a room and put everybody out. Their tokens stay good."`
	Metadata roomMetadataCmd `cmd:"" help:"Change the metadata of a room."`
	Waiting  roomWaiting     `cmd:"" help:"List who waits to be let into a room."`
	Admit    roomAdmit       `cmd:"" help:"Let people in who wait."`
	Deny     roomDeny        `cmd:"" help:"Send people away who wait."`
}

// A roomInfo is a room as the API tells it.
type roomInfo struct {
	SID              string `json:"sid"`
	Name             string `json:"name"`
	Metadata         string `json:"metadata"`
	EmptyTimeout     int64  `json:"empty_timeout"`     // seconds
	DepartureTimeout int64  `json:"departure_timeout"` // seconds
	MaxParticipants  int64  `json:"max_participants"`
	CreationTime     int64  `json:"creation_time,string"` // Unix seconds
	NumParticipants  int64  `json:"num_participants"`
	NumPublishers    int64  `json:"num_publishers"`
}

type roomListCmd struct {
	apiFlags
	Room []string `placeholder:"ROOM" help:"List this room only. Can be repeated."`
}

// Help is the long text of --help.
func (roomListCmd) Help() string {
	return `
Rooms that live: those with people in them, and those that LiveKit's API made. Rooms that Liveblocks' or Daily's API made are durable and live while somebody is there; GET /v2/rooms and GET /v1/rooms list all of them.
`
}

func (c *roomListCmd) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, livekit.VideoGrant{RoomList: true}, "ListRooms", struct {
		Names []string `json:"names,omitempty"`
	}{c.Room})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var list struct {
		Rooms []roomInfo `json:"rooms"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return errAnswer(err)
	}
	if len(list.Rooms) == 0 {
		fmt.Fprintln(std.Out, "there are no rooms")
		return nil
	}
	t := newTable(std.Out, "NAME", "PEOPLE", "PUBLISHERS", "CREATED", "SID", "METADATA")
	for _, r := range list.Rooms {
		t.row(r.Name, r.people(), strconv.FormatInt(r.NumPublishers, 10), clock(time.Unix(r.CreationTime, 0)), r.SID, short(r.Metadata))
	}
	return t.w.Flush()
}

func (r *roomInfo) people() string {
	if r.MaxParticipants == 0 {
		return strconv.FormatInt(r.NumParticipants, 10)
	}
	return fmt.Sprintf("%d of %d", r.NumParticipants, r.MaxParticipants)
}

// show prints the room that the API answered with.
func (a *apiFlags) showRoom(std *streams, answer []byte) error {
	if a.JSON {
		return printJSON(std.Out, answer)
	}
	var r roomInfo
	if err := json.Unmarshal(answer, &r); err != nil {
		return errAnswer(err)
	}
	t := newTable(std.Out)
	t.field("name", r.Name)
	t.field("sid", r.SID)
	t.field("created", clock(time.Unix(r.CreationTime, 0)))
	t.field("people", r.people())
	t.field("ends", fmt.Sprintf("%v after it was made if nobody comes, %v after the last has left",
		time.Duration(r.EmptyTimeout)*time.Second, time.Duration(r.DepartureTimeout)*time.Second))
	t.field("metadata", r.Metadata)
	return t.w.Flush()
}

type roomCreateCmd struct {
	roomFlags
	EmptyTimeout     time.Duration `placeholder:"TIME" help:"End the room when nobody has come for so long, as 5m (the server's setting)."`
	DepartureTimeout time.Duration `placeholder:"TIME" help:"End the room so long after the last has left (the server's setting)."`
	MaxParticipants  uint32        `placeholder:"N" help:"Let in no more people than that (the server's setting)."`
	Metadata         string        `placeholder:"TEXT" help:"Metadata of the room."`
}

// Help is the long text of --help.
func (roomCreateCmd) Help() string {
	return `
A room that is there already is shown as it is; its settings stay. Rooms made in this way survive a restart of the server.
`
}

func (c *roomCreateCmd) Validate() error {
	for flag, d := range map[string]time.Duration{"--empty-timeout": c.EmptyTimeout, "--departure-timeout": c.DepartureTimeout} {
		if d < 0 || d%time.Second != 0 || d/time.Second > 1<<32-1 {
			return fmt.Errorf("%s takes whole seconds", flag)
		}
	}
	return nil
}

func (c *roomCreateCmd) Run(ctx context.Context, std *streams) error {
	asked := struct {
		Name             string `json:"name"`
		EmptyTimeout     int64  `json:"empty_timeout,omitempty"`
		DepartureTimeout int64  `json:"departure_timeout,omitempty"`
		MaxParticipants  uint32 `json:"max_participants,omitempty"`
		Metadata         string `json:"metadata,omitempty"`
	}{c.Room, int64(c.EmptyTimeout / time.Second), int64(c.DepartureTimeout / time.Second), c.MaxParticipants, c.Metadata}
	answer, err := c.call(ctx, livekit.VideoGrant{RoomCreate: true}, "CreateRoom", asked)
	if err != nil {
		return err
	}
	var got roomInfo
	if err := json.Unmarshal(answer, &got); err != nil {
		return errAnswer(err)
	}
	if asked.EmptyTimeout != 0 && asked.EmptyTimeout != got.EmptyTimeout ||
		asked.DepartureTimeout != 0 && asked.DepartureTimeout != got.DepartureTimeout ||
		asked.MaxParticipants != 0 && int64(asked.MaxParticipants) != got.MaxParticipants ||
		asked.Metadata != "" && asked.Metadata != got.Metadata {
		fmt.Fprintln(std.Err, "usher: note: the room was there already, and its settings stay as they are")
	}
	return c.showRoom(std, answer)
}

type roomDeleteCmd struct{ roomFlags }

func (c *roomDeleteCmd) Run(ctx context.Context, std *streams) error {
	answer, err := c.call(ctx, livekit.VideoGrant{RoomCreate: true}, "DeleteRoom", struct {
		Room string `json:"room"`
	}{c.Room})
	if err != nil {
		return missing(err, noRoom(c.Room), nil)
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	fmt.Fprintf(std.Out, "deleted room %s\n", visible(c.Room))
	return nil
}

type roomMetadataCmd struct {
	roomFlags
	Set   *string `placeholder:"TEXT" help:"New metadata."`
	Clear bool    `help:"No metadata."`
}

func (c *roomMetadataCmd) Validate() error {
	if (c.Set != nil) == c.Clear {
		return errors.New("give either --set TEXT or --clear")
	}
	return nil
}

func (c *roomMetadataCmd) Run(ctx context.Context, std *streams) error {
	request := struct {
		Room     string `json:"room"`
		Metadata string `json:"metadata"`
	}{Room: c.Room}
	if c.Set != nil {
		request.Metadata = *c.Set
	}
	answer, err := c.call(ctx, administers(c.Room), "UpdateRoomMetadata", request)
	if err != nil {
		return missing(err, noRoom(c.Room), nil)
	}
	return c.showRoom(std, answer)
}
