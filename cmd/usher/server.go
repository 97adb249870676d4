package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/liveblocks"
	"usher/room"
	"usher/room/store"
	"usher/session"
	liveblocksdialect "usher/session/liveblocks"
	"usher/web"
	"usher/web/console"
	dailyapi "usher/web/daily"
	"usher/web/demo"
	liveblocksapi "usher/web/liveblocks"
	roomservice "usher/web/livekit"
	"usher/web/sdk"
	api "usher/web/usher"
	"usher/web/webhook"
)

// A server is everything that serve has put together.
type server struct {
	cfg *config      // static; of the start
	log *slog.Logger // static

	verifier *auth.Verifier
	door     *liveblocks.Door // the keys of Liveblocks' API
	domains  *daily.Domains   // and those of Daily's
	rest     http.Handler     // Daily's API
	secrets  tokenSecrets     // of build and reload, which are not concurrent
	roomURLs atomic.Pointer[map[string]string]
	ownURL   string // set before serve; begins the addresses of rooms where no setting does. Empty: Daily's
	store    store.Store
	webhooks *webhook.Sender
	hooks    *dailyapi.Hooks    // those of it that Daily's API made
	meetings *dailyapi.Meetings // of rooms that Daily's API made
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
	if err := s.build(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *server) build() error {
	cfg, log := s.cfg, s.log
	metrics := newRegistry()

	s.store = store.NewMemory()
	if cfg.Data != "" {
		file, err := store.Open(cfg.Data, store.Options{Around: timedWrites(metrics)})
		if err != nil {
			return err
		}
		s.store = file
	}
	var err error
	if s.secrets, err = loadTokenSecrets(s.store); err != nil {
		return err
	}
	if err := s.secrets.complete(cfg, s.store); err != nil {
		return err
	}
	door := cfg.liveblocks(s.secrets)
	s.door = liveblocks.NewDoor(door)
	s.domains = daily.NewDomains(cfg.domains(s.secrets))
	s.tellRoomURLs(cfg)
	keys, err := cfg.keys(door, s.domains.Keys())
	if err != nil {
		return err
	}
	s.verifier = auth.NewVerifier(keys, cfg.Limits.TokenBytes)
	s.verifier.LimitLife(time.Duration(cfg.Limits.TokenLife))

	if s.webhooks, err = s.newWebhooks(metrics); err != nil {
		return err
	}
	s.hooks = dailyapi.NewHooks(dailyapi.HooksConfig{Sender: s.webhooks, Store: s.store, Served: s.served, Log: log})
	s.meetings = dailyapi.NewMeetings(s.store, log)

	limits := room.DefaultLimits
	limits.MetadataBytes = cfg.Limits.MetadataBytes
	limits.AttributesBytes = cfg.Limits.AttributesBytes
	limits.NameBytes = cfg.Limits.NameBytes
	limits.DataBytes = cfg.Limits.DataBytes
	s.rooms, err = room.New(room.Config{
		AutoCreate:        cfg.Room.AutoCreate,
		EmptyTimeout:      time.Duration(cfg.Room.EmptyTimeout),
		DepartureTimeout:  time.Duration(cfg.Room.DepartureTimeout),
		MaxParticipants:   cfg.Room.MaxParticipants,
		Grace:             time.Duration(cfg.Room.Grace),
		RosterLimit:       cfg.Room.RosterLimit,
		DuplicateIdentity: room.Policy(cfg.Room.DuplicateIdentity),
		AccessLists:       liveblocks.New(liveblocks.Config{ReadersBroadcast: true}),
		Forgetful:         !cfg.Permissions.Sticky,
		Limits:            limits,
		Refresh:           session.Refresher(s.verifier, time.Duration(cfg.Refresh.TTL)),
		Store:             s.store,
		TokenLife:         time.Duration(cfg.Limits.TokenLife),
		RefreshInterval:   time.Duration(cfg.Refresh.Interval),
		RefreshLife:       time.Duration(cfg.Refresh.TTL),
		Observer:          observers{s.webhooks, s.meetings}, // of Daily's domains, too, that a reload brings
		Log:               log,
		Metrics:           metrics,
	})
	if err != nil {
		return err
	}

	if err := s.hooks.Load(); err != nil {
		return err
	}
	if err := s.webhooks.Start(); err != nil { // when all that it sends for is known
		return err
	}
	if err := s.meetings.Load(); err != nil {
		return err
	}

	s.sessions = session.New(session.Config{
		Rooms:             s.rooms,
		Verifier:          s.verifier,
		PublicKey:         liveblocksdialect.PublicKey(s.door),
		Anyone:            s.domains.Anyone,
		Ignores:           s.domains.Ignores,
		Joined:            (&looseTokens{log: log}).joined,
		Origins:           cfg.Origins,
		AnyOrigin:         slices.Contains(cfg.Origins, "*"),
		MessageBytes:      cfg.Limits.MessageBytes,
		PingInterval:      time.Duration(cfg.PingInterval),
		UnjoinedSockets:   cfg.Limits.UnjoinedSockets,
		JoinsPerSecond:    float64(cfg.Limits.JoinsPerSecond),
		MessagesPerSecond: float64(cfg.Limits.MessagesPerSecond),
		Dialects: []session.Dialect{
			liveblocksdialect.New(liveblocksdialect.Config{Rooms: s.rooms, Verifier: s.verifier, Door: s.door}),
		},
		Log:     log,
		Metrics: metrics,
	})

	s.rest, err = dailyapi.New(dailyapi.Config{
		Rooms: s.rooms, Verifier: s.verifier, Domains: s.domains, Store: s.store, Meetings: s.meetings, Webhooks: s.hooks,
		RoomURL: func(project string) string { return cmp.Or((*s.roomURLs.Load())[project], s.ownURL) },
		Log:     log,
	})
	if err != nil {
		return err
	}

	public, admin := web.New(web.Config{
		Session: s.sessions,
		Twirp:   roomservice.New(roomservice.Config{Rooms: s.rooms, Verifier: s.verifier, Log: log}),
		API: api.New(api.Config{
			Rooms: s.rooms, Verifier: s.verifier, SecretKey: s.door.Secret, PublicKey: s.door.Public, DailyKey: s.domainByKey,
			Outbox: s.webhooks.Outbox, Log: log,
		}),
		Daily:            s.rest,
		Liveblocks:       liveblocksapi.New(liveblocksapi.Config{Rooms: s.rooms, Door: s.door, TokenLife: time.Duration(cfg.Limits.TokenLife), Log: log}),
		LiveblocksClient: liveblocksapi.Client(),
		Pages:            demo.Handler(),
		SDK:              sdk.Handler(),
		Console:          console.Handler(),
		Ready:            s.ready.Load,
		Metrics:          metrics,
		SeparateAdmin:    cfg.AdminAddr != "",
		Log:              log,
	})
	s.public = web.NewServer(public, log)
	if admin != nil {
		s.admin = web.NewServer(admin, log)
	}
	s.ready.Store(true)
	return nil
}

// reload takes over what may change while the server runs.
func (s *server) reload(next *config) error {
	if err := s.secrets.complete(next, s.store); err != nil {
		return err
	}
	door, domains := next.liveblocks(s.secrets), next.domains(s.secrets)
	if _, err := next.keys(door, daily.NewDomains(domains).Keys()); err != nil {
		return err
	}
	// The certificate is the last thing that can fail, so that a mistake
	// changes nothing.
	if s.cfg.TLS == next.TLS && next.TLS.Cert != "" {
		if err := s.loadCertificate(next.TLS); err != nil {
			return err
		}
	}
	s.domains.Set(domains)
	keys, err := next.keys(door, s.domains.Keys())
	if err != nil {
		return err
	}
	s.verifier.SetKeys(keys.After(s.verifier.Keys()))
	s.tellRoomURLs(next)
	s.door.Set(door)
	s.sessions.KeysChanged()
	if names := s.cfg.needsRestart(next); len(names) > 0 {
		s.log.Warn("some changes take effect with the next start only", "keys", names)
	}
	return nil
}

// tellRoomURLs takes over what begins the addresses of rooms in Daily's API.
func (s *server) tellRoomURLs(c *config) {
	urls := c.roomURLs()
	s.roomURLs.Store(&urls)
}

// close releases what assemble and listen made. It may follow a stop.
func (s *server) close() {
	for _, l := range []net.Listener{s.clients, s.operators} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.sessions != nil {
		s.sessions.Close()
	}
	if s.rooms != nil {
		s.rooms.Close()
	}
	if s.meetings != nil { // after the rooms: they tell who left
		s.meetings.Close()
	}
	if s.webhooks != nil { // the same
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if err := s.webhooks.Stop(ctx); err != nil {
			s.log.Warn("some webhook events wait for the next start", "error", err)
		}
	}
	if s.hooks != nil {
		s.hooks.Close()
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.log.Error("closing the store failed", "error", err)
		}
	}
}

// newWebhooks returns what tells backends of events.
func (s *server) newWebhooks(metrics prometheus.Registerer) (*webhook.Sender, error) {
	var targets []webhook.Target
	for _, p := range s.cfg.Projects {
		for _, w := range p.Webhooks {
			targets = append(targets, webhook.Target{
				Project: p.Name, URL: w.URL, KeyID: w.APIKey, Secret: auth.Secret(p.LiveKit.secret(w.APIKey)),
				StandardSecret: auth.Secret(w.StandardSecret), ExtraEvents: w.ExtraEvents,
				Include: w.Include, Exclude: w.Exclude, MaxAge: time.Duration(w.MaxAge),
			})
		}
	}
	return webhook.New(webhook.Config{
		Store: s.store, Targets: targets, Encode: roomservice.EncodeWebhook,
		RoomAlive: func(project, name, sid string) bool {
			r, ok := s.rooms.Lookup(project, name)
			return ok && r.ID == sid
		},
		Log: s.log, Metrics: metrics,
	})
}
