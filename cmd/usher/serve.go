package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/livekit"
	"usher/web"
)

// gcPercent is how much the heap grows between two collections, unless GOGC says
// otherwise. When thousands join, the usual 100 spends a tenth of the work on
// looking at those who are in; this costs 2 kB for each of them.
const gcPercent = 150

// serveCmd runs the server.
type serveCmd struct {
	Config string `placeholder:"FILE" help:"Configuration, usher.yaml."`
	Dev    bool   `help:"Develop: a project with well-known keys, every origin, no limits of rates, and addresses with ready tokens printed at the start. Not for others' eyes."`

	Addr      string `placeholder:"HOST:PORT" help:"Where to listen (127.0.0.1:7880)."`
	AdminAddr string `placeholder:"HOST:PORT" help:"The only address of server APIs, metrics and profiler, when set."`
	Data      string `placeholder:"DIR" help:"Durable state."`
	TLSCert   string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM."`
	TLSKey    string `name:"tls-key" placeholder:"FILE" help:"Private key, PEM."`
	LogLevel  string `enum:",debug,info,warn,error" default:"" placeholder:"LEVEL" help:"debug, info, warn or error (info)."`
	LogFormat string `enum:",text,json" default:"" placeholder:"FORMAT" help:"text or json (text)."`
}

// Help is the long text of --help.
func (serveCmd) Help() string {
	return `
Serves --config, or with --dev a project to try things with. Flags count more than the file.

SIGINT and SIGTERM stop: the server is not ready any more, its clients are told to come back at different times, and it ends within a few seconds of the configured drain. A second signal ends it at once. SIGHUP reads the configuration again: keys, revoked keys, TLS certificate and log level change at once, everything else with the next start. A file with mistakes changes nothing.
`
}

func (s *serveCmd) Run(ctx context.Context, std *streams) error {
	if s.Config == "" && !s.Dev {
		return withHint(usageErrorf("serve needs --config FILE or --dev"), "usher serve --dev starts a server to try things with")
	}
	for flag, addr := range map[string]string{"--addr": s.Addr, "--admin-addr": s.AdminAddr} {
		if _, _, err := net.SplitHostPort(addr); addr != "" && err != nil {
			return usageErrorf("%s %s is not an address; write it like 127.0.0.1:7880", flag, addr)
		}
	}
	// From here on a SIGHUP is a wish, and does not end the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	cfg, err := s.settings()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var level slog.LevelVar
	level.Set(cfg.Log.slogLevel())
	log := newLog(std.Err, cfg.Log.Format, &level)

	srv, err := assemble(cfg, log)
	if err != nil {
		return err
	}
	if err := srv.listen(ctx); err != nil {
		srv.close()
		return err
	}
	if s.Dev {
		srv.ownURL = fmt.Sprintf("http%s://%s", srv.scheme(), reachable(srv.clients.Addr()))
		if !loopback(srv.clients.Addr()) {
			log.Warn("others can reach a server whose keys everybody knows", "addr", srv.clients.Addr().String())
		}
		if err := srv.announce(ctx, std.Out); err != nil {
			srv.close()
			return err
		}
	}
	s.warn(cfg, log)

	// What follows ends when ctx does, or when a listener fails.
	group, ctx := errgroup.WithContext(ctx)
	srv.serve(group)
	group.Go(func() error {
		for {
			select {
			case <-hangup:
				s.reload(srv, &level, log)
			case <-ctx.Done():
				srv.stop()
				return nil
			}
		}
	})
	return group.Wait()
}

// warn tells of settings that work and make the server everybody's.
func (s *serveCmd) warn(cfg *config, log *slog.Logger) {
	if ids := cfg.publicKeys(); !s.Dev && len(ids) > 0 {
		log.Warn("anybody can make tokens for this server: the secret is the sample of the documentation; openssl rand -hex 32 prints a good one",
			"keys", strings.Join(ids, " "))
	}
	if settings := cfg.loose(); !s.Dev && settings != "" {
		log.Warn("Daily tokens without exp hold for ever, and those without a room open every one; these settings refuse them", "settings", settings)
	}
	if settings := cfg.foreignRoomURLs(); !s.Dev && settings != "" {
		log.Warn("Daily's API tells addresses of rooms that are at daily.co, where this server's rooms are not; these settings say where your pages are", "settings", settings)
	}
}

// reload takes over what may change while the server runs.
func (s *serveCmd) reload(srv *server, level *slog.LevelVar, log *slog.Logger) {
	if s.Config == "" {
		log.Info("there is no configuration file to read again")
		return
	}
	next, err := s.settings()
	if err == nil {
		err = srv.reload(next)
	}
	if err != nil {
		log.Error("the configuration was not reloaded, the one before stays in force",
			"error", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	level.Set(next.Log.slogLevel())
	s.warn(next, log)
	log.Info("configuration reloaded", "projects", len(next.Projects))
}

func newLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// listen opens the addresses, so that a mistake in them ends the start.
func (s *server) listen(ctx context.Context) error {
	if s.cfg.TLS.Cert != "" {
		if err := s.loadCertificate(s.cfg.TLS); err != nil {
			return err
		}
	}
	// Sessions have pings of their own, and other connections are not kept for long.
	config := net.ListenConfig{KeepAlive: -1}
	for _, at := range []struct {
		addr string
		into *net.Listener
		flag string
	}{{s.cfg.Addr, &s.clients, "--addr"}, {s.cfg.AdminAddr, &s.operators, "--admin-addr"}} {
		if at.addr == "" {
			continue
		}
		l, err := config.Listen(ctx, "tcp", at.addr)
		if err != nil {
			var wrapped *net.OpError
			if errors.As(err, &wrapped) {
				err = wrapped.Err // the outer text only repeats the address
			}
			return withHint(fmt.Errorf("cannot listen on %s: %w", at.addr, err), "%s chooses another address", at.flag)
		}
		*at.into = l
		s.log.Info("listening", "addr", l.Addr().String(), "for", map[bool]string{true: "clients", false: "operators"}[at.flag == "--addr"])
	}
	return nil
}

func (s *server) loadCertificate(t tlsConfig) error {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return fmt.Errorf("cannot use the TLS certificate %s with the key %s: %w", t.Cert, t.Key, err)
	}
	s.certificate.Store(&pair)
	return nil
}

// serve answers on the addresses until stop.
func (s *server) serve(group *errgroup.Group) {
	for _, at := range []struct {
		l    net.Listener
		http *http.Server
		tls  bool
	}{{s.clients, s.public, s.cfg.TLS.Cert != ""}, {s.operators, s.admin, false}} {
		if at.l == nil {
			continue
		}
		group.Go(func() error {
			var err error
			if at.tls {
				at.http.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
					return s.certificate.Load(), nil
				}}
				err = at.http.ServeTLS(at.l, "", "")
			} else {
				err = at.http.Serve(s.sessions.Front(at.l, at.http.Handler, web.WebSocketPaths...))
			}
			if !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving on %s: %w", at.l.Addr(), err)
			}
			return nil
		})
	}
}

// announce prints where to go and what to say there. Only --dev does: its
// tokens are worth nothing.
func (s *server) announce(ctx context.Context, w io.Writer) error {
	const roomName = "demo"
	project := s.cfg.Projects[0]
	scheme := s.scheme()
	host := reachable(s.clients.Addr())
	call, err := s.makeCall(ctx) // first: what is logged of it is not to stand among the lines
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "usher serves for development on http%s://%s\n\n", scheme, host)
	s.announceLiveblocks(w, scheme, host)
	if len(project.LiveKit.Keys) == 0 {
		s.announceDaily(w, scheme, host, call)
		return nil
	}
	key := project.LiveKit.Keys[0]
	tokens := map[string]string{}
	for _, who := range []struct {
		identity, name string
		grant          livekit.VideoGrant
	}{
		{"host", "Host", livekit.VideoGrant{RoomAdmin: true, CanUpdateOwnMetadata: yes()}},
		{"speaker", "Speaker", livekit.VideoGrant{CanUpdateOwnMetadata: yes()}},
		// Off the stage, but not silent: chat, reactions and a raised hand.
		{"viewer", "Viewer", livekit.VideoGrant{CanPublish: new(bool), CanPublishData: yes(), CanUpdateOwnMetadata: yes()}},
	} {
		who.grant.RoomJoin, who.grant.Room = true, roomName
		token, err := livekit.Mint(key.ID, auth.Secret(key.Secret), livekit.Claims{
			Identity: who.identity, Name: who.name, Video: &who.grant,
		}, s.devLife(), time.Now())
		if err != nil {
			return err
		}
		tokens[who.identity] = token
		// In the fragment, which browsers send to nobody.
		fmt.Fprintf(w, "as %s:\n  http%s://%s/%s#token=%s\n\n", who.identity, scheme, host, roomName, url.QueryEscape(token))
	}
	s.announceDaily(w, scheme, host, call)
	// As this program was called, so that the line can be pasted.
	fmt.Fprintf(w, "in a terminal:\n  %s join --url ws%s://%s --token %s\n\n", os.Args[0], scheme, host, tokens["viewer"])
	return nil
}

// announceLiveblocks prints what Liveblocks' SDKs have to be told. Other keys than
// those that everybody knows are not printed.
func (s *server) announceLiveblocks(w io.Writer, scheme, host string) {
	if string(s.cfg.Projects[0].Liveblocks.SecretKey) != devLiveblocksSecret {
		return
	}
	backend := ""
	if s.operators != nil {
		backend = fmt.Sprintf("; in the backend http://%s", reachable(s.operators.Addr()))
	}
	fmt.Fprintf(w, "for Liveblocks' SDKs:\n  baseUrl http%s://%s%s, secret %s, publicApiKey %s\n\n",
		scheme, host, backend, devLiveblocksSecret, devLiveblocksPublic)
}

// devCall is a private room of Daily's API where whoever has no token knocks.
const devCall = "call"

// makeCall makes a room with a lobby to try, as code for Daily's API would, and
// returns a token of its owner's. It is empty where the first project has not the key
// that everybody knows.
func (s *server) makeCall(ctx context.Context) (token string, err error) {
	project := s.cfg.Projects[0]
	domain, ok := s.domains.ByProject(project.Name)
	if !ok || len(project.Daily.APIKeys) == 0 || string(project.Daily.APIKeys[0]) != devDailyKey {
		return "", nil
	}
	properties := fmt.Sprintf(`{"name":%q,"privacy":"private","properties":{"enable_knocking":true}}`, devCall)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/rooms", strings.NewReader(properties))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+devDailyKey)
	made := reply{header: http.Header{}}
	s.rest.ServeHTTP(&made, req)
	if made.status != http.StatusOK && !strings.Contains(made.body.String(), "already exists") {
		return "", fmt.Errorf("making the room %q: %d %s", devCall, made.status, made.body.String())
	}
	claims := fmt.Sprintf(`{"room_name":%q,"user_id":"daily-host","user_name":"Daily host","is_owner":true,"exp":%d}`,
		devCall, time.Now().Add(s.devLife()).Unix())
	return daily.Mint(domain, json.RawMessage(claims), time.Now())
}

// announceDaily prints what code for Daily's API has to be told, and where its room
// is, when there is a token for it. Other keys than the one that everybody knows are
// not printed.
func (s *server) announceDaily(w io.Writer, scheme, host, token string) {
	if token == "" {
		return
	}
	api := fmt.Sprintf("http%s://%s", scheme, host)
	if s.operators != nil {
		api = "http://" + reachable(s.operators.Addr())
	}
	fmt.Fprintf(w, "for Daily's REST API:\n  base URL %s/v1, API key %s\n\n", api, devDailyKey)
	fmt.Fprintf(w, "as Daily host, who lets people in:\n  http%s://%s/%s#token=%s\n\n", scheme, host, devCall, url.QueryEscape(token))
	fmt.Fprintf(w, "as somebody who knocks there:\n  http%s://%s/%s#name=Guest\n\n", scheme, host, devCall)
}

// scheme is what makes "http" and "ws" those of the server's address for clients.
func (s *server) scheme() string {
	if s.cfg.TLS.Cert != "" {
		return "s"
	}
	return ""
}

// devLife is how long the tokens of --dev are good.
func (s *server) devLife() time.Duration {
	const life = 24 * time.Hour
	if most := time.Duration(s.cfg.Limits.TokenLife); most > 0 {
		return min(life, most)
	}
	return life
}

// A reply is the answer to a request that no network was needed for.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *reply) Header() http.Header { return r.header }

func (r *reply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *reply) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func yes() *bool {
	b := true
	return &b
}

// reachable is an address that a browser on this machine can open.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// How long a stop may take beyond the drain.
const shutdownTimeout = 5 * time.Second

// stop ends the service: nobody new, everybody away at different moments, done.
func (s *server) stop() {
	s.ready.Store(false)
	drain := time.Duration(s.cfg.Drain)
	s.log.Info("stopping", "drain", drain)
	draining, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := s.sessions.Drain(draining); err != nil {
		s.log.Warn("some connections did not end in time and were cut", "error", err)
	}
	// WebSockets are none of net/http's business; what is left is requests.
	answering, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	for _, h := range []*http.Server{s.public, s.admin} {
		if h == nil {
			continue
		}
		if err := h.Shutdown(answering); err != nil {
			_ = h.Close()
		}
	}
	s.close()
	s.log.Info("stopped")
}
