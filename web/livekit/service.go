package livekit

import (
	"cmp"
	"context"
	"slices"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	tokens "usher/auth/livekit"
	"usher/room"
)

// A service is LiveKit's RoomService on our rooms.
type service struct {
	Config
	later
}

var _ livekit.RoomService = (*service)(nil)

// ListParticipants tells of everybody in a room, hidden ones included, in the
// order in which they came. In a room that does not exist there is nobody.
func (s *service) ListParticipants(ctx context.Context, req *livekit.ListParticipantsRequest) (*livekit.ListParticipantsResponse, error) {
	c, err := admin(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	answer := new(livekit.ListParticipantsResponse)
	r, ok := s.Rooms.Lookup(c.grant.Project, req.Room)
	if !ok {
		return answer, nil
	}
	list := r.Participants()
	slices.SortFunc(list, func(a, b *room.Info) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), cmp.Compare(a.SID, b.SID))
	})
	for _, i := range list {
		answer.Participants = append(answer.Participants, participantInfo(i))
	}
	return answer, nil
}

// GetParticipant tells of one participant.
func (s *service) GetParticipant(ctx context.Context, req *livekit.RoomParticipantIdentity) (*livekit.ParticipantInfo, error) {
	r, _, err := s.enter(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	info, err := r.Participant(room.Target{Identity: req.Identity})
	if err != nil {
		return nil, s.problem(err)
	}
	return participantInfo(info), nil
}

// UpdateParticipant changes a participant, all participants of the identity when
// there are several. It answers when the change is in force.
func (s *service) UpdateParticipant(ctx context.Context, req *livekit.UpdateParticipantRequest) (*livekit.ParticipantInfo, error) {
	c, err := admin(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	if c.unknownSource != "" {
		return nil, errSource(c.unknownSource)
	}
	change := room.Change{Attributes: req.Attributes}
	if req.Name != "" {
		change.Name = &req.Name
	}
	if req.Metadata != "" {
		change.Metadata = &req.Metadata
	}
	if req.Permission != nil {
		permission, err := permissionOf(req.Permission)
		if err != nil {
			return nil, err
		}
		say := tokens.StatementOf(permission)
		change.Permission = &say
	}
	r, err := s.lookup(c, req.Room)
	if err != nil {
		return nil, err
	}
	b := s.Rooms.Batch()
	info, err := r.Update(b, room.Target{Identity: req.Identity}, change)
	b.Flush()
	if err != nil {
		return nil, s.problem(err)
	}
	s.Log.Info("participant updated", "project", r.Project, "room", r.Name, "identity", req.Identity,
		"permission", change.Permission != nil, "by", c.grant.Identity, "key", c.grant.KeyID)
	return participantInfo(info), nil
}

// RemoveParticipant disconnects a participant, all participants of the identity
// when there are several, and revokes the tokens used so far.
func (s *service) RemoveParticipant(ctx context.Context, req *livekit.RoomParticipantIdentity) (*livekit.RemoveParticipantResponse, error) {
	r, c, err := s.enter(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	b := s.Rooms.Batch()
	err = r.Remove(b, room.Target{Identity: req.Identity})
	b.Flush()
	if err != nil {
		return nil, s.problem(err)
	}
	s.Log.Info("participant removed", "project", r.Project, "room", r.Name, "identity", req.Identity,
		"by", c.grant.Identity, "key", c.grant.KeyID)
	return new(livekit.RemoveParticipantResponse), nil
}

// enter returns the room if the caller may administer it and it lives.
func (s *service) enter(ctx context.Context, name string) (*room.Room, caller, error) {
	c, err := admin(ctx, name)
	if err != nil {
		return nil, c, err
	}
	r, err := s.lookup(c, name)
	return r, c, err
}

func (s *service) lookup(c caller, name string) (*room.Room, error) {
	r, ok := s.Rooms.Lookup(c.grant.Project, name)
	if !ok { // and nobody is in it
		return nil, s.problem(room.ErrNoParticipant)
	}
	return r, nil
}

// later is the part of the RoomService that is not served yet.
type later struct{}

func unimplemented(method string) error {
	return twirp.NewError(twirp.Unimplemented, method+" is not served by this version")
}

func (later) CreateRoom(context.Context, *livekit.CreateRoomRequest) (*livekit.Room, error) {
	return nil, unimplemented("CreateRoom")
}

func (later) ListRooms(context.Context, *livekit.ListRoomsRequest) (*livekit.ListRoomsResponse, error) {
	return nil, unimplemented("ListRooms")
}

func (later) DeleteRoom(context.Context, *livekit.DeleteRoomRequest) (*livekit.DeleteRoomResponse, error) {
	return nil, unimplemented("DeleteRoom")
}

func (later) MutePublishedTrack(context.Context, *livekit.MuteRoomTrackRequest) (*livekit.MuteRoomTrackResponse, error) {
	return nil, unimplemented("MutePublishedTrack")
}

func (later) UpdateSubscriptions(context.Context, *livekit.UpdateSubscriptionsRequest) (*livekit.UpdateSubscriptionsResponse, error) {
	return nil, unimplemented("UpdateSubscriptions")
}

func (later) SendData(context.Context, *livekit.SendDataRequest) (*livekit.SendDataResponse, error) {
	return nil, unimplemented("SendData")
}

func (later) UpdateRoomMetadata(context.Context, *livekit.UpdateRoomMetadataRequest) (*livekit.Room, error) {
	return nil, unimplemented("UpdateRoomMetadata")
}

func (later) ForwardParticipant(context.Context, *livekit.ForwardParticipantRequest) (*livekit.ForwardParticipantResponse, error) {
	return nil, unimplemented("ForwardParticipant")
}

func (later) MoveParticipant(context.Context, *livekit.MoveParticipantRequest) (*livekit.MoveParticipantResponse, error) {
	return nil, unimplemented("MoveParticipant")
}

func (later) PerformRpc(context.Context, *livekit.PerformRpcRequest) (*livekit.PerformRpcResponse, error) {
	return nil, unimplemented("PerformRpc")
}
