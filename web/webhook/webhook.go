// Package webhook tells backends by HTTP what occurs in rooms.
//
// # Order
//
// For each target the events of one room, by its name, are delivered one after
// another in the order in which they occurred: the next one is sent when the
// one before it was taken or given up. Rooms do not wait for each other. The
// order holds through retries, restarts of the target and restarts of usher.
// An event may come again after a failure: then with the same id and the same
// bytes. It comes before any later event of the room, unless usher was killed:
// what was delivered in its last moments, and not yet noted, comes once more.
//
// # Durability
//
// [Sender.Observe] only takes memory, as it is called under a room's mutex. One
// goroutine writes what has been queued to the store, in groups, and only what
// is durable is sent. What was queued in the last moment before the process is
// killed is lost: nobody was told of it. The same commit keeps a mark of who
// and which room was told to be there, so that [Sender.Start] can say of those
// left over by an unclean stop that they left, before anything new of the room.
//
// # Giving up
//
// An event is given up when the target refuses it (a status of 3xx or 4xx other
// than 429: rejected), when it is older than [Target.MaxAge] (expired), when the
// target is no longer there (removed), and when too much waits (overflow).
// Connection errors, timeouts, 429 and 5xx are tried again, with pauses that
// grow. Each outcome is counted, and logged. A target with a [Policy] of its own
// has other rules.
//
// All that waits is in memory, too. Its bounds are [Config.MaxEvents] and
// [Config.MaxBytes] for each target of Config, and for all others of a project
// together: beyond them the oldest events of the room of which most waits are given
// up, of the target that has most. The same bounds hold for what waits to be written
// while the store stands still.
//
// # Targets
//
// The targets of [Config] are LiveKit's: they are there from the start to the
// end. Others come, change and go while it runs, by [Sender.Set] and
// [Sender.Remove], with the words of another [API], a signature and a [Policy] of
// their own. All are fed from one stream, and what is said above of order,
// durability and bounds is true of all of them.
package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/room"
	"usher/room/store"
)

// A Config says where events go. Store and Encode are required.
type Config struct {
	// Store keeps events until they are delivered.
	Store store.Store

	Targets []Target

	// Encode is [API.Encode] of the targets that have no API of their own.
	Encode func(o *room.Occurrence, newID func() string) []Event

	// RoomAlive reports, at the start, whether a room that was announced goes
	// on living. Nil: none does.
	RoomAlive func(project, name, sid string) bool

	Log       *slog.Logger          // nil: no log
	Metrics   prometheus.Registerer // nil: no metrics
	Transport http.RoundTripper     // nil: one of its own

	Timeout  time.Duration // of one attempt, the answer's body included; 10 s
	RetryMin time.Duration // the first pause between attempts; 250 ms
	RetryMax time.Duration // the longest, unless the target asks for a longer one; 1 min
	Workers  int           // attempts at the same time, for each target; 16

	MaxEvents int // that wait for a target, or for those that Set adds to a project; 100 000
	MaxBytes  int // of their bodies; 64 MiB
}

// An API is in whose words targets are told. It is the same pointer for all
// targets that share events.
type API struct {
	// Encode returns what is told of an occurrence, which may be nothing. Each
	// event takes an id from newID, or one that is as good. It is not called
	// concurrently.
	Encode func(o *room.Occurrence, newID func() string) []Event
	// ContentType of the events.
	ContentType string
	// Meetings says that it tells of meetings, and of those who wait to be let in.
	Meetings bool
}

// A Target is a URL that is told of a project's events. Project and ID, or URL
// when there is no ID, are its name: what was not delivered when usher stopped is
// for the same two.
type Target struct {
	Project string
	ID      string // of one that [Sender.Set] adds
	URL     string

	// API, Sign and Policy are of targets that are not LiveKit's, all three.
	API *API
	// Sign sets the headers that prove where an event comes from. It may be
	// called concurrently.
	Sign   func(h http.Header, body []byte, now time.Time)
	Policy Policy
	// Health is how it stood when it was last there.
	Health Health
	// Changed is called when its [Health] has changed. It may be called
	// concurrently, and holds up the events of a room. Optional.
	Changed func()

	KeyID  string // of the LiveKit key that signs
	Secret auth.Secret

	// StandardSecret, written as whsec_ and base64, adds the headers of
	// Standard Webhooks. Optional.
	StandardSecret auth.Secret

	// ExtraEvents adds the events that LiveKit does not have.
	ExtraEvents bool
	// Include names the only events that are wanted, extra ones too. Empty:
	// all of LiveKit's, and the extra ones as ExtraEvents says.
	Include []string
	Exclude []string // names those that are not

	// MaxAge is how long an event is tried; 24 hours.
	MaxAge time.Duration
}

// An Event is one message to the targets of a project.
type Event struct {
	ID    string // the same on every attempt
	Name  string
	Body  []byte // not changed any more
	Extra bool   // LiveKit does not have it
}

func (t *Target) wants(e *Event) bool {
	switch {
	case slices.Contains(t.Exclude, e.Name):
		return false
	case len(t.Include) > 0:
		return slices.Contains(t.Include, e.Name)
	}
	return t.ExtraEvents || !e.Extra
}

// New returns a Sender that queues what it observes. [Sender.Start] begins to
// send it.
func New(c Config) (*Sender, error) {
	if c.Store == nil || c.Encode == nil {
		return nil, errors.New("webhook: a Sender needs a store and an encoding")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.RoomAlive == nil {
		c.RoomAlive = func(_, _, _ string) bool { return false }
	}
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.RetryMin = cmp.Or(c.RetryMin, 250*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, time.Minute)
	c.Workers = cmp.Or(c.Workers, 16)
	c.MaxEvents = cmp.Or(c.MaxEvents, 100_000)
	c.MaxBytes = cmp.Or(c.MaxBytes, 64<<20)
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = c.Workers
		c.Transport = t
	}
	return newSender(c)
}

// check returns what a target is to be. Its errors quote neither secrets nor the
// URL, which may hold one.
func (s *Sender) check(c Target) (*settings, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("webhook: a target of project %q has no http or https URL", c.Project)
	}
	t := &settings{Target: c}
	t.shown = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	t.attr = slog.String("url", t.shown)
	if c.ID != "" { // whoever made it up may have put a secret in its path
		t.shown = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
		t.attr = slog.Group("", slog.String("webhook", c.ID), slog.String("url", t.shown))
	}
	if c.API == nil {
		t.API = s.livekit
	}
	if t.Sign == nil && (c.KeyID == "" || len(c.Secret) == 0) {
		return nil, fmt.Errorf("webhook: the target %s has no key to sign with", t.shown)
	}
	if len(c.StandardSecret) > 0 {
		text, ok := strings.CutPrefix(string(c.StandardSecret), "whsec_")
		key, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || len(key) == 0 {
			return nil, fmt.Errorf("webhook: the standard secret of the target %s is not whsec_ followed by base64", t.shown)
		}
		t.standardKey = key
	}
	t.MaxAge = cmp.Or(t.MaxAge, 24*time.Hour)
	return t, nil
}

// name is how a target is called in the store.
func (t *Target) name() string {
	if t.ID != "" {
		return nameOf(t.Project, t.ID)
	}
	return nameOf(t.Project, t.URL)
}

func nameOf(project, what string) string {
	sum := sha256.Sum256([]byte(project + "\x00" + what))
	return hex.EncodeToString(sum[:8])
}
