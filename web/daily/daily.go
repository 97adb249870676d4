// Package daily serves Daily's REST API, /v1: rooms, meeting tokens, and control
// of the people in a room, in Daily's words, statuses and shapes. What Daily's
// documentation leaves open is said where it is decided.
//
// # What is the same as with Daily
//
// Whatever works is answered with 200. Errors are {"error", "info"}; error is one of a
// few words, info is for people, but for the phrases that clients look for. A
// request without a key is a 400, one with a wrong key a 401 without a word more.
// Bodies are JSON whatever their content type says, a slash at the end of an
// address is passed over, and times are taken with a fraction.
//
// # What is not
//
// Presence is exact and immediate. Tokens can be revoked, see [revokeTokens]. A
// property of a token or a member of a body that does not exist is refused, for a
// misspelt one must not look as if it had been set; unknown properties of rooms
// are kept and shown. Rate limits are off unless the project has them.
package daily

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"usher/auth"
	"usher/auth/daily"
	"usher/room"
	"usher/room/store"
)

// A Config says what is served. Rooms, Verifier, Domains and Store are required.
type Config struct {
	Rooms    *room.Rooms
	Verifier *auth.Verifier
	Domains  *daily.Domains

	// Store keeps the domains' properties.
	Store store.Store

	// Meetings is the log behind /v1/meetings. Nil: there never were any.
	Meetings *Meetings

	// Webhooks is what is behind /v1/webhooks. Nil: there are none.
	Webhooks *Hooks

	// RoomURL returns what the addresses of a project's rooms begin with, without
	// a slash at the end. Empty, or nil: Daily's, https://NAME.daily.co.
	RoomURL func(project string) string

	// Log gets a line for each change made through the API. Nil means no log.
	Log *slog.Logger
}

// New returns the handler for /v1 and what is below it, and puts in force what the
// store has of domains. The handler has to get the path as it came: [http.ServeMux]
// would redirect what is not clean. Its errors are the store's.
func New(c Config) (http.Handler, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &api{Config: c, reading: semaphore.NewWeighted(readingBytes), warnings: rate.NewLimiter(rate.Every(time.Minute/10), 10)}
	a.paths = routes()
	if err := a.settings.load(c.Store, c.Domains); err != nil {
		return nil, err
	}
	return a, nil
}

type api struct {
	Config
	paths    []*route            // static
	reading  *semaphore.Weighted // bytes of bodies that are not small
	settings settings
	rates    rates
	warnings *rate.Limiter // of lines in the log
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				answer(w, errServer.status, errServer)
			}
			panic(p) // whoever is above logs it
		}
	}()
	told, err := a.serve(w, r)
	switch {
	case err != nil:
		refuse(w, a.problem(err))
	case told == nil:
		w.WriteHeader(http.StatusOK)
	default:
		answer(w, http.StatusOK, told)
	}
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) (told any, err error) {
	found, name := find(a.paths, r.URL.EscapedPath())
	if found == nil {
		r.Pattern = "/v1/" // a closed set, for metrics
		return nil, errNowhere
	}
	r.Pattern = found.pattern
	do := found.handler(r.Method)
	if do == nil && found.product == "" {
		return nil, wrongMethod(r.Method, found.allowed())
	}
	domain, key, err := a.authenticate(r)
	if err != nil {
		return nil, err
	}
	if domain.RateLimits {
		method := r.Method
		if do == nil {
			method = "" // which may be any word there
		}
		if wait, ok := a.rates.take(key, method, found.pattern, time.Now()); !ok {
			return nil, tooMany(wait)
		}
	}
	switch {
	case do == nil:
		return nil, notOffered(found.product)
	case r.ContentLength > bodyBytes:
		return nil, errLarge
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query of the address cannot be read")
	}
	c := &call{Request: r, api: a, domain: domain, name: name, query: query, header: w.Header()}
	defer func() { a.reading.Release(c.held) }()
	return do(c)
}

// authenticate returns the domain whose API key came along, and the key.
func (a *api) authenticate(r *http.Request) (d daily.Domain, key string, err error) {
	scheme, key, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if key = strings.TrimSpace(key); !ok || key == "" || strings.ContainsAny(key, " \t") || !strings.EqualFold(scheme, "Bearer") {
		return d, "", errNoKey
	}
	d, ok = a.Domains.ByAPIKey(key)
	if !ok {
		return d, "", errKey
	}
	return d, key, nil
}

// iso is a time as JavaScript writes it.
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
