package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session"
	"usher/web"
	"usher/web/demo"
	roomservice "usher/web/livekit"
)

// A server is everything that serve has put together.
type server struct {
	cfg *config      // static; of the start
	log *slog.Logger // static

	verifier *auth.Verifier
	rooms    *room.Rooms
	sessions *session.Server
	public   *http.Server
	admin    *http.Server // nil without an address of its own

	clients     net.Listener // set by listen
	operators   net.Listener // set by listen; nil without an address of its own
	certificate atomic.Pointer[tls.Certificate]
	ready       atomic.Bool
}

// assemble puts the server together: this is where settings become parts, and
// the parts get to know each other. Nothing listens yet.
func assemble(cfg *config, log *slog.Logger) (*server, error) {
	s := &server{cfg: cfg, log: log}
	metrics := newRegistry()

	keys, err := cfg.keys(livekit.Format{})
	if err != nil {
		return nil, err
	}
	s.verifier = auth.NewVerifier(keys, cfg.Limits.TokenBytes)

	limits := room.DefaultLimits
	limits.MetadataBytes = cfg.Limits.MetadataBytes
	limits.AttributesBytes = cfg.Limits.AttributesBytes
	limits.NameBytes = cfg.Limits.NameBytes
	limits.DataBytes = cfg.Limits.DataBytes
	s.rooms = room.New(room.Config{
		AutoCreate:        cfg.Room.AutoCreate,
		EmptyTimeout:      time.Duration(cfg.Room.EmptyTimeout),
		DepartureTimeout:  time.Duration(cfg.Room.DepartureTimeout),
		MaxParticipants:   cfg.Room.MaxParticipants,
		Grace:             time.Duration(cfg.Room.Grace),
		RosterLimit:       cfg.Room.RosterLimit,
		DuplicateIdentity: room.Policy(cfg.Room.DuplicateIdentity),
		Forgetful:         !cfg.Permissions.Sticky,
		Limits:            limits,
		Refresh:           session.Refresher(s.verifier, time.Duration(cfg.Refresh.TTL)),
		Log:               log,
		Metrics:           metrics,
	})

	s.sessions = session.New(session.Config{
		Rooms:             s.rooms,
		Verifier:          s.verifier,
		Origins:           cfg.Origins,
		AnyOrigin:         slices.Contains(cfg.Origins, "*"),
		MessageBytes:      cfg.Limits.MessageBytes,
		PingInterval:      time.Duration(cfg.PingInterval),
		RefreshInterval:   time.Duration(cfg.Refresh.Interval),
		UnjoinedSockets:   cfg.Limits.UnjoinedSockets,
		JoinsPerSecond:    float64(cfg.Limits.JoinsPerSecond),
		MessagesPerSecond: float64(cfg.Limits.MessagesPerSecond),
		Log:               log,
		Metrics:           metrics,
	})

	public, admin := web.New(web.Config{
		Session:       s.sessions,
		Twirp:         roomservice.New(roomservice.Config{Rooms: s.rooms, Verifier: s.verifier, Log: log}),
		Pages:         demo.Handler(),
		Ready:         s.ready.Load,
		Metrics:       metrics,
		SeparateAdmin: cfg.AdminAddr != "",
		Log:           log,
	})
	s.public = web.NewServer(public, log)
	if admin != nil {
		s.admin = web.NewServer(admin, log)
	}
	s.ready.Store(true)
	return s, nil
}

// newRegistry returns a registry with what concerns the process.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "usher_build_info",
		Help:        "Always 1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	build.Set(1)
	reg.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// reload takes over what may change while the server runs.
func (s *server) reload(next *config) error {
	keys, err := next.keys(livekit.Format{})
	if err != nil {
		return err
	}
	// The certificate is the last thing that can fail, so that a mistake
	// changes nothing.
	if s.cfg.TLS == next.TLS && next.TLS.Cert != "" {
		if err := s.loadCertificate(next.TLS); err != nil {
			return err
		}
	}
	s.verifier.SetKeys(keys)
	s.sessions.KeysChanged()
	if names := s.cfg.needsRestart(next); len(names) > 0 {
		s.log.Warn("some changes take effect with the next start only", "keys", names)
	}
	return nil
}

// close releases what assemble and listen made. It may follow a stop.
func (s *server) close() {
	for _, l := range []net.Listener{s.clients, s.operators} {
		if l != nil {
			_ = l.Close()
		}
	}
	s.sessions.Close()
	s.rooms.Close()
}
