package auth_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"usher/auth"
)

// The layers of the tables below.
func token(allow, deny auth.Rights) auth.Say {
	return auth.Say{Layer: "token", Allow: allow, Deny: deny}
}
func room(allow, deny auth.Rights) auth.Say {
	return auth.Say{Layer: "roomAccess", Allow: allow, Deny: deny}
}
func live(allow, deny auth.Rights) auth.Say {
	return auth.Say{Layer: auth.Live, Allow: allow, Deny: deny}
}

func TestWhoDecides(t *testing.T) {
	const (
		microphone = auth.SendMicrophone
		camera     = auth.SendCamera
		nothing    = auth.Rights(0)
	)
	for _, test := range []struct {
		story     string
		layers    []auth.Say
		right     auth.Rights
		allowed   bool
		decidedBy string
	}{
		{"the token allows it, nothing was said since",
			[]auth.Say{token(microphone, nothing)}, microphone, true, "token"},
		{"the token denies it",
			[]auth.Say{token(nothing, microphone)}, microphone, false, "token"},
		{"nobody speaks of it: not permitted, and the token is to blame",
			[]auth.Say{token(camera, nothing), live(nothing, camera)}, microphone, false, "token"},
		{"an admin takes it away",
			[]auth.Say{token(microphone, nothing), live(nothing, microphone)}, microphone, false, "live"},
		{"an admin gives it",
			[]auth.Say{token(nothing, microphone), live(microphone, nothing)}, microphone, true, "live"},
		{"an admin confirms what the token says",
			[]auth.Say{token(microphone, nothing), live(microphone, nothing)}, microphone, true, "live"},
		{"an admin speaks of something else",
			[]auth.Say{token(microphone, nothing), live(nothing, camera)}, microphone, true, "token"},
		{"the room allows what the token denied",
			[]auth.Say{token(nothing, microphone), room(microphone, nothing)}, microphone, true, "roomAccess"},
		{"the admin is over the room",
			[]auth.Say{token(nothing, nothing), room(microphone, nothing), live(nothing, microphone)}, microphone, false, "live"},
		{"one layer says both: the denial counts",
			[]auth.Say{token(microphone, microphone)}, microphone, false, "token"},
		{"nobody says anything at all",
			nil, microphone, false, ""},
		{"hidden is decided the same way",
			[]auth.Say{token(nothing, auth.Hidden), live(auth.Hidden, nothing)}, auth.Hidden, true, "live"},
	} {
		t.Run(test.story, func(t *testing.T) {
			if got := auth.Resolve(test.layers...).Allows(test.right); got != test.allowed {
				t.Errorf("Resolve: allowed %v, want %v", got, test.allowed)
			}
			allowed, layer := auth.Explain(test.right, test.layers...)
			if allowed != test.allowed || layer != test.decidedBy {
				t.Errorf("Explain: allowed %v by %q, want %v by %q", allowed, layer, test.allowed, test.decidedBy)
			}
		})
	}
}

func TestLaterStatementsWin(t *testing.T) {
	const microphone, camera = auth.SendMicrophone, auth.SendCamera
	for _, test := range []struct {
		story        string
		first, later auth.Say
		want         auth.Say
	}{
		{"muted, then allowed again", live(0, microphone), live(microphone, 0), live(microphone, 0)},
		{"allowed, then muted", live(microphone, 0), live(0, microphone), live(0, microphone)},
		{"what the later one does not name stays", live(camera, microphone), live(microphone, 0), live(camera|microphone, 0)},
		{"nothing said later", live(camera, microphone), live(0, 0), live(camera, microphone)},
		{"nothing said before", live(0, 0), live(camera, microphone), live(camera, microphone)},
		{"a later one that says both denies", live(microphone, 0), live(microphone, microphone), live(0, microphone)},
	} {
		t.Run(test.story, func(t *testing.T) {
			got := test.first.Then(test.later)
			if got.Layer != test.want.Layer || got.Allow != test.want.Allow || got.Deny != test.want.Deny {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestWhoseTracksAreReceived(t *testing.T) {
	only := func(identity string, rights auth.Rights) map[string]auth.Rights {
		return map[string]auth.Rights{identity: rights}
	}
	for _, test := range []struct {
		story  string
		layers []auth.Say
		want   string // of cam and mic of bob (sid B1), and cam of eve (sid E1)
	}{
		{"everybody's", []auth.Say{token(auth.ReceiveTracks, 0)}, "bob's cam, bob's mic, eve's cam"},
		{"nobody's", []auth.Say{token(0, auth.ReceiveTracks)}, ""},
		{"sound only", []auth.Say{token(auth.ReceiveMicrophone, 0)}, "bob's mic"},
		{"everybody's but bob's",
			[]auth.Say{token(auth.ReceiveTracks, 0), {Layer: "live", ReceiveFromIdentity: only("bob", 0)}}, "eve's cam"},
		{"nobody's but bob's sound",
			[]auth.Say{token(0, auth.ReceiveTracks), {Layer: "live", ReceiveFromIdentity: only("bob", auth.ReceiveMicrophone)}}, "bob's mic"},
		{"a participant's own rule comes before that of the person",
			[]auth.Say{token(0, 0), {Layer: "live", ReceiveFromIdentity: only("bob", 0), ReceiveFromParticipant: only("B1", auth.ReceiveCamera)}}, "bob's cam"},
		{"later rules replace earlier ones, name by name",
			[]auth.Say{{Layer: "token", ReceiveFromIdentity: map[string]auth.Rights{"bob": auth.ReceiveTracks, "eve": auth.ReceiveTracks}},
				{Layer: "live", ReceiveFromIdentity: only("bob", auth.ReceiveMicrophone)}}, "bob's mic, eve's cam"},
	} {
		t.Run(test.story, func(t *testing.T) {
			p := auth.Resolve(test.layers...)
			got := ""
			for _, track := range []struct {
				name          string
				source        auth.Source
				identity, sid string
			}{
				{"bob's cam", auth.Camera, "bob", "B1"},
				{"bob's mic", auth.Microphone, "bob", "B1"},
				{"eve's cam", auth.Camera, "eve", "E1"},
			} {
				if !p.Receives(track.source, track.identity, track.sid, false) {
					continue
				}
				if got != "" {
					got += ", "
				}
				got += track.name
			}
			if got != test.want {
				t.Errorf("receives %q, want %q", got, test.want)
			}
		})
	}
}

// With the live layer last, Resolve is (base ∪ allow) − deny, and it gives the
// same as asking Explain about each right.
func TestResolveAgreesWithItsDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	rights := func() auth.Rights { return auth.Rights(random.Uint64()) & auth.AllRights }
	for range 1000 {
		base, said, more := token(rights(), rights()), live(rights(), rights()), live(rights(), rights())
		both := said.Then(more)
		got := auth.Resolve(base, both).Rights
		if want := (auth.Resolve(base).Rights | both.Allow) &^ both.Deny; got != want {
			t.Fatalf("got %b, want %b", got, want)
		}
		if step := auth.Resolve(base, said, more).Rights; got != step {
			t.Fatalf("together %b, one after the other %b", got, step)
		}
		auth.AllRights.Each(func(right auth.Rights) {
			if allowed, _ := auth.Explain(right, base, both); allowed != got.Has(right) {
				t.Fatalf("right %b: Explain says %v, Resolve says %v", right, allowed, !allowed)
			}
		})
	}
}

func TestResolveDoesNotChangeWhatItIsGiven(t *testing.T) {
	base := auth.Say{Layer: "token", ReceiveFromIdentity: map[string]auth.Rights{"bob": auth.ReceiveTracks}}
	said := auth.Say{Layer: auth.Live, ReceiveFromIdentity: map[string]auth.Rights{"bob": 0, "eve": 0}}
	p := auth.Resolve(base, said)
	if fmt.Sprint(base.ReceiveFromIdentity, said.ReceiveFromIdentity) != fmt.Sprint(map[string]auth.Rights{"bob": auth.ReceiveTracks}, map[string]auth.Rights{"bob": 0, "eve": 0}) {
		t.Errorf("changed to %v and %v", base, said)
	}
	if !p.Equal(auth.Resolve(base, said)) || p.Equal(auth.Resolve(base)) {
		t.Error("Equal is wrong")
	}
	if !(auth.Say{Layer: "token"}).IsZero() || said.IsZero() || live(0, auth.Hidden).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestSources(t *testing.T) {
	var send, receive auth.Rights
	for source := auth.Camera; source <= auth.CustomAudio; source++ {
		send |= source.Send()
		receive |= source.Receive()
		if back, ok := auth.ParseSource(source.String()); !ok || back != source {
			t.Errorf("%q is read as %v, %v", source, back, ok)
		}
	}
	receive |= auth.NoSource.Receive()
	if send != auth.SendTracks || receive != auth.ReceiveTracks || auth.NoSource.Send() != auth.SendData {
		t.Errorf("send %b, receive %b", send, receive)
	}
	for _, name := range []string{"", "CAMERA", "unknown", "cam", "camera "} {
		if source, ok := auth.ParseSource(name); ok {
			t.Errorf("%q is read as %v", name, source)
		}
	}
	if got := auth.Source(200).String(); got != "" {
		t.Errorf("a source that is none is called %q", got)
	}
}

// What may be received of somebody is decided by what is said of their session, else
// of their identity, else of everybody; of those "*" is whoever is not named.
func TestReceives(t *testing.T) {
	const all, none = auth.ReceiveTracks, auth.Rights(0)
	for _, test := range []struct {
		name                string
		rights              auth.Rights
		identities, sids    map[string]auth.Rights
		bob, eve, eveOwning string // by session PA_b and PA_e: what of camera and data is received
	}{
		{"everything", all, nil, nil, "cd", "cd", "cd"},
		{"nothing", none, nil, nil, "", "", ""},
		{"one source", auth.ReceiveCamera, nil, nil, "c", "c", "c"},
		{"owners only", all | auth.ReceiveOnlyOwners, nil, nil, "", "", "cd"},
		{"nothing of owners", auth.ReceiveOnlyOwners, nil, nil, "", "", ""},
		{"not of one", all, map[string]auth.Rights{"bob": none}, nil, "", "cd", "cd"},
		{"of one only", none, map[string]auth.Rights{"bob": all}, nil, "cd", "", ""},
		{"of one and of owners", all | auth.ReceiveOnlyOwners, map[string]auth.Rights{"bob": all}, nil, "cd", "", "cd"},
		{"of everybody else", none, map[string]auth.Rights{"bob": none, auth.Everybody: all}, nil, "", "cd", "cd"},
		{"everybody comes over owners", all | auth.ReceiveOnlyOwners, map[string]auth.Rights{auth.Everybody: auth.ReceiveCamera}, nil, "c", "c", "c"},
		{"a session over its person", all, map[string]auth.Rights{"bob": none}, map[string]auth.Rights{"PA_b": auth.ReceiveDataTracks}, "d", "cd", "cd"},
		{"every session over a person", all, map[string]auth.Rights{"bob": all}, map[string]auth.Rights{auth.Everybody: none}, "", "", ""},
		{"nobody of that name", all, map[string]auth.Rights{"zoe": none}, map[string]auth.Rights{"PA_z": none}, "cd", "cd", "cd"},
	} {
		p := auth.Permission{Rights: test.rights, ReceiveFromIdentity: test.identities, ReceiveFromParticipant: test.sids}
		received := func(identity, sid string, owner bool) (got string) {
			if p.Receives(auth.Camera, identity, sid, owner) {
				got += "c"
			}
			if p.Receives(auth.NoSource, identity, sid, owner) {
				got += "d"
			}
			return got
		}
		if b, e, o := received("bob", "PA_b", false), received("eve", "PA_e", false), received("eve", "PA_e", true); b != test.bob || e != test.eve || o != test.eveOwning {
			t.Errorf("%s: of bob %q, of eve %q, as an owner %q; want %q, %q, %q", test.name, b, e, o, test.bob, test.eve, test.eveOwning)
		}
		all := !slices.ContainsFunc(slices.Concat(slices.Collect(maps.Values(test.identities)), slices.Collect(maps.Values(test.sids))), func(r auth.Rights) bool { return !r.Has(auth.ReceiveTracks) })
		if p.ReceivesFromAll() != all {
			t.Errorf("%s: receives from all: %v", test.name, !all)
		}
	}
}

// A layer that says all of its maps voids what those before it said of others.
func TestSayAllThereIs(t *testing.T) {
	by := func(names ...string) map[string]auth.Rights {
		m := map[string]auth.Rights{}
		for _, name := range names {
			m[name] = auth.ReceiveCamera
		}
		return m
	}
	for _, test := range []struct {
		name       string
		first      auth.Say
		second     auth.Say
		identities string
		sids       string
	}{
		{"key by key", auth.Say{ReceiveFromIdentity: by("a")}, auth.Say{ReceiveFromIdentity: by("b"), ReceiveFromParticipant: by("p")}, "[a b]", "[p]"},
		{"all identities", auth.Say{ReceiveFromIdentity: by("a"), ReceiveFromParticipant: by("p")}, auth.Say{ReceiveFromIdentity: by("b"), AllFromIdentity: true}, "[b]", "[p]"},
		{"no identity", auth.Say{ReceiveFromIdentity: by("a"), ReceiveFromParticipant: by("p")}, auth.Say{AllFromIdentity: true}, "[]", "[p]"},
		{"all sessions", auth.Say{ReceiveFromIdentity: by("a"), ReceiveFromParticipant: by("p")}, auth.Say{ReceiveFromParticipant: by("q"), AllFromParticipant: true}, "[a]", "[q]"},
		{"first all, then one", auth.Say{ReceiveFromIdentity: by("a"), AllFromIdentity: true}, auth.Say{ReceiveFromIdentity: by("b")}, "[a b]", "[]"},
	} {
		below := auth.Say{Layer: "room", ReceiveFromIdentity: by("x"), ReceiveFromParticipant: by("y")}
		test.first.Layer, test.second.Layer = auth.Live, auth.Live
		both := test.first.Then(test.second)
		if !test.first.AllFromIdentity && !test.second.AllFromIdentity {
			test.identities = strings.Replace(test.identities, "]", " x]", 1)
		}
		if !test.first.AllFromParticipant && !test.second.AllFromParticipant {
			test.sids = strings.Replace(strings.Replace(test.sids, "]", " y]", 1), "[ ", "[", 1)
		}
		for how, p := range map[string]auth.Permission{"together": auth.Resolve(below, both), "one after the other": auth.Resolve(below, test.first, test.second)} {
			got := fmt.Sprint(slices.Sorted(maps.Keys(p.ReceiveFromIdentity)), slices.Sorted(maps.Keys(p.ReceiveFromParticipant)))
			if got != test.identities+" "+test.sids {
				t.Errorf("%s, %s: got %s, want %s %s", test.name, how, got, test.identities, test.sids)
			}
		}
		if both.IsZero() || (auth.Say{AllFromIdentity: true}).IsZero() || (auth.Say{AllFromParticipant: true}).IsZero() {
			t.Errorf("%s: says nothing", test.name)
		}
	}
}
