package liveblocks

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"usher/room"
)

// rooms shows a page of rooms, the newest first.
func rooms(c *call) (int, any, error) {
	q := c.URL.Query()
	limit := defaultPage
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return 0, nil, unprocessable("limit is a number from 1 to %d", maxPage)
		}
		limit = n
	}
	terms, err := parseQuery(q.Get("query"))
	if err != nil {
		return 0, nil, err
	}
	f := filter{terms: terms, user: q.Get("userId")}
	for _, list := range q["groupIds"] {
		for id := range strings.SplitSeq(list, ",") {
			if id != "" {
				f.groups = append(f.groups, id)
			}
		}
	}
	for name, values := range q {
		if key, ok := strings.CutPrefix(name, "metadata."); ok {
			for _, v := range values {
				f.terms = append(f.terms, term{field: key, op: ":", value: value{kind: 's', text: v}})
			}
		}
	}
	organization := q.Get("organizationId")
	if organization == "" {
		organization = q.Get("tenantId")
	}
	list, next, err := c.api.Rooms.ListLiveblocks(c.project, room.LiveblocksQuery{
		Organization: organization, Match: f.match, After: q.Get("startingAfter"), Limit: limit,
	})
	if err != nil {
		return 0, nil, err
	}
	page := struct {
		NextPage   *string `json:"nextPage"` // of the API's first version
		NextCursor *string `json:"nextCursor"`
		Data       []aRoom `json:"data"`
	}{Data: make([]aRoom, 0, len(list))}
	for _, r := range list {
		page.Data = append(page.Data, shown(r))
	}
	if next != "" {
		page.NextCursor = &next
	}
	return http.StatusOK, page, nil
}

// A filter picks rooms. Everything that it names has to hold; of people and
// groups, one.
type filter struct {
	terms  []term
	user   string
	groups []string
}

func (f *filter) match(r *room.LiveblocksRoom) bool {
	if f.user != "" || len(f.groups) > 0 {
		// A list without a word gives nobody anything.
		named := func(id string) bool { return len(r.Access.Groups[id]) > 0 }
		if !(f.user != "" && len(r.Access.Users[f.user]) > 0) && !slices.ContainsFunc(f.groups, named) {
			return false
		}
	}
	return matches(f.terms, r)
}
