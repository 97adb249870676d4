package main

import (
	"context"
	"time"

	"usher/loadtest"
)

type loadJoinCmd struct {
	loadFlags
	People   int           `default:"1000" placeholder:"N" help:"How many people (${default})."`
	RoomSize int           `default:"10" placeholder:"N" help:"People in a room (${default})."`
	Rate     float64       `placeholder:"N" help:"Joins a second. Without it as fast as the server takes them."`
	Hold     time.Duration `default:"1s" placeholder:"TIME" help:"How long they stay, idle, while memory is watched (${default})."`
}

func (c *loadJoinCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "join", People: c.People, RoomSize: c.RoomSize, Rate: c.Rate, Hold: c.Hold})
}

type loadStormCmd struct {
	loadFlags
	People int           `default:"1000" placeholder:"N" help:"How many people (${default})."`
	Hold   time.Duration `default:"1s" placeholder:"TIME" help:"How long they stay, idle, while memory is watched (${default})."`
}

func (c *loadStormCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "storm", People: c.People, Hold: c.Hold})
}

type loadIdleCmd struct {
	loadFlags
	People   int           `default:"10000" placeholder:"N" help:"How many people (${default})."`
	RoomSize int           `default:"10" placeholder:"N" help:"People in a room (${default})."`
	Settle   time.Duration `default:"5s" placeholder:"TIME" help:"How long they are left alone before anything is measured (${default})."`
	Duration time.Duration `default:"15s" placeholder:"TIME" help:"How long to measure; usher pings everybody every 15 s (${default})."`
}

func (c *loadIdleCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "idle", People: c.People, RoomSize: c.RoomSize, Settle: c.Settle, Duration: c.Duration})
}

type loadFanoutCmd struct {
	loadFlags
	People   int           `default:"1000" placeholder:"N" help:"How many receive (${default})."`
	Window   int           `default:"4" placeholder:"N" help:"Messages on their way: the next goes when all have one of them (${default})."`
	Size     int           `default:"128" placeholder:"BYTES" help:"Size of a message's payload (${default})."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure (${default})."`
}

func (c *loadFanoutCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "fanout", People: c.People, Window: c.Window, Size: c.Size, Duration: c.Duration})
}

type loadRoomsCmd struct {
	loadFlags
	Rooms    int           `default:"100" placeholder:"N" help:"How many rooms (${default})."`
	RoomSize int           `default:"10" placeholder:"N" help:"People in a room (${default})."`
	Rate     float64       `default:"10" placeholder:"N" help:"Messages that each sends in a second (${default})."`
	Size     int           `default:"128" placeholder:"BYTES" help:"Size of a message's payload (${default})."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure (${default})."`
}

func (c *loadRoomsCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "rooms", Rooms: c.Rooms, RoomSize: c.RoomSize, Rate: c.Rate, Size: c.Size, Duration: c.Duration})
}

type loadVideoCmd struct {
	loadFlags
	Speakers int           `default:"4" placeholder:"N" help:"How many publish (${default})."`
	People   int           `default:"100" placeholder:"N" help:"How many only watch (${default})."`
	FPS      float64       `name:"fps" default:"25" placeholder:"N" help:"Frames a second of each speaker (${default})."`
	Size     int           `default:"5000" placeholder:"BYTES" help:"Size of a frame; a key frame has five times as much. More than 16 KiB goes in fragments (${default})."`
	KeyEvery int           `default:"100" placeholder:"N" help:"Frames from one key frame to the next (${default})."`
	Layers   int           `default:"3" placeholder:"N" help:"Temporal layers, 1 to 3 (${default})."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure (${default})."`
}

func (c *loadVideoCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "video", Speakers: c.Speakers, People: c.People, FPS: c.FPS, Size: c.Size,
		KeyEvery: c.KeyEvery, Layers: c.Layers, Duration: c.Duration})
}

type loadRolesCmd struct {
	loadFlags
	Rooms    int           `default:"10" placeholder:"N" help:"How many rooms, each with somebody who sends and is demoted over and over (${default})."`
	RoomSize int           `default:"10" placeholder:"N" help:"People in a room (${default})."`
	Rate     float64       `default:"200" placeholder:"N" help:"Messages that whoever is demoted sends in a second (${default})."`
	Size     int           `default:"128" placeholder:"BYTES" help:"Size of a message's payload (${default})."`
	Flips    int           `placeholder:"N" help:"Demote each so many times, and not as often as there is time for."`
	Patch    bool          `help:"Call usher's own API (PATCH), not LiveKit's UpdateParticipant."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure (${default})."`
}

func (c *loadRolesCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "roles", Rooms: c.Rooms, RoomSize: c.RoomSize, Rate: c.Rate, Size: c.Size,
		Flips: c.Flips, Patch: c.Patch, Duration: c.Duration})
}

type loadRefreshCmd struct {
	loadFlags
	People   int           `default:"1000" placeholder:"N" help:"How many people (${default})."`
	RoomSize int           `default:"10" placeholder:"N" help:"People in a room (${default})."`
	Rate     float64       `default:"100" placeholder:"N" help:"Changes a second, each of which brings somebody a token (${default})."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure (${default})."`
}

func (c *loadRefreshCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "refresh", People: c.People, RoomSize: c.RoomSize, Rate: c.Rate, Duration: c.Duration})
}

type loadReconnectCmd struct {
	loadFlags
	People   int           `default:"1000" placeholder:"N" help:"How many people (${default})."`
	RoomSize int           `default:"10" placeholder:"N" help:"People in a room. The first of each is not cut, and goes on sending (${default})."`
	Rate     float64       `default:"10" placeholder:"N" help:"Messages a second of whoever is not cut (${default})."`
	Size     int           `default:"128" placeholder:"BYTES" help:"Size of a message's payload (${default})."`
	Duration time.Duration `default:"6s" placeholder:"TIME" help:"How long to send, half of it before the cut (${default})."`
}

func (c *loadReconnectCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "reconnect", People: c.People, RoomSize: c.RoomSize, Rate: c.Rate, Size: c.Size, Duration: c.Duration})
}

type loadSlowCmd struct {
	loadFlags
	People   int           `default:"200" placeholder:"N" help:"How many receive (${default})."`
	Share    float64       `default:"0.1" placeholder:"SHARE" help:"How many of them stop reading, from 0 to 1 (${default})."`
	Rate     float64       `default:"200" placeholder:"N" help:"Messages a second (${default})."`
	Size     int           `default:"2048" placeholder:"BYTES" help:"Size of a message's payload (${default})."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure, once without slow ones and once with (${default})."`
}

func (c *loadSlowCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "slow", People: c.People, Share: c.Share, Rate: c.Rate, Size: c.Size, Duration: c.Duration})
}

type loadSoakCmd struct {
	loadFlags
	Rooms    int           `default:"50" placeholder:"N" help:"How many rooms (${default})."`
	RoomSize int           `default:"20" placeholder:"N" help:"People in a room; a quarter of them stay and send (${default})."`
	Rate     float64       `default:"2" placeholder:"N" help:"Messages a second of each who sends (${default})."`
	Churn    float64       `default:"50" placeholder:"N" help:"How many people a second come, go, are changed, cut or slow (${default})."`
	Size     int           `default:"128" placeholder:"BYTES" help:"Size of a message's payload (${default})."`
	Duration time.Duration `default:"10m" placeholder:"TIME" help:"How long (${default})."`
	Every    time.Duration `default:"1m" placeholder:"TIME" help:"How often all rests and the server's lists are compared with who is in (${default})."`
}

func (c *loadSoakCmd) Run(ctx context.Context, std *streams) error {
	return c.measure(ctx, std, loadtest.Config{Scenario: "soak", Rooms: c.Rooms, RoomSize: c.RoomSize, Rate: c.Rate, Churn: c.Churn, Size: c.Size,
		Duration: c.Duration, Every: c.Every})
}
