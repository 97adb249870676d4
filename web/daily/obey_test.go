package daily_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"usher/auth"
	tokens "usher/auth/daily"
	"usher/session/sessiontest"
	"usher/session/wire"
	"usher/web/daily"
)

// §2.3, §1.7, §4: what of a room's properties has a meaning here is obeyed, from the
// next join on.
func TestPropertiesAreObeyed(t *testing.T) {
	now := time.Now().Unix()
	s := serve(t)
	n := 0
	create := func(privacy, properties string) string {
		t.Helper()
		n++
		name := fmt.Sprint("r", n)
		s.must("POST", "/rooms", fmt.Sprintf(`{"name":%q,"privacy":%q,"properties":{%s}}`, name, privacy, properties))
		return name
	}
	token := func(room, user, more string) string {
		t.Helper()
		return s.token(fmt.Sprintf(`{"room_name":%q,"user_id":%q%s}`, room, user, more))
	}
	refused := func(what, room, token string, want wire.CloseCode) {
		t.Helper()
		if got := s.refused(room, token); got != want {
			t.Errorf("%s: got close code %d, want %d", what, got, want)
		}
	}
	waits := func(what, room, token string) *sessiontest.Client {
		t.Helper()
		c := s.Dial(nil)
		if e := c.Begin(wire.Message{Room: room, Token: token}); e.Type() != "waiting" {
			t.Errorf("%s: got %s, want waiting", what, e.Text)
		}
		return c
	}

	public := create("public", "")
	s.enter(public, "")
	private := create("private", "")
	refused("private", private, "", wire.NotAllowed)
	s.enter("", token(private, "ada", ""))
	s.must("POST", "/rooms/"+private, `{"privacy":"public"}`)
	s.enter(private, "")
	s.must("POST", "/rooms/"+private, `{"privacy":"private"}`)
	refused("private again", private, "", wire.NotAllowed)

	lobby := create("private", `"enable_knocking":true`)
	waits("tokenless", lobby, "")
	waits("knocking", lobby, token(lobby, "bob", `,"knocking":true`))
	s.enter("", token(lobby, "ada", ""))
	s.enter("", token(lobby, "host", `,"knocking":true,"is_owner":true`))
	s.must("POST", "/rooms/"+lobby, `{"properties":{"enable_knocking":false}}`)
	refused("no lobby any more", lobby, "", wire.NotAllowed)

	early := create("public", fmt.Sprintf(`"nbf":%d`, now+1000))
	refused("early", early, "", wire.RoomNotOpen)
	refused("early, an owner", "", token(early, "host", `,"is_owner":true`), wire.RoomNotOpen)
	s.must("POST", "/rooms/"+early, `{"properties":{"nbf":null}}`)
	s.enter(early, "")

	small := create("public", `"max_participants":1`)
	s.enter(small, "")
	refused("full", small, "", wire.RoomFull)
	s.must("POST", "/rooms/"+small, `{"properties":{"max_participants":2}}`)
	s.enter(small, "")
	refused("full again", small, "", wire.RoomFull)

	unique := create("public", `"enforce_unique_user_ids":true`)
	first, _ := s.enter("", token(unique, "ada", ""))
	s.enter("", token(unique, "ada", ""))
	first.ExpectClose(wire.DuplicateIdentity)
	several := create("public", "")
	first, _ = s.enter("", token(several, "ada", ""))
	s.enter("", token(several, "ada", ""))
	first.Sync()

	hidden := create("public", `"enable_hidden_participants":true`)
	host, _ := s.enter("", token(hidden, "host", `,"is_owner":true`))
	guest, _ := s.enter("", token(hidden, "guest", ""))
	if may(guest, "camera") || !may(host, "camera") {
		t.Error("a hidden guest may publish, or its host not")
	}
	_, joined := s.enter("", token(hidden, "other", ""))
	if people, _ := joined.Get("participants").([]any); len(people) != 1 || joined.Get("self.permissions.hidden") != true {
		t.Errorf("got %s, want the host alone to be seen", joined.Text)
	}
	named := create("public", `"enable_hidden_participants":true,"permissions":{"hasPresence":true}`)
	if _, joined := s.enter("", token(named, "guest", "")); joined.Get("self.permissions.hidden") != true {
		t.Errorf("what takes more goes before what takes less: got %s", joined.Text)
	}

	broadcast := create("public", `"owner_only_broadcast":true`)
	host, _ = s.enter("", token(broadcast, "host", `,"is_owner":true`))
	guest, _ = s.enter("", token(broadcast, "guest", ""))
	if may(guest, "camera") || may(guest, "microphone") || !may(host, "camera") {
		t.Error("only owners may send in a room with owner_only_broadcast")
	}

	starts := create("public", `"start_video_off":true,"start_audio_off":true,"enable_screenshare":false`)
	if _, joined := s.enter(starts, ""); !equal(t, joined.Get("start"), `{"videoOff":true,"audioOff":true,"screenShare":false}`) {
		t.Errorf("got %s", joined.Text)
	}
	if _, joined := s.enter("", token(starts, "ada", `,"start_video_off":false,"enable_screenshare":true`)); !equal(t, joined.Get("start"), `{"videoOff":false,"audioOff":true,"screenShare":true}`) {
		t.Errorf("the token goes before the room: got %s", joined.Text)
	}
	if _, joined := s.enter(public, ""); joined.Get("start") != nil {
		t.Errorf("nothing was said: got %s", joined.Text)
	}
}

// §1.7: when somebody is put out is fixed at joining, by the room and by the token
// before it.
func TestTimeLimits(t *testing.T) {
	s := serve(t)
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		room, token string
		at          int64 // seconds; 0: never
		after       int64 // seconds after joining
	}{
		"nothing":                              {`"exp":%d`, ``, 0, 0},
		"§1.7.8: the room's end puts out":      {`"exp":%d,"eject_at_room_exp":true`, ``, now + 1000, 0},
		"so long":                              {`"exp":%d,"eject_after_elapsed":60`, ``, 0, 60},
		"both, the earlier":                    {`"exp":%d,"eject_at_room_exp":true,"eject_after_elapsed":60`, ``, 0, 60},
		"both, the room's end earlier":         {`"exp":%d,"eject_at_room_exp":true,"eject_after_elapsed":5000`, ``, now + 1000, 0},
		"§1.7.4: the token's ignores the room": {`"exp":%d,"eject_at_room_exp":true,"eject_after_elapsed":60`, `,"eject_at_token_exp":true`, now + 2000, 0},
		"§1.7.4: the token's time, too":        {`"exp":%d,"eject_at_room_exp":true,"eject_after_elapsed":60`, `,"eject_after_elapsed":3000`, 0, 3000},
		"§1.7.4: false says nothing":           {`"exp":%d,"eject_at_room_exp":true`, `,"eject_at_token_exp":false`, now + 1000, 0},
		"§1.7.5: the earlier of both":          {`"exp":%d`, `,"eject_at_token_exp":true,"eject_after_elapsed":3000`, now + 2000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{s.For(t), s.log, s.store}
			room := s.must("POST", "/rooms", `{"properties":{`+fmt.Sprintf(c.room, now+1000)+`}}`).Str("name")
			_, joined := s.enter("", s.token(fmt.Sprintf(`{"room_name":%q,"exp":%d%s}`, room, now+2000, c.token)))
			at, _ := joined.Get("self.willEjectAt").(float64)
			began := joined.Get("self.joinedAt").(float64)
			want := float64(c.at * 1000)
			if c.after > 0 {
				want = began + float64(c.after*1000)
			}
			if at != want {
				t.Errorf("got %v, want %v", at, want)
			}
			// §1.7.6: a change of the room does not reach who is inside.
			s.must("POST", "/rooms/"+room, `{"properties":{"eject_at_room_exp":true,"eject_after_elapsed":7}}`)
			r, _ := s.Rooms.Lookup("test", room)
			if info := r.Participants()[0]; want == 0 && !info.EjectAt.IsZero() || want != 0 && float64(info.EjectAt.UnixMilli()) != want {
				t.Errorf("after a change: got %v, want %v", info.EjectAt, want)
			}
		})
	}
}

// A change of permissions that has been answered is in force for everybody, however
// they came in meanwhile.
func TestNobodySlipsPastANarrowing(t *testing.T) {
	s := serve(t)
	for round := range 20 {
		name := fmt.Sprint("r", round)
		s.must("POST", "/rooms", `{"name":"`+name+`"}`)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				c := s.Dial(nil)
				c.Send(wire.Message{Type: "join", Room: name, Token: s.token(fmt.Sprintf(`{"room_name":%q,"user_id":"u%d"}`, name, i))})
				c.Expect("joined")
			})
		}
		path, body := "/rooms/"+name, `{"properties":{"permissions":{"canSend":%s}}}`
		if round%2 == 0 {
			path = "/"
		}
		s.must("POST", path, fmt.Sprintf(body, "false"))
		check := func() {
			if r, ok := s.Rooms.Lookup("test", name); ok {
				for _, p := range r.Participants() {
					if p.Permission.Rights.Any(auth.SendTracks) {
						t.Errorf("%s may still send", p.Identity)
					}
				}
			}
		}
		check()
		wg.Wait()
		check()
		s.must("POST", path, fmt.Sprintf(body, "null"))
	}
}

// While a domain's permissions change, what holds gives nothing that not both give,
// before and after.
func TestNarrower(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	media := func() string {
		flag := func() string { return pick("true", "false") }
		return pick("true", "false", fmt.Sprintf(`{"video":%s,"audio":%s,"screenVideo":%s,"screenAudio":%s,"customVideo":{"*":%s},"customAudio":{"*":%s}}`,
			flag(), flag(), flag(), flag(), flag(), flag()))
	}
	exceptions := func() string {
		var list []string
		for _, who := range []string{"ada", "bob", "*"} {
			if r.IntN(2) == 0 {
				list = append(list, fmt.Sprintf("%q:%s", who, media()))
			}
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	random := func() auth.Say {
		var parts []string
		add := func(part string) {
			if r.IntN(3) > 0 {
				parts = append(parts, part)
			}
		}
		add(`"hasPresence":` + pick("true", "false"))
		add(`"canSend":` + pick("true", "false", `["video"]`, `["audio","screenVideo"]`))
		add(`"canAdmin":` + pick("true", "false", `["participants"]`, `["streaming","transcription"]`))
		receive := []string{`"base":` + media()}
		if r.IntN(2) == 0 {
			receive = append(receive, `"byUserId":`+exceptions())
		}
		if r.IntN(2) == 0 {
			receive = append(receive, `"byParticipantId":`+exceptions())
		}
		add(`"canReceive":{` + strings.Join(receive, ",") + `}`)
		say, err := tokens.ParsePermissions([]byte("{"+strings.Join(parts, ",")+"}"), "domain")
		if err != nil {
			t.Fatal(err)
		}
		return say
	}
	usual := auth.Say{Allow: auth.SendTracks | auth.ReceiveTracks}
	for range 20_000 {
		one, other := random(), random()
		a, b, both := auth.Resolve(usual, one), auth.Resolve(usual, other), auth.Resolve(usual, daily.Narrower(one, other))
		gives := auth.AllRights &^ auth.Hidden &^ auth.ReceiveOnlyOwners &^ auth.ReceiveTracks
		if extra := both.Rights & gives &^ (a.Rights & b.Rights); extra != 0 || (a.Hidden() || b.Hidden()) != both.Hidden() {
			t.Fatalf("%+v and %+v: got %+v", one, other, both)
		}
		for _, identity := range []string{"ada", "bob", "eve"} {
			for _, sid := range []string{"ada", "bob", "eve"} {
				for source := range auth.CustomAudio + 1 {
					if both.Receives(source, identity, sid, false) && !(a.Receives(source, identity, sid, false) && b.Receives(source, identity, sid, false)) {
						t.Fatalf("source %v of %s, %s: %+v and %+v give less than %+v", source, identity, sid, a, b, both)
					}
				}
			}
		}
	}
}
