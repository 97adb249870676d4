package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"usher/loadtest"
	"usher/loadtest/yardstick"
)

// loadtestCmd measures a server.
type loadtestCmd struct {
	Join      loadJoinCmd      `cmd:"" help:"Many people come, to rooms of a few."`
	Storm     loadStormCmd     `cmd:"" help:"Everybody comes to one room at one moment."`
	Idle      loadIdleCmd      `cmd:"" help:"Many people come and then do nothing: what does a connection cost?"`
	Fanout    loadFanoutCmd    `cmd:"" help:"One sends to all the others in a room."`
	Rooms     loadRoomsCmd     `cmd:"" help:"Everybody in many rooms sends at a rate."`
	Video     loadVideoCmd     `cmd:"" help:"A few publish video to an audience."`
	Roles     loadRolesCmd     `cmd:"" help:"Rights are taken and given while whom it concerns goes on sending."`
	Refresh   loadRefreshCmd   `cmd:"" help:"Refreshed tokens: do they come, when, and are they good?"`
	Reconnect loadReconnectCmd `cmd:"" help:"All connections are cut at once, and everybody resumes."`
	Slow      loadSlowCmd      `cmd:"" help:"Some stop reading: what do the others notice?"`
	Soak      loadSoakCmd      `cmd:"" help:"A bit of everything for a long time, with the server's lists compared every minute."`

	Bench     loadBenchCmd     `cmd:"" help:"Measure the table of docs/performance.md and write it anew."`
	Yardstick loadYardstickCmd `cmd:"" hidden:"" help:"Serve what others are compared with."`
}

// Help is the long text of --help.
func (loadtestCmd) Help() string {
	return `
Each scenario runs with one line and no flags: usher loadtest join. It starts a server of its own, usher serve --dev, and says what it cost by its process; --url measures one that runs, with real tokens made with --api-key and --api-secret (or LIVEKIT_API_KEY and LIVEKIT_API_SECRET). Then give --pid, or let it read /metrics.

Every message that was to be delivered is counted, and the order of each sender's: lost, doubled and misordered are counts of failures, not estimates. Where the load test itself, or other processes, may have held the figures back, it says so.

Fanout is a closed loop: the next message waits for the last, so a slow server is asked for less. Join without --rate and idle are such, too, while people come. All others are open loops: everything has its moment, and counts from it, however late the server makes it.
`
}

// loadFlags are common to all scenarios.
type loadFlags struct {
	URL string `placeholder:"URL" help:"Server to measure. Without one, usher serve --dev is started for each run, and ended."`
	tokenKey
	PID         int           `name:"pid" placeholder:"PID" help:"Process of the server at --url, on this machine, to see what it costs. Else its /metrics tell."`
	API         string        `name:"api" placeholder:"URL" help:"The server's API, when it is not at --url (admin_addr)."`
	Yardstick   bool          `help:"Run the same against two simple servers in turns, and say how the figures compare: floor, one thread with epoll, does as little as can be done; naive is the usual hub."`
	Rounds      int           `default:"1" placeholder:"N" help:"Run so many times and take medians (${default})."`
	Drain       time.Duration `default:"10s" placeholder:"TIME" help:"How long to wait for what is on its way at the end (${default})."`
	RosterLimit int           `default:"1000" placeholder:"N" help:"The server's room.roster_limit: in larger rooms people are counted, not listed (${default})."`
	Threads     int           `placeholder:"N" help:"Threads of the load test that serve connections (half of the processors, at most 4)."`
	Dialling    int           `default:"256" placeholder:"N" help:"Connections that may be in the opening at once (${default})."`
	Patience    time.Duration `default:"1m" placeholder:"TIME" help:"How long people may take to join, beyond what --rate asks for (${default})."`

	JSON   bool    `help:"Print results as JSON, one for each server on a line."`
	Report string  `type:"path" placeholder:"FILE" help:"Write a page with all figures and drawings, HTML in one file."`
	FailIf *string `placeholder:"CONDITIONS" help:"Exit with 1 when one of them holds, as in 'p99>50ms,lost>0,ratio.floor.cpu>3'."`
}

// servers are those to be measured, the one in question first.
func (f *loadFlags) servers(errs io.Writer, yardsticks bool) ([]loadtest.Server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var all []loadtest.Server
	if f.URL != "" {
		// Who has pointed LiveKit's tools at a server need not say it again.
		f.APIKey = cmp.Or(f.APIKey, os.Getenv("LIVEKIT_API_KEY"))
		f.APISecret = cmp.Or(f.APISecret, os.Getenv("LIVEKIT_API_SECRET"))
		if err := f.complete(); err != nil {
			return nil, err
		}
		all = append(all, loadtest.Running(loadtest.Target{Name: "usher", URL: f.URL, Key: f.APIKey, Secret: f.APISecret, PID: f.PID, API: true, APIURL: f.API}))
	} else {
		if f.PID != 0 {
			return nil, usageErrorf("--pid is of a server at --url")
		}
		all = append(all, loadtest.Child(loadtest.Target{Name: "usher", Key: devKey, Secret: devSecret, API: true}, errs,
			program, "serve", "--dev", "--addr", "127.0.0.1:0", "--log-level", "error"))
	}
	if yardsticks {
		for _, kind := range []string{"floor", "naive"} {
			all = append(all, loadtest.Child(loadtest.Target{Name: kind, Key: devKey, Secret: devSecret}, errs,
				program, "loadtest", "yardstick", kind, "--addr", "127.0.0.1:0"))
		}
	}
	return all, nil
}

// measure runs a scenario and tells its results.
func (f *loadFlags) measure(ctx context.Context, std *streams, cfg loadtest.Config) error {
	conditions, err := f.conditions(cfg.Scenario)
	if err != nil {
		return usageErrorf("--fail-if: %w", err)
	}
	if f.Rounds < 1 {
		return usageErrorf("--rounds %d is no number of rounds", f.Rounds)
	}
	if f.Yardstick && loadtest.NeedsUsher(cfg.Scenario) {
		return usageErrorf("--yardstick: the yardsticks do not do what %s is about", cfg.Scenario)
	}
	if err := cfg.Check(); err != nil {
		return &usageError{err}
	}
	cfg.Drain, cfg.Dialling, cfg.StepLimit, cfg.Threads = f.Drain, f.Dialling, f.Patience, f.Threads
	cfg.RosterLimit = f.RosterLimit
	servers, err := f.servers(std.Err, f.Yardstick)
	if err != nil {
		return err
	}
	if f.Report != "" { // that it cannot be written is told now, not after the run
		file, err := os.OpenFile(f.Report, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("--report: %w", err)
		}
		_ = file.Close()
	}
	shown := newLoadProgress(std.Err, f.Rounds, len(servers))
	cfg.Progress = shown.progress
	results, err := loadtest.Compare(ctx, cfg, f.Rounds, servers, shown.round)
	shown.end()
	interrupted := errors.Is(err, loadtest.ErrInterrupted)
	if err != nil && !interrupted {
		return err
	}
	for i := range results {
		results[i].Command = commandLine(os.Args)
	}
	if err := f.tell(std.Out, results); err != nil {
		return err
	}
	if interrupted {
		return errors.New("interrupted: the figures are of what was measured until then")
	}
	failed, err := conditions.Failed(results[0])
	if err != nil {
		return err
	}
	if len(failed) == 0 {
		return nil
	}
	for _, sentence := range failed {
		fmt.Fprintf(std.Err, "usher: %s\n", sentence)
	}
	return &exitError{exitFailure}
}

// conditions reads --fail-if. An empty one is a mistake, of a variable that is not
// set in a script as a rule, and would pass for a run that was good.
func (f *loadFlags) conditions(scenario string) (loadtest.Conditions, error) {
	if f.FailIf == nil {
		return nil, nil
	}
	conditions, err := loadtest.ParseConditions(*f.FailIf)
	if err == nil && len(conditions) == 0 {
		err = errors.New("there is no condition; write one like lost>0 or p99>50ms")
	}
	if err == nil {
		err = conditions.Check(scenario, f.Yardstick)
	}
	return conditions, err
}

// commandLine is how the process was started, without what is secret in it, or ""
// in a process that is something else, as a test.
func commandLine(args []string) string {
	if !slices.Contains(args, "loadtest") {
		return ""
	}
	words := []string{"usher"}
	hide := false
	for _, word := range args[1:] {
		if name, _, ok := strings.Cut(word, "="); ok && name == "--api-secret" {
			word = name + "=…"
		} else if hide {
			word = "…"
		}
		hide = word == "--api-secret"
		if strings.ContainsAny(word, " '\"$<>|&;()*") || word == "" {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// tell prints results, and writes the report.
func (f *loadFlags) tell(w io.Writer, results []loadtest.Result) error {
	for i, r := range results {
		if f.JSON {
			if err := json.NewEncoder(w).Encode(r); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := loadtest.WriteTable(w, r); err != nil {
			return err
		}
	}
	if f.Report == "" || len(results) == 0 {
		return nil
	}
	var page bytes.Buffer
	if err := loadtest.WriteReport(&page, results); err != nil {
		return fmt.Errorf("making the report: %w", err)
	}
	return os.WriteFile(f.Report, page.Bytes(), 0o644)
}

// loadYardstickCmd serves a yardstick until it is stopped.
type loadYardstickCmd struct {
	Kind string `arg:"" enum:"floor,naive" help:"floor or naive."`
	Addr string `default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Where to listen (${default})."`
}

func (c *loadYardstickCmd) Run(ctx context.Context, std *streams) error {
	return yardstick.Serve(ctx, c.Kind, c.Addr, func(addr string) {
		fmt.Fprintf(std.Out, "yardstick %s serves on http://%s\n", c.Kind, addr)
	})
}
