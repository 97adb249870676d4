package sdk_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	lk "github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	tokens "usher/auth/livekit"
	"usher/room"
	"usher/session/sessiontest"
	"usher/session/wire"
)

// What is asked for wrongly is refused with LiveKit's codes, or with better
// ones, and changes nothing.
func TestErrors(t *testing.T) {
	long := strings.Repeat("n", 257)
	large := strings.Repeat("m", room.DefaultLimits.MetadataBytes+1)
	wide := strings.Repeat("v", room.DefaultLimits.AttributesBytes)
	// call makes a call about bob in the lobby, where he is, with one thing
	// that is wrong.
	type call func(context.Context, lk.RoomService) error
	participant := func(change func(*lk.UpdateParticipantRequest)) call {
		return func(ctx context.Context, c lk.RoomService) error {
			req := &lk.UpdateParticipantRequest{Room: "lobby", Identity: "bob", Permission: &lk.ParticipantPermission{CanSubscribe: true}}
			change(req)
			_, err := c.UpdateParticipant(ctx, req)
			return err
		}
	}
	sources := func(s ...lk.TrackSource) call {
		return participant(func(r *lk.UpdateParticipantRequest) {
			r.Permission = &lk.ParticipantPermission{CanPublish: true, CanPublishSources: s}
		})
	}
	data := func(change func(*lk.SendDataRequest)) call {
		return func(ctx context.Context, c lk.RoomService) error {
			req := &lk.SendDataRequest{Room: "lobby", Data: []byte("wrong")}
			change(req)
			_, err := c.SendData(ctx, req)
			return err
		}
	}
	about := func(method func(lk.RoomService, context.Context, *lk.RoomParticipantIdentity) error, room, identity string) call {
		return func(ctx context.Context, c lk.RoomService) error {
			return method(c, ctx, &lk.RoomParticipantIdentity{Room: room, Identity: identity})
		}
	}
	get := func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
		_, err := c.GetParticipant(ctx, r)
		return err
	}
	remove := func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
		_, err := c.RemoveParticipant(ctx, r)
		return err
	}
	update := func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
		_, err := c.UpdateParticipant(ctx, &lk.UpdateParticipantRequest{Room: r.Room, Identity: r.Identity, Name: "x"})
		return err
	}
	mute := func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
		_, err := c.MutePublishedTrack(ctx, &lk.MuteRoomTrackRequest{Room: r.Room, Identity: r.Identity, TrackSid: "TR_x", Muted: true})
		return err
	}
	subscribe := func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
		_, err := c.UpdateSubscriptions(ctx, &lk.UpdateSubscriptionsRequest{Room: r.Room, Identity: r.Identity, TrackSids: []string{"TR_x"}, Subscribe: true})
		return err
	}
	move := func(to string) func(lk.RoomService, context.Context, *lk.RoomParticipantIdentity) error {
		return func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
			_, err := c.MoveParticipant(ctx, &lk.MoveParticipantRequest{Room: r.Room, Identity: r.Identity, DestinationRoom: to})
			return err
		}
	}
	perform := func(c lk.RoomService, ctx context.Context, r *lk.RoomParticipantIdentity) error {
		_, err := c.PerformRpc(ctx, &lk.PerformRpcRequest{Room: r.Room, DestinationIdentity: r.Identity, Method: "greet"})
		return err
	}
	const (
		noParticipant = "participant does not exist"
		noRoom        = "requested room does not exist"
	)
	rows := []struct {
		what     string
		room     string // that the caller administers
		call     call
		code     twirp.ErrorCode
		argument string // that the error names, if it has to
		says     string
	}{
		{"CreateRoom with a long name", "lobby", func(ctx context.Context, c lk.RoomService) error {
			_, err := c.CreateRoom(ctx, &lk.CreateRoomRequest{Name: long})
			return err
		}, twirp.InvalidArgument, "", "256 bytes"},
		{"CreateRoom with large metadata", "lobby", func(ctx context.Context, c lk.RoomService) error {
			_, err := c.CreateRoom(ctx, &lk.CreateRoomRequest{Name: "made", Metadata: large})
			return err
		}, twirp.InvalidArgument, "metadata", "524288 bytes"},
		{"DeleteRoom of none", "nowhere", func(ctx context.Context, c lk.RoomService) error {
			_, err := c.DeleteRoom(ctx, &lk.DeleteRoomRequest{Room: "nowhere"})
			return err
		}, twirp.NotFound, "", noRoom},
		{"GetParticipant of nobody", "lobby", about(get, "lobby", "nobody"), twirp.NotFound, "", noParticipant},
		{"GetParticipant in no room", "nowhere", about(get, "nowhere", "bob"), twirp.NotFound, "", noParticipant},
		{"RemoveParticipant of nobody", "lobby", about(remove, "lobby", "nobody"), twirp.NotFound, "", noParticipant},
		{"RemoveParticipant in no room", "nowhere", about(remove, "nowhere", "bob"), twirp.NotFound, "", noParticipant},
		{"UpdateParticipant of nobody", "lobby", about(update, "lobby", "nobody"), twirp.NotFound, "", noParticipant},
		{"UpdateParticipant in no room", "nowhere", about(update, "nowhere", "bob"), twirp.NotFound, "", noParticipant},
		{"UpdateParticipant with a long name", "lobby", participant(func(r *lk.UpdateParticipantRequest) { r.Name = long }),
			twirp.InvalidArgument, "name", "256 bytes"},
		{"UpdateParticipant with large metadata", "lobby", participant(func(r *lk.UpdateParticipantRequest) { r.Metadata = large }),
			twirp.InvalidArgument, "metadata", "524288 bytes"},
		{"UpdateParticipant with large attributes", "lobby", participant(func(r *lk.UpdateParticipantRequest) { r.Attributes = map[string]string{"k": wide} }),
			twirp.InvalidArgument, "attributes", "65536 bytes"},
		{"UpdateParticipant with attributes that are too large with what there is", "lobby", participant(func(r *lk.UpdateParticipantRequest) {
			r.Attributes = map[string]string{"new": wide[:len(wide)-6]} // 65533 of its own, and 4 that bob has
		}), twirp.InvalidArgument, "attributes", "65536 bytes"},
		{"UpdateParticipant with a source that is none", "lobby", sources(99), twirp.InvalidArgument, "permission.can_publish_sources", "99"},
		{"UpdateParticipant with one among others", "lobby", sources(lk.TrackSource_CAMERA, 99), twirp.InvalidArgument, "permission.can_publish_sources", "99"},
		{"MutePublishedTrack of nobody", "lobby", about(mute, "lobby", "nobody"), twirp.NotFound, "", ""},
		{"MutePublishedTrack in no room", "nowhere", about(mute, "nowhere", "bob"), twirp.NotFound, "", ""},
		{"UpdateSubscriptions of nobody", "lobby", about(subscribe, "lobby", "nobody"), twirp.NotFound, "", ""},
		{"UpdateSubscriptions in no room", "nowhere", about(subscribe, "nowhere", "bob"), twirp.NotFound, "", ""},
		{"SendData to no room", "nowhere", data(func(r *lk.SendDataRequest) { r.Room = "nowhere" }), twirp.NotFound, "", ""},
		{"SendData of too much", "lobby", data(func(r *lk.SendDataRequest) { r.Data = make([]byte, room.DefaultLimits.DataBytes+1) }),
			twirp.InvalidArgument, "", "65536 bytes"},
		{"SendData with a long topic", "lobby", data(func(r *lk.SendDataRequest) { r.Topic = &long }), twirp.InvalidArgument, "topic", "256 bytes"},
		{"UpdateRoomMetadata of none", "nowhere", func(ctx context.Context, c lk.RoomService) error {
			_, err := c.UpdateRoomMetadata(ctx, &lk.UpdateRoomMetadataRequest{Room: "nowhere", Metadata: "m"})
			return err
		}, twirp.NotFound, "", noRoom},
		{"UpdateRoomMetadata that is large", "lobby", func(ctx context.Context, c lk.RoomService) error {
			_, err := c.UpdateRoomMetadata(ctx, &lk.UpdateRoomMetadataRequest{Room: "lobby", Metadata: large})
			return err
		}, twirp.InvalidArgument, "metadata", "524288 bytes"},
		{"MoveParticipant of nobody", "lobby", about(move("hall"), "lobby", "nobody"), twirp.NotFound, "", ""},
		{"MoveParticipant from no room", "nowhere", about(move("hall"), "nowhere", "bob"), twirp.NotFound, "", ""},
		{"MoveParticipant to the same room", "hall", about(move("hall"), "hall", "cy"), twirp.InvalidArgument, "", ""},
		{"PerformRpc with nobody", "lobby", about(perform, "lobby", "nobody"), twirp.NotFound, "", ""},
		{"PerformRpc in no room", "nowhere", about(perform, "nowhere", "bob"), twirp.NotFound, "", ""},
		{"PerformRpc with no destination", "lobby", about(perform, "lobby", ""), twirp.InvalidArgument, "", ""},
		{"ForwardParticipant", "lobby", func(ctx context.Context, c lk.RoomService) error {
			_, err := c.ForwardParticipant(ctx, &lk.ForwardParticipantRequest{Room: "lobby", Identity: "bob", DestinationRoom: "hall"})
			return err
		}, twirp.Unimplemented, "", ""},
	}
	everyClient(t, func(t *testing.T, dial dialer) {
		s := serve(t)
		c := dial(s)
		bob := s.enter("lobby", "bob", func(c *tokens.Claims) { c.Attributes = map[string]string{"a": "123"} })
		cy := s.enter("hall", "cy")
		bob.Sync()
		cy.Sync()
		bobs, cys := len(bob.Seen()), len(cy.Seen())
		for _, row := range rows {
			t.Run(row.what, func(t *testing.T) {
				s := &site{s.For(t)}
				err := row.call(s.as(row.room), c)
				if err == nil {
					t.Fatalf("got no error, want %s", row.code)
				}
				e := errOf(t, err)
				if e.Code() != row.code || row.argument != "" && e.Meta("argument") != row.argument || !strings.Contains(e.Msg(), row.says) {
					t.Errorf("got %s (argument %q): %s; want %s (argument %q): %s", e.Code(), e.Meta("argument"), e.Msg(), row.code, row.argument, row.says)
				}
				if len(e.Msg()) > 300 {
					t.Errorf("the message has %d bytes", len(e.Msg()))
				}
			})
		}
		bob.Sync()
		cy.Sync()
		for who, news := range map[string][]sessiontest.Event{"bob": bob.Seen()[bobs:], "cy": cy.Seen()[cys:]} {
			for _, e := range news {
				if e.Type() != "pong" {
					t.Errorf("%s was told of something that was refused: %s", who, e.Text)
				}
			}
		}
	})
}

// A nonce makes a message that is sent twice arrive once. The SDK makes its
// own, so only the generated clients can be wrong here.
func TestNonce(t *testing.T) {
	for name, dial := range generated {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			c := dial(s)
			ada := s.enter("lobby", "ada")
			send := func(data, nonce string) error {
				_, err := c.SendData(s.as("lobby"), &lk.SendDataRequest{Room: "lobby", Data: []byte(data), Nonce: []byte(nonce)})
				return err
			}
			const one, two = "0123456789abcdef", "0123456789abcdeF"
			for _, m := range [][2]string{{"1", one}, {"again", one}, {"2", two}, {"3", ""}, {"4", ""}} {
				if err := send(m[0], m[1]); err != nil {
					t.Fatalf("%q: %v", m, err)
				}
			}
			for _, nonce := range []string{"short", one + "0"} {
				refused(t, "a nonce of "+nonce, send("wrong", nonce), twirp.InvalidArgument)
			}
			ada.Sync()
			got := ""
			for _, e := range ada.of("data") {
				data, _, _ := dataOf(t, e)
				got += data + " "
			}
			if got != "1 2 3 4 " {
				t.Errorf("ada got %s", got)
			}
		})
	}
}

// calls is one call of each method of the SDK, which is wrong in some way that
// is looked at after the grant, and the grants that it needs.
var calls = []struct {
	method string
	args   []any
	grant  tokens.VideoGrant
}{
	{"createRoom", []any{map[string]any{"name": strings.Repeat("n", 257)}}, tokens.VideoGrant{RoomCreate: true}},
	{"listRooms", []any{}, tokens.VideoGrant{RoomList: true}},
	{"deleteRoom", []any{"nowhere"}, tokens.VideoGrant{RoomCreate: true}},
	{"updateRoomMetadata", []any{"lobby", strings.Repeat("m", room.DefaultLimits.MetadataBytes+1)}, administers("lobby")},
	{"listParticipants", []any{"lobby"}, administers("lobby")},
	{"getParticipant", []any{"lobby", "nobody"}, administers("lobby")},
	{"removeParticipant", []any{"lobby", "nobody"}, administers("lobby")},
	{"forwardParticipant", []any{"lobby", "nobody", "lobby"}, moves("lobby", "lobby")},
	{"moveParticipant", []any{"lobby", "nobody", "lobby"}, moves("lobby", "lobby")},
	{"mutePublishedTrack", []any{"lobby", "nobody", "TR_x", false}, administers("lobby")},
	{"updateParticipant", []any{"lobby", "nobody", map[string]any{"name": strings.Repeat("n", 257)}}, administers("lobby")},
	{"updateSubscriptions", []any{"lobby", "nobody", []string{"TR_x"}, true}, administers("lobby")},
	{"sendData", []any{"lobby", octets(make([]byte, room.DefaultLimits.DataBytes+1)), 0, map[string]any{}}, administers("lobby")},
}

func administers(name string) tokens.VideoGrant {
	return tokens.VideoGrant{RoomAdmin: true, Room: name}
}

func moves(from, to string) tokens.VideoGrant {
	return tokens.VideoGrant{RoomAdmin: true, Room: from, DestinationRoom: to}
}

// A caller who may not learns that, and nothing else.
func TestGrants(t *testing.T) {
	n := startNode(t)
	s := serve(t)
	bob := s.enter("lobby", "bob")
	expired := s.minted("lobby", "bob", time.Now().Add(-24*time.Hour))

	// A token of one's own takes the place of those that the SDK makes.
	client := func(t *testing.T, key, secret, token string) string {
		name := "caller of " + t.Name()
		options := map[string]any{}
		if token != "" {
			options["token"] = token
		}
		n.new(t, name, "RoomServiceClient", s.HTTP.URL, key, secret, options)
		return name
	}
	// ask expects a refusal: with a code where the service refuses, in plain
	// text where the token itself is not to be believed.
	ask := func(t *testing.T, name string, method string, args []any, code, says string) {
		t.Helper()
		_, err := n.call(name, method, args...)
		var e *thrown
		if !errors.As(err, &e) || e.Status != 401 || e.Code != code || e.Name != "Unauthorized" || !strings.HasPrefix(e.Message, says) {
			t.Errorf("%s: got %v, want 401 %q %q", method, err, code, says)
		}
	}
	for _, c := range []struct{ name, key, secret, token, says string }{
		{"wrong secret", sessiontest.Key, "another-secret-of-32-bytes-and-more", "", "invalid authorization token"},
		{"unknown key", "nobody", sessiontest.Secret, "", "invalid API key"},
		{"expired", "", "", expired, "invalid authorization token"},
		{"nonsense", "", "", "abc", "invalid authorization token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := client(t, c.key, c.secret, c.token)
			for _, call := range calls {
				ask(t, name, call.method, call.args, "", c.says)
			}
		})
	}
	for _, call := range calls {
		all := tokens.VideoGrant{RoomCreate: true, RoomList: true, RoomAdmin: true, RoomJoin: true, RoomRecord: true, IngressAdmin: true,
			Room: "lobby", DestinationRoom: call.grant.DestinationRoom}
		with := func(change func(*tokens.VideoGrant)) tokens.VideoGrant {
			v := all
			change(&v)
			return v
		}
		lacking := map[string]tokens.VideoGrant{"nothing": {}, "all but the grant": with(func(v *tokens.VideoGrant) {
			v.RoomCreate = v.RoomCreate && !call.grant.RoomCreate
			v.RoomList = v.RoomList && !call.grant.RoomList
			v.RoomAdmin = v.RoomAdmin && !call.grant.RoomAdmin
		})}
		if call.grant.RoomAdmin {
			lacking["of another room"] = with(func(v *tokens.VideoGrant) { v.Room = "hall" })
			lacking["of no room"] = with(func(v *tokens.VideoGrant) { v.Room = "" })
		}
		if call.grant.DestinationRoom != "" {
			lacking["of another destination"] = with(func(v *tokens.VideoGrant) { v.DestinationRoom = "hall" })
			lacking["of no destination"] = with(func(v *tokens.VideoGrant) { v.DestinationRoom = "" })
		}
		for what, v := range lacking {
			t.Run(call.method+" with a token "+what, func(t *testing.T) {
				ask(t, client(t, "", "", s.Token("", "caller", grant(v))), call.method, call.args, "unauthenticated", "permissions denied")
			})
		}
		t.Run(call.method+" with just the grant", func(t *testing.T) {
			_, err := n.call(client(t, "", "", s.Token("", "", grant(call.grant))), call.method, call.args...)
			var e *thrown
			if errors.As(err, &e) && e.Status == 401 {
				t.Errorf("got %v", err)
			}
		})
	}
	// A token that was revoked is not to be believed, whatever it grants.
	admin := s.Token("lobby", "ada", func(c *tokens.Claims) { c.Video.RoomAdmin = true })
	ada, _ := s.Join(admin)
	name := client(t, "", "", admin)
	n.must(t, name, "removeParticipant", "lobby", "ada")
	ada.ExpectClose(wire.Removed)
	ask(t, name, "listParticipants", []any{"lobby"}, "", "invalid authorization token")
	bob.Sync()
}

// The SDK has no method for PerformRpc yet, whose grants are those of the others.
func TestGrantsOfPerformRpc(t *testing.T) {
	for name, dial := range generated {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			s.enter("lobby", "bob")
			for what, v := range map[string]tokens.VideoGrant{
				"a token of nothing":         {},
				"a token to join":            {RoomJoin: true, Room: "lobby"},
				"a token to create and list": {RoomCreate: true, RoomList: true, Room: "lobby"},
				"a token of another room":    administers("hall"),
				"a token to join no room":    {RoomAdmin: true, RoomJoin: true}, // without roomJoin it is the project's own
			} {
				ctx, err := twirp.WithHTTPRequestHeaders(t.Context(), http.Header{"Authorization": {"Bearer " + s.Token("", "caller", grant(v))}})
				if err != nil {
					t.Fatal(err)
				}
				_, err = dial(s).PerformRpc(ctx, &lk.PerformRpcRequest{Room: "lobby"}) // with no destination
				refused(t, what, err, twirp.Unauthenticated)
			}
		})
	}
}

// LiveKit answers some of many updates at once with a 500.
func TestManyUpdatesAtOnce(t *testing.T) {
	updates := 100
	if os.Getenv("USHER_SOAK") != "" {
		updates *= 10
	}
	n := startNode(t)
	s := serve(t)
	c := s.sdk(n)
	bob, ada := s.enter("lobby", "bob"), s.enter("lobby", "ada")
	answers := make([]<-chan reply, updates)
	for i := range answers {
		answers[i] = n.send(map[string]any{"on": c.name, "call": "updateParticipant",
			"args": []any{"lobby", "bob", map[string]any{"attributes": map[string]string{"k" + strings.Repeat("x", i%7): strings.Repeat("v", i+1)}}}})
	}
	for i, answer := range answers {
		if _, err := n.wait(answer); err != nil {
			t.Errorf("update %d: %v", i, err)
		}
	}
	bob.Sync()
	ada.Sync()
	if n := len(ada.of("participantUpdated")); n != updates {
		t.Errorf("ada was told of %d changes, want %d", n, updates)
	}
	r := sessiontest.Replay(ada.Seen())
	for _, problem := range r.Problems {
		t.Error(problem)
	}
}
