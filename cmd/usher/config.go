package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"usher/auth"
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
	SecretKey secret `yaml:"secret_key"` // sk_…
	PublicKey string `yaml:"public_key"` // pk_…
}

type dailyConfig struct {
	DomainName   string   `yaml:"domain_name"`
	DomainID     string   `yaml:"domain_id"` // a UUID
	APIKeys      []secret `yaml:"api_keys"`
	StrictTokens *bool    `yaml:"strict_tokens"` // unknown properties of a token are errors; default true
	RequireExp   bool     `yaml:"require_exp"`   // refuse tokens without exp
	RequireRoom  bool     `yaml:"require_room"`  // refuse tokens that name no room
}

func (d dailyConfig) configured() bool {
	return d.DomainName != "" || d.DomainID != "" || len(d.APIKeys) > 0
}

func (l liveblocksConfig) configured() bool { return len(l.SecretKey) > 0 || l.PublicKey != "" }

// A webhookConfig is an address that is told of events, signed with one of the
// project's LiveKit keys.
type webhookConfig struct {
	URL    string `yaml:"url"`
	APIKey string `yaml:"api_key"`
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
)

// devConfig returns the settings of --dev: the defaults, open to every page,
// quick to stop, and without a limit of rates, so that a load test from one
// address works.
func devConfig() *config {
	c := defaultConfig()
	c.Origins = []string{"*"}
	c.Limits.JoinsPerSecond = 0
	c.Drain = duration(time.Second) // who stops it waits for it
	c.Projects = []projectConfig{{
		Name:       devProject,
		LiveKit:    livekitConfig{Keys: keyList{{ID: devKey, Secret: secret(devSecret)}}},
		Liveblocks: liveblocksConfig{SecretKey: secret("sk_dev_secret"), PublicKey: "pk_dev_public"},
		Daily: dailyConfig{
			DomainName: devProject,
			DomainID:   "00000000-0000-4000-8000-000000000001",
			APIKeys:    []secret{secret("daily_dev_secret")},
		},
	}}
	return c
}

// A problem is a value that makes no sense, by its path: "room.grace".
type problem struct {
	path, text string
	short      bool // it is a secret that is too short
}

// problems collects what check finds. Values are quoted in it, secrets never.
type problems []problem

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, problem{path: path, text: fmt.Sprintf(format, args...)})
}

// check returns what is wrong with the settings. With dev, secrets may be short.
func (c *config) check(dev bool) problems {
	var p problems
	p.addr("addr", c.Addr)
	if c.AdminAddr != "" {
		p.addr("admin_addr", c.AdminAddr)
		if c.AdminAddr == c.Addr && !strings.HasSuffix(c.Addr, ":0") {
			p.add("admin_addr", "must be another address than addr")
		}
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		p.add("tls", "needs both cert and key")
	}
	for i, o := range c.Origins {
		if !validOrigin(o) {
			p.add(fmt.Sprintf("origins[%d]", i), `%q is not an origin; write it like https://app.example.com, or "*" for all`, o)
		}
	}
	p.projects(c.Projects, dev)

	const instant = duration(time.Millisecond)
	p.atLeast("room.empty_timeout", c.Room.EmptyTimeout, instant)
	p.atLeast("room.departure_timeout", c.Room.DepartureTimeout, instant)
	p.atLeast("room.grace", c.Room.Grace, instant)
	p.notBelow("room.max_participants", c.Room.MaxParticipants, 0)
	p.notBelow("room.roster_limit", c.Room.RosterLimit, 1)
	p.oneOf("room.duplicate_identity", c.Room.DuplicateIdentity, "replace", "reject", "allow")

	p.atLeast("refresh.interval", c.Refresh.Interval, duration(time.Second))
	p.atLeast("refresh.ttl", c.Refresh.TTL, duration(time.Second))
	if c.Refresh.TTL <= c.Refresh.Interval {
		p.add("refresh.ttl", "must be longer than refresh.interval (%v), or tokens run out before the next one comes", c.Refresh.Interval)
	}

	for _, l := range []struct {
		key          string
		value, least int
	}{
		{"metadata_bytes", c.Limits.MetadataBytes, 0},
		{"attributes_bytes", c.Limits.AttributesBytes, 0},
		{"name_bytes", c.Limits.NameBytes, 0},
		{"data_bytes", c.Limits.DataBytes, 0},
		{"message_bytes", c.Limits.MessageBytes, 1},
		{"token_bytes", c.Limits.TokenBytes, 1},
		{"unjoined_sockets", c.Limits.UnjoinedSockets, 1},
		{"joins_per_second", c.Limits.JoinsPerSecond, 0},
		{"messages_per_second", c.Limits.MessagesPerSecond, 0},
	} {
		p.notBelow("limits."+l.key, l.value, l.least)
	}

	p.atLeast("drain", c.Drain, 0)
	p.atLeast("ping_interval", c.PingInterval, duration(time.Second))
	p.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	p.oneOf("log.format", c.Log.Format, "text", "json")
	return p
}

func (p *problems) addr(path, addr string) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		p.add(path, "%q is not an address; write it like 127.0.0.1:7880", addr)
	}
}

func (p *problems) notBelow(path string, n, least int) {
	if n < least {
		p.add(path, "%d is less than %d", n, least)
	}
}

func (p *problems) atLeast(path string, d, least duration) {
	if d < least {
		p.add(path, "%v is too short; at least %v", d, least)
	}
}

func (p *problems) oneOf(path, value string, words ...string) {
	if !slices.Contains(words, value) {
		last := len(words) - 1
		p.add(path, "%q is not one of %s and %s", value, strings.Join(words[:last], ", "), words[last])
	}
}

// secret checks a shared secret without quoting it.
func (p *problems) secret(path string, s secret, dev bool) {
	switch {
	case len(s) == 0:
		p.add(path, "the secret is empty")
	case len(s) < auth.MinSecretBytes && !dev:
		p.add(path, "the secret is too short: it has %d bytes and needs at least %d", len(s), auth.MinSecretBytes)
		(*p)[len(*p)-1].short = true
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// projects checks the projects, and that what looks a project up — a key, a
// domain, a public key — leads to one.
func (p *problems) projects(projects []projectConfig, dev bool) {
	if len(projects) == 0 {
		p.add("projects", "there is none, so nobody could join; name one and its livekit.keys")
	}
	owner := map[string]string{} // kind and name, to project
	claim := func(path, kind, name, project string) {
		switch first, taken := owner[kind+name]; {
		case name == "":
		case !taken:
			owner[kind+name] = project
		case first == project:
			p.add(path, "%s %q is listed twice", kind, name)
		default:
			p.add(path, "%s %q is in project %q already; it belongs to one project", kind, name, first)
		}
	}
	for i, project := range projects {
		at := fmt.Sprintf("projects[%d].", i)
		if project.Name == "" {
			p.add(at+"name", "the project has no name")
		} else if slices.ContainsFunc(projects[:i], func(q projectConfig) bool { return q.Name == project.Name }) {
			p.add(at+"name", "there is another project %q", project.Name)
		}
		for _, key := range project.LiveKit.Keys {
			path := at + "livekit.keys." + key.ID
			p.secret(path, key.Secret, dev)
			claim(path, "key", key.ID, project.Name)
		}
		p.liveblocks(at+"liveblocks.", project.Liveblocks, dev)
		claim(at+"liveblocks.public_key", "public key", project.Liveblocks.PublicKey, project.Name)
		p.daily(at+"daily.", project.Daily, dev)
		claim(at+"daily.domain_id", "domain id", project.Daily.DomainID, project.Name)
		claim(at+"daily.domain_name", "domain", project.Daily.DomainName, project.Name)
		for j, hook := range project.Webhooks {
			path := fmt.Sprintf("%swebhooks[%d].", at, j)
			if u, err := url.Parse(hook.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
				p.add(path+"url", "is not an http or https URL")
			}
			if !slices.ContainsFunc(project.LiveKit.Keys, func(k namedSecret) bool { return k.ID == hook.APIKey }) {
				p.add(path+"api_key", "%q is none of the project's livekit.keys", hook.APIKey)
			}
		}
	}
	// A key id means one thing in the whole server, so that a revocation cannot
	// be undone by another project.
	for i, project := range projects {
		for j, id := range project.LiveKit.RevokedKeys {
			path := fmt.Sprintf("projects[%d].livekit.revoked_keys[%d]", i, j)
			if first, taken := owner["key"+id]; taken {
				p.add(path, "key %q is revoked here and listed as a key of project %q", id, first)
			}
		}
	}
	p.sharedSecrets(projects)
}

func (p *problems) liveblocks(at string, l liveblocksConfig, dev bool) {
	if !l.configured() {
		return
	}
	p.secret(at+"secret_key", l.SecretKey, dev)
	if len(l.SecretKey) > 0 && !strings.HasPrefix(string(l.SecretKey), "sk_") {
		p.add(at+"secret_key", "does not begin with sk_")
	}
	if l.PublicKey != "" && !strings.HasPrefix(l.PublicKey, "pk_") {
		p.add(at+"public_key", "%q does not begin with pk_", l.PublicKey)
	}
}

func (p *problems) daily(at string, d dailyConfig, dev bool) {
	if !d.configured() {
		return
	}
	if d.DomainName == "" {
		p.add(at+"domain_name", "is missing")
	}
	if !uuid.MatchString(d.DomainID) {
		p.add(at+"domain_id", "%q is not a UUID in lower case", d.DomainID)
	}
	if len(d.APIKeys) == 0 {
		p.add(at+"api_keys", "there is none")
	}
	for i, key := range d.APIKeys {
		p.secret(fmt.Sprintf("%sapi_keys[%d]", at, i), key, dev)
	}
}

// sharedSecrets checks that the secrets that name their project by themselves,
// as REST APIs take them, are not those of two.
func (p *problems) sharedSecrets(projects []projectConfig) {
	owner := map[string]string{}
	claim := func(path string, s secret) {
		if first, taken := owner[string(s)]; taken {
			p.add(path, "is the same secret as %s", first)
		} else if len(s) > 0 {
			owner[string(s)] = path
		}
	}
	for i, project := range projects {
		claim(fmt.Sprintf("projects[%d].liveblocks.secret_key", i), project.Liveblocks.SecretKey)
		for j, key := range project.Daily.APIKeys {
			claim(fmt.Sprintf("projects[%d].daily.api_keys[%d]", i, j), key)
		}
	}
}

func validOrigin(o string) bool {
	if o == "*" {
		return true
	}
	u, err := url.Parse(o)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		o == u.Scheme+"://"+u.Host
}

// keys returns the LiveKit keys in force and those revoked.
func (c *config) keys(format auth.Format) (*auth.Keys, error) {
	var (
		keys    []auth.Key
		revoked []string
	)
	for _, p := range c.Projects {
		for _, k := range p.LiveKit.Keys {
			keys = append(keys, auth.Key{ID: k.ID, Secret: auth.Secret(k.Secret), Project: p.Name, Format: format})
		}
		revoked = append(revoked, p.LiveKit.RevokedKeys...)
	}
	return auth.NewKeys(keys, revoked)
}

// later names the configured features that this version reads and does not have.
func (c *config) later() []string {
	var names []string
	for _, p := range c.Projects {
		if p.Liveblocks.configured() {
			names = append(names, "liveblocks")
		}
		if p.Daily.configured() {
			names = append(names, "daily")
		}
		if len(p.Webhooks) > 0 {
			names = append(names, "webhooks")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
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
