package session_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth"
	"usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// newSeed returns a source of random numbers whose seed is printed; USHER_SEED
// repeats a run.
func newSeed(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("USHER_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("USHER_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rounds is n, ten times as much for soak, a tenth with -short.
func rounds(n int) int {
	switch {
	case os.Getenv("USHER_SOAK") != "":
		return 10 * n
	case testing.Short():
		return n / 10
	}
	return n
}

// admin does what a server API does.
type admin struct {
	s    *sessiontest.Server
	room *room.Room
	b    *room.Batch
}

func newAdmin(s *sessiontest.Server, name string) *admin {
	s.T.Helper()
	r, ok := s.Rooms.Lookup("test", name)
	if !ok {
		s.T.Fatalf("room %s does not exist", name)
	}
	return &admin{s, r, s.Rooms.Batch()}
}

func (a *admin) update(identity string, ch room.Change) error {
	_, err := a.room.Update(a.b, room.Target{Identity: identity}, ch)
	a.b.Flush()
	return err
}

func (a *admin) permit(identity string, p livekit.Permission) {
	a.s.T.Helper()
	say := livekit.StatementOf(p)
	if err := a.update(identity, room.Change{Permission: &say}); err != nil {
		a.s.T.Error(err)
	}
}

func (a *admin) remove(identity string) error {
	defer a.b.Flush()
	return a.room.Remove(a.b, room.Target{Identity: identity}, room.Removal{})
}

// mint makes a token issued some time from now.
func mint(t testing.TB, roomName, identity string, from time.Duration, change ...func(*livekit.Claims)) string {
	t.Helper()
	now := time.Now()
	c := livekit.Claims{Identity: identity, NotBefore: now, Video: &livekit.VideoGrant{RoomJoin: true, Room: roomName}}
	for _, f := range change {
		f(&c)
	}
	token, err := livekit.Mint(sessiontest.Key, auth.Secret(sessiontest.Secret), c, time.Hour, now.Add(from))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// refused joins and expects to be refused.
func refused(s *sessiontest.Server, token string, code wire.CloseCode) {
	s.T.Helper()
	if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != code {
		s.T.Errorf("got close code %d, want %d", got, code)
	}
}

func leave(c *sessiontest.Client) {
	c.T.Helper()
	c.Send(wire.Message{Type: "leave"})
	c.ExpectClose(wire.Left)
}

// Whoever is removed stays out with every token issued before, and comes in
// with one issued after.
func TestRemovedStaysOut(t *testing.T) {
	for _, by := range []string{"server API", "moderator"} {
		t.Run(by, func(t *testing.T) {
			s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.DuplicateIdentity = room.Allow }})
			boss, _ := s.Join(s.Token("lobby", "boss", func(c *livekit.Claims) { c.Video.RoomAdmin = true }))
			tokens := map[string]string{
				"unused":                  mint(t, "lobby", "bob", -time.Minute),
				"used":                    mint(t, "lobby", "bob", -time.Second),
				"used, clock ahead":       mint(t, "lobby", "bob", 40*time.Second),
				"used, clock far ahead":   mint(t, "lobby", "bob", time.Hour),
				"unused, clock far ahead": mint(t, "lobby", "bob", time.Hour, func(c *livekit.Claims) { c.Name = "other" }),
			}
			var live []*sessiontest.Client
			for name, token := range maps.Clone(tokens) {
				if strings.HasPrefix(name, "unused") {
					continue
				}
				// A session that ends before the removal, one that goes on, and
				// one that came with the token of the first.
				gone, _ := s.Join(token)
				tokens[name+", refreshed before"] = gone.Expect("refreshToken").Str("token")
				leave(gone)
				c, _ := s.Join(token)
				tokens[name+", refreshed"] = c.Expect("refreshToken").Str("token")
				live = append(live, c)
				c, _ = s.Join(tokens[name+", refreshed"])
				tokens[name+", refreshed twice"] = c.Expect("refreshToken").Str("token")
				live = append(live, c)
			}
			cut, joined := s.Join(tokens["used"])
			cut.Expect("refreshToken")
			_ = cut.WS.CloseNow()

			if by == "moderator" {
				boss.OK(wire.Message{Type: "removeParticipant", Identity: "bob"})
			} else if err := newAdmin(s, "lobby").remove("bob"); err != nil {
				t.Fatal(err)
			}
			for _, c := range live {
				c.ExpectClose(wire.Removed)
			}
			for name, token := range tokens {
				if got := s.Dial(nil).Refused(wire.Message{Type: "join", Token: token}); got != wire.TokenRevoked {
					t.Errorf("%s: got close code %d, want %d", name, got, wire.TokenRevoked)
				}
			}
			c := s.Dial(nil)
			c.Send(wire.Message{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret")})
			c.ExpectClose(wire.Removed)

			c, _ = s.Join(mint(t, "lobby", "bob", 2*time.Second))
			c.Sync()
			s.Join(mint(t, "elsewhere", "bob", -time.Minute)) // a removal is from one room
			if n := len(newAdmin(s, "lobby").room.Participants()); n != 2 {
				t.Errorf("%d participants, want 2", n)
			}
		})
	}
}

// The same while joins and resumes are under way over real sockets.
func TestRemoveRacesConnections(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.Join(s.Token("lobby", "keeper"))
	a := newAdmin(s, "lobby")
	for i := range rounds(200) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s := s.For(t)
			identity := fmt.Sprint("bob-", i)
			token := s.Token("lobby", identity)
			first, joined := s.Join(token)
			refreshed := first.Expect("refreshToken").Str("token")
			var wg sync.WaitGroup
			for _, m := range []wire.Message{
				{Type: "join", Token: token},
				{Type: "join", Token: refreshed},
				{Type: "resume", Session: joined.Str("session"), Secret: joined.Str("secret")},
			} {
				c := s.Dial(nil)
				wg.Go(func() { c.Send(m) })
			}
			if err := a.remove(identity); err != nil {
				t.Error(err)
			}
			wg.Wait()
			refused(s, token, wire.TokenRevoked)
			for _, p := range a.room.Participants() {
				if p.Identity == identity {
					t.Errorf("%s is there after it was removed", identity)
				}
			}
		})
	}
}

// videoOf reads the grant in a token, without checking it.
func payloadOf(t testing.TB, token string) map[string]json.RawMessage {
	t.Helper()
	b, err := auth.ReadUnverified(token, livekit.Format{})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]json.RawMessage{}
	if err := json.Unmarshal(b.Claims, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// rightsIn is what a token's video grant allows, by the oracle of the matrix.
func rightsIn(t testing.TB, token string) string {
	t.Helper()
	var v struct {
		CanPublish, CanPublishData, CanSubscribe, CanUpdateOwnMetadata *bool

		CanPublishSources []string
		Hidden, RoomAdmin bool
	}
	if err := json.Unmarshal(payloadOf(t, token)["video"], &v); err != nil {
		t.Fatal(err)
	}
	a := allow(flags{v.CanPublish, v.CanPublishData, v.CanSubscribe, v.CanUpdateOwnMetadata, customs(v.CanPublishSources), v.Hidden, v.RoomAdmin})
	return fmt.Sprintf("%v data=%t subscribe=%t metadata=%t hidden=%t admin=%t", a.sources, a.data, a.subscribe, a.metadata, a.hidden, a.admin)
}

// customs spells out LiveKit's word for both custom sources.
func customs(sources []string) []string {
	if slices.Contains(sources, "unknown") {
		return append(slices.Clone(sources), "custom_video", "custom_audio")
	}
	return sources
}

// rightsTold is the same of a participant as the server tells it.
func rightsTold(p *sessiontest.Person) string {
	is := func(name string) bool { return p.Permissions[name] == true }
	var listed []string
	for _, s := range p.Permissions["canPublishSources"].([]any) {
		listed = append(listed, s.(string))
	}
	a := allow(flags{ptr(is("canPublish")), ptr(is("canPublishData")), ptr(is("canSubscribe")), ptr(is("canUpdateOwnMetadata")),
		customs(listed), is("hidden"), len(p.Permissions["admin"].([]any)) > 0})
	return fmt.Sprintf("%v data=%t subscribe=%t metadata=%t hidden=%t admin=%t", a.sources, a.data, a.subscribe, a.metadata, a.hidden, a.admin)
}

func randomPermission(rng *rand.Rand) livekit.Permission {
	flip := func() bool { return rng.IntN(2) == 0 }
	p := livekit.Permission{CanSubscribe: flip(), CanPublish: flip(), CanPublishData: flip(), CanUpdateMetadata: flip(), Hidden: rng.IntN(5) == 0}
	for _, s := range everySource {
		if rng.IntN(4) == 0 {
			p.CanPublishSources = append(p.CanPublishSources, s)
		}
	}
	return p
}

// A refreshed token tells the rights that its session was last told, in a storm
// of changes from many sides, and keeps every claim of the original.
func TestRefreshedTokenGrantsNoMore(t *testing.T) {
	rng := newSeed(t)
	s := sessiontest.Serve(t, sessiontest.Options{})
	original := fmt.Sprintf(`{"iss":%q,"sub":"bob","jti":"first","exp":%d,"nbf":1,"iat":1700000000,"name":"Bob","kind":"sip","kindDetails":["forwarded"],
		"metadata":"m","attributes":{"a":"b"},"sip":{"call":true},"roomPreset":"p","sha256":"x","roomConfig":{"maxParticipants":50},
		"x-app":{"n":12345678901234567890,"s":"<é>"},"video":{"roomJoin":true,"room":"lobby","roomAdmin":true,"destinationRoom":"d","vendor":[1]}}`,
		sessiontest.Key, time.Now().Add(time.Hour).Unix())
	token, err := auth.Sign(json.RawMessage(original), auth.Secret(sessiontest.Secret))
	if err != nil {
		t.Fatal(err)
	}
	bob, joined := s.Join(token)
	s.Join(s.Token("lobby", "watcher"))
	var wg sync.WaitGroup
	for n := range 4 {
		a, rng := newAdmin(s, "lobby"), rand.New(rand.NewPCG(rng.Uint64(), uint64(n)))
		wg.Go(func() {
			for i := range rounds(300) {
				switch n {
				case 0: // the five minutes are over
					s.Rooms.Each(func(p *room.Participant) { p.Refresh(a.b) })
					a.b.Flush()
				case 1:
					if err := a.update("bob", room.Change{Name: ptr(fmt.Sprint("Bob ", i))}); err != nil {
						t.Error(err)
					}
				default:
					a.permit("bob", randomPermission(rng))
				}
			}
		})
	}
	wg.Wait()
	bob.Sync()

	kept := payloadOf(t, token)
	replica := new(sessiontest.Replica)
	tokens, last := 0, ""
	for _, e := range bob.Seen() {
		replica.Apply(e)
		if e.Type() != "refreshToken" {
			continue
		}
		tokens++
		last = e.Str("token")
		if _, err := s.Verifier.Verify(last); err != nil {
			t.Fatal(err)
		}
		self := replica.People[joined.Str("session")]
		if got, want := rightsIn(t, last), rightsTold(self); got != want {
			t.Fatalf("token %d grants %s, the session was told %s", tokens, got, want)
		}
		claims := payloadOf(t, last)
		for name, value := range kept {
			switch name {
			case "nbf", "iat", "exp", "video":
			case "name":
				if got := string(claims["name"]); got != strconv.Quote(self.Name) {
					t.Fatalf("the token names %s, want %q", got, self.Name)
				}
			default:
				if string(claims[name]) != string(value) {
					t.Fatalf("claim %s is %s, want %s", name, claims[name], value)
				}
			}
		}
		var video struct {
			DestinationRoom string
			Vendor          []int
		}
		if json.Unmarshal(claims["video"], &video) != nil || video.DestinationRoom != "d" || !slices.Equal(video.Vendor, []int{1}) {
			t.Fatalf("the grant is %s", claims["video"])
		}
	}
	info, err := newAdmin(s, "lobby").room.Participant(room.Target{Identity: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Verifier.Verify(last)
	if err != nil || !auth.Resolve(g.Base...).Equal(info.Permission) || g.Name != info.Name {
		t.Errorf("the last token grants %+v to %q, the session has %+v, %q", auth.Resolve(g.Base...), g.Name, info.Permission, info.Name)
	}
	t.Logf("%d refreshed tokens", tokens)
}

// A token from before a demotion, original or refreshed, does not bring the
// right back while the room lives, and a refreshed token is admitted like any.
func TestRefreshedTokenIsAdmittedLikeAny(t *testing.T) {
	s := sessiontest.Serve(t, sessiontest.Options{})
	s.Join(s.Token("lobby", "keeper"))
	token := s.Token("lobby", "bob")
	bob, _ := s.Join(token)
	before := bob.Expect("refreshToken").Str("token")
	newAdmin(s, "lobby").permit("bob", livekit.Permission{CanSubscribe: true})
	bob.Expect("participantUpdated")
	after := bob.Expect("refreshToken").Str("token")
	if got := rightsIn(t, after); !strings.HasPrefix(got, "[] data=false subscribe=true") {
		t.Errorf("after the demotion the token grants %s", got)
	}
	leave(bob)
	for name, token := range map[string]string{"original": token, "refreshed before": before, "refreshed after": after} {
		c, _ := s.Join(token)
		if e := c.Ask(wire.Message{Type: "publishData", Payload: jsonOf("x")}); e.Str("code") != "not_allowed" {
			t.Errorf("%s: got %s, want not_allowed", name, e.Text)
		}
		leave(c)
	}

	small := func(c *livekit.Claims) { c.RoomConfig = json.RawMessage(`{"maxParticipants":1}`) }
	ada, joined := s.Join(s.Token("small", "ada", small))
	refreshed := ada.Expect("refreshToken").Str("token")
	if got := joined.Str("room.maxParticipants"); got != "1" {
		t.Fatalf("the room's limit is %s", got)
	}
	leave(ada)
	s.Join(s.Token("small", "eve"))
	refused(s, refreshed, wire.RoomFull)

	keys, err := auth.NewKeys([]auth.Key{{ID: "other", Secret: auth.Secret(sessiontest.Secret), Project: "test", Format: livekit.Format{}}}, []string{sessiontest.Key})
	if err != nil {
		t.Fatal(err)
	}
	s.Verifier.SetKeys(keys)
	s.Sessions.KeysChanged()
	refused(s, after, wire.TokenRevoked)
}

// Everybody sees the same numbered events without gaps, and ends up with what
// the server has, whatever happens at once.
func TestSameEventsForEverybody(t *testing.T) {
	for _, test := range []struct {
		name           string
		people, roster int
	}{
		{"small", 8, 0}, {"ticked", 40, 0}, {"small, few listed", 8, 4}, {"ticked, few listed", 40, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			rng := newSeed(t)
			s := sessiontest.Serve(t, sessiontest.Options{Room: func(c *room.Config) { c.RosterLimit = test.roster }})
			herald, _ := s.Join(s.Token("lobby", "herald"))
			var mu sync.Mutex
			var ended []*sessiontest.Client
			alive := make([]*sessiontest.Client, test.people)
			var wg, started sync.WaitGroup
			started.Add(test.people)
			for i := range test.people {
				rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
				wg.Go(func() {
					token := s.Token("lobby", fmt.Sprint("p", i), func(c *livekit.Claims) { c.Video.CanUpdateOwnMetadata = ptr(true) })
					c, _ := s.Join(token)
					started.Done()
					var mine []string
					for range rounds(40) {
						if act(rng, c, &mine) {
							mu.Lock()
							ended = append(ended, c)
							mu.Unlock()
							c, _ = s.Join(token)
						}
					}
					c.Sync()
					alive[i] = c
				})
			}
			started.Wait()
			a, rng2 := newAdmin(s, "lobby"), rand.New(rand.NewPCG(rng.Uint64(), 99))
			for range rounds(100) {
				// Somebody may be between two sessions.
				say := livekit.StatementOf(randomPermission(rng2))
				_ = a.update(fmt.Sprint("p", rng2.IntN(test.people)), room.Change{Permission: &say})
			}
			wg.Wait()
			herald.OK(wire.Message{Type: "publishData", Topic: "end", Payload: jsonOf("")})
			herald.Sync()

			truth, hidden := map[string]*sessiontest.Person{}, map[string]bool{}
			shown := 0
			reader, _ := s.Join(s.Token("lobby", "reader", func(c *livekit.Claims) { c.Video.Hidden = true }))
			presence := roster(reader)
			for _, i := range a.room.Participants() {
				truth[i.SID] = personOf(i, presence[i.SID])
				if hidden[i.SID] = i.Permission.Hidden(); !hidden[i.SID] {
					shown++
				}
			}
			if n := len(presence); n != shown+1 { // and the reader itself
				t.Errorf("the pages of the roster hold %d, want %d", n, shown+1)
			}
			log := map[uint64]string{}
			check := func(c *sessiontest.Client) *sessiontest.Replica {
				r := sessiontest.Replay(c.Seen())
				for i, p := range r.Problems {
					if i < 3 {
						t.Error(p)
					}
				}
				for seq, text := range r.Log {
					if other, ok := log[seq]; ok && other != text {
						t.Fatalf("event %d is\n%s\nfor one and\n%s\nfor another", seq, other, text)
					}
					log[seq] = text
				}
				return r
			}
			for _, c := range ended {
				check(c)
			}
			for _, c := range append(alive, herald) {
				if c != herald {
					c.ExpectWhere("end", func(e sessiontest.Event) bool { return e.Str("topic") == "end" })
				}
				r := check(c)
				compare(t, r, truth, shown)
				for sid, p := range truth {
					if r.People[sid] == nil && !hidden[sid] && (test.roster == 0 || len(p.Tracks) > 0) {
						t.Errorf("%s does not know %s", truth[r.Session].Identity, p.Identity)
					}
				}
			}
			t.Logf("%d events, %d sessions", len(log), len(alive)+len(ended)+1)
		})
	}
}

// act does one of the things that clients do; mine is the tracks that it has
// published. It reports that it ended the session.
func act(rng *rand.Rand, c *sessiontest.Client, mine *[]string) bool {
	track := ""
	if len(*mine) > 0 {
		track = (*mine)[rng.IntN(len(*mine))]
	}
	switch n := rng.IntN(20); {
	case n < 6:
		c.Ask(wire.Message{Type: "publishData", Payload: jsonOf("hello"), Reliable: ptr(n%2 == 0)})
	case n < 9:
		key := strconv.Itoa(rng.IntN(3))
		c.Ask(wire.Message{Type: "updatePresence", Presence: map[string]json.RawMessage{key: json.RawMessage(strconv.Itoa(rng.IntN(1000)))}, Full: n == 8})
	case n < 12:
		c.Ask(wire.Message{Type: "updateMetadata", Name: ptr(strconv.Itoa(rng.IntN(5))), Attributes: map[string]string{strconv.Itoa(rng.IntN(3)): []string{"", "a", "b"}[rng.IntN(3)]}})
	case n < 14:
		source := everySource[rng.IntN(len(everySource))]
		if sid := c.Ask(wire.Message{Type: "publishTrack", Kind: kindOf[source], Source: source}).Str("track.sid"); sid != "" {
			*mine = append(*mine, sid)
		}
	case n < 17 && track != "":
		c.Ask(wire.Message{Type: "muteTrack", TrackSID: track, Muted: ptr(rng.IntN(2) == 0)})
	case n < 18 && track != "":
		c.Ask(wire.Message{Type: "unpublishTrack", TrackSID: track})
	case n == 18:
		leave(c)
		*mine = nil
		return true
	case n == 19:
		*mine = nil
		_ = c.WS.CloseNow() // and comes back with a join, which replaces it
		return true
	}
	return false
}

// roster pages through listParticipants and returns everybody's presence.
func roster(c *sessiontest.Client) map[string]map[string]any {
	c.T.Helper()
	presence := map[string]map[string]any{}
	for after := ""; ; {
		e := c.OK(wire.Message{Type: "listParticipants", After: after, Limit: 7})
		for _, p := range e.Get("participants").([]any) {
			p := p.(map[string]any)
			presence[p["sid"].(string)], _ = p["presence"].(map[string]any)
		}
		if after = e.Str("next"); after == "" {
			return presence
		}
	}
}

func personOf(i *room.Info, presence map[string]any) *sessiontest.Person {
	p := &sessiontest.Person{SID: i.SID, Identity: i.Identity, Name: i.Name, Metadata: i.Metadata, State: string(i.State), Presence: presence}
	p.Attributes = map[string]any{}
	for k, v := range i.Attributes {
		p.Attributes[k] = v
	}
	for _, track := range i.Tracks {
		p.Tracks = append(p.Tracks, map[string]any{"sid": track.SID, "handle": float64(track.Handle), "kind": string(track.Kind),
			"source": track.Source.String(), "name": track.Name, "muted": track.Muted})
	}
	return p
}

// compare holds a client's replica against the truth.
func compare(t *testing.T, r *sessiontest.Replica, truth map[string]*sessiontest.Person, shown int) {
	t.Helper()
	who := truth[r.Session].Identity
	if r.Number != shown {
		t.Errorf("%s counts %d participants, there are %d", who, r.Number, shown)
	}
	text := func(p *sessiontest.Person) string {
		q := *p
		q.Permissions = nil
		if len(q.Presence) == 0 {
			q.Presence = nil
		}
		if len(q.Tracks) == 0 {
			q.Tracks = nil
		}
		b, _ := json.Marshal(q)
		return string(b)
	}
	for sid, p := range r.People {
		want := truth[sid]
		if want == nil {
			t.Errorf("%s knows %s, who is gone", who, p.Identity)
			continue
		}
		own := *want
		if sid == r.Session {
			own.Presence, p.Presence = nil, nil // its own it is not told
		}
		if got, want := text(p), text(&own); got != want {
			t.Errorf("%s knows\n%s\nwhich is\n%s", who, got, want)
		}
	}
}
