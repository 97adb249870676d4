package daily

import (
	"net/url"
	"slices"
	"strconv"
	"time"
)

// aMeeting is a meeting as Daily shows it.
type aMeeting struct {
	ID              string          `json:"id"`
	Room            string          `json:"room"`
	StartTime       int64           `json:"start_time"` // unix seconds
	Duration        int64           `json:"duration"`   // seconds, so far
	Ongoing         bool            `json:"ongoing"`
	MaxParticipants int             `json:"max_participants"`
	Participants    *[]anAttendance `json:"participants,omitempty"`
}

type anAttendance struct {
	UserID        string  `json:"user_id"` // the session's id, of people without one
	ParticipantID string  `json:"participant_id"`
	UserName      *string `json:"user_name"`
	JoinTime      int64   `json:"join_time"`
	Duration      int64   `json:"duration"`
}

func (t *meeting) shown(now time.Time, participants bool) aMeeting {
	until := now
	if !t.end.IsZero() {
		until = t.end
	}
	a := aMeeting{ID: t.id, Room: t.room, StartTime: t.began.Unix(), Duration: wholeSeconds(t.began, until),
		Ongoing: t.end.IsZero(), MaxParticipants: t.most}
	if participants {
		list := make([]anAttendance, len(t.who))
		for i := range t.who {
			list[i] = t.who[i].shown(until)
		}
		a.Participants = &list
	}
	return a
}

func (w *attendance) shown(until time.Time) anAttendance {
	if !w.Left.IsZero() {
		until = w.Left
	}
	a := anAttendance{UserID: userOf(w.User, w.SID), ParticipantID: w.SID, JoinTime: w.Joined.Unix(), Duration: wholeSeconds(w.Joined, until)}
	if name := w.Name; name != "" {
		a.UserName = &name
	}
	return a
}

func wholeSeconds(from, to time.Time) int64 { return int64(max(0, to.Sub(from)) / time.Second) }

// A meetingQuery picks meetings.
type meetingQuery struct {
	room          string
	from, to      float64 // unix seconds; to is excluded, 0: no end
	ongoing       *bool
	limit         int
	after, before string // ids
	oldest        bool   // the last page
}

func meetingQueryOf(q url.Values, limit int) (m meetingQuery, err error) {
	m = meetingQuery{room: q.Get("room"), limit: limit, after: q.Get("starting_after"), before: q.Get("ending_before")}
	if m.after != "" && m.before != "" {
		return m, invalid("there may be starting_after or ending_before, not both")
	}
	if m.before == oldest {
		m.before, m.oldest = "", true
	}
	for name, to := range map[string]*float64{"timeframe_start": &m.from, "timeframe_end": &m.to} {
		if text := q.Get(name); text != "" {
			if *to, err = strconv.ParseFloat(text, 64); err != nil || !(*to >= 0 && *to < 1e15) {
				return m, invalid("%s was '%s' but should be a number of seconds since the unix epoch", name, clip(text))
			}
		}
	}
	m.ongoing, err = truthOf(q, "ongoing")
	return m, err
}

// truthOf reads a parameter that is true or false, nil when it is not said.
func truthOf(q url.Values, name string) (*bool, error) {
	text := q.Get(name)
	if text == "" {
		return nil, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return nil, invalid("%s was '%s' but should be true or false", name, clip(text))
	}
	return &is, nil
}

func (q *meetingQuery) picks(t *meeting) bool {
	at := float64(t.began.UnixMilli()) / 1000
	return (q.room == "" || t.room == q.room) && at >= q.from && (q.to == 0 || at < q.to) &&
		(q.ongoing == nil || *q.ongoing == t.end.IsZero())
}

// viewLocked returns a copy, so that it is shown without holding up those who
// observe. Nothing of a meeting that has ended changes.
func (t *meeting) viewLocked(participants bool) *meeting {
	view := &meeting{id: t.id, room: t.room, began: t.began, end: t.end, most: t.most}
	if view.who = t.who; !participants {
		view.who = nil
	} else if t.end.IsZero() {
		view.who = slices.Clone(t.who)
	}
	return view
}

// pageMost bounds the attendances on a page of meetings with their participants.
const pageMost = 20_000

// list returns a page of a project's meetings, the newest first, and how many
// there are in all. A cursor that is none of the project's meetings is a problem.
// With participants a page is shorter than was asked for when there are too many of
// them; what is next to the cursor is on it.
func (m *Meetings) list(project string, q meetingQuery, participants bool) (page []*meeting, total int, err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.projects[project]
	for name, id := range map[string]string{"starting_after": q.after, "ending_before": q.before} {
		if id != "" && (d == nil || d.byID[id] == nil) {
			return nil, 0, invalid("%s was '%s' but should be the id of a meeting", name, clip(id))
		}
	}
	if d == nil {
		return nil, 0, nil
	}
	// What is picked, and where in it the cursor lies.
	var picked []*meeting
	cursor := 0
	for _, t := range slices.Backward(d.list) {
		if t.over(now) {
			continue
		}
		if t.id == q.before {
			cursor = len(picked)
		}
		if q.picks(t) {
			picked = append(picked, t)
		}
		if t.id == q.after {
			cursor = len(picked)
		}
	}
	from, to := cursor, min(cursor+q.limit, len(picked))
	switch {
	case q.before != "":
		from, to = max(0, cursor-q.limit), cursor
	case q.oldest:
		from, to = max(0, len(picked)-q.limit), len(picked)
	}
	if participants {
		from, to = pageOf(picked, from, to, q.before != "" || q.oldest)
	}
	for _, t := range picked[from:to] {
		page = append(page, t.viewLocked(participants))
	}
	return page, len(picked), nil
}

// pageOf returns the bounds of a page with no more participants than there may be,
// but with one meeting at least: the first of it, or, backwards, the last.
func pageOf(list []*meeting, from, to int, backwards bool) (int, int) {
	n := 0
	if backwards {
		for i := to - 1; i >= from; i-- {
			if n += len(list[i].who); n > pageMost && i < to-1 {
				return i + 1, to
			}
		}
		return from, to
	}
	for i := from; i < to; i++ {
		if n += len(list[i].who); n > pageMost && i > from {
			return from, i
		}
	}
	return from, to
}

// show returns one meeting, without its participants.
func (m *Meetings) show(project, id string) (a aMeeting, ok bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findLocked(project, id)
	if t == nil || t.over(now) {
		return a, false
	}
	return t.shown(now, false), true
}

// participants returns some of those who were in a meeting, the first to come
// first: those after the one with a sid, or those next to it before.
func (m *Meetings) participants(project, id string, limit int, after, before string) (list []anAttendance, err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.findLocked(project, id)
	if t == nil || t.over(now) {
		return nil, notFound("meeting %s not found", clip(id))
	}
	from, to := 0, len(t.who)
	if after != "" {
		if from = t.index(after) + 1; from == 0 {
			return nil, invalid("joined_after was '%s' but should be the id of a participant", clip(after))
		}
	}
	if before != "" {
		if to = t.index(before); to < 0 {
			return nil, invalid("joined_before was '%s' but should be the id of a participant", clip(before))
		}
		if after == "" {
			from = max(0, to-limit)
		}
	}
	until := now
	if !t.end.IsZero() {
		until = t.end
	}
	for i := from; i < min(to, from+limit); i++ {
		list = append(list, t.who[i].shown(until))
	}
	if len(list) == 0 {
		return nil, notFound("there are no more participants of meeting %s", clip(id))
	}
	return list, nil
}

func (t *meeting) index(sid string) int {
	return slices.IndexFunc(t.who, func(w attendance) bool { return w.SID == sid })
}

func listMeetings(c *call) (any, error) {
	if c.api.Meetings == nil {
		return nil, errNowhere
	}
	limit, err := c.limit(maxPage)
	if err != nil {
		return nil, err
	}
	q, err := meetingQueryOf(c.query, limit)
	if err != nil {
		return nil, err
	}
	alone, err := truthOf(c.query, "no_participants")
	if err != nil {
		return nil, err
	}
	participants := alone == nil || !*alone
	page, total, err := c.api.Meetings.list(c.domain.Project, q, participants)
	if err != nil {
		return nil, err
	}
	now, data := time.Now(), make([]aMeeting, len(page))
	for i, t := range page {
		data[i] = t.shown(now, participants)
	}
	return struct {
		TotalCount int        `json:"total_count"`
		Data       []aMeeting `json:"data"`
	}{total, data}, nil
}

// showMeeting answers about one that is not there with 400, as Daily documents.
func showMeeting(c *call) (any, error) {
	if c.api.Meetings == nil {
		return nil, errNowhere
	}
	a, ok := c.api.Meetings.show(c.domain.Project, c.name)
	if !ok {
		return nil, invalid("meeting %s not found", clip(c.name))
	}
	return a, nil
}

func meetingParticipants(c *call) (any, error) {
	if c.api.Meetings == nil {
		return nil, errNowhere
	}
	limit, err := c.limit(maxPage)
	if err != nil {
		return nil, err
	}
	data, err := c.api.Meetings.participants(c.domain.Project, c.name, limit, c.query.Get("joined_after"), c.query.Get("joined_before"))
	if err != nil {
		return nil, err
	}
	return struct {
		Data []anAttendance `json:"data"`
	}{data}, nil
}
