package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/livekit"
)

const goodSecret = "0123456789abcdef0123456789abcdef"

// fullConfig has every key there is, none with its default.
const fullConfig = `
addr: 0.0.0.0:80
admin_addr: 127.0.0.1:81
tls: { cert: c.pem, key: k.pem }
data: /var/lib/usher
origins: [https://app.example.com, http://localhost:3000]
projects:
  - name: acme
    livekit:
      keys: { APIz: "0123456789abcdef0123456789abcdef", APIa: '0123456789abcdef0123456789abcdeg' }
      revoked_keys: [APIold]
    liveblocks: { secret_key: sk_0123456789abcdef0123456789abcdef, public_key: pk_acme, token_secret: 0123456789abcdef0123456789abcdei, readers_broadcast: false, auto_create: false }
    daily:
      domain_name: acme
      domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb
      api_keys: ["0123456789abcdef0123456789abcdeh"]
      token_secret: 0123456789abcdef0123456789abcdej
      strict_tokens: false
      require_exp: true
      require_room: true
      end_sessions: true
      rate_limits: true
      room_url: https://acme.example.com
    webhooks:
      - url: https://example.com/hook
        api_key: APIz
        standard_secret: whsec_c2VjcmV0
        extra_events: true
        include: [room_started, tokens_revoked]
        exclude: [track_published]
        max_age: 1h
room: { auto_create: false, empty_timeout: 1s, departure_timeout: 2s, max_participants: 3, grace: 4s, roster_limit: 5, duplicate_identity: reject }
refresh: { interval: 1m, ttl: 1h30m }
limits:
  metadata_bytes: 1
  attributes_bytes: 2
  name_bytes: 3
  message_bytes: 4
  token_bytes: 5
  data_bytes: 6
  token_life: 48h
  unjoined_sockets: 7
  joins_per_second: 8
  messages_per_second: 9
permissions: { sticky: false }
drain: 3s
ping_interval: 7s
log: { level: debug, format: json }
`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "usher.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConfigKeys(t *testing.T) {
	c, err := (&serveCmd{Config: writeConfig(t, fullConfig)}).settings()
	if err != nil {
		t.Fatal(err)
	}
	want := &config{
		Addr: "0.0.0.0:80", AdminAddr: "127.0.0.1:81", TLS: tlsConfig{"c.pem", "k.pem"}, Data: "/var/lib/usher",
		Origins: []string{"https://app.example.com", "http://localhost:3000"},
		Projects: []projectConfig{{
			Name: "acme",
			LiveKit: livekitConfig{
				Keys:        keyList{{"APIz", secret(goodSecret)}, {"APIa", secret("0123456789abcdef0123456789abcdeg")}},
				RevokedKeys: []string{"APIold"},
			},
			Liveblocks: liveblocksConfig{secret("sk_0123456789abcdef0123456789abcdef"), "pk_acme", secret("0123456789abcdef0123456789abcdei"), new(bool), new(bool)},
			Daily: dailyConfig{
				DomainName: "acme", DomainID: "25df5057-ef0d-4d97-bde6-0cf287276cbb",
				APIKeys:      []secret{secret("0123456789abcdef0123456789abcdeh")},
				TokenSecret:  secret("0123456789abcdef0123456789abcdej"),
				StrictTokens: new(bool), RequireExp: true, RequireRoom: true, EndSessions: true, RateLimits: true,
				RoomURL: "https://acme.example.com",
			},
			Webhooks: []webhookConfig{{URL: "https://example.com/hook", APIKey: "APIz", StandardSecret: secret("whsec_c2VjcmV0"), ExtraEvents: true,
				Include: []string{"room_started", "tokens_revoked"}, Exclude: []string{"track_published"}, MaxAge: duration(time.Hour)}},
		}},
		Room:         roomConfig{false, duration(time.Second), duration(2 * time.Second), 3, duration(4 * time.Second), 5, "reject"},
		Refresh:      refreshConfig{duration(time.Minute), duration(90 * time.Minute)},
		Limits:       limitsConfig{1, 2, 3, 6, 4, 5, duration(48 * time.Hour), 7, 8, 9},
		Permissions:  permissionsConfig{false},
		Drain:        duration(3 * time.Second),
		PingInterval: duration(7 * time.Second),
		Log:          logConfig{"debug", "json"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	wantDomains := []daily.Domain{{Project: "acme", Name: "acme", ID: "25df5057-ef0d-4d97-bde6-0cf287276cbb",
		APIKeys: []auth.Secret{auth.Secret("0123456789abcdef0123456789abcdeh")}, TokenSecret: auth.Secret("0123456789abcdef0123456789abcdej"),
		RequireExpiry: true, RequireRoom: true, EndSessions: true, RateLimits: true}}
	if got := c.domains(nil); !reflect.DeepEqual(got, wantDomains) {
		t.Errorf("Daily's domains: got %+v, want %+v", got, wantDomains)
	}
	if got := c.roomURLs(); got["acme"] != "https://acme.example.com" {
		t.Errorf("addresses of rooms: got %v", got)
	}
	door := c.liveblocks(nil)
	keys, err := c.keys(door, daily.NewDomains(c.domains(nil)).Keys())
	if err != nil {
		t.Fatal(err)
	}
	if len(door) != 1 || door[0].Project != "acme" || string(door[0].Secret) != "sk_"+goodSecret || door[0].Public != "pk_acme" ||
		string(door[0].Key.Secret) != "0123456789abcdef0123456789abcdei" {
		t.Errorf("Liveblocks' door: got %+v", door)
	}
	if key, ok := keys.Lookup(door[0].Key.ID); !ok || key.Project != "acme" {
		t.Errorf("the key %q that signs Liveblocks' tokens is not in force", door[0].Key.ID)
	}
	if key, ok := keys.SigningKey("gone", "acme", livekit.Format{}); !ok || key.ID != "APIz" {
		t.Errorf("signing key: got %q, want the first one listed, APIz", key.ID)
	}
	if !keys.Revoked("APIold") {
		t.Error("APIold is not revoked")
	}
}

// project is the least that a file must say.
const project = `
projects:
  - name: acme
    livekit: { keys: { APIacme: "` + goodSecret + `" } }
`

func TestConfigDefaults(t *testing.T) {
	c, err := (&serveCmd{Config: writeConfig(t, project+"room: {grace: 10s}\nlimits:\n")}).settings()
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Projects = []projectConfig{{Name: "acme", LiveKit: livekitConfig{Keys: keyList{{"APIacme", secret(goodSecret)}}}}}
	want.Room.Grace = duration(10 * time.Second)
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// sampleConfig is the configuration that docs/operating.md shows.
func sampleConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, begins := strings.Cut(string(text), "```yaml\n")
	sample, _, ends := strings.Cut(sample, "```\n")
	if !begins || !ends {
		t.Fatal("docs/operating.md shows no configuration")
	}
	return sample
}

// The documented defaults are those in force.
func TestSampleConfig(t *testing.T) {
	c, err := (&serveCmd{Config: writeConfig(t, sampleConfig(t))}).settings()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.publicKeys(), []string{"APIacme", "acme.liveblocks.secret_key", "acme.daily.api_keys[0]"}; !reflect.DeepEqual(got, want) {
		t.Errorf("public keys: got %v, want %v", got, want)
	}
	c.Projects, c.Origins = nil, nil // the sample's origins are an empty list
	if want := defaultConfig(); !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDevConfig(t *testing.T) {
	c, err := (&serveCmd{Dev: true, Addr: "127.0.0.1:0", LogLevel: "debug"}).settings()
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:0" || c.Log.Level != "debug" {
		t.Errorf("flags do not count: %+v", c)
	}
	p := c.Projects[0]
	if p.Name != "dev" || p.LiveKit.Keys[0].ID != "devkey" || string(p.LiveKit.Keys[0].Secret) != "secret" ||
		string(p.Liveblocks.SecretKey) != "sk_dev_secret" || p.Liveblocks.PublicKey != "pk_dev_public" || !p.Liveblocks.readersBroadcast() || !p.Liveblocks.autoCreate() ||
		p.Daily.DomainName != "dev" || string(p.Daily.APIKeys[0]) != "daily_dev_secret" || !p.Daily.strictTokens() ||
		p.Daily.DomainID != "00000000-0000-4000-8000-000000000001" {
		t.Errorf("the project of --dev is not as promised: %+v", p)
	}
	if c.Limits.JoinsPerSecond != 0 || c.Origins[0] != "*" {
		t.Errorf("--dev limits rates or origins: %+v", c)
	}

	// A file's projects take the place of the known one, and may have short secrets.
	c, err = (&serveCmd{Dev: true, Config: writeConfig(t, `
projects:
  - name: mine
    livekit: { keys: { mine: short } }
`)}).settings()
	if err != nil {
		t.Fatal(err)
	}
	want := []projectConfig{{Name: "mine", LiveKit: livekitConfig{Keys: keyList{{"mine", secret("short")}}}}}
	if !reflect.DeepEqual(c.Projects, want) {
		t.Errorf("got %+v, want %+v", c.Projects, want)
	}
}

func TestConfigMistakes(t *testing.T) {
	const tooShort = "too short: it has 5 bytes and needs at least 32"
	tests := map[string]struct {
		text string
		want string // FILE stands for the file's name
	}{
		"empty":           {"", "FILE: projects: there is none, so nobody could join; name one and its livekit.keys"},
		"only a comment":  {"# nothing\n", "FILE: projects: there is none, so nobody could join; name one and its livekit.keys"},
		"two documents":   {"addr: a:1\n---\naddr: b:2\n", "FILE line 3: a second document; one is read"},
		"not a mapping":   {"- a\n- b\n", "FILE line 1: mapping is expected here"},
		"unknown key":     {project + "adress: x\n", `FILE line 5: unknown key "adress"`},
		"unknown below":   {project + "room:\n  empty_timeout: 1s\n  grase: 30s\n", `FILE line 7: unknown key "room.grase"`},
		"unknown in list": {"projects:\n  - name: a\n    livekitt: {}\n", `FILE line 3: unknown key "projects[0].livekitt"`},
		"twice":           {"addr: a:1\naddr: b:2\n", `FILE line 2: mapping key "addr" already defined at [1:1]`},
		"unclosed":        {"addr: \"x\n", "FILE line 1: could not find end character of double-quoted text"},
		"library panics":  {"origins: ![x]\n", "FILE: not readable as YAML"},
		"bad indent":      {"room:\n  grace: 1s\n drain: 1s\n", "FILE line 3: value is not allowed in this context"},

		"duration":         {project + "room: { grace: 300 }\n", `FILE line 5: room.grace: "300" is not a duration; write it like 30s or 5m`},
		"duration in list": {project + "drain: [1s]\n", `FILE line 5: drain: "[" is not a duration; write it like 30s or 5m`},
		"negative":         {project + "drain: -1s\n", "FILE line 5: drain: -1s is too short; at least 0s"},
		"no interval":      {project + "ping_interval: 0s\n", "FILE line 5: ping_interval: 0s is too short; at least 1s"},
		"refresh":          {project + "refresh:\n  interval: 10m\n  ttl: 5m\n", "FILE line 7: refresh.ttl: must be longer than refresh.interval (10m0s), or tokens run out before the next one comes"},
		"refresh, half":    {project + "refresh:\n  interval: 20m\n", "FILE line 5: refresh.ttl: must be longer than refresh.interval (20m0s), or tokens run out before the next one comes"},
		"text for number":  {project + "limits: { data_bytes: lots }\n", "FILE line 5: limits.data_bytes: must be a whole number"},
		"huge number":      {project + "limits: { data_bytes: 99999999999999999999 }\n", "FILE line 5: limits.data_bytes: the number is out of range"},
		"negative number":  {project + "limits: { data_bytes: -1 }\n", "FILE line 5: limits.data_bytes: -1 is less than 0"},
		"text for bool":    {project + "permissions: { sticky: perhaps }\n", "FILE line 5: permissions.sticky: must be true or false"},
		"word":             {project + "room: { duplicate_identity: kick }\n", `FILE line 5: room.duplicate_identity: "kick" is not one of replace, reject and allow`},
		"level":            {project + "log: { level: loud }\n", `FILE line 5: log.level: "loud" is not one of debug, info, warn and error`},
		"address":          {project + "addr: localhost\n", `FILE line 5: addr: "localhost" is not an address; write it like 127.0.0.1:7880`},
		"same address":     {project + "addr: a:1\nadmin_addr: a:1\n", `FILE line 6: admin_addr: must be another address than addr`},
		"half of tls":      {project + "tls: { cert: x }\n", `FILE line 5: tls: needs both cert and key`},
		"origin":           {project + "origins:\n  - https://ok.example\n  - app.example.com\n", `FILE line 7: origins[1]: "app.example.com" is not an origin; write it like https://app.example.com, or "*" for all`},
		"origin with path": {project + "origins: [https://ok.example/x]\n", `FILE line 5: origins[0]: "https://ok.example/x" is not an origin; write it like https://app.example.com, or "*" for all`},

		"short secret":          {"projects:\n  - name: a\n    livekit:\n      keys:\n        APIa: 12b45\n", "FILE line 5: projects[0].livekit.keys.APIa: the secret is " + tooShort},
		"empty secret":          {"projects:\n  - name: a\n    livekit: { keys: { APIa: '' } }\n", "FILE line 3: projects[0].livekit.keys.APIa: the secret is empty"},
		"number as secret":      {"projects:\n  - name: a\n    livekit: { keys: { APIa: 1234 } }\n", "FILE line 3: projects[0].livekit.keys.APIa: must be text: put it into quotes"},
		"list of keys":          {"projects:\n  - name: a\n    livekit: { keys: [APIa] }\n", `FILE line 3: projects[0].livekit.keys: must be keys with their secrets, like { APIacme: "…" }`},
		"short sk":              {"projects:\n  - name: a\n    liveblocks: { secret_key: sk_12 }\n", "FILE line 3: projects[0].liveblocks.secret_key: the secret is " + tooShort},
		"no sk":                 {"projects:\n  - name: a\n    liveblocks: { secret_key: " + goodSecret + " }\n", "FILE line 3: projects[0].liveblocks.secret_key: does not begin with sk_"},
		"short daily key":       {"projects:\n  - name: a\n    daily: { domain_name: a, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [12b45] }\n", "FILE line 3: projects[0].daily.api_keys[0]: the secret is " + tooShort},
		"domain id":             {"projects:\n  - name: a\n    daily: { domain_name: a, domain_id: x, api_keys: [" + goodSecret + "] }\n", `FILE line 3: projects[0].daily.domain_id: is not a UUID in lower case`},
		"domain name":           {daily1 + "daily: { domain_name: a.daily.co, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [" + goodSecret + "] }\n", `FILE line 3: projects[0].daily.domain_name: has other characters than letters, digits and -; of acme.daily.co it is acme`},
		"daily, only a switch":  {daily1 + "daily: { require_exp: true }\n", "FILE line 3: projects[0].daily.domain_name: is missing\nFILE line 3: projects[0].daily.domain_id: is not a UUID in lower case\nFILE line 3: projects[0].daily.api_keys: there is none"},
		"daily token secret":    {daily1 + "daily: { domain_name: a, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [" + goodSecret + "], token_secret: 12b45 }\n", "FILE line 3: projects[0].daily.token_secret: the secret is " + tooShort},
		"an API key signs":      {daily1 + "daily: { domain_name: a, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [" + goodSecret + "], token_secret: " + goodSecret + " }\n", "FILE line 3: projects[0].daily.api_keys[0]: is the same secret as projects[0].daily.token_secret"},
		"address of rooms":      {daily1 + "daily: { domain_name: a, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [" + goodSecret + "], room_url: https://x.example/rooms }\n", "FILE line 3: projects[0].daily.room_url: is not an address without a path; write it like https://acme.example.com"},
		"same API key":          {daily1 + "daily: { domain_name: a, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [" + goodSecret + ", " + goodSecret + "] }\n", "FILE line 3: projects[0].daily.api_keys[1]: is the same secret as projects[0].daily.api_keys[0]"},
		"no name":               {"projects:\n  - livekit: {}\n", "FILE line 2: projects[0].name: the project has no name"},
		"same name":             {project + "  - name: acme\n", `FILE line 5: projects[1].name: there is another project "acme"`},
		"same key":              {project + "  - name: b\n    livekit: { keys: { APIacme: \"" + goodSecret + "\" } }\n", `FILE line 6: projects[1].livekit.keys.APIacme: this key is in project "acme" already; it belongs to one project`},
		"key and revoked":       {project + "  - name: b\n    livekit: { revoked_keys: [x, APIacme] }\n", `FILE line 6: projects[1].livekit.revoked_keys[1]: this key is revoked here and listed as a key of project "acme"`},
		"odd sk":                {"projects:\n  - name: a\n    liveblocks: { secret_key: sk_0123456789abcdef0123456789abcde= }\n", "FILE line 3: projects[0].liveblocks.secret_key: has other characters than letters, digits, _ and - behind sk_, and Liveblocks' SDKs refuse it"},
		"only a pk":             {"projects:\n  - name: a\n    liveblocks: { public_key: pk_x }\n", "FILE line 3: projects[0].liveblocks.secret_key: the secret is empty"},
		"token secret":          {"projects:\n  - name: a\n    liveblocks:\n      secret_key: sk_" + goodSecret + "\n      token_secret: short\n", "FILE line 5: projects[0].liveblocks.token_secret: the secret is " + tooShort},
		"token secret, no text": {"projects:\n  - name: a\n    liveblocks:\n      token_secret: 7\n", "FILE line 4: projects[0].liveblocks.token_secret: must be text: put it into quotes"},
		"sk signs":              {"projects:\n  - name: a\n    liveblocks:\n      secret_key: sk_" + goodSecret + "\n      token_secret: sk_" + goodSecret + "\n", "FILE line 5: projects[0].liveblocks.token_secret: is the same secret as projects[0].liveblocks.secret_key"},
		"broadcast":             {"projects:\n  - name: a\n    liveblocks:\n      secret_key: sk_" + goodSecret + "\n      readers_broadcast: perhaps\n", "FILE line 5: projects[0].liveblocks.readers_broadcast: must be true or false"},
		"rooms are made":        {"projects:\n  - name: a\n    liveblocks:\n      secret_key: sk_" + goodSecret + "\n      auto_create: perhaps\n", "FILE line 5: projects[0].liveblocks.auto_create: must be true or false"},
		"unknown, liveblocks":   {"projects:\n  - name: a\n    liveblocks:\n      secret: sk_" + goodSecret + "\n", `FILE line 4: unknown key "projects[0].liveblocks.secret"`},
		"same public key":       {project + twoLiveblocks, `FILE line 8: projects[2].liveblocks.public_key: this public key is in project "b" already; it belongs to one project`},
		"webhook key":           {project + "    webhooks: [{ url: https://x, api_key: other }]\n", `FILE line 5: projects[0].webhooks[0].api_key: is none of the project's livekit.keys`},
		"webhook url":           {project + "    webhooks: [{ url: x, api_key: APIacme }]\n", `FILE line 5: projects[0].webhooks[0].url: is not an http or https URL`},
		"webhook secret":        {project + "    webhooks: [{ url: https://x, api_key: APIacme, standard_secret: x }]\n", `FILE line 5: projects[0].webhooks[0].standard_secret: is not whsec_ followed by base64`},
		"webhook event":         {project + "    webhooks: [{ url: https://x, api_key: APIacme, include: [room_finished, room_ended] }]\n", `FILE line 5: projects[0].webhooks[0].include[1]: "room_ended" is no event; they are room_started room_finished participant_joined participant_left track_published track_unpublished participant_permission_changed participant_updated room_metadata_changed tokens_revoked`},
		"webhook age":           {project + "    webhooks: [{ url: https://x, api_key: APIacme, max_age: -1s }]\n", `FILE line 5: projects[0].webhooks[0].max_age: -1s is too short; at least 0s`},
		"webhook word":          {project + "    webhooks: [{ url: https://x, api_key: APIacme, extra_events: perhaps }]\n", `FILE line 5: projects[0].webhooks[0].extra_events: must be true or false`},
		"webhook list":          {project + "    webhooks: [{ url: https://x, api_key: APIacme, exclude: room_started }]\n", `FILE line 5: projects[0].webhooks[0].exclude: sequence is expected here`},
		"token life":            {project + "limits: { token_life: -1h }\n", `FILE line 5: limits.token_life: -1h0m0s is too short; at least 0s`},
		"several at a time":     {project + "drain: -1s\naddr: x\n", "FILE line 6: addr: \"x\" is not an address; write it like 127.0.0.1:7880\nFILE line 5: drain: -1s is too short; at least 0s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := writeConfig(t, test.text)
			c, err := (&serveCmd{Config: file}).settings()
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if want := strings.ReplaceAll(test.want, "FILE", file); err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
}

const daily1 = "projects:\n  - name: a\n    "

const twoLiveblocks = `  - name: b
    liveblocks: { secret_key: sk_0123456789abcdef0123456789abcde1, public_key: pk_x }
  - name: c
    liveblocks: { secret_key: sk_0123456789abcdef0123456789abcde2, public_key: pk_x }
`

// A secret in the wrong place is named by that place, never shown.
func TestMisplacedSecrets(t *testing.T) {
	const (
		odd   = "S3cret/with+odd=characters"
		short = "s3cret-of-20-letters"
		one   = "projects:\n  - name: a\n    "
	)
	tests := map[string]struct {
		text string
		want []string // lines; FILE stands for the file's name
	}{
		"swapped id and secret":           {one + "livekit:\n      keys:\n        APIb: " + goodSecret + "\n        SECRET: APIacme\n", []string{"FILE line 6: projects[0].livekit.keys[1]: the secret is too short: it has 7 bytes and needs at least 32"}},
		"swapped, and only one":           {one + "livekit:\n      keys:\n        SECRET: APIacme\n", []string{"FILE line 5: projects[0].livekit.keys[0]: the secret is too short: it has 7 bytes and needs at least 32"}},
		"swapped, not text":               {one + "livekit: { keys: { SECRET: 7 } }\n", []string{"FILE line 3: projects[0].livekit.keys[0]: must be text: put it into quotes"}},
		"a secret for an id, twice":       {one + "livekit:\n      keys:\n        SECRET: x\n        SECRET: y\n", []string{"FILE line 6: mapping key \"…\" already defined at [5:9]"}},
		"a secret for an id, elsewhere":   {one + "livekit: { keys: { SECRET: " + goodSecret + " } }\n  - name: b\n    livekit: { keys: { SECRET: " + goodSecret + " } }\n", nil},
		"public_key":                      {one + "liveblocks: { secret_key: pk_x, public_key: SECRET }\n", []string{"FILE line 3: projects[0].liveblocks.secret_key: the secret is too short: it has 4 bytes and needs at least 32", "FILE line 3: projects[0].liveblocks.secret_key: does not begin with sk_", "FILE line 3: projects[0].liveblocks.public_key: does not begin with pk_"}},
		"token_secret":                    {one + "liveblocks: { secret_key: pk_x, token_secret: SECRET }\n  - name: b\n    liveblocks: { secret_key: pk_x, token_secret: SECRET }\n", nil},
		"secret_key, an odd one":          {one + "liveblocks: { secret_key: sk_/SECRET }\n", nil},
		"domain_id":                       {one + "daily: { domain_name: a, domain_id: SECRET, api_keys: [" + goodSecret + "] }\n", []string{"FILE line 3: projects[0].daily.domain_id: is not a UUID in lower case"}},
		"domain_name, twice":              {one + "daily: { domain_name: SECRET, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbb, api_keys: [" + goodSecret + "] }\n  - name: b\n    daily: { domain_name: SECRET, domain_id: 25df5057-ef0d-4d97-bde6-0cf287276cbc, api_keys: [" + goodSecret + "x] }\n", nil},
		"revoked_keys":                    {one + "livekit: { keys: { SECRET: " + goodSecret + " }, revoked_keys: [SECRET] }\n", []string{"FILE line 3: projects[0].livekit.revoked_keys[0]: this key is revoked here and listed as a key of project \"a\""}},
		"an unknown key":                  {one + "livekit:\n      keys: { APIb: " + goodSecret + " }\n      SECRET: x\n", []string{"FILE line 5: unknown key, which is not shown as it may be a secret"}},
		"an unknown key at the top":       {"SECRET: x\n", []string{"FILE line 1: unknown key, which is not shown as it may be a secret"}},
		"webhooks, api_key":               {project + "    webhooks: [{ url: https://x, api_key: SECRET }]\n", []string{"FILE line 5: projects[0].webhooks[0].api_key: is none of the project's livekit.keys"}},
		"webhooks, include":               {project + "    webhooks: [{ url: https://x, api_key: APIacme, include: [SECRET] }]\n", nil},
		"an alias that is none":           {one + "livekit: { keys: { APIb: *SECRET } }\n", nil},
		"a secret under it, in the wrong": {one + "livekit: { keys: { APIb: { SECRET: x } } }\n", nil},
	}
	for name, test := range tests {
		for i, misplaced := range []string{goodSecret[:31] + "!", goodSecret, odd, "sk_" + goodSecret, short} {
			if misplaced == short && (strings.HasPrefix(name, "a secret for an id") || strings.HasPrefix(name, "revoked") || strings.HasPrefix(name, "swapped, not")) {
				continue // nothing tells it from an id
			}
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				file := writeConfig(t, strings.ReplaceAll(test.text, "SECRET", misplaced))
				_, err := (&serveCmd{Config: file}).settings()
				if err == nil {
					t.Fatal("accepted")
				}
				if strings.Contains(err.Error(), misplaced) {
					t.Errorf("it shows the secret: %s", err)
				}
				if want := strings.ReplaceAll(strings.Join(test.want, "\n"), "FILE", file); want != "" && err.Error() != want {
					t.Errorf("got  %s\nwant %s", err, want)
				}
			})
		}
	}
}

func TestUnreadableConfig(t *testing.T) {
	_, err := (&serveCmd{Config: "/does/not/exist.yaml"}).settings()
	if want := "cannot read the configuration /does/not/exist.yaml: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Whatever is printed of a configuration, the secrets in it are not.
func TestConfigShowsNoSecret(t *testing.T) {
	c, err := (&serveCmd{Config: writeConfig(t, fullConfig)}).settings()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%q"} {
		if text := fmt.Sprintf(verb, c.Projects); strings.Contains(text, goodSecret[:16]) || strings.Contains(text, fmt.Sprintf("%x", goodSecret[:16])) {
			t.Errorf("%s prints a secret: %s", verb, text)
		}
	}
}

func TestNeedsRestart(t *testing.T) {
	c := defaultConfig()
	next := defaultConfig()
	if got := c.needsRestart(next); got != nil {
		t.Errorf("nothing changed: got %v", got)
	}
	next.Addr, next.Room.Grace, next.Log.Level, next.Log.Format = "x:1", 1, "debug", "json"
	next.Projects = []projectConfig{{Name: "new"}}
	if got, want := c.needsRestart(next), []string{"addr", "room", "log.format"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
