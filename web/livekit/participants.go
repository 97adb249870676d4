package livekit

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"

	tokens "usher/auth/livekit"
	"usher/room"
)

// A service is LiveKit's RoomService on our rooms.
type service struct{ Config }

var _ livekit.RoomService = (*service)(nil)

// ListParticipants tells of everybody in a room, hidden ones included, in the
// order in which they came. In a room that does not exist there is nobody.
func (s *service) ListParticipants(ctx context.Context, req *livekit.ListParticipantsRequest) (*livekit.ListParticipantsResponse, error) {
	c, err := s.admin(ctx, req.Room)
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
	c, err := s.admin(ctx, req.Room)
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
	change.By = c.name()
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
// when there are several, and revokes the tokens used so far: those issued until
// now, or before revoke_token_ts.
func (s *service) RemoveParticipant(ctx context.Context, req *livekit.RoomParticipantIdentity) (*livekit.RemoveParticipantResponse, error) {
	c, err := s.admin(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	how := room.Removal{By: c.name()}
	if ts := req.RevokeTokenTs; ts != 0 {
		how.Until = time.Unix(ts-1, 0)
		if ts < 0 || ts > time.Now().Add(maxRevokeAhead).Unix() {
			return nil, invalidArgument("revoke_token_ts", "revoke_token_ts is a Unix time in seconds, at most a day ahead")
		}
	}
	b := s.Rooms.Batch()
	err = s.Rooms.Remove(b, c.grant.Project, req.Room, room.Target{Identity: req.Identity}, how)
	b.Flush()
	if err != nil {
		return nil, s.problem(err)
	}
	s.Log.Info("participant removed", "project", c.grant.Project, "room", req.Room, "identity", req.Identity,
		"by", c.grant.Identity, "key", c.grant.KeyID)
	return new(livekit.RemoveParticipantResponse), nil
}

// maxRevokeAhead is how far ahead revoke_token_ts may be. LiveKit's default is
// the leeway of a minute; what is far ahead was not meant in seconds.
const maxRevokeAhead = 24 * time.Hour

// MutePublishedTrack mutes a track. A track that does not exist is no error, as
// with LiveKit; nobody is unmuted from afar.
func (s *service) MutePublishedTrack(ctx context.Context, req *livekit.MuteRoomTrackRequest) (*livekit.MuteRoomTrackResponse, error) {
	r, _, err := s.enter(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	b := s.Rooms.Batch()
	track, err := r.Mute(b, room.Target{Identity: req.Identity}, req.TrackSid, req.Muted)
	b.Flush()
	switch {
	case errors.Is(err, room.ErrNoTrack):
		return new(livekit.MuteRoomTrackResponse), nil
	case err != nil:
		return nil, s.problem(err)
	}
	return &livekit.MuteRoomTrackResponse{Track: trackInfo(track)}, nil
}

// UpdateSubscriptions subscribes a participant to tracks, or ends that. Tracks
// that do not exist are passed over, as with LiveKit.
func (s *service) UpdateSubscriptions(ctx context.Context, req *livekit.UpdateSubscriptionsRequest) (*livekit.UpdateSubscriptionsResponse, error) {
	r, _, err := s.enter(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	tracks := slices.Clip(req.TrackSids)
	for _, of := range req.ParticipantTracks {
		tracks = append(tracks, of.TrackSids...)
	}
	b := s.Rooms.Batch()
	err = r.Subscriptions(b, room.Target{Identity: req.Identity}, tracks, req.Subscribe)
	b.Flush()
	if err != nil {
		return nil, s.problem(err)
	}
	return new(livekit.UpdateSubscriptionsResponse), nil
}

// MoveParticipant takes a participant to another room, which is made when a
// join may make one.
func (s *service) MoveParticipant(ctx context.Context, req *livekit.MoveParticipantRequest) (*livekit.MoveParticipantResponse, error) {
	c, err := s.mover(ctx, req.Room, req.DestinationRoom)
	if err != nil {
		return nil, err
	}
	b := s.Rooms.Batch()
	err = s.Rooms.Move(b, c.grant.Project, req.Room, req.DestinationRoom, req.Identity)
	b.Flush()
	if errors.Is(err, room.ErrNotAllowed) {
		return nil, twirp.NewError(twirp.FailedPrecondition, "the participant's token does not let them into the destination room")
	}
	if err != nil {
		return nil, s.problem(err)
	}
	s.Log.Info("participant moved", "project", c.grant.Project, "room", req.Room, "to", req.DestinationRoom,
		"identity", req.Identity, "by", c.grant.Identity, "key", c.grant.KeyID)
	return new(livekit.MoveParticipantResponse), nil
}

// ForwardParticipant is not served: one session is in one room.
func (s *service) ForwardParticipant(ctx context.Context, req *livekit.ForwardParticipantRequest) (*livekit.ForwardParticipantResponse, error) {
	if _, err := s.mover(ctx, req.Room, req.DestinationRoom); err != nil {
		return nil, err
	}
	return nil, twirp.NewError(twirp.Unimplemented, "ForwardParticipant is not served: a participant is in one room")
}

// How long a remote call may take: when the request does not say, and at most.
const (
	rpcTimeout    = 15 * time.Second
	maxRPCTimeout = 50 * time.Second // a request is answered within a minute
)

// PerformRpc calls a method of a participant and returns its reply.
func (s *service) PerformRpc(ctx context.Context, req *livekit.PerformRpcRequest) (*livekit.PerformRpcResponse, error) {
	c, err := s.admin(ctx, req.Room)
	if err != nil {
		return nil, err
	}
	if req.DestinationIdentity == "" {
		return nil, invalidArgument("destination_identity", "destination_identity is missing")
	}
	wait := rpcTimeout
	if req.ResponseTimeoutMs > 0 {
		wait = min(time.Duration(req.ResponseTimeoutMs)*time.Millisecond, maxRPCTimeout)
	}
	r, err := s.lookup(c, req.Room)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	payload, err := r.Perform(ctx, room.Target{Identity: req.DestinationIdentity}, req.Method, req.Payload)
	if err != nil {
		return nil, s.problem(err)
	}
	return &livekit.PerformRpcResponse{Payload: payload}, nil
}

// enter returns the room if the caller may administer it and it lives.
func (s *service) enter(ctx context.Context, name string) (*room.Room, caller, error) {
	c, err := s.admin(ctx, name)
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
