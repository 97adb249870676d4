package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	lk "github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"usher/session/sessiontest"
)

// A dialer makes a client of a site's RoomService.
type dialer func(*site) lk.RoomService

// generated is the clients that Twirp generates for Go.
var generated = map[string]dialer{
	"protobuf": func(s *site) lk.RoomService { return lk.NewRoomServiceProtobufClient(s.HTTP.URL, s.HTTP.Client()) },
	"JSON":     func(s *site) lk.RoomService { return lk.NewRoomServiceJSONClient(s.HTTP.URL, s.HTTP.Client()) },
}

// everyClient runs a test for each way to call: the SDK of npm writes JSON in
// camelCase, the generated JSON client in snake_case.
func everyClient(t *testing.T, run func(*testing.T, dialer)) {
	for name, dial := range generated {
		t.Run(name, func(t *testing.T) { run(t, dial) })
	}
	t.Run("SDK", func(t *testing.T) {
		n := startNode(t)
		run(t, func(s *site) lk.RoomService { return s.sdk(n) })
	})
}

// errOf returns the Twirp error that err is.
func errOf(t testing.TB, err error) twirp.Error {
	t.Helper()
	var e twirp.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error of Twirp", err)
	}
	return e
}

// refused fails the test unless err has the code.
func refused(t testing.TB, what string, err error, code twirp.ErrorCode) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: got no error, want %s", what, code)
	} else if e := errOf(t, err); e.Code() != code {
		t.Errorf("%s: got %s: %s, want %s", what, e.Code(), e.Msg(), code)
	}
}

// An sdkClient is the RoomServiceClient of livekit-server-sdk, behind the
// interface that Twirp generates for Go. Each method makes one call of the
// SDK's method of the same name.
type sdkClient struct {
	t    testing.TB
	node *node
	name string // of the object

	mu     sync.Mutex // guards the following field
	called map[string]int
}

var _ lk.RoomService = (*sdkClient)(nil)

// sdk makes a client for the site, with the project's key.
func (s *site) sdk(n *node) *sdkClient {
	s.T.Helper()
	c := &sdkClient{t: s.T, node: n, name: fmt.Sprintf("client of %s", s.HTTP.URL), called: make(map[string]int)}
	n.new(s.T, c.name, "RoomServiceClient", s.HTTP.URL, sessiontest.Key, sessiontest.Secret,
		map[string]any{"requestTimeout": patience.Seconds()})
	return c
}

// js calls a method of the SDK and turns its result into the message that the
// server sent.
func (c *sdkClient) js(method string, into proto.Message, args ...any) error {
	c.mu.Lock()
	c.called[method]++
	c.mu.Unlock()
	result, err := c.node.call(c.name, method, args...)
	if err != nil {
		return c.problem(method, err)
	}
	if into == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(result, &v); err != nil {
		return err
	}
	text, err := json.Marshal(protoJSON(v))
	if err != nil {
		return err
	}
	return known.Unmarshal(text, into)
}

// problem is the Twirp error that the SDK threw.
func (c *sdkClient) problem(method string, err error) error {
	var e *thrown
	if !errors.As(err, &e) || e.Code == "" {
		return err
	}
	code := twirp.ErrorCode(e.Code)
	if want := twirp.ServerHTTPStatusFromErrorCode(code); e.Status != want {
		c.t.Errorf("%s: %s came with HTTP status %d, want %d", method, code, e.Status, want)
	}
	out := twirp.NewError(code, e.Message)
	for k, v := range e.Metadata {
		out = out.WithMeta(k, v)
	}
	return out
}

// known reads messages: a oneof looks different in JavaScript.
var known = protojson.UnmarshalOptions{DiscardUnknown: true}

// protoJSON makes protobuf's JSON of what rpc.mjs tells.
func protoJSON(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = protoJSON(v[i])
		}
	case map[string]any:
		for _, marker := range []string{"$bigint", "$bytes"} {
			if text, ok := v[marker]; ok {
				return text
			}
		}
		for k, x := range v {
			if m, ok := x.(map[string]any); ok && m["$undefined"] == true {
				delete(v, k)
				continue
			}
			v[k] = protoJSON(x)
		}
	}
	return v
}

// set is an object with what is given: a program in JavaScript leaves out what
// it does not mean.
func set(pairs ...any) map[string]any {
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case string:
			if v == "" {
				continue
			}
		case uint32:
			if v == 0 {
				continue
			}
		case []string:
			if len(v) == 0 {
				continue
			}
		case map[string]string:
			if len(v) == 0 {
				continue
			}
		case *string:
			if v == nil {
				continue
			}
		}
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func (c *sdkClient) CreateRoom(_ context.Context, r *lk.CreateRoomRequest) (*lk.Room, error) {
	out := new(lk.Room)
	return out, c.js("createRoom", out, set("name", r.Name, "emptyTimeout", r.EmptyTimeout,
		"departureTimeout", r.DepartureTimeout, "maxParticipants", r.MaxParticipants, "metadata", r.Metadata))
}

func (c *sdkClient) ListRooms(_ context.Context, r *lk.ListRoomsRequest) (*lk.ListRoomsResponse, error) {
	args := []any{}
	if len(r.Names) > 0 {
		args = append(args, r.Names)
	}
	return list(c, "listRooms", args, func(out *lk.ListRoomsResponse, room *lk.Room) { out.Rooms = append(out.Rooms, room) })
}

func (c *sdkClient) ListParticipants(_ context.Context, r *lk.ListParticipantsRequest) (*lk.ListParticipantsResponse, error) {
	return list(c, "listParticipants", []any{r.Room}, func(out *lk.ListParticipantsResponse, p *lk.ParticipantInfo) {
		out.Participants = append(out.Participants, p)
	})
}

// list calls a method that returns an array.
func list[R any, T any, P interface {
	*T
	proto.Message
}](c *sdkClient, method string, args []any, add func(*R, P)) (*R, error) {
	c.mu.Lock()
	c.called[method]++
	c.mu.Unlock()
	result, err := c.node.call(c.name, method, args...)
	if err != nil {
		return nil, c.problem(method, err)
	}
	var all []any
	if err := json.Unmarshal(result, &all); err != nil {
		return nil, err
	}
	out := new(R)
	for _, v := range all {
		text, err := json.Marshal(protoJSON(v))
		if err != nil {
			return nil, err
		}
		one := P(new(T))
		if err := known.Unmarshal(text, one); err != nil {
			return nil, err
		}
		add(out, one)
	}
	return out, nil
}

func (c *sdkClient) DeleteRoom(_ context.Context, r *lk.DeleteRoomRequest) (*lk.DeleteRoomResponse, error) {
	return new(lk.DeleteRoomResponse), c.js("deleteRoom", nil, r.Room)
}

func (c *sdkClient) GetParticipant(_ context.Context, r *lk.RoomParticipantIdentity) (*lk.ParticipantInfo, error) {
	out := new(lk.ParticipantInfo)
	return out, c.js("getParticipant", out, r.Room, r.Identity)
}

func (c *sdkClient) RemoveParticipant(_ context.Context, r *lk.RoomParticipantIdentity) (*lk.RemoveParticipantResponse, error) {
	args := []any{r.Room, r.Identity}
	if r.RevokeTokenTs != 0 {
		args = append(args, map[string]any{"revokeTokenTs": bigint(r.RevokeTokenTs)})
	}
	return new(lk.RemoveParticipantResponse), c.js("removeParticipant", nil, args...)
}

func (c *sdkClient) MutePublishedTrack(_ context.Context, r *lk.MuteRoomTrackRequest) (*lk.MuteRoomTrackResponse, error) {
	track := new(lk.TrackInfo)
	if err := c.js("mutePublishedTrack", track, r.Room, r.Identity, r.TrackSid, r.Muted); err != nil {
		return nil, err
	}
	if track.Sid == "" { // undefined
		track = nil
	}
	return &lk.MuteRoomTrackResponse{Track: track}, nil
}

func (c *sdkClient) UpdateParticipant(_ context.Context, r *lk.UpdateParticipantRequest) (*lk.ParticipantInfo, error) {
	options := set("name", r.Name, "metadata", r.Metadata, "attributes", r.Attributes)
	if p := r.Permission; p != nil {
		options["permission"] = map[string]any{
			"canSubscribe": p.CanSubscribe, "canPublish": p.CanPublish, "canPublishData": p.CanPublishData,
			"canPublishSources": p.CanPublishSources, "hidden": p.Hidden, "canUpdateMetadata": p.CanUpdateMetadata,
			"canSubscribeMetrics": p.CanSubscribeMetrics, "canManageAgentSession": p.CanManageAgentSession,
		}
		if p.CanPublishSources == nil {
			delete(options["permission"].(map[string]any), "canPublishSources")
		}
	}
	out := new(lk.ParticipantInfo)
	return out, c.js("updateParticipant", out, r.Room, r.Identity, options)
}

// UpdateSubscriptions has tracks by participant, too, for which the SDK has no
// argument. It looks at the sids of tracks only.
func (c *sdkClient) UpdateSubscriptions(_ context.Context, r *lk.UpdateSubscriptionsRequest) (*lk.UpdateSubscriptionsResponse, error) {
	sids := append([]string{}, r.TrackSids...)
	for _, p := range r.ParticipantTracks {
		sids = append(sids, p.TrackSids...)
	}
	return new(lk.UpdateSubscriptionsResponse), c.js("updateSubscriptions", nil, r.Room, r.Identity, sids, r.Subscribe)
}

// SendData has a nonce, which the SDK makes itself.
func (c *sdkClient) SendData(_ context.Context, r *lk.SendDataRequest) (*lk.SendDataResponse, error) {
	//lint:ignore SA1019 destinationSids is deprecated, and still served.
	sids := r.DestinationSids
	return new(lk.SendDataResponse), c.js("sendData", nil, r.Room, octets(r.Data), r.Kind,
		set("topic", r.Topic, "destinationIdentities", r.DestinationIdentities, "destinationSids", sids))
}

func (c *sdkClient) UpdateRoomMetadata(_ context.Context, r *lk.UpdateRoomMetadataRequest) (*lk.Room, error) {
	out := new(lk.Room)
	return out, c.js("updateRoomMetadata", out, r.Room, r.Metadata)
}

func (c *sdkClient) ForwardParticipant(_ context.Context, r *lk.ForwardParticipantRequest) (*lk.ForwardParticipantResponse, error) {
	return new(lk.ForwardParticipantResponse), c.js("forwardParticipant", nil, r.Room, r.Identity, r.DestinationRoom)
}

func (c *sdkClient) MoveParticipant(_ context.Context, r *lk.MoveParticipantRequest) (*lk.MoveParticipantResponse, error) {
	return new(lk.MoveParticipantResponse), c.js("moveParticipant", nil, r.Room, r.Identity, r.DestinationRoom)
}

// PerformRpc goes past the methods of the SDK, which has none for it yet: it is
// what one of them would do.
func (c *sdkClient) PerformRpc(_ context.Context, r *lk.PerformRpcRequest) (*lk.PerformRpcResponse, error) {
	header, err := c.node.call(c.name, "authHeader", map[string]any{"roomAdmin": true, "room": r.Room})
	if err != nil {
		return nil, err
	}
	out := new(lk.PerformRpcResponse)
	return out, c.js("rpc.request", out, "RoomService", "PerformRpc", set("room", r.Room,
		"destinationIdentity", r.DestinationIdentity, "method", r.Method, "payload", r.Payload,
		"responseTimeoutMs", r.ResponseTimeoutMs), header)
}
