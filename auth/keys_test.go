package auth_test

import (
	"strings"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/daily"
	"usher/auth/livekit"
)

func dailyKey(id, domain, project string, strict bool) auth.Key {
	return auth.Key{ID: id, Domain: domain, Secret: auth.Secret("the-secret-of-the-key-" + id), Project: project, Format: daily.New(), Strict: strict}
}

func TestDomainsOfKeys(t *testing.T) {
	for name, test := range map[string]struct {
		keys []auth.Key
		want string
	}{
		"no domain":           {[]auth.Key{dailyKey("daily_1", "", "acme", false)}, "needs one"},
		"in two projects":     {[]auth.Key{dailyKey("daily_1", "D", "acme", false), dailyKey("daily_2", "D", "other", false)}, `the domain "D" is listed in project "acme" and in project "other"`},
		"an id in two places": {[]auth.Key{dailyKey("daily_1", "D", "acme", false), dailyKey("daily_1", "D", "acme", false)}, "listed twice"},
	} {
		if _, err := auth.NewKeys(test.keys, nil); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "the-secret") {
			t.Errorf("%s: got %v, want …%s…", name, err, test.want)
		}
	}
}

// A session goes by all keys that its token descends from. With strict keys one that
// is not listed any more is as good as revoked; of another format or project it is
// not listed.
func TestRefuses(t *testing.T) {
	f := daily.New()
	grant := func(origin string, ids ...string) *auth.Grant {
		g := &auth.Grant{Format: f, Project: "acme", KeyID: ids[len(ids)-1], Claims: []byte("{}")}
		if origin != "" {
			g.Origin = &auth.Origin{KeyID: origin, KeyIDs: ids[:len(ids)-1], Session: "PA_1"}
		}
		return g
	}
	livekitToken := &auth.Grant{Format: livekit.Format{}, Project: "acme", KeyID: "gone", Claims: []byte("{}")}
	nobody := &auth.Grant{Format: f, Project: "acme", KeyID: "D"}
	for _, test := range []struct {
		name          string
		g             *auth.Grant
		strict, loose bool
	}{
		{"of a listed key", grant("", "daily_1"), false, false},
		{"of one that is not", grant("", "gone"), true, false},
		{"of one that was revoked", grant("", "revoked"), true, true},
		{"descends from a listed one", grant("daily_2", "daily_1"), false, false},
		{"descends from one that is not", grant("gone", "daily_1"), true, false},
		{"by way of one that is not", grant("daily_2", "gone", "daily_1"), true, false},
		{"descends from a revoked one", grant("revoked", "daily_1"), true, true},
		{"descends from another project's", grant("daily_o", "daily_1"), true, false},
		{"descends from another format's", grant("LK", "daily_1"), true, false},
		{"a token of another format", livekitToken, false, false},
		{"nobody's", nobody, false, false},
	} {
		for strict, want := range map[bool]bool{true: test.strict, false: test.loose} {
			keys := newKeys(t, []auth.Key{
				dailyKey("daily_1", "D", "acme", strict), dailyKey("daily_2", "D", "acme", false), dailyKey("daily_o", "O", "other", false),
				{ID: "LK", Secret: auth.Secret(secret), Project: "acme", Format: livekit.Format{}},
			}, "revoked")
			if got := keys.Refuses(test.g); got != want {
				t.Errorf("%s, strict %v: got %v", test.name, strict, got)
			}
		}
	}
}

// When a project has no key of a format left, what the last ones said of the sessions
// that are there goes on; keys that are listed say it themselves.
func TestRefusesWithoutAnyKey(t *testing.T) {
	none, other := newKeys(t, nil), newKeys(t, []auth.Key{dailyKey("daily_o", "O", "other", false)})
	g := &auth.Grant{Format: daily.New(), Project: "acme", KeyID: "daily_1", Claims: []byte("{}")}
	for _, strict := range []bool{true, false} {
		was := newKeys(t, []auth.Key{dailyKey("daily_1", "D", "acme", strict)})
		for what, c := range map[string]struct {
			keys *auth.Keys
			want bool
		}{
			"none":            {none.After(was), strict},
			"another's":       {other.After(was), strict},
			"none once more":  {other.After(none.After(was)), strict},
			"one of the same": {newKeys(t, []auth.Key{dailyKey("daily_2", "D", "acme", false)}).After(none.After(was)), false},
			"it is back":      {was.After(none.After(was)), false},
		} {
			if got := c.keys.Refuses(g); got != c.want {
				t.Errorf("strict %v, %s is listed: refuses %v", strict, what, got)
			}
			if key, ok := c.keys.SigningKey("daily_1", "acme", g.Format); ok && key.ID == "" {
				t.Errorf("%s: signs with no key", what)
			}
			c.keys.Outdated(g, was)
		}
		if none.Refuses(g) {
			t.Error("without one before, none refuses")
		}
	}
}

// The project whose key a token names is told of any token, whoever wrote it.
func TestNamed(t *testing.T) {
	h := newHouse(t, "the-secret-of-the-livekit-key-32-bytes", "the-secret-of-the-liveblocks-key-32-by", "the-api-key-of-the-daily-domain-32-byt", "the-token-secret-of-the-daily-domain-3")
	for name, test := range map[string]struct{ token, want string }{
		"livekit":    {sign(plainHeader, "{"+issued+videoClaims+"}", "x"), "acme"},
		"liveblocks": {sign(`{"alg":"HS256","kid":"lb_other"}`, "{"+idClaims+"}", "x"), "other"},
		"daily":      {sign(plainHeader, "{"+dailyClaims+"}", "x"), "acme"},
		"expired":    {sign(plainHeader, "{"+dailyClaims+`,"exp":1}`, "x"), "acme"},
		"unknown":    {sign(plainHeader, `{"d":"x"}`, "x"), ""},
		"revoked":    {sign(`{"alg":"HS256","kid":"lb_revoked"}`, "{"+idClaims+"}", "x"), ""},
		"nonsense":   {"x", ""},
	} {
		if project, ok := h.Keys().Named(test.token); project != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %q, %v", name, project, ok)
		}
	}
}

// A session that is to end keeps that moment, whatever token it came with.
func TestRefreshedTokensKeepTheirEnd(t *testing.T) {
	h := newHouse(t, "the-secret-of-the-livekit-key-32-bytes", "the-secret-of-the-liveblocks-key-32-by", "the-api-key-of-the-daily-domain-32-byt", "the-token-secret-of-the-daily-domain-3")
	for _, token := range []string{
		sign(plainHeader, "{"+issued+videoClaims+"}", string(h.livekit.Secret)),
		sign(lbHeader, "{"+idClaims+"}", string(h.liveblocks.Secret)),
		sign(plainHeader, "{"+dailyClaims+"}", string(h.domains.Keys()[1].Secret)),
	} {
		g, err := h.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if g.Stay != (auth.Stay{}) {
			t.Errorf("%s: got %+v", g.Format.Name(), g.Stay)
		}
		at := time.UnixMilli(9999999999123)
		for _, end := range []time.Time{at, {}} {
			refreshed, err := h.Refresh(g, auth.Current{Session: "PA_1", Room: "lab", Identity: "ada", EjectAt: end}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			again, err := h.Verify(refreshed)
			if err != nil || again.Stay != (auth.Stay{At: end, Fixed: true}) {
				t.Errorf("%s: got %+v, %v", g.Format.Name(), again.Stay, err)
			}
			g = again
		}
	}
}
