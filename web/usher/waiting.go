package usher

import (
	"encoding/json"
	"net/http"

	"usher/room"
)

// aWaiter is somebody who waits to be let in.
type aWaiter struct {
	SID      string `json:"sid"`
	Identity string `json:"identity"`
	Name     string `json:"name"`
	JoinedAt int64  `json:"joinedAt"` // Unix milliseconds: since when
}

// waiting shows who waits to be let into a room, the first to come first. A room of
// Daily's API where nobody is has nobody who waits.
func (a *api) waiting(r *request) (int, any, error) {
	name := r.PathValue("room")
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	page := struct {
		Waiting []aWaiter `json:"waiting"`
	}{[]aWaiter{}}
	live, err := a.lobby(r.grant.Project, name)
	if err != nil {
		return 0, nil, err
	}
	if live != nil {
		for _, i := range live.Waiting() {
			page.Waiting = append(page.Waiting, aWaiter{i.SID, i.Identity, i.Name, i.JoinedAt.UnixMilli()})
		}
	}
	return http.StatusOK, page, nil
}

// lobby returns the life of a room, nil for one that exists and has none.
func (a *api) lobby(project, name string) (*room.Room, error) {
	if live, ok := a.Rooms.Lookup(project, name); ok {
		return live, nil
	}
	if _, err := a.Rooms.Daily(project, name); err != nil {
		return nil, room.ErrNotFound
	}
	return nil, nil
}

// named is some of those who wait: sids, or all.
type named struct {
	given bool
	all   bool
	sids  []string
}

func (n *named) UnmarshalJSON(b []byte) error {
	n.given = true
	if string(b) == `"all"` {
		n.all = true
		return nil
	}
	return json.Unmarshal(b, &n.sids)
}

// answerWaiting lets people in, or sends them away.
func (a *api) answerWaiting(r *request) (int, any, error) {
	name := r.PathValue("room")
	var body struct {
		Admit named `json:"admit"`
		Deny  named `json:"deny"`
	}
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	if err := r.read(&body); err != nil {
		return 0, nil, err
	}
	if err := r.may(name); err != nil {
		return 0, nil, err
	}
	who := body.Deny
	if body.Admit.given {
		who = body.Admit
	}
	switch {
	case body.Admit.given == body.Deny.given:
		return 0, nil, invalid("give either admit or deny")
	case !who.all && len(who.sids) == 0:
		return 0, nil, invalid(`admit and deny are a list of sids, or "all"`)
	}
	live, err := a.lobby(r.grant.Project, name)
	if err != nil {
		return 0, nil, err
	}
	out := struct {
		Answered []string `json:"answered"`
	}{[]string{}}
	if live == nil {
		return http.StatusOK, out, nil
	}
	b := a.Rooms.Batch()
	answered, err := live.AnswerWaiting(b, who.sids, body.Admit.given)
	b.Flush()
	if err != nil {
		return 0, nil, err
	}
	if answered != nil {
		out.Answered = answered
	}
	a.Log.Info("waiting people answered", "project", r.grant.Project, "room", name, "admitted", body.Admit.given,
		"count", len(answered), "by", r.grant.Identity, "key", r.grant.KeyID)
	return http.StatusOK, out, nil
}
