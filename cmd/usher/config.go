package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"
)

// A config is what usher.yaml says. Every key is optional except a project
// with its keys; defaultConfig has the defaults. A key that is not known is an
// error.
type config struct {
	// Addr is where the server listens for clients, server APIs and web pages.
	Addr string `yaml:"addr"`

	// AdminAddr, when set, is the only address of the server APIs, the metrics
	// and the profiler. Without it there is no profiler, and the others are on Addr.
	AdminAddr string `yaml:"admin_addr"`

	// TLS makes Addr speak TLS. AdminAddr never does.
	TLS tlsConfig `yaml:"tls"`

	// Data is the directory of the durable state.
	Data string `yaml:"data"`

	// Origins are the web pages that may connect, as https://app.example.com;
	// "*" means all. Without any, pages of the server's own origin may. A
	// client that sends no Origin header is no browser, and may.
	Origins []string `yaml:"origins"`

	Projects []projectConfig `yaml:"projects"`
	Room     roomConfig      `yaml:"room"`
	Refresh  refreshConfig   `yaml:"refresh"`
	Limits   limitsConfig    `yaml:"limits"`

	Permissions permissionsConfig `yaml:"permissions"`

	// Drain is how long a stopping server takes to send its clients away, so
	// that they do not all come back in the same instant.
	Drain duration `yaml:"drain"`

	// PingInterval is how often clients are pinged. A client of which nothing
	// is heard for two intervals is gone.
	PingInterval duration `yaml:"ping_interval"`

	Log logConfig `yaml:"log"`
}

type tlsConfig struct {
	Cert string `yaml:"cert"` // file with the certificate chain, PEM
	Key  string `yaml:"key"`  // file with its private key, PEM
}

// A projectConfig is an isolated namespace of rooms with its own keys.
type projectConfig struct {
	Name       string           `yaml:"name"`
	LiveKit    livekitConfig    `yaml:"livekit"`
	Liveblocks liveblocksConfig `yaml:"liveblocks"`
	Daily      dailyConfig      `yaml:"daily"`
	Webhooks   []webhookConfig  `yaml:"webhooks"`
}

type livekitConfig struct {
	// Keys are API keys and their secrets. The first one signs for sessions
	// whose own key is no longer listed. A key that is taken out of the list is
	// retired: its tokens are refused, sessions that came with it go on.
	Keys keyList `yaml:"keys"`

	// RevokedKeys are keys whose sessions end, too, with everything that
	// descends from them.
	RevokedKeys []string `yaml:"revoked_keys"`
}

type liveblocksConfig struct {
	SecretKey secret `yaml:"secret_key"` // sk_…; what the application's backend calls with
	PublicKey string `yaml:"public_key"` // pk_…; lets anybody in. Optional

	// TokenSecret signs the tokens that backends ask for. Without it the server
	// makes one for the project and keeps it in the store.
	TokenSecret secret `yaml:"token_secret"`

	// ReadersBroadcast is whether those who may only read a room may broadcast
	// events in it; default true, as with Liveblocks.
	ReadersBroadcast *bool `yaml:"readers_broadcast"`

	// AutoCreate is whether entering with an access token or the public key makes a
	// room that does not exist, which is durable; default true, as with Liveblocks.
	AutoCreate *bool `yaml:"auto_create"`
}

type dailyConfig struct {
	DomainName string `yaml:"domain_name"` // acme of acme.daily.co
	DomainID   string `yaml:"domain_id"`   // a UUID: the claim d of tokens

	// APIKeys are what the application's backend calls with, and signs tokens with
	// itself. The tokens of a key that is taken out of the list are refused from then on.
	APIKeys []secret `yaml:"api_keys"`

	// TokenSecret signs the tokens that backends ask for, and refreshed ones. Without
	// it the server makes one for the project and keeps it in the store.
	TokenSecret secret `yaml:"token_secret"`

	// StrictTokens is whether a token that does not hold is refused also in a public
	// room, which takes people without any; default true. False is Daily's behaviour:
	// they come in as if they had none.
	StrictTokens *bool `yaml:"strict_tokens"`

	RequireExp  bool `yaml:"require_exp"`  // refuse tokens without exp, which hold for ever
	RequireRoom bool `yaml:"require_room"` // refuse tokens that name no room, which open all

	// EndSessions is whether taking an API key out of the list also ends the sessions
	// of its tokens. Else they go on.
	EndSessions bool `yaml:"end_sessions"`

	RateLimits bool `yaml:"rate_limits"` // those of Daily's REST API; default: none

	// RoomURL begins the addresses of rooms that the API tells, as
	// https://acme.example.com; the name of the room follows. Default
	// https://DOMAIN.daily.co, as with Daily, which is not this server; with --dev
	// the server's own address.
	RoomURL string `yaml:"room_url"`
}

func (d dailyConfig) configured() bool {
	return d.DomainName != "" || d.DomainID != "" || len(d.APIKeys) > 0 || len(d.TokenSecret) > 0 || d.StrictTokens != nil ||
		d.RequireExp || d.RequireRoom || d.EndSessions || d.RateLimits || d.RoomURL != ""
}

// strictTokens is what holds, said or not.
func (d dailyConfig) strictTokens() bool { return d.StrictTokens == nil || *d.StrictTokens }

func (l liveblocksConfig) configured() bool {
	return len(l.SecretKey) > 0 || l.PublicKey != "" || len(l.TokenSecret) > 0 || l.ReadersBroadcast != nil || l.AutoCreate != nil
}

// readersBroadcast is what holds, said or not.
func (l liveblocksConfig) readersBroadcast() bool {
	return l.ReadersBroadcast == nil || *l.ReadersBroadcast
}

// autoCreate is what holds, said or not.
func (l liveblocksConfig) autoCreate() bool { return l.AutoCreate == nil || *l.AutoCreate }

// A webhookConfig is an address that is told of events, signed with one of the
// project's LiveKit keys.
type webhookConfig struct {
	URL    string `yaml:"url"`
	APIKey string `yaml:"api_key"`

	// StandardSecret, whsec_ and base64, adds the headers of Standard Webhooks.
	StandardSecret secret `yaml:"standard_secret"`

	// ExtraEvents adds the events that LiveKit does not have: changes of
	// permission, metadata and name, revocations.
	ExtraEvents bool `yaml:"extra_events"`

	Include []string `yaml:"include"` // the only events that are wanted; empty: all
	Exclude []string `yaml:"exclude"` // those that are not

	MaxAge duration `yaml:"max_age"` // how long an event is tried; 0: 24 hours
}

type roomConfig struct {
	AutoCreate       bool     `yaml:"auto_create"`       // the first join makes a room
	EmptyTimeout     duration `yaml:"empty_timeout"`     // a room nobody entered ends after this long
	DepartureTimeout duration `yaml:"departure_timeout"` // a room everybody left ends after this long
	MaxParticipants  int      `yaml:"max_participants"`  // 0: no limit
	Grace            duration `yaml:"grace"`             // how long a cut session can be resumed
	RosterLimit      int      `yaml:"roster_limit"`      // above this many, only those who publish are listed

	// DuplicateIdentity is what happens to a second join of an identity:
	// "replace" puts the first one out, "reject" refuses the second, "allow"
	// has both.
	DuplicateIdentity string `yaml:"duplicate_identity"`
}

type refreshConfig struct {
	Interval duration `yaml:"interval"` // how often a session gets a newer token
	TTL      duration `yaml:"ttl"`      // how long such a token lives
}

// A limitsConfig bounds what one peer can take. 0 means no limit, except where
// it says that there must be one.
type limitsConfig struct {
	MetadataBytes   int `yaml:"metadata_bytes"`
	AttributesBytes int `yaml:"attributes_bytes"`
	NameBytes       int `yaml:"name_bytes"`
	DataBytes       int `yaml:"data_bytes"`

	MessageBytes int `yaml:"message_bytes"` // there must be one
	TokenBytes   int `yaml:"token_bytes"`   // there must be one

	// TokenLife is how long a token may live that is no refreshed one; longer
	// ones are refused. Revocations are then forgotten when no token can be old
	// enough for them. 0 means any time, and that they are kept for ever.
	TokenLife duration `yaml:"token_life"`

	// UnjoinedSockets is how many connections may be open that have not joined.
	// There must be a limit.
	UnjoinedSockets int `yaml:"unjoined_sockets"`
	// JoinsPerSecond is how many connections one address may open, with bursts
	// of four times as many.
	JoinsPerSecond int `yaml:"joins_per_second"`
	// MessagesPerSecond is how many messages a session may send.
	MessagesPerSecond int `yaml:"messages_per_second"`
}

type permissionsConfig struct {
	// Sticky keeps what server APIs and moderators stated about a person in
	// force against tokens issued before. False is LiveKit's behaviour: the
	// next join starts from its token again.
	Sticky bool `yaml:"sticky"`
}

type logConfig struct {
	Level  string `yaml:"level"`  // "debug", "info", "warn" or "error"
	Format string `yaml:"format"` // "text" or "json"
}

func (l logConfig) slogLevel() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // validated
	return level
}

// defaultConfig returns the settings that hold when nothing is said.
func defaultConfig() *config {
	return &config{
		Addr: "127.0.0.1:7880",
		Data: "./usher-data",
		Room: roomConfig{
			AutoCreate:        true,
			EmptyTimeout:      duration(300 * time.Second),
			DepartureTimeout:  duration(20 * time.Second),
			Grace:             duration(30 * time.Second),
			RosterLimit:       1000,
			DuplicateIdentity: "replace",
		},
		Refresh: refreshConfig{Interval: duration(5 * time.Minute), TTL: duration(10 * time.Minute)},
		Limits: limitsConfig{
			MetadataBytes:   512 << 10,
			AttributesBytes: 64 << 10,
			NameBytes:       256,
			MessageBytes:    1 << 20,
			TokenBytes:      1 << 20,
			DataBytes:       64 << 10,
			UnjoinedSockets: 16384,
			JoinsPerSecond:  50,
		},
		Permissions:  permissionsConfig{Sticky: true},
		Drain:        duration(10 * time.Second),
		PingInterval: duration(15 * time.Second),
		Log:          logConfig{Level: "info", Format: "text"},
	}
}

// The project of --dev. Its keys are known to everybody.
const (
	devProject = "dev"
	devKey     = "devkey"
	devSecret  = "secret"

	devLiveblocksSecret = "sk_dev_secret"
	devLiveblocksPublic = "pk_dev_public"
	// Fixed, so that pages that are open come back after the server was started
	// again, with the token they have.
	devTokenSecret      = "liveblocks_dev_token_secret"
	devDailyTokenSecret = "daily_dev_token_secret"

	devDailyKey = "daily_dev_secret"
)

// devConfig returns the settings of --dev: the defaults, open to every page,
// quick to stop, and without a limit of rates or of connections that come at
// once, so that a load test from one address works.
func devConfig() *config {
	c := defaultConfig()
	c.Origins = []string{"*"}
	c.Data = "" // in memory, unless --data says otherwise
	c.Limits.JoinsPerSecond, c.Limits.UnjoinedSockets = 0, 1<<17
	c.Drain = duration(time.Second) // who stops it waits for it
	c.Projects = []projectConfig{{
		Name:    devProject,
		LiveKit: livekitConfig{Keys: keyList{{ID: devKey, Secret: secret(devSecret)}}},
		Liveblocks: liveblocksConfig{
			SecretKey: secret(devLiveblocksSecret), PublicKey: devLiveblocksPublic, TokenSecret: secret(devTokenSecret),
		},
		Daily: dailyConfig{
			DomainName: devProject,
			DomainID:   "00000000-0000-4000-8000-000000000001",
			APIKeys:    []secret{secret(devDailyKey)}, TokenSecret: secret(devDailyTokenSecret),
		},
	}}
	return c
}

// secret returns the secret of the key with that id.
func (l livekitConfig) secret(id string) secret {
	for _, k := range l.Keys {
		if k.ID == id {
			return k.Secret
		}
	}
	return nil
}

// sampleSecret and sampleSecretKey are those of the sample in docs/operating.md,
// which everybody can read.
const (
	sampleSecret    = "a-secret-of-32-characters-or-more"
	sampleSecretKey = "sk_a-secret-of-32-characters-or-more"
)

// publicKeys names the keys whose secret is public, so that anybody can make
// tokens with them, or have them made.
func (c *config) publicKeys() []string {
	var ids []string
	for _, p := range c.Projects {
		for _, k := range p.LiveKit.Keys {
			if string(k.Secret) == sampleSecret {
				ids = append(ids, k.ID)
			}
		}
		if string(p.Liveblocks.SecretKey) == sampleSecretKey {
			ids = append(ids, p.Name+".liveblocks.secret_key")
		}
		for i, key := range p.Daily.APIKeys {
			if string(key) == sampleSecret {
				ids = append(ids, fmt.Sprintf("%s.daily.api_keys[%d]", p.Name, i))
			}
		}
	}
	return ids
}

// webhooks returns the webhooks of each project.
func (c *config) webhooks() map[string][]webhookConfig {
	hooks := map[string][]webhookConfig{}
	for _, p := range c.Projects {
		if len(p.Webhooks) > 0 {
			hooks[p.Name] = p.Webhooks
		}
	}
	return hooks
}

// needsRestart names the sections of next that differ from c and that a reload
// does not change.
func (c *config) needsRestart(next *config) []string {
	var names []string
	for _, s := range []struct {
		name      string
		unchanged bool
	}{
		{"addr", c.Addr == next.Addr},
		{"admin_addr", c.AdminAddr == next.AdminAddr},
		{"tls", c.TLS == next.TLS},
		{"data", c.Data == next.Data},
		{"origins", slices.Equal(c.Origins, next.Origins)},
		{"room", c.Room == next.Room},
		{"refresh", c.Refresh == next.Refresh},
		{"limits", c.Limits == next.Limits},
		{"projects.webhooks", reflect.DeepEqual(c.webhooks(), next.webhooks())},
		{"permissions", c.Permissions == next.Permissions},
		{"drain", c.Drain == next.Drain},
		{"ping_interval", c.PingInterval == next.PingInterval},
		{"log.format", c.Log.Format == next.Log.Format},
	} {
		if !s.unchanged {
			names = append(names, s.name)
		}
	}
	return names
}

// checkFlags finds what is wrong with c because of flags, and names them: the
// file, if there is one, is not to blame.
func (s *serveCmd) checkFlags(c *config) error {
	switch {
	case s.TLSCert != "" && c.TLS.Key == "":
		return usageErrorf("--tls-cert needs --tls-key, too")
	case s.TLSKey != "" && c.TLS.Cert == "":
		return usageErrorf("--tls-key needs --tls-cert, too")
	case s.AdminAddr != "" && c.sameAddr():
		return usageErrorf("--admin-addr %s is the address for clients; it must be another one", s.AdminAddr)
	case s.Addr != "" && c.sameAddr():
		return usageErrorf("--addr %s is the admin address; it must be another one", s.Addr)
	}
	return nil
}

// settings reads the configuration of the command line: the file, what --dev
// says, and above both the flags.
func (s *serveCmd) settings() (*config, error) {
	c := defaultConfig()
	if s.Dev {
		c = devConfig()
	}
	var where places
	if s.Config != "" {
		var err error
		if where, err = readConfig(s.Config, c); err != nil {
			return nil, err
		}
	}
	c.Addr = cmp.Or(s.Addr, c.Addr)
	c.AdminAddr = cmp.Or(s.AdminAddr, c.AdminAddr)
	c.Data = cmp.Or(s.Data, c.Data)
	c.TLS.Cert = cmp.Or(s.TLSCert, c.TLS.Cert)
	c.TLS.Key = cmp.Or(s.TLSKey, c.TLS.Key)
	c.Log.Level = cmp.Or(s.LogLevel, c.Log.Level)
	c.Log.Format = cmp.Or(s.LogFormat, c.Log.Format)

	if err := s.checkFlags(c); err != nil {
		return nil, err
	}
	found := c.check(s.Dev)
	if len(found) == 0 {
		return c, nil
	}
	var (
		errs  []error
		short bool
	)
	for _, p := range found {
		errs = append(errs, where.describe(p))
		short = short || p.short
	}
	err := errors.Join(errs...)
	if short {
		err = withHint(err, "openssl rand -hex 32 prints a good secret; --dev accepts short ones")
	}
	return nil, err
}
