// Package web is the HTTP surface: which address leads to what, and what holds
// for every request. What the addresses do lives elsewhere and is handed in.
//
// # Addresses
//
//	/session            the native protocol's WebSocket
//	/rtc…               LiveKit's signal protocol: 501, it is not here yet
//	/twirp/…            LiveKit's server API
//	/usher/v1/…         usher's own server API
//	/v1, /v1/…          Daily's server API
//	/v2/…               Liveblocks' server API
//	/v2/c/…             what pages ask Liveblocks for, for clients
//	/v7, /v8, /ai/v7    Liveblocks' WebSockets
//	/metrics            Prometheus
//	/healthz, /readyz   for whatever watches the process
//	/sdk/usher.js       the browser SDK, for pages of every origin
//	/, /{room}          the demo page; its files are at /demo/…
//	/console            the operators' page; its files are at /console/…
//	/debug/pprof/…      the profiler, only on an address of its own
//
// With an admin address, server APIs, metrics and console are there and nowhere
// else. An address that leads nowhere is answered with 404 and a JSON body.
//
// # What holds for every request
//
// Headers end at 16 KiB and must arrive within 5 s. A panic ends the request
// with 500, not the process. Logs have method, path and status: never the query
// string, never a header, for both carry tokens.
package web

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Config says what is served.
type Config struct {
	// Session takes the native protocol's WebSockets.
	Session http.Handler

	// Twirp is the LiveKit-compatible server API. Optional.
	Twirp http.Handler

	// API is usher's own server API, /usher/v1/. Optional.
	API http.Handler

	// Liveblocks is the server API of Liveblocks, /v2/, but for what pages ask
	// for, which is LiveblocksClient's: /v2/c/. They get paths as they came, for a
	// room's id may have any characters. Optional.
	Liveblocks, LiveblocksClient http.Handler

	// Daily is the server API of Daily, /v1 and below. It gets paths as they came,
	// too: a token may be a part of one. Optional.
	Daily http.Handler

	// Pages serves the demo: "/" and "/{room}", where [http.Request.PathValue]
	// has the room, and "/demo/{file}". Optional.
	Pages http.Handler

	// SDK serves the browser SDK's files, "/sdk/…". Optional.
	SDK http.Handler

	// Console serves the operators' page: "/console" and "/console/{file}".
	// Optional.
	Console http.Handler

	// Ready reports whether new clients should come here. Nil means always.
	Ready func() bool

	// Metrics is what /metrics shows. The surface registers its own there.
	Metrics *prometheus.Registry

	// SeparateAdmin moves server API, console, metrics and profiler to the second handler.
	SeparateAdmin bool

	// Log gets a line for each request (Debug) and each panic (Error). Nil
	// means no log.
	Log *slog.Logger
}

// Limits of every request.
const (
	// MaxHeaderBytes is where headers end. Tokens that are longer come in a
	// message.
	MaxHeaderBytes = 16 << 10

	// MaxAPIBytes is the largest body of a server API call.
	MaxAPIBytes = 10 << 20

	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 2 * time.Minute
)

// reserved are addresses that will lead somewhere one day. They must not look
// like rooms of the demo until then.
var reserved = []string{
	"/favicon.ico", "/sdk", "/twirp", "/usher",
	"/v2", "/ai", "/metrics", "/debug",
}

// WebSocketPaths are the routes whose requests become WebSockets, for
// [session.Server.Front].
var WebSocketPaths = []string{"/session", "/v7", "/v8", "/ai/v7"}

// New returns the handler for clients, and the one for the admin address, nil
// unless there is one.
func New(c Config) (public, admin http.Handler) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	m := newMetrics(c.Metrics)
	clients := http.NewServeMux()
	operators := clients
	if c.SeparateAdmin {
		operators = http.NewServeMux()
		c.health(operators)
		operators.Handle("/", http.HandlerFunc(notFound))
		profiler(operators)
	}

	c.health(clients)
	for _, path := range WebSocketPaths {
		clients.Handle(path, c.Session)
	}
	clients.HandleFunc("/rtc", noSignal)
	clients.HandleFunc("/rtc/", noSignal)
	operators.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
	if c.Twirp != nil {
		operators.Handle("/twirp/", api(c.Twirp))
	}
	if c.API != nil {
		operators.Handle("/usher/v1/", api(c.API))
	}
	if c.Console != nil {
		operators.Handle("/console", page(c.Console))
		operators.Handle("/console/{file}", page(c.Console))
	}
	if c.Console == nil || c.SeparateAdmin {
		clients.HandleFunc("/console", notFound)
	}
	if c.Daily != nil {
		operators.Handle("/v1", c.Daily)
	}
	if c.Daily == nil || c.SeparateAdmin {
		clients.HandleFunc("/v1", notFound)
	}
	for _, path := range reserved {
		clients.HandleFunc(path, notFound)
	}
	if c.Pages != nil {
		clients.Handle("/{$}", page(c.Pages))
		clients.Handle("/{room}", page(c.Pages))
		clients.Handle("/demo/{file}", page(c.Pages))
	}
	if c.SDK != nil {
		clients.Handle("/sdk/", page(c.SDK))
	}
	clients.HandleFunc("/", notFound)

	if !c.SeparateAdmin {
		return c.wrap(asTheyCame(c.serverAPIs(clients), "/v2/c/", c.LiveblocksClient), m), nil
	}
	return c.wrap(asTheyCame(clients, "/v2/c/", c.LiveblocksClient), m), c.wrap(c.serverAPIs(operators), m)
}

// serverAPIs hands on the requests to server APIs that are not the mux's.
func (c Config) serverAPIs(mux http.Handler) http.Handler {
	return asTheyCame(asTheyCame(mux, "/v2/", c.Liveblocks), "/v1/", c.Daily)
}

// asTheyCame hands h, unless it is nil, the requests below a path. The mux would
// redirect what has "//" or ".." in it.
func asTheyCame(mux http.Handler, below string, h http.Handler) http.Handler {
	if h == nil {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.EscapedPath(), below) {
			h.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// NewServer returns a server for one of the handlers of [New]. It bounds what
// a slow or hostile client can take before a handler sees it.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout, // WebSockets are free of it once they are upgraded
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes, // give or take a buffer; the handler counts exactly
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func (c Config) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if c.Ready != nil && !c.Ready() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
}

// profiler serves net/http/pprof, which takes longer than other requests may.
func profiler(mux *http.ServeMux) {
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.SetReadDeadline(time.Time{})
			_ = rc.SetWriteDeadline(time.Time{})
			h(w, r)
		})
	}
}

// noSignal answers LiveKit's clients, which show the first line to people.
func noSignal(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "the LiveKit signal protocol is not served here yet; connect to /session with the usher.v1 protocol",
		http.StatusNotImplemented)
}

// page refuses what is no reading. The mux cannot: a pattern with a method and a
// wildcard contradicts those with neither.
func page(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeError(w, http.StatusMethodNotAllowed, "method_not_allowed", "this page can only be read")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound, "not_found", "there is nothing at this address")
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{code, message})
}
