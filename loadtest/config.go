package loadtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// A Target is a server to measure.
type Target struct {
	Name   string // "usher", "floor" or "naive"
	URL    string // http://, https://, ws:// or wss://
	Key    string // LiveKit API key, to make tokens and call the server API with
	Secret string
	PID    int // of a server on this machine; 0: only its /metrics tell what it costs
	// API is whether the server has usher's server API and /metrics. The
	// yardsticks have neither.
	API bool
	// APIURL is where that is, when not at URL.
	APIURL string
	// TLS is used with https; nil means the system's roots.
	TLS *tls.Config
	// Disposable says that the server ends with the run: nobody needs to leave it.
	Disposable bool
}

// Config says what a run does. Each scenario reads the fields that its text
// names; the others do not count.
type Config struct {
	Scenario string

	People      int           // in all, or in the audience
	RoomSize    int           // people in a room
	Rooms       int           //
	Speakers    int           // of video
	Window      int           // messages outstanding, of fanout
	Size        int           // bytes of a data payload, or of a video frame
	Rate        float64       // a second: joins in all, or messages of each publisher
	Churn       float64       // of soak: people who come, go, change or are cut, a second
	FPS         float64       // video
	KeyEvery    int           // frames from one key frame to the next
	Layers      int           // temporal layers, 1 to 3
	Share       float64       // of the people who stop reading, 0 to 1
	Flips       int           // changes of permission, or 0 for as many as Duration allows
	Patch       bool          // flip by PATCH of usher's own API, not by LiveKit's
	Duration    time.Duration // of measuring
	Hold        time.Duration // idle time after joining, to watch memory
	Settle      time.Duration // of idle: from when everybody is in to the measuring
	Every       time.Duration // of soak: how often the lists are compared
	Drain       time.Duration // how long to wait for what is still on its way
	Dialling    int           // connections being opened at once
	StepLimit   time.Duration // how long people may take to join
	RosterLimit int           // the server's room.roster_limit, above which people are counted and not listed; 0: 1000
	Threads     int           // of the load test that serve connections; 0: as the machine has

	// Progress hears several times a second how far the run is. Optional.
	Progress func(Progress) `json:"-"`
}

// Progress is how far a run is.
type Progress struct {
	Phase string // "joining", "measuring", "draining"
	Done  float64
	Total float64
	Note  string
}

// mostRate is more than anything does in a second; beyond it, a period would
// round to nothing.
const mostRate = 1e6

// Check says what in c makes no sense.
func (c Config) Check() error {
	_, _, err := c.normal()
	return err
}

// normal fills in what must not be zero, and refuses what makes no sense.
func (c Config) normal() (Config, scenario, error) {
	s, ok := scenarios()[c.Scenario]
	if !ok {
		return c, s, fmt.Errorf("there is no scenario %q", c.Scenario)
	}
	for _, name := range s.settings {
		v := c.setting(name)
		bad := false
		switch name {
		case "people", "room_size", "rooms", "speakers", "window", "key_every", "layers":
			bad = v.(int) < 1
		case "fps", "churn":
			bad = !(v.(float64) > 0) || v.(float64) > mostRate
		case "flips":
			bad = v.(int) < 0
		case "rate":
			bad = !(v.(float64) >= 0) || v.(float64) > mostRate || v.(float64) == 0 && c.Scenario != "join"
		case "duration", "every":
			bad = v.(time.Duration) <= 0
		case "hold", "settle":
			bad = v.(time.Duration) < 0
		case "share":
			bad = !(v.(float64) > 0 && v.(float64) < 1)
		}
		if bad {
			return c, s, fmt.Errorf("%s: %s cannot be %v", c.Scenario, name, v)
		}
	}
	if c.Size < 0 || c.Size > 1<<20 || c.Layers > 3 {
		return c, s, errors.New("size is at most 1048576, and there are at most 3 layers")
	}
	if c.Scenario != "video" {
		c.Size = max(c.Size, minPayload)
		if c.Size > 60<<10 {
			return c, s, errors.New("a payload has at most 61440 bytes: servers take messages of 64 KiB")
		}
	}
	if c.Drain <= 0 {
		c.Drain = 10 * time.Second
	}
	if c.Dialling <= 0 {
		c.Dialling = 256
	}
	if c.RosterLimit <= 0 {
		c.RosterLimit = 1000
	}
	if c.StepLimit <= 0 {
		c.StepLimit = time.Minute
	}
	return c, s, nil
}

// setting is a field by its name in a result.
func (c Config) setting(name string) any {
	switch name {
	case "people":
		return c.People
	case "room_size":
		return c.RoomSize
	case "rooms":
		return c.Rooms
	case "speakers":
		return c.Speakers
	case "window":
		return c.Window
	case "size":
		return c.Size
	case "rate":
		return c.Rate
	case "churn":
		return c.Churn
	case "fps":
		return c.FPS
	case "key_every":
		return c.KeyEvery
	case "layers":
		return c.Layers
	case "share":
		return c.Share
	case "flips":
		return c.Flips
	case "patch":
		return c.Patch
	case "duration":
		return c.Duration
	case "hold":
		return c.Hold
	case "settle":
		return c.Settle
	case "every":
		return c.Every
	case "dialling":
		return c.Dialling
	}
	return nil
}

// settings are the fields that count, for the result. Durations are seconds.
func (c Config) settings(names []string) map[string]any {
	all := map[string]any{}
	for _, name := range names {
		v := c.setting(name)
		if d, ok := v.(time.Duration); ok {
			v = d.Seconds()
		}
		all[name] = v
	}
	return all
}
