package livekit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	"usher/auth"
	"usher/room"
)

// roomInfo tells of a room; never a password of its TURN server, which LiveKit's
// own webhooks leak.
func roomInfo(s room.Summary) *livekit.Room {
	r := &livekit.Room{
		Sid: s.ID, Name: s.Name, Metadata: s.Metadata,
		EmptyTimeout:     uint32(s.EmptyTimeout / time.Second),
		DepartureTimeout: uint32(s.DepartureTimeout / time.Second),
		MaxParticipants:  uint32(s.MaxParticipants),
		NumParticipants:  uint32(s.NumParticipants),
		NumPublishers:    uint32(s.NumPublishers),
		ActiveRecording:  s.Recording,
	}
	if !s.CreatedAt.IsZero() {
		r.CreationTime, r.CreationTimeMs = s.CreatedAt.Unix(), s.CreatedAt.UnixMilli()
	}
	return r
}

// CreateRoom makes a room, or returns the one that there is, whose settings
// stay. What concerns media, egress and agents has no effect here.
func (s *service) CreateRoom(ctx context.Context, req *livekit.CreateRoomRequest) (*livekit.Room, error) {
	c, err := s.creator(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	made, err := s.Rooms.Create(c.grant.Project, req.Name, auth.RoomConfig{
		EmptyTimeout:     time.Duration(req.EmptyTimeout) * time.Second,
		DepartureTimeout: time.Duration(req.DepartureTimeout) * time.Second,
		MaxParticipants:  int(req.MaxParticipants),
		Metadata:         req.Metadata,
	})
	if err != nil {
		return nil, s.roomProblem(err)
	}
	return roomInfo(made), nil
}

// ListRooms tells of all rooms of the project, or of those with the names given.
func (s *service) ListRooms(ctx context.Context, req *livekit.ListRoomsRequest) (*livekit.ListRoomsResponse, error) {
	c, err := s.believe(ctx)
	if err != nil {
		return nil, err
	}
	if !c.grant.ListRooms {
		return nil, errDenied
	}
	names := req.Names
	if c.grant.Origin != nil { // a session's own token is good for its room
		for _, name := range names {
			if name != c.grant.Room {
				return nil, errDenied
			}
		}
		names = []string{c.grant.Room}
	}
	answer := new(livekit.ListRoomsResponse)
	for _, r := range s.Rooms.List(c.grant.Project, names) {
		answer.Rooms = append(answer.Rooms, roomInfo(r))
	}
	return answer, nil
}

// DeleteRoom ends a room and puts everybody out. Their tokens stay good.
func (s *service) DeleteRoom(ctx context.Context, req *livekit.DeleteRoomRequest) (*livekit.DeleteRoomResponse, error) {
	c, err := s.creator(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	b := s.Rooms.Batch()
	err = s.Rooms.Delete(b, c.grant.Project, req.Room)
	b.Flush()
	if err != nil {
		return nil, s.roomProblem(err)
	}
	s.Log.Info("room deleted", "project", c.grant.Project, "room", req.Room, "by", c.grant.Identity, "key", c.grant.KeyID)
	return new(livekit.DeleteRoomResponse), nil
}

// UpdateRoomMetadata changes a room's metadata. Empty clears it.
func (s *service) UpdateRoomMetadata(ctx context.Context, req *livekit.UpdateRoomMetadataRequest) (*livekit.Room, error) {
	c, err := s.admin(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	r, ok := s.Rooms.Lookup(c.grant.Project, req.Room)
	if !ok {
		return nil, s.roomProblem(room.ErrNotFound)
	}
	b := s.Rooms.Batch()
	changed, err := r.SetMetadata(b, req.Metadata)
	b.Flush()
	if err != nil {
		return nil, s.roomProblem(err)
	}
	return roomInfo(changed), nil
}

// nonceBytes is the length that a nonce has.
const nonceBytes = 16

// SendData sends a message to everybody in a room, or to those named, hidden
// ones included.
func (s *service) SendData(ctx context.Context, req *livekit.SendDataRequest) (*livekit.SendDataResponse, error) {
	c, err := s.admin(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	if n := len(req.Nonce); n != 0 && n != nonceBytes {
		return nil, invalidArgument("nonce", "a nonce has 16 bytes")
	}
	r, ok := s.Rooms.Lookup(c.grant.Project, req.Room)
	if !ok {
		return nil, s.roomProblem(room.ErrNotFound)
	}
	//lint:ignore SA1019 deprecated, and still in use
	sids := req.DestinationSids
	payload, _ := json.Marshal(base64.StdEncoding.EncodeToString(req.Data))
	b := s.Rooms.Batch()
	err = r.Send(b, room.Message{
		Topic: req.GetTopic(), Payload: payload, Encoding: "base64", Reliable: req.Kind == livekit.DataPacket_RELIABLE,
		Identities: req.DestinationIdentities, SIDs: sids,
	}, string(req.Nonce))
	b.Flush()
	if err != nil {
		return nil, s.roomProblem(err)
	}
	return new(livekit.SendDataResponse), nil
}

// roomProblem is problem where it is a room that does not exist.
func (s *service) roomProblem(err error) error {
	if room.IsNotFound(err) {
		return twirp.NewError(twirp.NotFound, "requested room does not exist")
	}
	return s.problem(err)
}
