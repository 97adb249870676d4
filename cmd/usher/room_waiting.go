package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// roomWaiting lists who knocks.
type roomWaiting struct{ roomFlags }

// Help is the long text of --help.
func (roomWaiting) Help() string {
	return `
Those who wait to be let in, in rooms that Daily's API made private, with enable_knocking. They are not in the room and learn nothing of it.
`
}

func (c *roomWaiting) Run(ctx context.Context, std *streams) error {
	answer, err := c.ask(ctx, administers(c.Room), http.MethodGet, []string{"rooms", c.Room, "waiting"}, nil, nil)
	if err != nil {
		return missing(err, noRoom(c.Room), noRoom(c.Room))
	}
	if c.JSON {
		return printJSON(std.Out, answer)
	}
	var list struct {
		Waiting []struct {
			SID, Identity, Name string
			JoinedAt            int64 // Unix milliseconds
		}
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return errAnswer(err)
	}
	if len(list.Waiting) == 0 {
		fmt.Fprintf(std.Out, "nobody waits for room %q\n", c.Room)
		return nil
	}
	t := newTable(std.Out, "SID", "NAME", "IDENTITY", "SINCE")
	for _, w := range list.Waiting {
		t.row(w.SID, w.Name, w.Identity, clock(time.UnixMilli(w.JoinedAt)))
	}
	return t.w.Flush()
}

// waitersFlags is some of those who wait, or all.
type waitersFlags struct {
	roomFlags
	All bool     `help:"Everybody who waits."`
	SID []string `arg:"" optional:"" name:"sid" help:"Who, as usher room waiting shows them."`
}

func (f *waitersFlags) Validate() error {
	if (len(f.SID) > 0) == f.All {
		return errors.New("give either sids or --all")
	}
	return nil
}

// answer lets them in or sends them away.
func (f *waitersFlags) answer(ctx context.Context, std *streams, verb, done string) error {
	var who any = "all"
	if !f.All {
		who = f.SID
	}
	answer, err := f.ask(ctx, administers(f.Room), http.MethodPost, []string{"rooms", f.Room, "waiting"}, nil, map[string]any{verb: who})
	if err != nil {
		return missing(err, fmt.Errorf("nobody with that sid waits for room %q", f.Room), noRoom(f.Room))
	}
	if f.JSON {
		return printJSON(std.Out, answer)
	}
	var told struct{ Answered []string }
	if err := json.Unmarshal(answer, &told); err != nil {
		return errAnswer(err)
	}
	if len(told.Answered) == 0 {
		if !f.All {
			return withHint(fmt.Errorf("nobody with that sid waits for room %q", f.Room), "usher room waiting shows who does")
		}
		fmt.Fprintf(std.Out, "nobody waits for room %q\n", f.Room)
		return nil
	}
	fmt.Fprintf(std.Out, "%s %s\n", done, visible(strings.Join(told.Answered, " ")))
	return nil
}

type roomAdmit struct{ waitersFlags }

// Help is the long text of --help.
func (roomAdmit) Help() string {
	return `
Letting in is a join at that moment: who may not come in, as the room is full or was closed to them in between, is told so and is gone.
`
}

func (c *roomAdmit) Run(ctx context.Context, std *streams) error {
	return c.answer(ctx, std, "admit", "let in")
}

type roomDeny struct{ waitersFlags }

func (c *roomDeny) Run(ctx context.Context, std *streams) error {
	return c.answer(ctx, std, "deny", "sent away")
}
