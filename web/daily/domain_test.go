package daily_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"usher/room/store"
	"usher/session/sessiontest"
)

const usual = `"permissions":{"hasPresence":true,"canSend":true,"canReceive":{"base":true},"canAdmin":false}`

// §0: who signs tokens itself asks for the domain's id here.
func TestDomain(t *testing.T) {
	s := serve(t)
	is := func(config string) {
		t.Helper()
		want := fmt.Sprintf(`{"domain_name":"acme","domain_id":%q,"config":{%s}}`, sessiontest.DailyDomain, config)
		s.must("GET", "", "").is(t, 200, want)
		s.must("GET", "/", "").is(t, 200, want)
	}
	is(usual)
	a := s.must("POST", "/", `{"properties":{"enable_chat":true,"hide_daily_branding":false,"redirect_on_meeting_exit":"https://example.com/?a=<b>&c"}}`)
	is(`"enable_chat":true,"hide_daily_branding":false,` + usual + `,"redirect_on_meeting_exit":"https://example.com/?a=<b>&c"`)
	a.is(t, 200, s.must("GET", "/", "").Text)
	s.must("POST", "/", `{"properties":{"enable_chat":null,"redirect_on_meeting_exit":null,"permissions":{"canSend":["audio"]}}}`)
	is(`"hide_daily_branding":false,"permissions":{"canSend":["audio"]}`)
	s.must("POST", "/", `{"properties":{"permissions":null,"hide_daily_branding":null}}`)
	is(usual)
	for body, info := range map[string]string{
		`{"enable_chat":true}`:                                       "unknown parameter 'enable_chat'; there are properties",
		`{"properties":7}`:                                           "properties is not an object",
		`{"properties":{"enable_chat":"yes"}}`:                       "enable_chat was 'yes' but should be a boolean",
		`{"properties":{"x":"` + strings.Repeat("x", 64<<10) + `"}}`: "the properties would have 65544 bytes, the limit is 65536",
	} {
		s.call("POST", "/", body).want(t, 400, "invalid-request-error", info)
	}
	is(usual)
	if a := s.with(otherKey, "GET", "/", ""); a.Str("domain_id") != otherDomain || a.Str("domain_name") != "other" {
		t.Errorf("got %s", a.Text)
	}
}

// §2.3, §4: the domain's permissions hold at once for whoever is there, and for those
// who come; what room, token or ownership say goes before.
func TestDomainPermissions(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	s.must("POST", "/rooms", `{"name":"open","properties":{"permissions":{"canSend":true}}}`)
	enter := func(properties string) *sessiontest.Client {
		t.Helper()
		c, _ := s.enter("", s.token(properties))
		return c
	}
	ada, host := enter(`{"room_name":"r","user_id":"ada"}`), enter(`{"room_name":"r","user_id":"host","is_owner":true}`)
	named, other := enter(`{"room_name":"r","user_id":"named","permissions":{"canSend":["audio"]}}`), enter(`{"room_name":"open","user_id":"other"}`)
	check := func(what string, c *sessiontest.Client, camera, microphone bool) {
		t.Helper()
		if got := [2]bool{may(c, "camera"), may(c, "microphone")}; got != [2]bool{camera, microphone} {
			t.Errorf("%s: got %v, want %v", what, got, [2]bool{camera, microphone})
		}
	}
	check("ada", ada, true, true)
	s.must("POST", "/", `{"properties":{"permissions":{"canSend":false}}}`)
	check("ada, after", ada, false, false)
	check("the owner", host, true, true)
	check("somebody whose token says something", named, false, true)
	check("somebody whose room says something", other, true, true)
	check("a newcomer", enter(`{"room_name":"r","user_id":"new"}`), false, false)
	s.must("POST", "/", `{"properties":{"permissions":{"canSend":["video"],"canReceive":{"base":true,"byUserId":{"eve":false}}}}}`)
	check("ada, with one thing", ada, true, false)
	s.must("POST", "/rooms/r", `{"properties":{"permissions":{"canSend":["audio"]}}}`)
	check("ada, as the room says", ada, false, true)
	s.must("POST", "/rooms/r", `{"properties":{"permissions":null}}`)
	s.must("POST", "/", `{"properties":{"permissions":null}}`)
	check("ada, at last", ada, true, true)

	// They are in force again after a restart.
	s.must("POST", "/", `{"properties":{"permissions":{"canSend":false}}}`)
	second := serve(t, options{store: s.store})
	c, _ := second.enter("", second.token(`{"room_name":"r","user_id":"ada"}`))
	check("ada, after a restart", c, false, false)
}

// They hold as well for a project that a reload of the configuration takes away and
// gives back, or gives for the first time.
func TestDomainPermissionsSurviveReload(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	s.must("POST", "/", `{"properties":{"permissions":{"canSend":false}}}`)
	check := func(s *site) {
		t.Helper()
		d, _ := s.Domains.ByProject("test")
		other := d
		other.Project, other.ID, other.APIKeys = "elsewhere", otherDomain, nil
		s.SetDomain(other)
		s.SetDomain(d)
		if c, _ := s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`)); may(c, "camera") {
			t.Error("the permissions of the domain are forgotten")
		}
	}
	check(s)
	check(serve(t, options{store: s.store}))
}

// broken is a store in which domains cannot be written.
type broken struct {
	store.Store
	mu   sync.Mutex
	down bool
}

func (b *broken) Commit(changes ...store.Change) *store.Ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range changes {
		if b.down && strings.HasPrefix(c.Key, "daily/domain/") {
			c.Bucket = "none" // which no store takes
			return b.Store.Commit(c)
		}
	}
	return b.Store.Commit(changes...)
}

// What takes something is in force though it cannot be written; what gives something
// is not.
func TestDomainThatCannotBeWritten(t *testing.T) {
	kept := &broken{Store: store.NewMemory()}
	s := serve(t, options{store: kept})
	s.must("POST", "/rooms", `{"name":"r"}`)
	s.must("POST", "/", `{"properties":{"permissions":{"canSend":["video","audio"]}}}`)
	ada, _ := s.enter("", s.token(`{"room_name":"r","user_id":"ada"}`))
	kept.mu.Lock()
	kept.down = true
	kept.mu.Unlock()
	before := s.must("GET", "/", "").Text
	s.call("POST", "/", `{"properties":{"permissions":{"canSend":["audio","screenVideo"]}}}`).is(t, 503, `{"error":"server-error"}`)
	if may(ada, "camera") || !may(ada, "microphone") || may(ada, "screen_share") {
		t.Error("want only the microphone, which is in both")
	}
	s.must("GET", "/", "").is(t, 200, before)
}

// A domain's record that cannot be read stops the start.
func TestDamagedDomain(t *testing.T) {
	for _, value := range []string{"nonsense", `[]`, `{"permissions":7}`} {
		kept := store.NewMemory()
		if err := kept.Commit(store.Setting{Key: "daily/domain/test", Value: []byte(value)}.Put()).Wait(); err != nil {
			t.Fatal(err)
		}
		if err := start(t, kept); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: got %v, want ErrDamaged", value, err)
		}
		_ = kept.Close()
	}
}

// Changes at the same time do not lose each other.
func TestConcurrentDomainChanges(t *testing.T) {
	s := serve(t)
	s.must("POST", "/rooms", `{"name":"r"}`)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s.must("POST", "/", fmt.Sprintf(`{"properties":{"p%d":%d}}`, i, i))
			s.must("POST", "/rooms/r", fmt.Sprintf(`{"properties":{"p%d":%d}}`, i, i))
		})
	}
	wg.Wait()
	for path, want := range map[string]int{"/": 21, "/rooms/r": 20} {
		var a struct{ Config map[string]json.RawMessage }
		if err := json.Unmarshal([]byte(s.must("GET", path, "").Text), &a); err != nil || len(a.Config) != want {
			t.Errorf("%s: got %d properties, want %d", path, len(a.Config), want)
		}
	}
}
