package loadtest

import (
	"fmt"
	"slices"
	"strings"
)

// A scenario is one kind of load, and what its results have.
type scenario struct {
	run      func(*run) error
	settings []string // the fields of Config that count
	// main names the distribution that is first in the result, also the others, and
	// per the unit that costs are divided by.
	main string
	also []string
	per  string
	// rates and counts are named in every result, if only with 0.
	rates, counts []string
	// fails are kinds of errors besides those of connections and of the protocol.
	fails []string
	// api says that the scenario needs the server API, or resuming.
	api bool
}

var (
	sending    = []string{"published", "delivered"}
	deliveries = []string{"joins", "published", "expected", "delivered", "lost", "doubled", "misordered"}
	known      = []string{"joins", "expected", "delivered", "lost", "doubled", "misordered", "roster_wrong"}
)

// scenarios are all of them by name. docs of the package tell what they do.
func scenarios() map[string]scenario {
	return map[string]scenario{
		"join": {run: runJoin, settings: []string{"people", "room_size", "rate", "dialling", "hold"}, main: "join", per: "join",
			rates: []string{"joins"}, counts: append([]string{"everybody_ms"}, known...)},
		"storm": {run: runStorm, settings: []string{"people", "hold"}, main: "join", per: "join",
			rates: []string{"joins"}, counts: append([]string{"everybody_ms"}, known...)},
		"idle": {run: runIdle, settings: []string{"people", "room_size", "settle", "duration"}, main: "join", per: perIdle,
			counts: append([]string{"connections"}, known...)},
		"fanout": {run: runFanout, settings: []string{"people", "window", "size", "duration"}, main: "delivery", per: "delivery",
			rates: sending, counts: deliveries},
		"rooms": {run: runRooms, settings: []string{"rooms", "room_size", "rate", "size", "duration"}, main: "delivery", per: "publish",
			rates: sending, counts: deliveries},
		"video": {run: runVideo, settings: []string{"speakers", "people", "fps", "size", "key_every", "layers", "duration"}, main: "delivery", per: "delivery",
			rates: sending, counts: append([]string{"frames", "key_frames"}, deliveries...)},
		"roles": {run: runRoles, settings: []string{"rooms", "room_size", "rate", "size", "flips", "patch", "duration"}, main: "enforcement",
			also: []string{"told", "delivery"}, per: "publish", rates: sending, counts: append([]string{"flips", "late", "refused"}, deliveries...),
			fails: []string{"api"}, api: true},
		"refresh": {run: runRefresh, settings: []string{"people", "room_size", "rate", "duration"}, main: "refresh", also: []string{"after_join"}, per: "refresh",
			counts: append([]string{"changes", "tokens", "usable", "unusable"}, without(deliveries, "published")...),
			fails:  []string{"api", "refreshed token"}, api: true},
		"reconnect": {run: runReconnect, settings: []string{"people", "room_size", "rate", "size", "dialling", "duration"}, main: "resume",
			also: []string{"delivery"}, per: "resume", rates: sending,
			counts: append([]string{"cut", "recovered", "unrecovered", "everybody_ms"}, deliveries...), api: true},
		"slow": {run: runSlow, settings: []string{"people", "share", "rate", "size", "duration"}, main: "delivery", also: []string{"delivery_without_slow"},
			per: "delivery", rates: sending, counts: append([]string{"slow", "slow_closed", "slow_cut", "slow_back", "slow_kept"}, deliveries...), api: true},
		"soak": {run: runSoak, settings: []string{"rooms", "room_size", "rate", "churn", "size", "duration", "every"}, main: "delivery", per: "publish",
			rates: sending, counts: append([]string{"recovered", "tokens", "roster_checks", "roster_wrong", "rss_slope_bytes_per_minute",
				"goroutines_slope_per_hour", "did_join", "did_cut", "did_leave", "did_flip", "did_change", "did_slow"}, deliveries...),
			fails: []string{"join", "cut", "leave", "flip", "change", "slow"}, api: true},
	}
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// NeedsUsher reports whether a scenario is about what only usher does, so that
// the yardsticks cannot run it.
func NeedsUsher(scenario string) bool { return scenarios()[scenario].api }

// Check refuses names that no result of a scenario can have: to be told of them
// after ten minutes of measuring would be late. yardsticks says that there will be
// ratios. What only the run can tell, such as whether costs were measured, is left
// to [Conditions.Failed].
func (c Conditions) Check(scenario string, yardsticks bool) error {
	s, ok := scenarios()[scenario]
	if !ok {
		return fmt.Errorf("there is no scenario %q", scenario)
	}
	for _, condition := range c {
		if err := condition.check(s, yardsticks); err != nil {
			return fmt.Errorf("%q: %w", condition, err)
		}
	}
	return nil
}

func (c Condition) check(s scenario, yardsticks bool) error {
	name := c.Figure
	if statistic(name) != nil {
		return nil
	}
	before, after, dotted := strings.Cut(name, ".")
	switch {
	case before == "errors" && dotted:
		_, err := errorsOf(Result{ErrorKinds: s.errorKinds()}, after)
		return err
	case before == "rate":
		if !slices.Contains(s.rates, after) {
			return noSuch("rate", after, s.rates)
		}
	case before == "ratio":
		if !yardsticks {
			return fmt.Errorf("there are ratios with --yardstick only")
		}
	case dotted:
		latency := name[:strings.LastIndex(name, ".")]
		if all := append([]string{s.main}, s.also...); !slices.Contains(all, latency) {
			return noSuch("latency", latency, all)
		}
	case slices.Contains([]string{"errors", "cpu", "memory", "rss", "goroutines"}, name), slices.Contains(absentWhenNone, name),
		slices.Contains(s.counts, name):
	default:
		return noSuch("count", name, s.counts)
	}
	return nil
}

// errorKinds are the kinds of errors that a run of the scenario can have, besides
// those of connections, which all can.
func (s scenario) errorKinds() []string {
	kinds := append([]string{"a message that is none", "a payload of another size"}, s.fails...)
	return append(kinds, requestErrors...)
}

// requestErrors are the codes with which a server refuses a message.
var requestErrors = []string{"not_allowed", "invalid_request", "unknown_type", "not_found", "limit_exceeded", "rate_limited", "moved", "unavailable"}
