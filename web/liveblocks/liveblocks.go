package liveblocks

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"usher/auth/liveblocks"
	"usher/room"
)

// A Config says what is served. Rooms and Door are required.
type Config struct {
	Rooms *room.Rooms

	// Door knows the projects' keys.
	Door *liveblocks.Door

	// TokenLife is how long tokens may hold, see [auth.Verifier.LimitLife]. Those
	// made here hold an hour at most. Optional.
	TokenLife time.Duration

	// Log gets a line for each change made through the API. Nil means no log.
	Log *slog.Logger
}

// New returns the handler for /v2/, but for /v2/c/. It has to get the path as it
// came: [http.ServeMux] would redirect what is not clean, and a room's id may
// have any characters.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &api{Config: c, reading: semaphore.NewWeighted(readingBytes)}
	a.paths = routes()
	return a
}

type api struct {
	Config
	paths   []*route            // static
	reading *semaphore.Weighted // bytes of bodies that are not small
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, told, err := a.serve(w, r)
	switch {
	case err != nil:
		refuse(w, a.problem(err))
	case told == nil:
		w.WriteHeader(status)
	default:
		answer(w, status, told)
	}
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) (status int, told any, err error) {
	found, name := find(a.paths, r.URL.EscapedPath())
	if found == nil {
		r.Pattern = "/v2/" // a closed set, for metrics
		return 0, nil, errNowhere
	}
	r.Pattern = found.pattern
	do := found.handler(r.Method)
	if do == nil && found.product == "" {
		return 0, nil, wrongMethod(r.Method, found.allowed())
	}
	project, err := a.authenticate(r)
	switch {
	case err != nil:
		return 0, nil, err
	case do == nil:
		return 0, nil, notOffered(found.product)
	case r.ContentLength > bodyBytes:
		return 0, nil, errLarge
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
	c := &call{Request: r, api: a, project: project, room: name}
	defer func() { a.reading.Release(c.held) }()
	return do(c)
}

// authenticate returns the project whose secret key came along.
func (a *api) authenticate(r *http.Request) (project string, err error) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if key = strings.TrimSpace(key); !ok || key == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", errNoKey
	}
	if project, ok := a.Door.Secret(key); ok {
		return project, nil
	}
	switch {
	case strings.HasPrefix(key, "pk_"):
		return "", errPublicKey
	case strings.Count(key, ".") == 2:
		return "", errToken
	}
	return "", errKey
}

// iso is a time as JavaScript writes it.
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
