package usher

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"usher/room"
)

// A revocation as the API shows it.
type revocation struct {
	ID       string    `json:"id"`
	Room     string    `json:"room,omitempty"`
	Identity string    `json:"identity,omitempty"`
	TokenID  string    `json:"tokenId,omitempty"`
	KeyID    string    `json:"keyId,omitempty"`
	Naming   bool      `json:"naming,omitempty"` // only tokens that name the room themselves
	Until    time.Time `json:"until,omitzero"`
	Made     time.Time `json:"made"`
	By       string    `json:"by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
}

func shown(r room.Revocation) revocation {
	return revocation{r.ID, r.Room, r.Identity, r.TokenID, r.KeyID, r.Naming, r.Until.UTC(), r.Made.UTC(), r.By, r.Reason, r.Expires.UTC()}
}

// maxAhead is how far ahead until may be: far enough to keep somebody out who gets
// new tokens. What is further was not meant in seconds.
const maxAhead = 10 * 366 * 24 * time.Hour

// maxExpires is the year 9999, behind which times cannot be written.
const maxExpires = 253402300799

// maxReason bounds what is kept for people to read.
const maxReason = 512

// revoke refuses tokens and puts out whoever came with one.
func (a *api) revoke(r *request) (int, any, error) {
	if !r.grant.RoomAdmin {
		return 0, nil, errDenied
	}
	var body struct {
		Room     string `json:"room"`
		Identity string `json:"identity"`
		TokenID  string `json:"tokenId"`
		KeyID    string `json:"keyId"`
		Naming   bool   `json:"naming"`
		Until    *int64 `json:"until"`   // Unix seconds; absent: now
		Expires  *int64 `json:"expires"` // Unix seconds; of the token with that id
		Reason   string `json:"reason"`
	}
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	where := body.Room
	if body.TokenID != "" || body.KeyID != "" {
		where = ""
	}
	if err := r.may(where); err != nil {
		return 0, nil, err
	}
	rv := room.Revocation{Project: r.grant.Project, Room: body.Room, Identity: body.Identity, TokenID: body.TokenID, KeyID: body.KeyID,
		Naming: body.Naming, Until: time.Now(), By: r.by(), Reason: body.Reason}
	if body.Until != nil {
		if *body.Until < 0 || *body.Until > time.Now().Add(maxAhead).Unix() {
			return 0, nil, invalid("until is a Unix time in seconds, at most ten years ahead")
		}
		rv.Until = time.Unix(*body.Until, 0)
	}
	if body.Expires != nil {
		if body.TokenID == "" || *body.Expires <= 0 || *body.Expires > maxExpires {
			return 0, nil, invalid("expires is the Unix time in seconds at which the token of tokenId expires")
		}
		rv.Expires = time.Unix(*body.Expires, 0)
	}
	if len(body.Reason) > maxReason {
		return 0, nil, invalid("reason has at most %d bytes", maxReason)
	}
	b := a.Rooms.Batch()
	made, err := a.Rooms.Revoke(b, rv)
	b.Flush()
	if err != nil {
		return 0, nil, err
	}
	a.Log.Info("tokens revoked", "project", rv.Project, "revocation", made.ID, "room", rv.Room, "identity", rv.Identity,
		"by", r.grant.Identity, "key", r.grant.KeyID)
	return http.StatusCreated, shown(made), nil
}

// pageSize is how many revocations are shown at once, at most.
const pageSize = 1000

// list shows the revocations of the project, or of one room, the latest first.
func (a *api) list(r *request) (int, any, error) {
	q := r.URL.Query()
	where := q.Get("room")
	if err := r.may(where); err != nil {
		return 0, nil, err
	}
	limit := pageSize
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return 0, nil, invalid("limit is a number from 1 to %d", pageSize)
		}
		limit = min(n, pageSize)
	}
	page := struct {
		Revocations []revocation `json:"revocations"`
		Next        string       `json:"next,omitempty"` // for after
	}{Revocations: []revocation{}}
	skip := q.Get("after")
	list := a.Rooms.Revocations(r.grant.Project, where)
	if skip != "" && !slices.ContainsFunc(list, func(rv room.Revocation) bool { return rv.ID == skip }) {
		return 0, nil, invalid("after is the next of the page before; that one is not there any more: begin anew")
	}
	for _, rv := range list {
		if skip != "" {
			if rv.ID == skip {
				skip = ""
			}
			continue
		}
		if len(page.Revocations) == limit {
			page.Next = page.Revocations[limit-1].ID
			break
		}
		page.Revocations = append(page.Revocations, shown(rv))
	}
	return http.StatusOK, page, nil
}

// lift ends a revocation.
func (a *api) lift(r *request) (int, any, error) {
	if err := r.may(""); err != nil {
		return 0, nil, err
	}
	lifted, err := a.Rooms.Lift(r.grant.Project, r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	a.Log.Info("revocation lifted", "project", lifted.Project, "revocation", lifted.ID, "room", lifted.Room, "identity", lifted.Identity,
		"by", r.grant.Identity, "key", r.grant.KeyID)
	return http.StatusOK, shown(lifted), nil
}
