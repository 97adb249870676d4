package livekit

import (
	"encoding/json"
	"strconv"
	"time"

	"usher/auth"
	"usher/auth/internal/object"
)

// Refresh returns the claims of g with the present state of the session in
// them. The claims that are not about that state stay byte for byte as they
// were. The token never allows more than the session has: what LiveKit's words
// are too coarse to tell is left out, see [PermissionOf].
func (Format) Refresh(g *auth.Grant, now auth.Current, keyID string, issued, expires time.Time) (json.RawMessage, error) {
	video, err := refreshVideo(g.Claims, now)
	if err != nil {
		return nil, err
	}
	origin, err := g.OriginClaim(now, time.Time{})
	if err != nil {
		return nil, err
	}
	return object.Set(g.Claims,
		object.Member{Name: "iss", Value: object.String(keyID)},
		object.Member{Name: "sub", Value: object.String(now.Identity)},
		object.Member{Name: "nbf", Value: seconds(issued)},
		object.Member{Name: "iat", Value: seconds(issued)},
		object.Member{Name: "exp", Value: seconds(expires)},
		object.Member{Name: "name", Value: stringOrNone(now.Name)},
		object.Member{Name: "metadata", Value: stringOrNone(now.Metadata)},
		object.Member{Name: "attributes", Value: mapOrNone(now.Attributes)},
		object.Member{Name: "video", Value: video},
		object.Member{Name: "usher", Value: origin},
	)
}

func refreshVideo(payload json.RawMessage, now auth.Current) (json.RawMessage, error) {
	raw := json.RawMessage("{}")
	var granted json.RawMessage
	if err := object.Read(payload, object.Field{Name: "video", Into: &granted}); err != nil {
		return nil, err
	}
	var was video
	if granted != nil {
		if err := was.read(granted); err != nil {
			return nil, err
		}
		raw = granted
	}

	live := PermissionOf(now.Permission)
	live.CanSubscribe = live.CanSubscribe && now.Permission.ReceivesFromAll() // it is about everybody
	admin := now.Permission.Allows(moderate)
	rights := live.rights()
	if admin {
		rights |= moderate
	}

	members := []object.Member{
		{Name: "room", Value: object.String(now.Room)},
		{Name: "roomJoin", Value: flag(true)},
	}
	// Flags that already say it stay as they are, unset ones unset. That also
	// keeps what an unknown source name means to whoever reads the token next.
	if !was.granted || was.rights() != rights {
		members = append(members,
			object.Member{Name: "canPublish", Value: flag(live.CanPublish)},
			object.Member{Name: "canPublishSources", Value: listOrNone(live.CanPublishSources)},
			object.Member{Name: "canSubscribe", Value: flag(live.CanSubscribe)},
			object.Member{Name: "canPublishData", Value: flag(live.CanPublishData)},
			object.Member{Name: "canUpdateOwnMetadata", Value: flag(live.CanUpdateMetadata)},
			object.Member{Name: "canSubscribeMetrics", Value: flag(live.CanSubscribeMetrics)},
			object.Member{Name: "canManageAgentSession", Value: flag(live.CanManageAgentSession)},
			object.Member{Name: "hidden", Value: flag(live.Hidden)},
			object.Member{Name: "roomAdmin", Value: flag(admin)},
		)
	}
	return object.Set(raw, members...)
}

func flag(b bool) json.RawMessage { return strconv.AppendBool(nil, b) }

func seconds(t time.Time) json.RawMessage { return strconv.AppendInt(nil, t.Unix(), 10) }

func stringOrNone(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return object.String(s)
}

func mapOrNone(m map[string]string) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	return object.Value(m)
}

func listOrNone(list []string) json.RawMessage {
	if len(list) == 0 {
		return nil
	}
	return object.Value(list)
}
