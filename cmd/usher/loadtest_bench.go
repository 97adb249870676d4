package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"usher/loadtest"
)

// loadBenchCmd measures the standard table.
type loadBenchCmd struct {
	Out    string `required:"" type:"path" placeholder:"FILE" help:"Markdown file; what stands between its two markers is replaced."`
	Rounds int    `default:"3" placeholder:"N" help:"How often each is measured, in turns with the yardsticks (${default})."`
	Only   string `placeholder:"NAME" help:"Only this row: join, storm, idle, fanout 1, fanout 4, fanout 16, rooms or video. The others are gone from the file then."`
	Quick  bool   `help:"One round of a tenth of the size, to see that all of it works. The figures say little."`
}

// benchScenarios are the rows of the table.
func benchScenarios(quick bool) (configs []loadtest.Config, texts []loadtest.ScenarioText) {
	people, duration, settle := 1, 6*time.Second, 5*time.Second
	if quick {
		people, duration, settle = 10, time.Second, time.Second
	}
	add := func(name, text string, cfg loadtest.Config) {
		cfg.StepLimit = 5 * time.Minute
		cfg.Drain = 30 * time.Second
		configs, texts = append(configs, cfg), append(texts, loadtest.ScenarioText{Name: name, Text: text})
	}
	add("join", "everybody joins, in rooms of ten, as fast as the server takes 256 at a time",
		loadtest.Config{Scenario: "join", People: 10_000 / people, RoomSize: 10, Dialling: 256})
	add("storm", "everybody comes to one room at one moment",
		loadtest.Config{Scenario: "storm", People: 1000 / people})
	add("idle", "everybody has joined, in rooms of ten, and then does nothing but answer pings",
		loadtest.Config{Scenario: "idle", People: 10_000 / people, RoomSize: 10, Settle: settle, Duration: duration / 2})
	for _, window := range []int{1, 4, 16} {
		add(fmt.Sprintf("fanout %d", window), "one sends to all others in a room; the next message goes when all have one of those on their way",
			loadtest.Config{Scenario: "fanout", People: 1000 / people, Window: window, Size: 128, Duration: duration})
	}
	add("rooms", "everybody in many rooms sends at a rate; a delivery counts from when its message was to be sent",
		loadtest.Config{Scenario: "rooms", Rooms: 100 / people, RoomSize: 10, Rate: 10, Size: 128, Duration: duration})
	add("video", "a few publish video to an audience: key frames, three temporal layers, fragments of at most 16 KiB",
		loadtest.Config{Scenario: "video", Speakers: 4, People: 100 / people, FPS: 25, Size: 5000, KeyEvery: 100, Layers: 3, Duration: duration})
	return configs, texts
}

func (c *loadBenchCmd) Run(ctx context.Context, std *streams) error {
	old, err := os.ReadFile(c.Out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := loadtest.UpdatePerformance(old, loadtest.Performance{}); err != nil {
		return fmt.Errorf("%s: %w", c.Out, err) // now, not after ten minutes
	}
	var flags loadFlags
	servers, err := flags.servers(std.Err, true)
	if err != nil {
		return err
	}
	rounds := c.Rounds
	if rounds < 1 {
		return usageErrorf("--rounds %d is no number of rounds", rounds)
	}
	if c.Quick {
		rounds = 1
	}
	configs, texts := benchScenarios(c.Quick)
	if c.Only != "" {
		i := slices.IndexFunc(texts, func(s loadtest.ScenarioText) bool { return s.Name == c.Only })
		if i < 0 {
			return usageErrorf("--only %s: there is no such row", c.Only)
		}
		configs, texts = configs[i:i+1], texts[i:i+1]
	}
	p := loadtest.Performance{Commit: commit(ctx, c.Out), Date: time.Now(), Scenarios: texts, Command: c.command()}
	shown := newLoadProgress(std.Err, rounds*len(configs), len(servers))
	defer shown.end()
	for round := range rounds {
		var results []loadtest.Result
		for i, cfg := range configs {
			cfg.Progress = shown.progress
			// Usher is not always the first after a pause.
			for n := range servers {
				server := servers[(n+round)%len(servers)]
				shown.round(round, texts[i].Name+" of "+server.Name)
				one, err := loadtest.Compare(ctx, cfg, 1, []loadtest.Server{server}, nil)
				if errors.Is(err, loadtest.ErrInterrupted) {
					return fmt.Errorf("interrupted: %s is as it was", c.Out)
				}
				if err != nil {
					if server.Name == "usher" {
						return fmt.Errorf("%s of %s: %w", texts[i].Name, server.Name, err)
					}
					// A yardstick that breaks down under the load is a result, too.
					fmt.Fprintf(std.Err, "usher: %s of %s: %s\n", texts[i].Name, server.Name, err)
					one = []loadtest.Result{{Scenario: cfg.Scenario, Server: server.Name, Errors: map[string]int64{err.Error(): 1}}}
				}
				for _, r := range one {
					r.Scenario = texts[i].Name
					results = append(results, r)
				}
			}
		}
		slices.SortStableFunc(results, func(a, b loadtest.Result) int { return order(servers, a.Server) - order(servers, b.Server) })
		p.Rounds = append(p.Rounds, results)
	}
	next, err := loadtest.UpdatePerformance(old, p)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Out, err)
	}
	return os.WriteFile(c.Out, next, 0o644)
}

// command is the line that measures the same again.
func (c *loadBenchCmd) command() string {
	line := "usher loadtest bench"
	if c.Quick {
		line += " --quick"
	} else if c.Rounds != 3 {
		line += fmt.Sprintf(" --rounds %d", c.Rounds)
	}
	if c.Only != "" {
		line += fmt.Sprintf(" --only '%s'", c.Only)
	}
	if line == "usher loadtest bench" {
		return "make bench"
	}
	return line
}

func order(servers []loadtest.Server, name string) int {
	return slices.IndexFunc(servers, func(s loadtest.Server) bool { return s.Name == name })
}

// commit names what was measured: the commit of the repository that the file is
// in, or "".
func commit(ctx context.Context, file string) string {
	git := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", filepath.Dir(file)}, args...)...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	head := git("rev-parse", "--short", "HEAD")
	if head != "" && git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude)"+filepath.Base(file)) != "" {
		head += ", with changes that are not committed"
	}
	return head
}
