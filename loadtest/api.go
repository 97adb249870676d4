package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"usher/auth"
	"usher/auth/livekit"
)

// A permission is LiveKit's of a participant, as far as scenarios change it.
type permission struct {
	CanSubscribe   bool `json:"can_subscribe"`
	CanPublish     bool `json:"can_publish"`
	CanPublishData bool `json:"can_publish_data"`
}

// call calls a method of LiveKit's RoomService.
func (r *run) call(ctx context.Context, room, method string, request any) ([]byte, error) {
	return r.ask(ctx, room, http.MethodPost, r.base.JoinPath("twirp", "livekit.RoomService", method), request)
}

// patch changes a participant by usher's own API.
func (r *run) patch(ctx context.Context, room, identity string, change any) error {
	_, err := r.ask(ctx, room, http.MethodPatch, r.base.JoinPath("usher", "v1", "rooms", room, "participants", identity), change)
	return err
}

// permit states what somebody may do. It returns when that is in force.
func (r *run) permit(ctx context.Context, p *person, may permission) error {
	if r.cfg.Patch {
		return r.patch(ctx, p.group.name, p.identity, map[string]any{"permission": map[string]bool{
			"canSubscribe": may.CanSubscribe, "canPublish": may.CanPublish, "canPublishData": may.CanPublishData}})
	}
	_, err := r.call(ctx, p.group.name, "UpdateParticipant", map[string]any{"room": p.group.name, "identity": p.identity, "permission": may})
	return err
}

// listed is who is in a room, as the server API tells.
func (r *run) listed(ctx context.Context, room string) (map[string]bool, error) {
	answer, err := r.call(ctx, room, "ListParticipants", map[string]any{"room": room})
	if err != nil {
		return nil, err
	}
	var list struct {
		Participants []struct{ Identity string }
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("the answer of ListParticipants is not understood: %w", err)
	}
	all := make(map[string]bool, len(list.Participants))
	for _, p := range list.Participants {
		all[p.Identity] = true
	}
	return all, nil
}

func (r *run) ask(ctx context.Context, room, method string, address *url.URL, request any) ([]byte, error) {
	token, err := r.admin(room)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %.200s", address.Path, res.Status, answer)
	}
	return answer, nil
}

// admin is a token to administer a room.
func (r *run) admin(room string) (string, error) {
	if token, ok := r.admins.Load(room); ok {
		return token.(string), nil
	}
	token, err := livekit.Mint(r.target.Key, auth.Secret(r.target.Secret), livekit.Claims{Identity: "loadtest",
		Video: &livekit.VideoGrant{RoomAdmin: true, Room: room}}, r.tokenLife(), time.Now())
	if err == nil {
		r.admins.Store(room, token)
	}
	return token, err
}
