package usher

import (
	"net/http"
	"time"
)

// outbox is what waits for the project's webhooks.
type outbox struct {
	Unwritten int            `json:"unwritten"`
	Targets   []outboxTarget `json:"targets"`
}

// An outboxTarget is one of the configuration, or a webhook of Daily's API, which
// alone has an id and a state.
type outboxTarget struct {
	ID               string         `json:"id,omitempty"`
	URL              string         `json:"url"`
	State            string         `json:"state,omitempty"`        // "ACTIVE" or "FAILED": it is told of nothing more
	Failures         *int           `json:"failures,omitempty"`     // in a row
	Delivered        time.Time      `json:"lastDelivered,omitzero"` // when it last took an event
	Pending          int            `json:"pending"`
	OldestPendingSec float64        `json:"oldestPendingSeconds,omitzero"`
	NextAttempt      time.Time      `json:"nextAttempt,omitzero"`
	Last             *outboxRound   `json:"last,omitempty"`
	Outcomes         map[string]int `json:"outcomes"`
}

// outboxRound is how the last attempts to deliver one event ended.
type outboxRound struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Room    string    `json:"room,omitempty"`
	Outcome string    `json:"outcome"` // "retry": it is tried again
	Problem string    `json:"problem,omitempty"`
}

// webhooks shows the outbox of the project's webhooks.
func (a *api) webhooks(r *request) (int, any, error) {
	if err := r.may(""); err != nil {
		return 0, nil, err
	}
	out := outbox{Targets: []outboxTarget{}}
	if a.Outbox == nil {
		return http.StatusOK, out, nil
	}
	targets, unwritten := a.Outbox(r.grant.Project)
	out.Unwritten = unwritten
	for _, s := range targets {
		t := outboxTarget{URL: s.URL, Pending: s.Pending, NextAttempt: s.Next.UTC(), Outcomes: s.Outcomes}
		if s.ID != "" {
			t.ID, t.State, t.Failures, t.Delivered = s.ID, "ACTIVE", &s.Failures, s.Pushed.UTC()
			if s.Failed {
				t.State = "FAILED"
			}
		}
		if !s.Oldest.IsZero() {
			t.OldestPendingSec = max(0, time.Since(s.Oldest).Seconds())
		}
		if !s.Last.At.IsZero() {
			t.Last = &outboxRound{s.Last.At.UTC(), s.Last.Event, s.Last.Room, s.Last.Outcome, s.Last.Problem}
			if t.Last.Outcome == "" {
				t.Last.Outcome = "retry"
			}
		}
		out.Targets = append(out.Targets, t)
	}
	return http.StatusOK, out, nil
}
