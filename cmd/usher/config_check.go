package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"usher/auth"
	roomservice "usher/web/livekit"
)

// A problem is a value that makes no sense, by its path: "room.grace".
type problem struct {
	path, text string
	short      bool // it is a secret that is too short
}

// problems collects what check finds. Values are quoted in it, but neither
// secrets nor what is often confused with one: keys, and what names them.
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
		if c.sameAddr() {
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

	p.atLeast("limits.token_life", c.Limits.TokenLife, 0)

	p.atLeast("drain", c.Drain, 0)
	p.atLeast("ping_interval", c.PingInterval, duration(time.Second))
	p.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	p.oneOf("log.format", c.Log.Format, "text", "json")
	return p
}

// sameAddr reports whether both addresses are one. Port 0 is another each time.
func (c *config) sameAddr() bool {
	return c.AdminAddr == c.Addr && !strings.HasSuffix(c.Addr, ":0")
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
			p.add(path, "this %s is listed twice", kind)
		default:
			p.add(path, "this %s is in project %q already; it belongs to one project", kind, first)
		}
	}
	for i, project := range projects {
		at := fmt.Sprintf("projects[%d].", i)
		if project.Name == "" {
			p.add(at+"name", "the project has no name")
		} else if slices.ContainsFunc(projects[:i], func(q projectConfig) bool { return q.Name == project.Name }) {
			p.add(at+"name", "there is another project %q", project.Name)
		}
		for j, key := range project.LiveKit.Keys {
			path := key.path(at+"livekit.keys", j)
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
				p.add(path+"api_key", "is none of the project's livekit.keys") // it may be a secret by mistake
			}
			if text, ok := strings.CutPrefix(string(hook.StandardSecret), "whsec_"); len(hook.StandardSecret) > 0 {
				if _, err := base64.StdEncoding.DecodeString(text); !ok || err != nil || text == "" {
					p.add(path+"standard_secret", "is not whsec_ followed by base64")
				}
			}
			p.events(path+"include", hook.Include)
			p.events(path+"exclude", hook.Exclude)
			p.atLeast(path+"max_age", hook.MaxAge, 0)
		}
	}
	// A key id means one thing in the whole server, so that a revocation cannot
	// be undone by another project.
	for i, project := range projects {
		for j, id := range project.LiveKit.RevokedKeys {
			path := fmt.Sprintf("projects[%d].livekit.revoked_keys[%d]", i, j)
			if first, taken := owner["key"+id]; taken {
				p.add(path, "this key is revoked here and listed as a key of project %q", first)
			}
		}
	}
	p.sharedSecrets(projects)
}

// events checks the names of webhook events.
func (p *problems) events(path string, names []string) {
	known, extra := roomservice.WebhookEvents()
	for i, name := range names {
		if !slices.Contains(known, name) && !slices.Contains(extra, name) {
			what := "this"
			if plainWord.MatchString(name) {
				what = strconv.Quote(name)
			}
			p.add(fmt.Sprintf("%s[%d]", path, i), "%s is no event; they are %s", what, strings.Join(append(known, extra...), " "))
		}
	}
}

func (p *problems) liveblocks(at string, l liveblocksConfig, dev bool) {
	if !l.configured() {
		return
	}
	p.secret(at+"secret_key", l.SecretKey, dev)
	if len(l.SecretKey) > 0 {
		p.prefixed(at+"secret_key", string(l.SecretKey), "sk_")
	}
	if l.PublicKey != "" {
		p.prefixed(at+"public_key", l.PublicKey, "pk_")
	}
	if len(l.TokenSecret) > 0 {
		p.secret(at+"token_secret", l.TokenSecret, dev)
	}
}

// keyLetters are what Liveblocks' SDKs take behind the prefix of a key.
var keyLetters = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// prefixed checks one of Liveblocks' keys without quoting it, for a public key
// may be a secret one by mistake.
func (p *problems) prefixed(path, key, prefix string) {
	rest, ok := strings.CutPrefix(key, prefix)
	switch {
	case !ok:
		p.add(path, "does not begin with %s", prefix)
	case !keyLetters.MatchString(rest):
		p.add(path, "has other characters than letters, digits, _ and - behind %s, and Liveblocks' SDKs refuse it", prefix)
	}
}

func (p *problems) daily(at string, d dailyConfig, dev bool) {
	if !d.configured() {
		return
	}
	switch {
	case d.DomainName == "":
		p.add(at+"domain_name", "is missing")
	case !domainName.MatchString(d.DomainName): // it may be a secret by mistake
		p.add(at+"domain_name", "has other characters than letters, digits and -; of acme.daily.co it is acme")
	}
	if !uuid.MatchString(d.DomainID) {
		p.add(at+"domain_id", "is not a UUID in lower case")
	}
	if len(d.APIKeys) == 0 {
		p.add(at+"api_keys", "there is none")
	}
	for i, key := range d.APIKeys {
		p.secret(fmt.Sprintf("%sapi_keys[%d]", at, i), key, dev)
	}
	if len(d.TokenSecret) > 0 {
		p.secret(at+"token_secret", d.TokenSecret, dev)
	}
	if d.RoomURL != "" && (d.RoomURL == "*" || !validOrigin(d.RoomURL)) {
		p.add(at+"room_url", "is not an address without a path; write it like https://acme.example.com")
	}
}

// domainName is what can be the name of a domain of Daily's.
var domainName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// sharedSecrets checks that the secrets that name their project by themselves,
// as REST APIs take them, are not those of two. What signs tokens is none of
// them, and must not be one: who may call an API could sign anything.
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
		claim(fmt.Sprintf("projects[%d].liveblocks.token_secret", i), project.Liveblocks.TokenSecret)
		claim(fmt.Sprintf("projects[%d].daily.token_secret", i), project.Daily.TokenSecret)
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
