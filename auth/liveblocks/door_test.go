package liveblocks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/liveblocks"
)

func entry(project, sk, pk string) liveblocks.DoorEntry {
	return liveblocks.DoorEntry{Project: project, Secret: auth.Secret(sk), Public: pk,
		Key: liveblocks.NewKey(format, project, auth.Secret("signs-for-"+project)), Format: format}
}

func TestDoor(t *testing.T) {
	d := liveblocks.NewDoor([]liveblocks.DoorEntry{
		entry("acme", "sk_acme", "pk_acme"), entry("beta", "sk_beta", "pk_beta"),
		entry("quiet", "", ""),
		entry("late", "sk_acme", "pk_acme"),   // taken
		entry("acme", "sk_other", "pk_other"), // there is one
	})
	for _, test := range []struct{ key, secret, public string }{
		{"sk_acme", "acme", ""}, {"sk_beta", "beta", ""}, {"pk_acme", "", "acme"}, {"pk_beta", "", "beta"},
		{"", "", ""}, {"sk_", "", ""}, {"sk_acm", "", ""}, {"sk_acme ", "", ""}, {"SK_ACME", "", ""}, {"sk_other", "", ""}, {"pk_other", "", ""},
		{"[secret]", "", ""}, {strings.Repeat("sk_acme", 1000), "", ""},
	} {
		secret, isSecret := d.Secret(test.key)
		public, isPublic := d.Public(test.key)
		if secret != test.secret || isSecret != (test.secret != "") || public != test.public || isPublic != (test.public != "") {
			t.Errorf("%q: got %q, %v and %q, %v", test.key, secret, isSecret, public, isPublic)
		}
	}
	if k := d.Key("beta"); k.Project != "beta" || d.Format("beta") != format {
		t.Errorf("got %v", k)
	}
	if k := d.Key("gamma"); k.ID != "" || d.Format("gamma") != nil {
		t.Errorf("got %v", k)
	}

	d.Set([]liveblocks.DoorEntry{entry("beta", "sk_new", "")})
	if _, ok := d.Secret("sk_beta"); ok {
		t.Error("a key that was replaced still opens")
	}
	if _, ok := d.Public(""); ok {
		t.Error("no key is somebody's")
	}
	if project, ok := d.Secret("sk_new"); !ok || project != "beta" || d.Key("acme").ID != "" {
		t.Error("the new projects are not there")
	}
}

func TestDoorWhileItIsSet(t *testing.T) {
	d := liveblocks.NewDoor([]liveblocks.DoorEntry{entry("acme", "sk_1", "")})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				_, one := d.Secret("sk_1")
				if _, two := d.Secret("sk_2"); !one && !two { // it goes from the first to the second
					t.Error("neither key opens")
				}
				d.Key("acme")
			}
		})
	}
	for range 100 {
		d.Set([]liveblocks.DoorEntry{entry("acme", "sk_2", "")})
	}
	wg.Wait()
}

func TestDoorsShowNoKey(t *testing.T) {
	const sk, signing = "sk_MARKER-of-a-secret-key", "signs-for-acme"
	e := entry("acme", sk, "pk_acme")
	d := liveblocks.NewDoor([]liveblocks.DoorEntry{e})
	for name, thing := range map[string]any{"a door": d, "an entry": e, "a pointer to one": &e, "in a struct": struct{ d *liveblocks.Door }{d}, "a key": d.Key("acme")} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%c"} {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "thing", thing)
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "thing", thing)
		if b, err := json.Marshal(thing); err == nil {
			out.Write(b)
		}
		for _, key := range []string{sk, signing} {
			for _, form := range []string{key, fmt.Sprintf("%x", key), strings.Trim(fmt.Sprint([]byte(key)), "[]")} {
				if strings.Contains(out.String(), form) {
					t.Errorf("%s shows a key in\n%s", name, &out)
				}
			}
		}
	}
}

// With ExistingOnly neither makes a room, and what they may do in one is the same.
// So it is of a refreshed token.
func TestExistingOnly(t *testing.T) {
	only := liveblocks.New(liveblocks.Config{ReadersBroadcast: true, ExistingOnly: true})
	keys, err := auth.NewKeys([]auth.Key{liveblocks.NewKey(only, "acme", auth.Secret(secret))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := auth.NewVerifier(keys, 0)
	verified := func(token string) *auth.Grant {
		t.Helper()
		g, err := v.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	access := liveblocks.AccessToken{User: "ada", Permissions: map[string][]string{"*": {"*:write"}}}
	g := verified(mint(t, access))
	refreshed, err := v.Refresh(g, auth.Current{Session: "PA_1", Room: "lab", Identity: "ada", Permission: auth.Resolve(only.Base(g, "lab", auth.RoomRules{})...), Base: only.Base(g, "lab", auth.RoomRules{})}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]*auth.Grant{
		"access token": {g, grantOf(t, access)},
		"refreshed":    {verified(refreshed), grantOf(t, access)},
		"public key":   {liveblocks.PublicGrant(only, "acme", "pk_acme"), liveblocks.PublicGrant(format, "acme", "pk_acme")},
	} {
		if pair[0].CreateListed || pair[0].CreateRoom || !pair[1].CreateListed {
			t.Errorf("%s: makes rooms %t, without the setting %t", name, pair[0].CreateListed, pair[1].CreateListed)
		}
		if got, want := rightsIn(pair[0], "lab", nil), rightsIn(pair[1], "lab", nil); got != want || got == 0 {
			t.Errorf("%s: may %s, want %s", name, names(got), names(want))
		}
	}
}

func TestPublicGrants(t *testing.T) {
	g := liveblocks.PublicGrant(format, "acme", "pk_acme")
	other := liveblocks.PublicGrant(format, "acme", "pk_acme")
	if g.Identity == other.Identity || g.TokenHash == other.TokenHash || !strings.HasPrefix(g.Identity, auth.AnonymousPrefix) || len(g.Identity) < 20 {
		t.Errorf("two people are %q and %q", g.Identity, other.Identity)
	}
	if g.Claims != nil || g.Origin != nil || !g.Expires.IsZero() || !g.Join || !g.CreateListed || g.CreateRoom || g.KeyID != "pk_acme" || g.Project != "acme" || g.Issued.IsZero() {
		t.Errorf("got %+v", g)
	}
	if !g.Reaches("default") || g.Reaches("other") {
		t.Error("the wrong organizations are open")
	}
	for _, list := range []*auth.AccessList{nil, open(), open("*:read")} { // the list does not matter
		says := format.Base(g, "lab", auth.RoomRules{List: list})
		p := auth.Resolve(says...)
		if got := fmt.Sprint(liveblocks.Scopes(p)); got != "[*:write]" || !p.Allows(auth.SendPresence|auth.SendData|auth.ReceiveTracks) || p.Rights.Any(auth.SendTracks) {
			t.Errorf("got %s, %s", got, names(p.Rights))
		}
		if _, layer := auth.Explain(auth.WriteStorage, says...); layer != liveblocks.PublicLayer {
			t.Errorf("decided by %s", layer)
		}
	}
	v := newVerifier(t)
	if token, err := v.Refresh(g, sessionOf(g, "lab", nil), 0); err != auth.ErrNoToken || token != "" {
		t.Errorf("refreshed: %q, %v", token, err)
	}
	none, err := auth.NewKeys(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.Keys().Outdated(g, none) || !v.Keys().Outdated(grantOf(t, liveblocks.IDToken{User: "ada"}), none) {
		t.Error("the token of somebody without one is outdated")
	}
	if _, err := v.Verify("pk_acme"); err == nil {
		t.Error("a public key passes as a token")
	}
}
