package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// participantLimit says how long somebody may stay.
type participantLimit struct {
	personFlags
	At    moment        `placeholder:"TIME" help:"Until then, as 2026-01-02T15:04:05Z."`
	After time.Duration `placeholder:"TIME" help:"So long from now on, as 10m."`
	Never bool          `help:"As long as they like."`
}

// Help is the long text of --help.
func (participantLimit) Help() string {
	return `
Sets when a participant is put out, in place of what its token or the room said when it joined: earlier or later. It is told, and so is everybody. Its tokens stay good: with one of the application's it may come again, with a time of its own; refreshed ones keep the time. It is about everybody with that identity who is in the room.
`
}

func (c *participantLimit) Validate() error {
	given := 0
	for _, is := range []bool{!c.At.IsZero(), c.After != 0, c.Never} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return errors.New("give one of --at TIME, --after TIME and --never")
	case c.After < 0:
		return errors.New("--after is in the past")
	}
	return nil
}

func (c *participantLimit) Run(ctx context.Context, std *streams) error {
	var ms *int64
	if !c.Never {
		at := c.At.Time
		if c.After != 0 {
			at = time.Now().Add(c.After)
		}
		n := at.UnixMilli()
		ms = &n
	}
	answer, err := c.ask(ctx, administers(c.Room), http.MethodPatch, []string{"rooms", c.Room, "participants", c.Identity}, nil,
		map[string]*int64{"willEjectAt": ms})
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
